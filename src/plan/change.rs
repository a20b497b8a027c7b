//! Compares configs field by field, as servers see them: with the servers' defaults filled in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Name in the API (`max_age`, `placement.cluster`, `metadata.team`, `sources.foo-write-east`).
    pub path: String,
    /// The value before the change; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after the change; absent if the change removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// A config to send, and the fields in which it differs from the observed one.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ConfigEdit {
    pub config: Map<String, Value>,
    pub fields: Vec<FieldChange>,
}

impl ConfigEdit {
    /// Starts from the observed config without the server's own metadata (`_nats.…`, which the server sets again).
    pub fn of(observed: &Map<String, Value>) -> Self {
        let mut config = observed.clone();
        if let Some(Value::Object(metadata)) = config.get_mut("metadata") {
            metadata.retain(|key, _| !key.starts_with("_nats."));
        }
        Self { config, fields: Vec::new() }
    }

    /// Sets `key` to a value; null removes it. `before` is the present value, with the server's default filled in.
    pub fn set(&mut self, path: impl Into<String>, key: &str, before: Option<Value>, after: Value) {
        let after = (!after.is_null()).then_some(after);
        self.fields.push(FieldChange { path: path.into(), before, after: after.clone() });
        match after {
            Some(value) => self.config.insert(key.to_owned(), value),
            None => self.config.shift_remove(key),
        };
    }

    /// Sets the desired keys of `metadata`, and keeps the other keys.
    pub fn metadata(&mut self, desired: Option<&Value>) {
        let Some(Value::Object(desired)) = desired else { return };
        let mut current = match self.config.get("metadata") {
            Some(Value::Object(map)) => map.clone(),
            _ => Map::new(),
        };
        let before = self.fields.len();
        for (key, value) in desired {
            if current.get(key) != Some(value) {
                self.fields.push(FieldChange {
                    path: format!("metadata.{key}"),
                    before: current.get(key).cloned(),
                    after: Some(value.clone()),
                });
                current.insert(key.clone(), value.clone());
            }
        }
        if self.fields.len() > before {
            self.config.insert("metadata".to_owned(), Value::Object(current));
        }
    }
}

/// Compares two values as the server does: absent, null, `false`, `""`, `[]` and `{}` are the same.
pub(super) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    fn solid(value: Option<&Value>) -> Option<&Value> {
        value.filter(|v| match v {
            Value::Null => false,
            Value::Bool(b) => *b,
            Value::String(s) => !s.is_empty(),
            Value::Array(a) => !a.is_empty(),
            Value::Object(o) => !o.is_empty(),
            Value::Number(n) => n.as_i64() != Some(0),
        })
    }
    match (solid(a), solid(b)) {
        (None, None) => true,
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            a.iter().all(|(key, value)| same(Some(value), b.get(key)))
                && b.iter().all(|(key, value)| a.contains_key(key) || same(None, Some(value)))
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b)))
        }
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Returns the server's default for a stream field that is absent or 0 (nats-server 2.15 `checkStreamCfg`, compared
/// with the replies of 2.10.26 and 2.15.1). Returns `None` for fields without a known default, whose values stay.
pub(super) fn stream_default(key: &str) -> Option<Value> {
    Some(match key {
        "max_consumers" | "max_msgs" | "max_bytes" | "max_msgs_per_subject" | "max_msg_size" => json!(-1),
        "num_replicas" => json!(1),
        "retention" => json!("limits"),
        "discard" => json!("old"),
        "storage" => json!("file"),
        "compression" => json!("none"),
        "max_age" | "subject_delete_marker_ttl" => json!(0),
        "no_ack"
        | "allow_direct"
        | "mirror_direct"
        | "sealed"
        | "deny_delete"
        | "deny_purge"
        | "allow_rollup_hdrs"
        | "discard_new_per_subject"
        | "allow_msg_ttl"
        | "allow_msg_counter"
        | "allow_atomic"
        | "allow_msg_schedules"
        | "allow_batched" => json!(false),
        "description" | "subjects" | "sources" | "mirror" | "subject_transform" | "republish" | "consumer_limits" => {
            Value::Null
        }
        _ => return None,
    })
}

/// Returns the server's default for a consumer field (nats-server 2.15 `setConsumerConfigDefaults`). The defaults of
/// `ack_wait`, `max_waiting`, `max_ack_pending` and `max_deliver` depend on other fields and on limits, so their values
/// stay.
pub(super) fn consumer_default(key: &str) -> Option<Value> {
    Some(match key {
        "deliver_policy" => json!("all"),
        "replay_policy" => json!("instant"),
        "description" | "filter_subject" | "filter_subjects" | "headers_only" | "backoff" | "sample_freq"
        | "rate_limit_bps" | "inactive_threshold" | "mem_storage" | "num_replicas" | "max_batch" | "max_expires"
        | "max_bytes" | "flow_control" | "idle_heartbeat" | "opt_start_seq" | "opt_start_time" | "deliver_subject"
        | "deliver_group" | "priority_groups" | "priority_policy" | "priority_timeout" => Value::Null,
        _ => return None,
    })
}

/// Returns the value with the server's default: for an absent value, and for 0 in limits whose default is -1.
pub(super) fn filled(key: &str, value: Option<&Value>, default: fn(&str) -> Option<Value>) -> Option<Value> {
    let default = default(key);
    match value {
        None | Some(Value::Null) => default.filter(|d| !d.is_null()),
        Some(Value::Number(n)) if n.as_i64() == Some(0) => match default {
            Some(default) if !default.is_null() => Some(default),
            _ => value.cloned(),
        },
        Some(Value::String(s)) if s.is_empty() => default.filter(|d| !d.is_null()),
        Some(value) => Some(value.clone()),
    }
}
