//! Reports fields of the definition that need newer servers.

use super::names::names;
use crate::desired::DesiredAccount;
use crate::model::finding::Finding;
use crate::model::server_version;
use crate::observed::{Deployment, Server};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Fields of streams, and the first server version that has them (nats-server `server/stream.go`). Older servers drop a
/// field without an error, so that the stream would not be as defined.
const STREAM: [(&str, (u64, u64)); 4] = [
    ("allow_msg_ttl", (2, 11)),
    ("subject_delete_marker_ttl", (2, 11)),
    ("allow_atomic", (2, 12)),
    ("allow_batched", (2, 14)),
];

/// Fields of consumers, and the first server version that has them (`server/consumer.go`).
const CONSUMER: [(&str, (u64, u64)); 4] = [
    ("pause_until", (2, 11)),
    ("priority_groups", (2, 11)),
    ("priority_policy", (2, 11)),
    ("priority_timeout", (2, 11)),
];

/// Reports fields that a server with JetStream does not know. Any server with JetStream may have to carry out a
/// request.
pub(in crate::plan) fn features(desired: &DesiredAccount<'_>, deployment: &Deployment) -> Vec<Finding> {
    let servers: Vec<(&Server, (u64, u64))> = deployment
        .servers
        .iter()
        .filter(|server| server.has_jetstream())
        .filter_map(|server| Some((server, server_version::minor(&server.version)?)))
        .collect();
    let newest_needed = STREAM.iter().chain(&CONSUMER).map(|(_, since)| *since).max();
    if servers.iter().all(|(_, version)| Some(*version) >= newest_needed) {
        return Vec::new();
    }
    let mut needs: BTreeMap<(String, &str), (u64, u64)> = BTreeMap::new();
    for stream in &desired.streams {
        let config = stream.config();
        let role = stream.role.as_str();
        for (field, since) in STREAM.iter().filter(|(field, _)| is_set(&config, field)) {
            needs.insert((format!("virtual stream {}, {role}", stream.virtual_stream), field), *since);
        }
    }
    for consumer in &desired.consumers {
        for (field, since) in CONSUMER.iter().filter(|(field, _)| is_set(&consumer.config, field)) {
            let place = format!("virtual stream {}, consumer {}", consumer.virtual_stream, consumer.name);
            let prioritized = consumer.config.get(*field).is_some_and(|value| value == "prioritized");
            needs.insert((place, field), if prioritized { (2, 12) } else { *since });
        }
    }
    let findings = needs.into_iter().filter_map(|((place, field), since)| {
        let old: Vec<&Server> = servers.iter().filter(|(_, version)| *version < since).map(|(s, _)| *s).collect();
        let first = old.first()?;
        Some(Finding::error(
            "version-lacks-feature",
            format!("account {}, {place}", desired.name),
            format!(
                "`{field}` needs nats-server {}.{} or newer; {} ({}) would drop it without an error",
                since.0,
                since.1,
                names(&old),
                first.version
            ),
            "Update these servers, or remove the field from the definition.",
        ))
    });
    findings.collect()
}

/// Returns `true` if a field has an effect.
fn is_set(config: &Map<String, Value>, field: &str) -> bool {
    match config.get(field) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_i64() != Some(0),
        Some(Value::String(text)) => !matches!(text.as_str(), "" | "none"),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Bool(true) | Value::Object(_)) => true,
    }
}
