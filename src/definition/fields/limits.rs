//! Limits of regional accounts, by their names in account tokens (`nats.limits`, nats-io/jwt v2 `account_claims.go`).

use super::field::Shape::{Bool, Int, Size};
use super::field::{Field, allowed, refused};
use super::table::Table;

/// Limits of an account.
#[derive(Debug)]
pub(in crate::definition) enum LimitTable {}

const ANY: i64 = i64::MAX;

const FIELDS: &[Field] = &[
    allowed("subs", Int(-1, ANY), "Subscriptions; -1 is unlimited."),
    allowed("data", Size, "Bytes; -1 is unlimited."),
    allowed("payload", Size, "Largest message; -1 is unlimited."),
    allowed("imports", Int(-1, ANY), "Imports; -1 is unlimited."),
    allowed("exports", Int(-1, ANY), "Exports; -1 is unlimited."),
    allowed("wildcards", Bool, "Whether exports may have wildcards."),
    allowed("conn", Int(-1, ANY), "Connections; -1 is unlimited."),
    allowed("leaf", Int(-1, ANY), "Leaf node connections; -1 is unlimited."),
    allowed("mem_storage", Size, "Memory storage; -1 is unlimited."),
    allowed("disk_storage", Size, "File storage; -1 is unlimited."),
    allowed("streams", Int(-1, ANY), "Streams; -1 is unlimited."),
    allowed("consumer", Int(-1, ANY), "Consumers; -1 is unlimited."),
    allowed("max_ack_pending", Int(-1, ANY), "Unacknowledged messages per consumer; -1 is unlimited."),
    allowed("mem_max_stream_bytes", Size, "Largest stream in memory; -1 is unlimited."),
    allowed("disk_max_stream_bytes", Size, "Largest stream on disk; -1 is unlimited."),
    allowed("max_bytes_required", Bool, "Whether streams need a `max_bytes`."),
    refused("tiered_limits", "tiers are taken over from the account"),
];

impl Table for LimitTable {
    const OF: &'static str = "an account's limits";
    const SCHEMA: &'static str = "LimitFields";
    const EXTRA: bool = false;

    fn fields() -> Vec<Field> {
        FIELDS.to_vec()
    }
}
