//! Compares the configs of two streams as servers see them.

use super::change::{ConfigEdit, FieldChange, filled, same, stream_default};
use crate::observed::jetstream::began_at;
use serde_json::{Map, Value};

/// A difference between a desired and an observed config, `metadata` aside.
pub(crate) enum Difference {
    /// A plain field.
    Field { key: String, before: Option<Value>, after: Option<Value> },
    /// The placement: the present one, and the one to send. The latter keeps `preferred` and unknown keys.
    Placement { before: Option<Value>, after: Value },
    /// The sources, compared by identity.
    Sources(SourceChanges),
}

/// The differences between sources, and the list to send.
pub(crate) struct SourceChanges {
    pub(crate) fields: Vec<FieldChange>,
    pub(crate) after: Vec<Value>,
}

/// Compares two configs with the servers' defaults filled in. Ignores fields that only servers set.
pub(crate) fn differences(desired: &Map<String, Value>, observed: &Map<String, Value>) -> Vec<Difference> {
    let mut keys: Vec<&str> = desired.keys().map(String::as_str).collect();
    keys.extend(observed.keys().map(String::as_str).filter(|key| !desired.contains_key(*key)));
    let mut differences = Vec::new();
    for key in keys {
        let (wanted, is) = (desired.get(key), observed.get(key));
        match key {
            "metadata" => {}
            // `first_seq` is where a stream began, and never changes. But the config must lose it on servers that may
            // not keep it.
            "first_seq" => {
                let goes = is.is_some() && began_at(observed).is_some();
                differences.extend(goes.then(|| Difference::Field {
                    key: key.to_owned(),
                    before: is.cloned(),
                    after: None,
                }));
            }
            "placement" => differences.extend(placement(wanted, is)),
            "sources" => differences.extend(sources(wanted, is)),
            _ if wanted.is_none() && stream_default(key).is_none() => {}
            _ => {
                let before = filled(key, is, stream_default);
                let after = filled(key, wanted, stream_default);
                if !same(before.as_ref(), after.as_ref()) {
                    differences.push(Difference::Field { key: key.to_owned(), before, after });
                }
            }
        }
    }
    differences
}

fn placement(desired: Option<&Value>, observed: Option<&Value>) -> Option<Difference> {
    let desired = desired.filter(|d| d.is_object())?;
    let tags = |value: &Value| {
        let mut tags: Vec<String> =
            value["tags"].as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_lowercase)).collect();
        tags.sort();
        tags
    };
    let now = observed.cloned().unwrap_or(Value::Null);
    if same(desired.get("cluster"), now.get("cluster")) && tags(desired) == tags(&now) {
        return None;
    }
    let mut after = now.as_object().cloned().unwrap_or_default();
    for key in ["cluster", "tags"] {
        match desired.get(key) {
            Some(value) => after.insert(key.to_owned(), value.clone()),
            None => after.shift_remove(key),
        };
    }
    Some(Difference::Placement { before: observed.cloned(), after: Value::Object(after) })
}

/// Returns the differences that make two sources different to servers (nats-server 2.15 `server/stream.go`,
/// `composeIName`).
pub(crate) fn source_differences(a: &Value, b: &Value) -> impl Iterator<Item = &'static str> {
    let identity = ["name", "external", "filter_subject", "subject_transforms", "consumer"];
    identity.into_iter().filter(|key| !same(a.get(key), b.get(key)))
}

fn same_source(a: &Value, b: &Value) -> bool {
    source_differences(a, b).next().is_none()
}

fn sources(desired: Option<&Value>, observed: Option<&Value>) -> Option<Difference> {
    let items = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (wanted, mut is) = (items(desired), items(observed));
    let name = |source: &Value| source["name"].as_str().unwrap_or_default().to_owned();
    let mut fields = Vec::new();
    let mut added = Vec::new();
    let mut rest = is.clone();
    let mut missing = Vec::new();
    for source in &wanted {
        match rest.iter().position(|other| same_source(source, other)) {
            Some(place) => drop(rest.remove(place)),
            None => missing.push(source),
        }
    }
    for source in missing {
        let path = format!("sources.{}", name(source));
        let before = rest.iter().position(|other| other["name"] == source["name"]).map(|place| rest.remove(place));
        if let Some(before) = &before {
            is.retain(|other| other != before);
        }
        added.push(source.clone());
        fields.push(FieldChange { path, before, after: Some(source.clone()) });
    }
    for extra in rest {
        is.retain(|other| *other != extra);
        fields.push(FieldChange { path: format!("sources.{}", name(&extra)), before: Some(extra), after: None });
    }
    is.extend(added);
    (!fields.is_empty()).then_some(Difference::Sources(SourceChanges { fields, after: is }))
}

/// Returns `true` if a stream is as desired, including its metadata.
pub(crate) fn config_matches(desired: &Map<String, Value>, observed: &Map<String, Value>) -> bool {
    let mut edited = ConfigEdit::of(observed);
    edited.metadata(desired.get("metadata"));
    differences(desired, observed).is_empty() && edited.fields.is_empty()
}
