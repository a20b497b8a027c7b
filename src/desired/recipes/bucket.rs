//! Configs of the real streams from the settings of a KV bucket or an object store.
//!
//! To clients, the read stream looks as if nats.go had made it (`jetstream/kv.go`, `object.go`). The exceptions are
//! settings with which it would refuse a message: a sourced message that cannot be stored blocks its source forever. So
//! the write stream checks the size of a value, and a full bucket drops its oldest values instead of refusing new ones.

use crate::model::virtual_stream::{Kind, VirtualStream};
use serde_json::{Map, Value};

/// Sets the fields of the write streams.
pub(super) fn write_fields(stream: &VirtualStream, config: &mut Map<String, Value>) {
    if stream.kind == Kind::Stream {
        return;
    }
    both(stream, config);
    if let Some(size) = stream.bucket.get("max_value_size") {
        config.insert("max_msg_size".to_owned(), size.clone());
    }
}

/// Limits the age of a write stream's values to the bucket's `ttl`, also if the definition sets a longer one: a value
/// that arrived late must not outlive the others.
pub(super) fn cap_age(stream: &VirtualStream, config: &mut Map<String, Value>) {
    let Some(ttl) = stream.bucket.get("ttl").and_then(Value::as_u64).filter(|ttl| *ttl > 0) else { return };
    let number = |field: &str| config.get(field).and_then(Value::as_u64).unwrap_or(0);
    // Age 0 is unlimited.
    let (age, window) = (number("max_age"), number("duplicate_window"));
    if age == 0 || age > ttl {
        config.insert("max_age".to_owned(), ttl.into());
        config.insert("duplicate_window".to_owned(), window.min(ttl).into());
    }
}

/// Sets the fields of the home stream (`consistency: mirrored`) as nats.go does for a bucket. This stream alone decides
/// which messages are stored, so it may refuse some.
pub(super) fn home_fields(stream: &VirtualStream, config: &mut Map<String, Value>) {
    if stream.kind == Kind::Stream {
        return;
    }
    read_fields(stream, config);
    config.insert("discard".to_owned(), "new".into());
    if stream.kind == Kind::Kv {
        config.insert("deny_delete".to_owned(), true.into());
    }
    if let Some(size) = stream.bucket.get("max_value_size") {
        config.insert("max_msg_size".to_owned(), size.clone());
    }
}

/// Sets the fields of the mirrors of a home stream.
///
/// A mirror does not follow a purge. So an object store's mirror keeps the chunks of deleted objects. With a limit in
/// bytes, it would drop older objects that still exist.
pub(super) fn mirror_fields(stream: &VirtualStream, config: &mut Map<String, Value>) {
    read_fields(stream, config);
    if stream.kind == Kind::ObjectStore {
        config.remove("max_bytes");
    }
}

/// Sets the fields of the read streams.
pub(super) fn read_fields(stream: &VirtualStream, config: &mut Map<String, Value>) {
    if stream.kind == Kind::Stream {
        return;
    }
    both(stream, config);
    let set = |config: &mut Map<String, Value>, field: &str, from: &str| {
        if let Some(value) = stream.bucket.get(from) {
            config.insert(field.to_owned(), value.clone());
        }
    };
    if stream.kind == Kind::Kv {
        config.insert("max_msgs_per_subject".to_owned(), 1.into());
        set(config, "max_msgs_per_subject", "history");
    }
    set(config, "description", "description");
    set(config, "max_age", "ttl");
    set(config, "max_bytes", "max_bytes");
    set(config, "subject_delete_marker_ttl", "limit_marker_ttl");
}

fn both(stream: &VirtualStream, config: &mut Map<String, Value>) {
    // Clients purge a key, or replace an object's description, with a message that rolls up its subject.
    config.insert("allow_rollup_hdrs".to_owned(), true.into());
    if stream.bucket.contains_key("limit_marker_ttl") {
        config.insert("allow_msg_ttl".to_owned(), true.into());
    }
    for field in ["storage", "num_replicas", "metadata"] {
        if let Some(value) = stream.bucket.get(field) {
            config.insert(field.to_owned(), value.clone());
        }
    }
    if stream.bucket.get("compression") == Some(&Value::Bool(true)) {
        config.insert("compression".to_owned(), "s2".into());
    }
}
