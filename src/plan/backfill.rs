//! Backfill of new read streams, when their account changes its layout from `shared` to `regional`.
//!
//! A new read stream first sources the read stream that it replaces. It then sources the write streams, from the
//! sequence where the old stream ended. The progress is visible in its config, so that the next run can resume a
//! backfill that was stopped. The old stream does not change, and its readers notice nothing.

pub use super::allowable::LOSES_HISTORY;
pub use super::stream_change::History;

use super::exports_imports::is_ours;
use super::stream_change::{StreamChange, StreamPlan};
use super::{Action, Options};
use crate::desired::regional::AccountRole;
use crate::desired::{DesiredAccount, DesiredStream, Role, metadata};
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::model::virtual_stream::Layout;
use crate::observed::jetstream::{ObservedJetStream, ObservedStream};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Progress of a stream's backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The stream sources the old read stream.
    Filling,
    /// The stream has no sources. The last sequence of the old read stream is now fixed.
    Held,
    /// The stream sources the write streams.
    Done,
}

/// Returns the stream that the backfill copies from, and the progress of the backfill.
pub fn phase(config: &Map<String, Value>) -> Option<(&str, Phase)> {
    let from = config.get("metadata")?.get(metadata::HISTORY)?.as_str()?;
    let sources = config.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let phase = match sources {
        [] => Phase::Held,
        _ if sources.iter().any(|source| source["name"] == from) => Phase::Filling,
        _ => Phase::Done,
    };
    Some((from, phase))
}

/// Returns `true` if the stream's backfill has begun and is not done.
pub(super) fn is_under_way(config: &Map<String, Value>) -> bool {
    phase(config).is_some_and(|(_, phase)| phase != Phase::Done)
}

/// Returns the initial config of a stream with a backfill: `config` with the old stream as its only source.
pub fn filling(config: &Map<String, Value>, history: &History) -> Map<String, Value> {
    let mut filling = config.clone();
    let external = config.get("sources").and_then(|sources| sources[0].get("external")).cloned();
    let mut source = json!({ "name": history.from, "opt_start_seq": 1 });
    if let Some(external) = external {
        source["external"] = external;
    }
    filling.insert("sources".to_owned(), json!([source]));
    if let Some(Value::Object(marks)) = filling.get_mut("metadata") {
        marks.insert(metadata::HISTORY.to_owned(), history.from.as_str().into());
    }
    filling
}

/// Returns `config` without sources.
pub fn held(config: &Map<String, Value>) -> Map<String, Value> {
    let mut held = config.clone();
    held.shift_remove("sources");
    // For a stream without sources, servers replace 0 by two minutes.
    held.insert("duplicate_window".to_owned(), 100_000_000.into());
    held
}

/// Returns `config` with the sources of `wanted`. Each source starts at the message after the last one that the
/// backfill copied.
pub fn resumed(
    config: &Map<String, Value>,
    wanted: &Map<String, Value>,
    last: &BTreeMap<String, u64>,
) -> Map<String, Value> {
    let mut resumed = with_sources(config, wanted);
    for source in resumed.get_mut("sources").and_then(Value::as_array_mut).into_iter().flatten() {
        let last = source["name"].as_str().and_then(|name| last.get(name)).copied().unwrap_or(0);
        source["opt_start_seq"] = (last + 1).into();
    }
    resumed
}

/// Returns `config` with the sources of `wanted`, and the fields that depend on them.
fn with_sources(config: &Map<String, Value>, wanted: &Map<String, Value>) -> Map<String, Value> {
    let mut config = config.clone();
    for key in ["sources", "duplicate_window"] {
        if let Some(value) = wanted.get(key) {
            config.insert(key.to_owned(), value.clone());
        }
    }
    config
}

/// Finds the new read streams that need a backfill, and goes on with backfills that have begun. `application` is
/// JetStream of the application's account.
pub(super) fn plan_backfills(
    desired: &DesiredAccount<'_>,
    plan: &mut StreamPlan,
    found: &ObservedJetStream,
    application: &ObservedJetStream,
    options: &Options,
) {
    if !matches!(desired.account_role, AccountRole::Regional(_)) {
        return;
    }
    // A mirror replaces no read stream.
    for stream in desired.streams.iter().filter(|stream| stream.sources()) {
        let place = || format!("account {}, stream {}", desired.name, stream.name);
        if let Some(found) = found.stream(&stream.name) {
            if let Some((from, _)) = phase(&found.config).filter(|_| is_under_way(&found.config)) {
                let messages = application.stream(from).map_or(0, |old| old.state.messages);
                plan.findings.push(backfill_finding(place(), from, messages));
                plan.changes.push(goes_on(stream, found, History { from: from.to_owned(), messages }));
            }
            continue;
        }
        let Some(change) = plan.changes.iter_mut().find(|c| c.action == Action::Create && c.name == stream.name) else {
            continue;
        };
        let Some(old) = predecessor(stream, application).filter(|old| old.state.messages > 0) else { continue };
        if options.allows(LOSES_HISTORY) {
            continue;
        }
        plan.findings.push(backfill_finding(place(), &old.name, old.state.messages));
        change.history = Some(History { from: old.name.clone(), messages: old.state.messages });
    }
}

/// Finds new read streams of an account that changed its layout. They start with what the write streams hold, without
/// what the read streams of the other layout have. `application` is JetStream of the application's account.
pub(super) fn lost_history(
    desired: &DesiredAccount<'_>,
    changes: &[StreamChange],
    claims: Option<&AccountClaims>,
    application: &ObservedJetStream,
    options: &Options,
) -> Vec<Finding> {
    let created = changes.iter().filter(|change| change.action == Action::Create && change.role.serves());
    let code = LOSES_HISTORY;
    let consent = |place: String, message: String| match options.allows(code) {
        true => Finding::warning(code, place, message, ""),
        false => {
            let next =
                "Keep the layout; or go on with --allow loses-history: what is there now stays, and is left alone.";
            Finding::error(code, place, message, next)
        }
    };
    let owned = |change: &StreamChange, role: Role| {
        let name = change.virtual_stream.clone();
        application.streams.iter().filter(move |stream| {
            stream.owner.as_ref().is_some_and(|owner| owner.virtual_stream == name && owner.role == role)
        })
    };
    match desired.account_role {
        // Streams with a backfill lose no history.
        AccountRole::Regional(region) => created
            .filter(|change| change.history.is_none())
            .filter_map(|change| {
                let before = owned(change, Role::Read)
                    .find(|stream| stream.owner.as_ref().is_some_and(|owner| owner.region == region.name.as_str()))?;
                let held: u64 = owned(change, Role::Write).map(|stream| stream.state.messages).sum();
                (before.state.messages > held).then(|| {
                    consent(
                        format!("account {}, stream {}", desired.name, change.name),
                        format!(
                            "it takes the place of {} of the layout `shared`, which has {} messages, and starts with the {held} \
                             that the write streams still hold",
                            before.name, before.state.messages
                        ),
                    )
                })
            })
            .collect(),
        AccountRole::Application => {
            let was_regional = desired.account.layout == Layout::Shared
                && claims.is_some_and(|claims| claims.imports().iter().any(|i| is_ours(&i.name)));
            // A virtual stream without write streams is new.
            let first = created.into_iter().find(|change| was_regional && owned(change, Role::Write).next().is_some());
            let finding = |change: &StreamChange| {
                consent(
                    format!("account {}", desired.name),
                    format!(
                        "its layout was `regional`: {} and the other read streams start with what the write streams still hold, \
                         and what the regional accounts' streams have besides is read no more",
                        change.name
                    ),
                )
            };
            first.map(finding).into_iter().collect()
        }
    }
}

/// Returns the read stream of the layout `shared` for the same virtual stream in the same region.
pub(super) fn predecessor<'o>(
    stream: &DesiredStream<'_>,
    application: &'o ObservedJetStream,
) -> Option<&'o ObservedStream> {
    application.streams.iter().find(|old| {
        old.owner.as_ref().is_some_and(|owner| {
            owner.role.serves()
                && owner.virtual_stream == stream.virtual_stream
                && owner.region == stream.region.as_str()
        })
    })
}

fn backfill_finding(place: String, from: &str, messages: u64) -> Finding {
    Finding::info(
        "history-along",
        place,
        format!(
            "takes the history along: the {messages} messages of {from} of the layout `shared`, and the positions of its \
             durable consumers, before applications are led here; {from} is left as it is"
        ),
    )
}

fn goes_on(stream: &DesiredStream<'_>, found: &ObservedStream, history: History) -> StreamChange {
    let after = with_sources(&found.config, &stream.config());
    StreamChange {
        action: Action::Update,
        name: stream.name.clone(),
        virtual_stream: stream.virtual_stream.to_owned(),
        region: stream.region.to_string(),
        role: stream.role,
        before: Some(found.config.clone()),
        after: Some(after),
        fields: Vec::new(),
        messages: None,
        history: Some(history),
        hands_over: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_config_tells_how_far_the_history_is() {
        let external = json!({ "api": "$VSM.API", "deliver": "VSD.west" });
        let sources = json!([
            { "name": "foo-write-west", "opt_start_seq": 1, "external": external },
            { "name": "foo-write-east", "opt_start_seq": 1, "external": external },
        ]);
        let last = config(json!({
            "name": "foo", "sources": sources, "duplicate_window": 0, "metadata": { "vstream.name": "foo" },
        }));
        assert_eq!(phase(&last), None);
        let history = History { from: "foo-read-west".to_owned(), messages: 7 };
        let first = filling(&last, &history);
        assert_eq!(first["sources"], json!([{ "name": "foo-read-west", "opt_start_seq": 1, "external": external }]));
        assert_eq!(phase(&first), Some(("foo-read-west", Phase::Filling)));
        let between = held(&first);
        assert_eq!(phase(&between), Some(("foo-read-west", Phase::Held)));
        let there = BTreeMap::from([("foo-write-west".to_owned(), 41)]);
        let done = resumed(&between, &last, &there);
        assert_eq!(phase(&done), Some(("foo-read-west", Phase::Done)));
        let starts: Vec<&Value> = done["sources"].as_array().unwrap().iter().map(|s| &s["opt_start_seq"]).collect();
        assert_eq!(starts, [42, 1]);
        assert_eq!(done["duplicate_window"], 0);
    }
}
