//! Settings of KV buckets and object stores (ADR-8, ADR-20; names as in nats.go's JSON).

use super::field::Shape::{Bool, Duration, Int, Size, Text, TextMap, Word};
use super::field::{Field, allowed, refused};
use super::table::Table;

/// Settings of a bucket.
#[derive(Debug)]
pub(in crate::definition) enum BucketTable {}

const FIELDS: &[Field] = &[
    allowed("description", Text, "Description."),
    allowed("history", Int(1, 64), "KV: values kept per key. Default: `1`."),
    allowed("ttl", Duration, "How long values are kept. Default: forever."),
    allowed("limit_marker_ttl", Duration, "KV: how long markers of expired keys stay (2.11)."),
    allowed("max_value_size", Size, "KV: largest value. Default: unlimited."),
    allowed("max_bytes", Size, "Most bytes. Default: unlimited."),
    allowed("storage", Word(&["file", "memory"]), "Storage backend. Default: `file`."),
    allowed("num_replicas", Int(1, 5), "Replicas within a region's cluster. Default: `3`."),
    allowed("compression", Bool, "Compression on disk. Default: `false`."),
    allowed("metadata", TextMap, "Metadata; keys that begin with `vstream.` or `_nats` are not for you."),
    refused("bucket", "the bucket is named by the virtual stream"),
    refused("placement", "the tool places each stream in its region's cluster; put tags under the region's `tags`"),
    refused("republish", "republished messages would be mapped or captured again"),
    refused("mirror", "the tool sets it"),
    refused("sources", "the tool sets it"),
];

impl Table for BucketTable {
    const OF: &'static str = "a bucket";
    const SCHEMA: &'static str = "BucketFields";
    const EXTRA: bool = false;

    fn fields() -> Vec<Field> {
        FIELDS.to_vec()
    }
}
