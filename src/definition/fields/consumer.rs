//! Fields of durable consumers (`ConsumerConfig`, nats-server 2.15 `server/consumer.go`).

use super::field::Shape::{Bool, Duration, Durations, Int, Size, Text, TextMap, Texts, Time, Word};
use super::field::{Field, allowed, one_region, refused};
use super::table::Table;

/// Fields of a consumer.
#[derive(Debug)]
pub(in crate::definition) enum ConsumerTable {}

const ANY: i64 = i64::MAX;
const PUSH: &str =
    "every region's consumer would deliver to the same subject, so that each message arrives once per region";
const SEQUENCE: &str = "sequences differ between the regions' read streams";

const FIELDS: &[Field] = &[
    allowed("description", Text, "Description."),
    allowed(
        "deliver_policy",
        Word(&["all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"]),
        "Where it starts. Default: `all`.",
    ),
    one_region("opt_start_seq", Int(1, ANY), "First sequence, for `by_start_sequence`.", SEQUENCE),
    allowed("opt_start_time", Time, "First time, for `by_start_time`."),
    allowed("ack_policy", Word(&["none", "all", "explicit"]), "What has to be acknowledged."),
    allowed("ack_wait", Duration, "Time to acknowledge, before it is delivered again."),
    allowed("max_deliver", Int(-1, ANY), "Most deliveries of a message."),
    allowed("backoff", Durations, "Waits before each further delivery."),
    allowed("filter_subject", Text, "Virtual subject that it is for; has to meet the stream's subjects."),
    allowed("filter_subjects", Texts, "Virtual subjects that it is for; each has to meet the stream's subjects."),
    allowed("replay_policy", Word(&["instant", "original"]), "Pace of old messages. Default: `instant`."),
    allowed("rate_limit_bps", Int(0, ANY), "Most bits per second."),
    allowed("sample_freq", Text, "Share of acknowledgements that are sampled (`\"100\"`)."),
    allowed("max_waiting", Int(0, ANY), "Most waiting pull requests."),
    allowed("max_ack_pending", Int(-1, ANY), "Most unacknowledged messages."),
    allowed("headers_only", Bool, "Delivers headers without bodies."),
    allowed("max_batch", Int(0, ANY), "Largest batch of a pull request."),
    allowed("max_expires", Duration, "Longest pull request."),
    allowed("max_bytes", Size, "Most bytes of a pull request."),
    allowed("num_replicas", Int(0, 5), "Replicas; 0 is the stream's number."),
    allowed("mem_storage", Bool, "Keeps its state in memory."),
    allowed("metadata", TextMap, "Metadata; keys that begin with `vstream.` or `_nats` are not for you."),
    allowed("pause_until", Time, "Delivers nothing before (2.11)."),
    allowed("priority_groups", Texts, "Names of the priority groups (2.11)."),
    allowed(
        "priority_policy",
        Word(&["none", "overflow", "pinned_client", "prioritized"]),
        "How priority groups share the messages (2.11).",
    ),
    allowed("priority_timeout", Duration, "When a pinned client loses its pin (2.11)."),
    one_region("deliver_subject", Text, "Push: where it delivers to.", PUSH),
    one_region("deliver_group", Text, "Push: queue group.", PUSH),
    one_region("flow_control", Bool, "Push: flow control.", PUSH),
    one_region("idle_heartbeat", Duration, "Push: heartbeats when idle.", PUSH),
    refused("name", "the consumer is named by its key"),
    refused("durable_name", "the consumer is named by its key, and is durable"),
    refused("inactive_threshold", "the server would delete the consumer when it is idle"),
    refused("direct", "it is for the servers' own consumers"),
];

impl Table for ConsumerTable {
    const OF: &'static str = "a consumer";
    const SCHEMA: &'static str = "ConsumerFields";
    const REGIONS: bool = true;

    fn fields() -> Vec<Field> {
        FIELDS.to_vec()
    }
}
