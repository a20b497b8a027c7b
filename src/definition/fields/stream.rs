//! Fields of write and read streams (`StreamConfig`, nats-server 2.15 `server/stream.go`).

use super::field::Shape::{Bool, Duration, Int, Object, Size, Text, TextMap, Word};
use super::field::{Field, Fixed, Shape, allowed, only, refused};
use super::table::Table;

/// Fields of a write stream.
#[derive(Debug)]
pub(in crate::definition) enum WriteTable {}

/// Fields of a read stream.
#[derive(Debug)]
pub(in crate::definition) enum ReadTable {}

const ANY: i64 = i64::MAX;
const STORAGE: Shape = Word(&["file", "memory"]);

const CONSUMER_LIMITS: &[Field] = &[
    allowed("inactive_threshold", Duration, "Longest and default `inactive_threshold` of consumers."),
    allowed("max_ack_pending", Int(-1, ANY), "Highest and default `max_ack_pending` of consumers."),
];

/// Fields that mean the same for both kinds of streams.
const BOTH: &[Field] = &[
    allowed("description", Text, "Description of the real streams."),
    allowed("storage", STORAGE, "Storage backend. Default: `file`."),
    allowed("num_replicas", Int(1, 5), "Replicas within the region's cluster. Default: `3`."),
    allowed("compression", Word(&["none", "s2"]), "Compression on disk. Default: `none`."),
    allowed("max_bytes", Size, "Most bytes; the oldest messages go first. Default: unlimited."),
    allowed("max_msgs", Int(-1, ANY), "Most messages; the oldest go first. Default: unlimited."),
    allowed("deny_delete", Bool, "Refuses deletion of single messages. Cannot be taken back. Default: `false`."),
    allowed("deny_purge", Bool, "Refuses purging. Cannot be taken back. Default: `false`."),
    allowed("allow_direct", Bool, "Direct get. Default: `true`."),
    allowed("metadata", TextMap, "Metadata; keys that begin with `vstream.` or `_nats` are not for you."),
    refused("name", "the tool names the real streams; use `names`"),
    refused("subjects", "the tool derives it from the virtual stream's `subjects`"),
    refused("sources", "the tool sets it: read streams source the write streams of all regions"),
    refused("mirror", "a mirror can neither capture subjects nor have sources"),
    only(
        "retention",
        Word(&["limits"]),
        Fixed::Word("limits"),
        "Work-queue and interest retention delete a message once consumers of one region are done with it, before it is copied to the others.",
    ),
    refused("placement", "the tool places each stream in its region's cluster; put tags under the region's `tags`"),
    refused("sealed", "a sealed stream takes no messages"),
    refused("republish", "republished messages would be mapped or captured again"),
    refused(
        "subject_transform",
        "the tool sets it: write streams store what was published under the subject that it was published on",
    ),
    refused("first_seq", "read streams source the write streams from sequence 1"),
    refused("mirror_direct", "it is for mirrors; virtual streams of consistency `eventual` have none"),
    refused("template_owner", "stream templates are no longer part of NATS"),
    refused("no_ack", "without acknowledgements a publish that was not stored is lost unnoticed"),
    refused("allow_rollup_hdrs", "a roll-up deletes what other regions wrote meanwhile, differently in each region"),
    only(
        "persist_mode",
        Word(&["default"]),
        Fixed::Word("default"),
        "With `async` a message is acknowledged before it is on disk and can be lost.",
    ),
    refused("allow_msg_counter", "a counter has one value per stream, and each region has its own stream"),
    refused("allow_msg_schedules", "the target of a schedule is not mapped, so it would not be captured"),
];

impl Table for WriteTable {
    const OF: &'static str = "a write stream";
    const SCHEMA: &'static str = "WriteFields";

    fn fields() -> Vec<Field> {
        let own = [
            allowed(
                "max_age",
                Duration,
                "How long a write stream keeps messages: the longest outage of a region without loss. Default: `24h`.",
            ),
            allowed("duplicate_window", Duration, "Window for `Nats-Msg-Id`. Default: `2m`; at most `max_age`."),
            allowed("max_msg_size", Size, "Largest message. Default: unlimited."),
            allowed(
                "discard",
                Word(&["old", "new"]),
                "What gives way when the stream is full: the oldest messages, or the new one. Default: `old`.",
            ),
            allowed("allow_msg_ttl", Bool, "Allows `Nats-TTL` on messages (2.11). Default: `false`."),
            allowed("allow_atomic", Bool, "Allows atomic batches (2.12). Default: `false`."),
            allowed("allow_batched", Bool, "Allows fast-ingest batches (2.14). Default: `false`."),
            refused(
                "max_msgs_per_subject",
                "it drops messages that other regions do not have yet; set it under `read`",
            ),
            refused("discard_new_per_subject", "it goes with `max_msgs_per_subject`, which write streams do not have"),
            refused(
                "subject_delete_marker_ttl",
                "its markers are copied to the read streams and delete there what only expired here; set it under `read`",
            ),
            refused("max_consumers", "the sources of the read streams are consumers of it: a limit blocks them"),
            refused("consumer_limits", "the sources of the read streams are consumers of it: a limit blocks them"),
        ];
        BOTH.iter().copied().chain(own).collect()
    }
}

impl Table for ReadTable {
    const OF: &'static str = "a read stream";
    const SCHEMA: &'static str = "ReadFields";

    fn fields() -> Vec<Field> {
        let own = [
            allowed("max_age", Duration, "How long messages stay readable. Default: unlimited."),
            allowed("max_msgs_per_subject", Int(-1, ANY), "Most messages per subject. Default: unlimited."),
            allowed("max_consumers", Int(-1, ANY), "Most consumers per region. Default: unlimited."),
            allowed("consumer_limits", Object(CONSUMER_LIMITS), "Limits of the consumers."),
            allowed("allow_msg_ttl", Bool, "Keeps to `Nats-TTL` of messages (2.11). Default: `false`."),
            allowed(
                "subject_delete_marker_ttl",
                Duration,
                "Leaves a marker when the last message of a subject expires (2.11).",
            ),
            only(
                "duplicate_window",
                Duration,
                Fixed::Int(0),
                "With a window, the same message id published in two regions is dropped differently in each region.",
            ),
            only(
                "discard",
                Word(&["old"]),
                Fixed::Word("old"),
                "With `new`, a full read stream blocks its sources: nothing arrives any more.",
            ),
            only(
                "max_msg_size",
                Size,
                Fixed::Int(-1),
                "A sourced message that the read stream cannot store blocks its source forever.",
            ),
            refused("discard_new_per_subject", "a read stream that refuses a message blocks its source forever"),
            refused("allow_atomic", "nothing is published to a read stream"),
            refused("allow_batched", "nothing is published to a read stream"),
        ];
        BOTH.iter().copied().chain(own).collect()
    }
}
