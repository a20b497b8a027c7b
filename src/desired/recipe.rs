//! The configs of write streams, home streams and read streams, as the JetStream API takes them.

use super::regional::SOURCE_API;
use super::{bucket, metadata};
use crate::model::prefixes::{CAPTURED, DELIVER, captured, captured_anywhere};
use crate::model::subject::SubjectFilter;
use crate::model::topology::{Region, Topology};
use crate::model::virtual_stream::{Account, Consistency, Kind, Layout, MapRequest, PUBLISHING, Role, VirtualStream};
use serde_json::{Map, Value};

const SECOND: u64 = 1_000_000_000;
/// The longest outage that write streams cover by default: 24 hours, in nanoseconds.
const MAX_AGE: u64 = 24 * 3600 * SECOND;
/// The server's own default window, in nanoseconds (nats-server 2.15 `StreamDefaultDuplicatesWindow`).
const DUPLICATE_WINDOW: u64 = 120 * SECOND;

/// The size of the range of sequences that each region's read streams have. Three regions stay far below 2^53, the
/// limit of clients that count in doubles.
///
/// No range begins at 1, so a revision of a bucket is never equal to a sequence of its write stream. A compare-and-set
/// that cannot be decided in one region is thus always refused, and never granted by chance.
const SEQUENCES: u64 = 1_000_000_000_000;

/// Fields of a mirror's origin that servers refuse on a mirror (nats-server 2.15 `server/stream.go`, `checkStreamCfg`).
const NOT_ON_MIRRORS: [&str; 2] = ["subject_delete_marker_ttl", "duplicate_window"];

/// The input of a stream's config. A definition may have tens of thousands of streams, so each config is made when it
/// is needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Recipe<'a> {
    pub topology: &'a Topology,
    pub account: &'a Account,
    pub stream: &'a VirtualStream,
    pub region: &'a Region,
    pub oldest_server: Option<(u64, u64)>,
}

impl<'a> Recipe<'a> {
    pub fn config(&self, role: Role) -> Map<String, Value> {
        match role {
            Role::Write => self.write_config(),
            Role::Home => self.home_config(),
            Role::Read if self.stream.home().is_some() => self.mirror_config(),
            Role::Read => self.read_config(),
        }
    }

    /// Returns the home stream that the stream of this role mirrors.
    pub fn mirrors(&self, role: Role) -> Option<String> {
        (role == Role::Read && self.stream.home().is_some()).then(|| self.stream.home_name())
    }

    /// Returns the subjects that the home stream captures: each subject, as published in any cluster.
    pub fn home_subjects(&self) -> impl Iterator<Item = String> + use<'a> {
        self.stream.subjects.iter().map(|subject| captured_anywhere(subject).to_string())
    }

    /// Returns the subjects that the write stream captures: each subject, as published in each cluster of its region.
    pub fn write_subjects(&self) -> impl Iterator<Item = String> + use<'a> {
        let Self { stream, region, .. } = *self;
        let of = |cluster| stream.subjects.iter().map(move |subject| captured(subject, cluster).to_string());
        region.clusters().flat_map(of)
    }

    /// Returns the config of the write stream. It captures messages of the region, and stores them under their
    /// published subjects.
    fn write_config(&self) -> Map<String, Value> {
        let Self { stream, region, .. } = *self;
        let max_age = stream.write.get("max_age").and_then(Value::as_u64).unwrap_or(MAX_AGE);
        let mut config = Map::with_capacity(11);
        config.insert("name".to_owned(), stream.write_name(&region.name).into());
        config.insert("subjects".to_owned(), self.write_subjects().collect());
        config.insert("subject_transform".to_owned(), strip());
        config.insert("max_age".to_owned(), MAX_AGE.into());
        config.insert("duplicate_window".to_owned(), window(max_age).into());
        bucket::write_fields(stream, &mut config);
        let mut config = finish(config, stream, region, Role::Write, &stream.write);
        bucket::cap_age(stream, &mut config);
        config
    }

    /// Returns the config of the home stream. It captures messages of all regions, and alone decides what is stored.
    fn home_config(&self) -> Map<String, Value> {
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
    fn mirror_config(&self) -> Map<String, Value> {
        let Self { account, stream, region, .. } = *self;
        let external = object([("api", SOURCE_API.into()), ("deliver", format!("{DELIVER}.{}", region.name).into())]);
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

    /// Returns the config of a read stream. It sources all write streams, including its own region's, always in the
    /// order of the definition.
    fn read_config(&self) -> Map<String, Value> {
        let Self { topology, account, stream, region, oldest_server } = *self;
        let deliver = (account.layout == Layout::Regional).then(|| format!("{DELIVER}.{}", region.name));
        let sources = topology.regions.iter().map(|origin| source(stream, origin, deliver.as_deref()));
        let mut config = Map::with_capacity(12);
        config.insert("name".to_owned(), account.read_name(stream, &region.name).into());
        if account.layout == Layout::Regional {
            // Nothing is published on these subjects in its account. They serve lookups of the stream by subject.
            config.insert("subjects".to_owned(), stream.subjects.iter().map(SubjectFilter::as_str).collect());
            // With a range of sequences of its own, an ack that a client carries to another region matches no message
            // there.
            if keeps_first_sequence(oldest_server) {
                let place = topology.regions.iter().position(|other| other.name == region.name).unwrap_or(0);
                config.insert("first_seq".to_owned(), ((place as u64 + 1) * SEQUENCES + 1).into());
            }
        }
        config.insert("sources".to_owned(), sources.collect());
        // With a window, the same message id published in two regions is dropped differently in each region.
        config.insert("duplicate_window".to_owned(), smallest_window(oldest_server).into());
        // A message that cannot be stored blocks its source forever.
        config.insert("max_msg_size".to_owned(), (-1).into());
        bucket::read_fields(stream, &mut config);
        finish(config, stream, region, Role::Read, &stream.read)
    }
}

impl Recipe<'_> {
    /// Returns the reason why the read stream drops messages that its origins still hold.
    pub fn drops_messages(&self) -> Option<&'static str> {
        let Self { account, stream, .. } = *self;
        if !matches!(stream.consistency, Consistency::Eventual | Consistency::Ordered) {
            return None;
        }
        let limit = |fields: &Map<String, Value>, key: &str| {
            fields.get(key).and_then(Value::as_i64).filter(|limit| *limit > 0).map(i64::unsigned_abs)
        };
        match stream.kind {
            Kind::Kv => return Some("a bucket drops values that were overwritten or deleted"),
            Kind::ObjectStore => return Some("an object store drops what was replaced or deleted"),
            Kind::Stream => {}
        }
        let counted = ["max_msgs_per_subject", "max_msgs", "max_bytes"];
        if counted.iter().any(|key| limit(&stream.read, key).is_some()) {
            return Some("its read streams have a limit by which they drop messages that the write streams still hold");
        }
        // Without an age, messages are kept without limit.
        let written = stream.write.get("max_age").map_or(Some(MAX_AGE), |_| limit(&stream.write, "max_age"));
        let read = limit(&stream.read, "max_age");
        if read.is_some_and(|read| written.is_none_or(|written| read < written)) {
            return Some("its read streams keep messages for less time than the write streams do");
        }
        let removes = [MapRequest::Purge, MapRequest::MsgDelete];
        let open = removes.into_iter().any(|request| account.opens(stream, request));
        open.then_some("applications may purge it, or delete messages (`map_requests`)")
    }
}

/// The first version whose streams keep their position in each origin when they get a new leader. Older streams look
/// for the position in the messages that they still hold (measured: 2.10.26, 2.12.8 and 2.14.6 go back, 2.15.1 does
/// not).
pub const KEEPS_POSITION: (u64, u64) = (2, 15);

/// Returns the duplicate window of a stream with publishers. Servers refuse a window longer than the age. Age 0 is
/// unlimited.
fn window(max_age: u64) -> u64 {
    if max_age == 0 { DUPLICATE_WINDOW } else { DUPLICATE_WINDOW.min(max_age) }
}

/// Returns the transform from a captured subject back to the published one.
fn strip() -> Value {
    object([("src", format!("{CAPTURED}.*.>").into()), ("dest", ">".into())])
}

/// Returns `true` if servers keep a `first_seq`. Before 2.11, servers empty such a stream when they start, if its first
/// message is still there (measured on 2.10.26; not so on 2.11.11 – 2.15.1).
pub(super) fn keeps_first_sequence(oldest_server: Option<(u64, u64)>) -> bool {
    oldest_server.is_none_or(|version| version >= (2, 11))
}

/// Returns the smallest window of a stream with sources. From 2.14 on, 0 stays 0. Servers 2.10 to 2.12 change it to two
/// minutes, but accept 100 ms (measured).
fn smallest_window(oldest_server: Option<(u64, u64)>) -> u64 {
    match oldest_server {
        Some(version) if version < (2, 14) => SECOND / 10,
        _ => 0,
    }
}

/// Returns one source, without filter and transform. These would be part of its identity, so a change would import all
/// of it again. Without `opt_start_seq`, a source that the server first sees late begins at the read stream's last
/// time.
///
/// `deliver` is the subject on which a source in a regional account gets its messages from the application's account.
fn source(stream: &VirtualStream, origin: &Region, deliver: Option<&str>) -> Value {
    let mut source = object([("name", stream.write_name(&origin.name).into()), ("opt_start_seq", 1.into())]);
    if let Some(deliver) = deliver {
        source["external"] = object([("api", SOURCE_API.into()), ("deliver", deliver.into())]);
    }
    source
}

/// Returns an object without spare capacity: a plan of a large definition has hundreds of thousands of objects.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut map = Map::with_capacity(N);
    for (key, value) in fields {
        map.insert(key.to_owned(), value);
    }
    Value::Object(map)
}

/// Adds the fields that all roles have, and lets the definition's own fields replace the defaults.
fn finish(
    mut config: Map<String, Value>,
    stream: &VirtualStream,
    region: &Region,
    role: Role,
    fields: &Map<String, Value>,
) -> Map<String, Value> {
    config.insert("retention".to_owned(), "limits".into());
    config.entry("storage").or_insert_with(|| "file".into());
    config.entry("num_replicas").or_insert_with(|| 3.into());
    config.insert("allow_direct".to_owned(), true.into());
    let mut placement = object([("cluster", region.cluster.as_str().into())]);
    if !region.tags.is_empty() {
        placement["tags"] = region.tags.clone().into();
    }
    config.insert("placement".to_owned(), placement);
    let mut marks = object([
        (metadata::NAME, stream.name.as_str().into()),
        (metadata::REGION, region.name.as_str().into()),
        (metadata::ROLE, role.as_str().into()),
    ]);
    if let (Some(Value::Object(given)), Some(marks)) = (config.remove("metadata"), marks.as_object_mut()) {
        for (key, value) in given {
            marks.entry(key).or_insert(value);
        }
    }
    config.insert("metadata".to_owned(), marks);
    for (field, value) in fields {
        match (config.get_mut(field), value) {
            // Fields that mark and place the stream stay. The definition's others are added.
            (Some(Value::Object(ours)), Value::Object(theirs)) => {
                for (key, value) in theirs {
                    ours.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            _ => {
                config.insert(field.clone(), value.clone());
            }
        }
    }
    config
}
