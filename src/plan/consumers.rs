//! Plans the consumers of the definition: changes, and findings.

use super::Action;
use super::change::{ConfigEdit, FieldChange, consumer_default, filled, same};
use crate::desired::{DesiredAccount, DesiredConsumer, metadata};
use crate::model::finding::Finding;
use crate::observed::jetstream::{ObservedConsumer, ObservedJetStream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A change of a consumer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsumerChange {
    /// Kind of the change: create or update.
    pub action: Action,
    /// The name of the real (read) stream.
    pub stream: String,
    /// Durable name.
    pub name: String,
    /// The virtual stream.
    pub virtual_stream: String,
    /// The region.
    pub region: String,
    /// The observed config, for an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Map<String, Value>>,
    /// The config to send.
    pub after: Map<String, Value>,
    /// Fields that an update changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// Changes of the consumers of one account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConsumerPlan {
    /// Consumers to create and update.
    pub changes: Vec<ConsumerChange>,
    /// Findings that stop the run.
    pub findings: Vec<Finding>,
}

/// Fields that servers refuse to change on a consumer that exists (measured, 2.10.26 and 2.15.1; only 2.15.1 refuses
/// `mem_storage`).
const IMMUTABLE: [&str; 7] =
    ["ack_policy", "deliver_policy", "replay_policy", "max_waiting", "opt_start_seq", "opt_start_time", "mem_storage"];

/// Compares the desired consumers with the observed ones. The applications' own consumers are left alone.
pub fn consumers(desired: &DesiredAccount<'_>, observed: &ObservedJetStream) -> ConsumerPlan {
    let mut plan = ConsumerPlan::default();
    for consumer in &desired.consumers {
        let place = format!("account {}, stream {}, consumer {}", desired.name, consumer.stream, consumer.name);
        let asked = format!("{} > {}", consumer.stream, consumer.name);
        let change = |action, before, after, fields| ConsumerChange {
            action,
            stream: consumer.stream.clone(),
            name: consumer.name.clone(),
            virtual_stream: consumer.virtual_stream.clone(),
            region: consumer.region.to_string(),
            before,
            after,
            fields,
        };
        if let Some(unknown) = observed.unknown_consumers.iter().find(|u| u.name == asked) {
            plan.findings.push(Finding::error(
                "consumer-unknown",
                place,
                format!("could not be read ({}), so it cannot be compared with the definition", unknown.reason),
                "Check that its stream has a leader (`nats server report jetstream`), then run again.",
            ));
            continue;
        }
        match observed.consumer(&consumer.stream, &consumer.name) {
            None => plan.changes.push(change(Action::Create, None, consumer.config.clone(), Vec::new())),
            Some(found) => {
                let edited = edit(consumer, found);
                let stuck: Vec<&FieldChange> = edited.fields.iter().filter(|f| immutable(&f.path, f)).collect();
                if !stuck.is_empty() {
                    plan.findings.push(refusal(&place, consumer, &stuck));
                } else if !edited.fields.is_empty() {
                    let before = Some(found.config.clone());
                    plan.changes.push(change(Action::Update, before, edited.config, edited.fields));
                }
            }
        }
    }
    plan
}

fn immutable(key: &str, field: &FieldChange) -> bool {
    IMMUTABLE.contains(&key) || (key == "deliver_subject" && field.before.is_some() != field.after.is_some())
}

fn refusal(place: &str, consumer: &DesiredConsumer, stuck: &[&FieldChange]) -> Finding {
    let show = |value: &Option<Value>| value.as_ref().map_or("unset".to_owned(), Value::to_string);
    let fields: Vec<String> =
        stuck.iter().map(|f| format!("`{}` is {} and should be {}", f.path, show(&f.before), show(&f.after))).collect();
    Finding::error(
        "immutable-field",
        place,
        format!("{}; servers refuse that change on an existing consumer", fields.join(", ")),
        format!(
            "Define it under another name; or delete it (`nats consumer rm {} {}`; its progress is lost, \
             readers start over by its deliver policy) and run again.",
            consumer.stream, consumer.name
        ),
    )
}

/// Returns the observed config with the desired fields edited in place.
fn edit(desired: &DesiredConsumer, found: &ObservedConsumer) -> ConfigEdit {
    let mut edited = ConfigEdit::of(&found.config);
    for (key, before, after) in consumer_differences(&desired.config, &found.config) {
        let value = after.or_else(|| consumer_default(key)).unwrap_or(Value::Null);
        edited.set(key, key, before, value);
    }
    edited.metadata(desired.config.get("metadata"));
    edited
}

/// Returns the fields that differ when defaults are filled in. Leaves out `metadata`.
pub(crate) fn consumer_differences<'k>(
    desired: &'k Map<String, Value>,
    observed: &'k Map<String, Value>,
) -> Vec<(&'k str, Option<Value>, Option<Value>)> {
    // A consumer that a backfill made starts at its predecessor's position.
    const START: [&str; 3] = ["deliver_policy", "opt_start_seq", "opt_start_time"];
    let moved = observed.get("metadata").is_some_and(|marks| marks.get(metadata::POSITION).is_some());
    let mut keys: Vec<&str> = desired.keys().map(String::as_str).collect();
    keys.extend(observed.keys().map(String::as_str).filter(|key| !desired.contains_key(*key)));
    keys.into_iter()
        .filter(move |key| *key != "metadata" && !(moved && START.contains(key)))
        .filter(|key| desired.contains_key(*key) || consumer_default(key).is_some())
        .filter_map(|key| {
            let before = filled(key, observed.get(key), consumer_default);
            let after = filled(key, desired.get(key), consumer_default);
            (!same(before.as_ref(), after.as_ref())).then_some((key, before, after))
        })
        .collect()
}
