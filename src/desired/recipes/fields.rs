//! Fields that the streams of all levels have, and values that several levels use.

use crate::desired::metadata;
use crate::model::prefixes::CAPTURE_PREFIX;
use crate::model::topology::Region;
use crate::model::virtual_stream::{Role, VirtualStream};
use serde_json::{Map, Value};

/// A second, in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;
/// The server's own default window, in nanoseconds (nats-server 2.15 `StreamDefaultDuplicatesWindow`).
const DUPLICATE_WINDOW: u64 = 120 * SECOND;

/// Adds the fields that all roles have, and lets the definition's own fields replace the defaults.
pub(super) fn finish(
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

/// Returns the duplicate window of a stream with publishers. Servers refuse a window longer than the age. Age 0 is
/// unlimited.
pub(super) fn window(max_age: u64) -> u64 {
    if max_age == 0 { DUPLICATE_WINDOW } else { DUPLICATE_WINDOW.min(max_age) }
}

/// Returns the transform from a captured subject back to the published one.
pub(super) fn strip() -> Value {
    object([("src", format!("{CAPTURE_PREFIX}.*.>").into()), ("dest", ">".into())])
}

/// Returns an object without spare capacity: a plan of a large definition has hundreds of thousands of objects.
pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut map = Map::with_capacity(N);
    for (key, value) in fields {
        map.insert(key.to_owned(), value);
    }
    Value::Object(map)
}
