//! Shows streams and consumers: their properties, or their changes.

use super::View;
use super::lines::{Below, Line, generalised, lines};
use crate::cli::text::{Text, put};
use crate::desired::Role;
use crate::model::prefixes::split_captured;
use crate::model::units::{format_duration, format_size};
use crate::plan::backfill::History;
use crate::plan::consumers::ConsumerChange;
use crate::plan::streams::StreamChange;
use crate::plan::{Action, FieldChange};
use serde_json::Value;
use std::collections::HashSet;

impl View<'_> {
    pub(super) fn streams(&self, out: &mut Text, changes: &[StreamChange], label: impl Fn(&str) -> String) {
        if changes.is_empty() {
            return;
        }
        put!(out, "  streams");
        let regions: Vec<&str> = self.definition.topology.regions.iter().map(|region| region.name.as_str()).collect();
        let (updates, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.action == Action::Update);
        let lines_of = others.into_iter().chain(updates).map(|change| Line {
            action: change.action,
            region: change.region.clone(),
            text: match change.action {
                Action::Update => format!("{}{}", change.name, backfill_text(change, &regions)),
                Action::Create | Action::Delete => format!("{}  {}", change.name, describe(change, &regions)),
            },
            below: self.fields(&change.fields),
        });
        lines(out, lines_of, self.all, label);
    }

    pub(super) fn consumers(&self, out: &mut Text, changes: &[ConsumerChange], label: impl Fn(&str) -> String) {
        if changes.is_empty() {
            return;
        }
        put!(out, "  consumers");
        let (updates, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.action == Action::Update);
        let lines_of = others.into_iter().chain(updates).map(|change| Line {
            action: change.action,
            region: change.region.clone(),
            text: format!("{} on {}", change.name, change.stream),
            below: self.fields(&change.fields),
        });
        lines(out, lines_of, self.all, label);
    }

    /// Returns the changes of an update, one line per field.
    fn fields(&self, fields: &[FieldChange]) -> Vec<Below> {
        let line = |FieldChange { path, before, after }: &FieldChange| {
            let source = path.strip_prefix("sources.").filter(|_| !self.all);
            let (mark, text) = match (source, before, after) {
                (Some(source), None, Some(_)) => (Some(Action::Create), format!("source {source}")),
                (Some(source), Some(_), None) => (Some(Action::Delete), format!("source {source}")),
                _ => {
                    let (before, after) = (value(path, before.as_ref()), value(path, after.as_ref()));
                    (None, format!("{path}: {before} → {after}"))
                }
            };
            Below { mark, text }
        };
        fields.iter().map(line).collect()
    }
}

/// Describes a stream that is created or deleted.
fn describe(change: &StreamChange, regions: &[&str]) -> String {
    let config = change.after.as_ref().or(change.before.as_ref());
    let list = |key: &str, of: &str| -> Vec<&str> {
        let items = config.and_then(|config| config.get(key)?.as_array()).into_iter().flatten();
        items.filter_map(|item| item.as_str().or(item[of].as_str())).collect()
    };
    let number = |key: &str| config.and_then(|config| config.get(key)?.as_i64());
    let keeps = match number("max_age") {
        Some(age) if age > 0 => format!("keeps {}", format_duration(age)),
        _ => "keeps everything".to_owned(),
    };
    let replicas = number("num_replicas").unwrap_or(1);
    let first = number("first_seq").map_or_else(String::new, |first| format!(", from sequence {first} on"));
    let mirrored = config.and_then(|config| config.get("mirror")?["name"].as_str());
    match (change.action, change.role) {
        (Action::Delete, _) => format!("with {} messages", change.messages.unwrap_or(0)),
        (_, Role::Write) => format!("R{replicas}, captures {}, {keeps}{first}", captured(&list("subjects", ""))),
        (_, Role::Home) => {
            format!("R{replicas}, home of all regions, captures {}, {keeps}{first}", captured(&list("subjects", "")))
        }
        (_, Role::Read) if mirrored.is_some() => {
            format!("R{replicas}, mirrors {}, {keeps}", mirrored.unwrap_or_default())
        }
        (_, Role::Read) => {
            let mut sources: Vec<String> = list("sources", "name")
                .into_iter()
                .map(|name| regions.iter().fold(name.to_owned(), |name, region| generalised(&name, region)))
                .collect();
            sources.dedup();
            format!("R{replicas}, sources {}, {keeps}{}", sources.join(", "), backfill_text(change, regions))
        }
    }
}

/// Returns subjects as applications publish on them. Adds the clusters if there are several: `foo.> of east, edge-1`.
fn captured(subjects: &[&str]) -> String {
    let parts: Option<Vec<(&str, &str)>> = subjects.iter().map(|subject| split_captured(subject)).collect();
    let Some(parts) = parts else { return subjects.join(", ") };
    let (clusters, subjects): (Vec<&str>, Vec<&str>) = parts.into_iter().unzip();
    let (clusters, subjects) = (unique(clusters), unique(subjects).join(", "));
    if clusters.len() > 1 { format!("{subjects} of {}", clusters.join(", ")) } else { subjects }
}

/// Returns each value once, in the order of the first occurrences.
fn unique(mut all: Vec<&str>) -> Vec<&str> {
    let mut seen = HashSet::new();
    all.retain(|one| seen.insert(*one));
    all
}

/// Describes the history that a read stream gets from a backfill.
fn backfill_text(change: &StreamChange, regions: &[&str]) -> String {
    let from = |history: &History| regions.iter().fold(history.from.clone(), |name, region| generalised(&name, region));
    change.history.as_ref().map_or_else(String::new, |history| format!("; takes along what {} has", from(history)))
}

/// Returns a field's value as in a definition, with units for nanoseconds and bytes.
fn value(path: &str, value: Option<&Value>) -> String {
    match (path.rsplit('.').next().unwrap_or_default(), value) {
        (_, None) => "(not set)".to_owned(),
        ("max_age", Some(Value::Number(age))) if age.as_i64() == Some(0) => "unlimited".to_owned(),
        (
            "max_age"
            | "duplicate_window"
            | "subject_delete_marker_ttl"
            | "ack_wait"
            | "inactive_threshold"
            | "max_expires"
            | "priority_timeout"
            | "idle_heartbeat",
            Some(Value::Number(time)),
        ) => time.as_i64().map_or_else(|| time.to_string(), format_duration),
        ("backoff", Some(Value::Array(times))) => {
            let times = times.iter().map(|time| time.as_i64().map_or_else(|| time.to_string(), format_duration));
            format!("[{}]", times.collect::<Vec<_>>().join(", "))
        }
        ("subjects", Some(Value::Array(subjects))) => {
            captured(&subjects.iter().filter_map(Value::as_str).collect::<Vec<_>>())
        }
        ("max_bytes" | "max_msg_size", Some(Value::Number(size))) => {
            size.as_i64().map_or_else(|| size.to_string(), format_size)
        }
        (_, Some(value)) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_as_in_a_definition() {
        assert_eq!(value("max_age", Some(&json!(129_600_000_000_000_i64))), "1d12h");
        assert_eq!(value("max_age", Some(&json!(0))), "unlimited");
        assert_eq!(value("consumer_limits.inactive_threshold", Some(&json!(1_000_000_000))), "1s");
        assert_eq!(value("backoff", Some(&json!([1_000_000, 0]))), "[1ms, 0s]");
        assert_eq!(value("max_bytes", Some(&json!(-1))), "unlimited");
        assert_eq!(value("num_replicas", Some(&json!(3))), "3");
        assert_eq!(value("placement", None), "(not set)");
    }
}
