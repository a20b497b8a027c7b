//! The level `mirrored`: one home stream for all regions, and a mirror of it in each region.

use super::bucket;
use super::fields::{finish, object, strip, window};
use super::stream_template::StreamTemplate;
use crate::desired::regional::ORIGIN_JS_API;
use crate::model::prefixes::{DELIVER_PREFIX, captured_anywhere};
use crate::model::virtual_stream::{PUBLISHING, Role};
use serde_json::{Map, Value};

/// Fields of a mirror's origin that servers refuse on a mirror (nats-server 2.15 `server/stream.go`, `checkStreamCfg`).
const NOT_ON_MIRRORS: [&str; 2] = ["subject_delete_marker_ttl", "duplicate_window"];

impl<'a> StreamTemplate<'a> {
    /// Returns the subjects that the home stream captures: each subject, as published in any cluster.
    pub(super) fn home_subjects(&self) -> impl Iterator<Item = String> + use<'a> {
        self.stream.subjects.iter().map(|subject| captured_anywhere(subject).to_string())
    }

    /// Returns the config of the home stream. It captures messages of all regions, and alone decides what is stored.
    pub(super) fn home_config(&self) -> Map<String, Value> {
        let Self { stream, region, .. } = *self;
        let mut config = Map::with_capacity(16);
        config.insert("name".to_owned(), stream.home_name().into());
        config.insert("subjects".to_owned(), self.home_subjects().collect());
        config.insert("subject_transform".to_owned(), strip());
        bucket::home_fields(stream, &mut config);
        let max_age = stream.read.get("max_age").or(config.get("max_age")).and_then(Value::as_u64).unwrap_or(0);
        config.insert("duplicate_window".to_owned(), window(max_age).into());
        // A definition may set both fields under `read`, to the one value that suits a stream without publishers.
        let mut read = stream.read.clone();
        for field in ["duplicate_window", "max_msg_size"] {
            read.remove(field);
        }
        let mut config = finish(config, stream, region, Role::Home, &read);
        // `read` decides about reading, and `write` about publishing.
        for field in PUBLISHING {
            if let Some(value) = stream.write.get(field) {
                config.insert(field.to_owned(), value.clone());
            }
        }
        config
    }

    /// Returns the config of a mirror of the home stream, with the same limits. A mirror keeps messages that its origin
    /// drops, unless its own limits drop them too.
    pub(super) fn mirror_config(&self) -> Map<String, Value> {
        let Self { account, stream, region, .. } = *self;
        let external =
            object([("api", ORIGIN_JS_API.into()), ("deliver", format!("{DELIVER_PREFIX}.{}", region.name).into())]);
        let mirror = object([("name", stream.home_name().into()), ("external", external)]);
        let mut config = Map::with_capacity(16);
        config.insert("name".to_owned(), account.read_name(stream, &region.name).into());
        config.insert("mirror".to_owned(), mirror);
        config.insert("mirror_direct".to_owned(), true.into());
        config.insert("max_msg_size".to_owned(), (-1).into());
        bucket::mirror_fields(stream, &mut config);
        let mut config = finish(config, stream, region, Role::Read, &stream.read);
        for field in NOT_ON_MIRRORS {
            config.remove(field);
        }
        config
    }
}
