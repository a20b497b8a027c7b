//! The level `eventual`: a write stream in each region, and in each region a read stream that sources all of them.

use super::bucket;
use super::fields::{SECOND, finish, object, strip, window};
use super::stream_template::StreamTemplate;
use crate::desired::regional::ORIGIN_JS_API;
use crate::model::prefixes::{DELIVER_PREFIX, captured};
use crate::model::subject::SubjectFilter;
use crate::model::topology::Region;
use crate::model::virtual_stream::{Consistency, Kind, Layout, MapRequest, Role, VirtualStream};
use serde_json::{Map, Value};

/// The longest outage that write streams cover by default: 24 hours, in nanoseconds.
const MAX_AGE: u64 = 24 * 3600 * SECOND;
/// The size of the range of sequences that each region's read streams have. Three regions stay far below 2^53, the
/// limit of clients that count in doubles.
///
/// No range begins at 1, so a revision of a bucket is never equal to a sequence of its write stream. A compare-and-set
/// that cannot be decided in one region is thus always refused, and never granted by chance.
const SEQUENCES: u64 = 1_000_000_000_000;

impl<'a> StreamTemplate<'a> {
    /// Returns the subjects that the write stream captures: each subject, as published in each cluster of its region.
    pub(super) fn write_subjects(&self) -> impl Iterator<Item = String> + use<'a> {
        let Self { stream, region, .. } = *self;
        let of = |cluster| stream.subjects.iter().map(move |subject| captured(subject, cluster).to_string());
        region.clusters().flat_map(of)
    }

    /// Returns the config of the write stream. It captures messages of the region, and stores them under their
    /// published subjects.
    pub(super) fn write_config(&self) -> Map<String, Value> {
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

    /// Returns the config of a read stream. It sources all write streams, including its own region's, always in the
    /// order of the definition.
    pub(super) fn read_config(&self) -> Map<String, Value> {
        let Self { topology, account, stream, region, oldest_server } = *self;
        let deliver = (account.layout == Layout::Regional).then(|| format!("{DELIVER_PREFIX}.{}", region.name));
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

impl StreamTemplate<'_> {
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

/// Returns `true` if servers keep a `first_seq`. Before 2.11, servers empty such a stream when they start, if its first
/// message is still there (measured on 2.10.26; not so on 2.11.11 – 2.15.1).
pub(in crate::desired) fn keeps_first_sequence(oldest_server: Option<(u64, u64)>) -> bool {
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
        source["external"] = object([("api", ORIGIN_JS_API.into()), ("deliver", deliver.into())]);
    }
    source
}
