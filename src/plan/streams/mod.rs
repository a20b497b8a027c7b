//! Plans the streams of one account: changes, and findings.

pub use super::stream_change::{StreamChange, StreamPlan};
pub(crate) use super::stream_diff::{Difference, SourceChanges, config_matches, differences, source_differences};

use super::backfill;
use super::change::{ConfigEdit, same, stream_default};
use super::conflicts;
use super::{Action, Options, Report};
use crate::desired::{DesiredAccount, DesiredStream, Role};
use crate::model::finding::Finding;
use crate::model::prefixes::{CAPTURE_PREFIX, is_below, split_captured};
use crate::model::subject::SubjectFilter;
use crate::model::virtual_stream::Account;
use crate::observed::jetstream::{ObservedJetStream, ObservedStream, Owner, age};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// The finding about subjects that a virtual stream no longer has.
pub const SUBJECT_REMOVED: &str = "subject-removed";
/// The finding about streams that an earlier version of this tool made in another shape.
pub const FORMER_SHAPE: &str = "former-shape";

/// Returns `true` if a stream of ours has the shape of versions before 0.2. In that shape, a write stream stores
/// messages under the captured subject. The sources of a read stream remove the region from the subject.
pub(crate) fn is_former(found: &ObservedStream) -> bool {
    let Some(owner) = &found.owner else { return false };
    match owner.role {
        Role::Write => {
            let strips = found.config.get("subject_transform").is_some_and(Value::is_object);
            !strips
                && found.subjects().next().is_some()
                && !found.subjects().any(|subject| is_below(subject, CAPTURE_PREFIX))
        }
        Role::Home => false,
        Role::Read => {
            let sources = found.config.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let takes_out = |source: &Value| source["subject_transforms"].as_array().is_some_and(|all| !all.is_empty());
            !sources.is_empty()
                && (sources.iter().all(takes_out) || sources.iter().any(|s| s["external"]["api"] == "$JS.HUB.API"))
        }
    }
}

/// Compares the desired streams with the observed ones.
pub fn streams(desired: &DesiredAccount<'_>, observed: &ObservedJetStream, options: &Options) -> StreamPlan {
    let mut plan = StreamPlan::default();
    for stream in &desired.streams {
        let place = format!("account {}, stream {}", desired.name, stream.name);
        let mut out = StreamComparison { plan: &mut plan, options, place };
        match (observed.stream(&stream.name), observed.unknown_stream(&stream.name)) {
            (Some(found), _) if found.offline => out.unknown("all its servers are offline"),
            (Some(found), _) => out.existing(stream, found, desired.account),
            (None, Some(unknown)) => out.unknown(&unknown.reason),
            (None, None) => out.plan.changes.push(StreamChange {
                action: Action::Create,
                name: stream.name.clone(),
                virtual_stream: stream.virtual_stream.to_owned(),
                region: stream.region.to_string(),
                role: stream.role,
                before: None,
                after: Some(stream.config()),
                fields: Vec::new(),
                messages: None,
                history: None,
                hands_over: false,
            }),
        }
    }
    let wanted: HashSet<&str> = desired.streams.iter().map(|s| s.name.as_str()).collect();
    let left: Vec<&ObservedStream> = observed.streams.iter().filter(|s| !wanted.contains(s.name.as_str())).collect();
    let deleted = leftovers(&left, options, &mut plan);
    let staying: Vec<&ObservedStream> = left.into_iter().filter(|s| !deleted.contains(s.name.as_str())).collect();
    plan.findings.extend(conflicts::check(desired, &staying, options));
    hand_over(&mut plan.changes);
    plan.changes.sort_by_key(|change| match (change.action, change.role) {
        (Action::Create | Action::Update, role) => (0, !role.captures(), !change.hands_over),
        (Action::Delete, role) => (1, role.captures(), false),
    });
    plan
}

/// Marks streams that give up subjects which other streams take over. They change first, because two streams cannot
/// capture the same subject.
fn hand_over(changes: &mut [StreamChange]) {
    if changes.iter().all(|change| change.gives_up().next().is_none()) {
        return;
    }
    let captured: Vec<Vec<SubjectFilter>> = changes.iter().map(StreamChange::subjects_after).collect();
    for (index, change) in changes.iter_mut().enumerate().filter(|(_, change)| change.role.captures()) {
        let given_up: Vec<SubjectFilter> = change.gives_up().collect();
        let others = || captured.iter().enumerate().filter(|(other, _)| *other != index).flat_map(|(_, to)| to);
        change.hands_over =
            !given_up.is_empty() && given_up.iter().all(|subject| others().any(|to| to.covers(subject)));
    }
}

/// Plans to delete all streams that are ours, or only those of the named virtual streams. Read streams are deleted
/// first.
pub fn removal(observed: &ObservedJetStream, names: Option<&[String]>) -> Vec<StreamChange> {
    let mut changes: Vec<StreamChange> = observed
        .streams
        .iter()
        .filter_map(|stream| stream.owner.as_ref().map(|owner| (stream, owner)))
        .filter(|(_, owner)| names.is_none_or(|names| names.contains(&owner.virtual_stream)))
        .map(|(stream, owner)| deletion(stream, owner))
        .collect();
    changes.sort_by_key(|change| change.role.captures());
    changes
}

fn deletion(stream: &ObservedStream, owner: &Owner) -> StreamChange {
    StreamChange {
        action: Action::Delete,
        name: stream.name.clone(),
        virtual_stream: owner.virtual_stream.clone(),
        region: owner.region.clone(),
        role: owner.role,
        before: Some(stream.config.clone()),
        after: None,
        fields: Vec::new(),
        messages: Some(stream.state.messages),
        history: None,
        hands_over: false,
    }
}

/// Reports or prunes streams that are ours, but not in this definition. Returns the names of the pruned streams.
fn leftovers<'o>(left: &[&'o ObservedStream], options: &Options, plan: &mut StreamPlan) -> HashSet<&'o str> {
    let mut deleted = HashSet::new();
    let mut kept: BTreeMap<&str, (Vec<&str>, u64)> = BTreeMap::new();
    for stream in left {
        let Some(owner) = &stream.owner else { continue };
        if options.prunes(&owner.virtual_stream) && options.delete_streams {
            plan.changes.push(deletion(stream, owner));
            deleted.insert(stream.name.as_str());
        } else {
            let (names, messages) = kept.entry(&owner.virtual_stream).or_default();
            names.push(&stream.name);
            *messages += stream.state.messages;
        }
    }
    for (virtual_stream, (names, messages)) in kept {
        plan.reports.push(Report {
            virtual_stream: virtual_stream.to_owned(),
            place: format!("virtual stream {virtual_stream}"),
            message: format!(
                "not in this definition; {} ({messages} messages)",
                match names.as_slice() {
                    [one] => format!("stream {one}"),
                    many => format!("streams {}", many.join(", ")),
                }
            ),
            next: format!(
                "Delete them and their messages with --prune {virtual_stream} --delete-streams, if they are not wanted."
            ),
        });
    }
    deleted
}

struct StreamComparison<'p> {
    plan: &'p mut StreamPlan,
    options: &'p Options,
    place: String,
}

impl StreamComparison<'_> {
    fn refuse(&mut self, code: &'static str, message: impl Into<String>, next: impl Into<String>) {
        self.plan.findings.push(Finding::error(code, &self.place, message, next));
    }

    /// Adds an error, or a warning if `--allow` admits it.
    fn consent(&mut self, code: &'static str, message: impl Into<String>, on_purpose: &str) {
        let finding = if self.options.allows(code) {
            Finding::warning(code, &self.place, message, "")
        } else {
            Finding::error(code, &self.place, message, format!("{on_purpose}, or go on with --allow {code}."))
        };
        self.plan.findings.push(finding);
    }

    fn unknown(&mut self, reason: &str) {
        self.refuse(
            "stream-unknown",
            format!("the stream exists, but {reason}, so it cannot be compared with the definition"),
            "Bring its servers back (`nats server report jetstream`), then run again.",
        );
    }

    fn existing(&mut self, desired: &DesiredStream<'_>, found: &ObservedStream, account: &Account) {
        match &found.owner {
            Some(owner) if owner.virtual_stream == desired.virtual_stream && owner.role == desired.role => {}
            Some(owner) => {
                if let Some(finding) = conflicts::other_level(desired, found, account) {
                    return self.plan.findings.push(finding);
                }
                return self.refuse(
                    "belongs-to-another",
                    format!(
                        "a stream of this name is the {} stream of virtual stream {} in region {}; it is left alone",
                        owner.role.as_str(),
                        owner.virtual_stream,
                        owner.region
                    ),
                    "Change `names` of this virtual stream, or remove the other one first.",
                );
            }
            None if self.options.adopt => {}
            None => {
                return self.refuse(
                    "not-ours",
                    format!(
                        "a stream of this name exists ({} messages) and was not made by vstream-jwt; it is left alone",
                        found.state.messages
                    ),
                    "Change `names` of the virtual stream, or take the stream over with --adopt.",
                );
            }
        }
        if is_former(found) {
            return self.refuse(
                FORMER_SHAPE,
                format!(
                    "an earlier version of vstream-jwt made it, in a shape that this one does not change: the region \
                     is part of its subjects, or its sources remove it ({} messages)",
                    found.state.messages
                ),
                format!(
                    "Remove {} with the version that made it (`destroy {} --delete-streams`), or with --prune by \
                     another definition, then apply: the new streams do not get its messages.",
                    desired.virtual_stream, desired.virtual_stream
                ),
            );
        }
        if let Some(finding) = conflicts::other_level(desired, found, account) {
            return self.plan.findings.push(finding);
        }
        // Until the backfill ends, its sources are not yet the final ones.
        if backfill::is_under_way(&found.config) {
            return;
        }
        let edited = self.compare(desired, found);
        if !edited.fields.is_empty() {
            let change = StreamChange {
                action: Action::Update,
                name: desired.name.clone(),
                virtual_stream: desired.virtual_stream.to_owned(),
                region: desired.region.to_string(),
                role: desired.role,
                before: Some(found.config.clone()),
                after: Some(edited.config),
                fields: edited.fields,
                messages: None,
                history: None,
                hands_over: false,
            };
            if desired.role.captures() {
                self.given_up(desired, &change, account);
            }
            self.plan.changes.push(change);
        }
    }

    /// Reports the effect on messages whose subjects the virtual stream no longer has.
    fn given_up(&mut self, desired: &DesiredStream<'_>, change: &StreamChange, account: &Account) {
        let stream = account.virtual_streams.iter().find(|stream| stream.name.as_str() == desired.virtual_stream);
        let virtual_subject = |subject: &SubjectFilter| SubjectFilter::parse(split_captured(subject.as_str())?.1).ok();
        let gone = change.gives_up().filter_map(|subject| virtual_subject(&subject));
        let gone = gone.filter(|gone| stream.is_none_or(|stream| !stream.subjects.iter().any(|s| s.covers(gone))));
        let mut gone: Vec<String> = gone.map(|subject| subject.to_string()).collect();
        gone.sort_unstable();
        gone.dedup();
        if !gone.is_empty() {
            let place = format!("account {}, virtual stream {}", account.name, desired.virtual_stream);
            let message = format!(
                "{} is removed from its subjects: what is published there from then on is not stored, and a client \
                 that waits for an acknowledgement gets none; what is stored stays, and can be read",
                gone.join(", ")
            );
            let next = format!(
                "Keep it under `subjects`; or, when no client publishes there any more, remove it with --prune {}.",
                desired.virtual_stream
            );
            self.plan.findings.push(match self.options.prunes(desired.virtual_stream) {
                true => Finding::info(SUBJECT_REMOVED, place, message),
                false => Finding::error(SUBJECT_REMOVED, place, message, next),
            });
        }
    }

    fn compare(&mut self, desired: &DesiredStream<'_>, found: &ObservedStream) -> ConfigEdit {
        let mut edited = ConfigEdit::of(&found.config);
        let config = desired.config();
        for difference in differences(&config, &found.config) {
            match difference {
                Difference::Field { key, before, after } => {
                    if self.judge(&key, before.as_ref(), after.as_ref(), found) {
                        let after = wire(&key, after);
                        edited.set(key.clone(), &key, before, after);
                    }
                }
                Difference::Placement { before, after } => {
                    let scales = !same(config.get("num_replicas"), found.config.get("num_replicas"));
                    self.moves(before.as_ref(), scales, found);
                    edited.set("placement", "placement", before, after);
                }
                Difference::Sources(sources) => self.sources(sources, found, &mut edited),
            }
        }
        edited.metadata(config.get("metadata"));
        edited
    }

    /// Returns `true` if the update may change this field. Adds a finding if it may not, or if the change is harmful.
    fn judge(&mut self, key: &str, before: Option<&Value>, after: Option<&Value>, found: &ObservedStream) -> bool {
        let show = |value: Option<&Value>| value.map_or("unset".to_owned(), |v| v.to_string());
        let on_purpose = format!(
            "Make a new virtual stream under another name, move readers and writers, then delete this one; or set \
             `{key}` in the definition to {}.",
            show(before)
        );
        let never = match key {
            "storage" | "name" | "mirror" | "allow_msg_counter" | "persist_mode" => true,
            "sealed" | "deny_delete" | "deny_purge" | "allow_msg_ttl" | "allow_msg_schedules" => {
                before == Some(&Value::Bool(true))
            }
            "retention" => [before, after].iter().any(|v| v.and_then(|v| v.as_str()) == Some("workqueue")),
            _ => false,
        };
        if never {
            self.refuse(
                "immutable-field",
                format!(
                    "`{key}` is {} and should be {}; servers refuse that change on an existing stream",
                    show(before),
                    show(after)
                ),
                on_purpose,
            );
            return false;
        }
        if shrinks(key, before, after) && reaches(key, after, found) {
            self.consent(
                "deletes-messages",
                format!(
                    "`{key}` goes from {} to {}: messages beyond it (of {} stored) are deleted at once, for good",
                    show(before),
                    show(after),
                    found.state.messages
                ),
                "Keep the larger limit in the definition",
            );
        }
        true
    }

    fn moves(&mut self, before: Option<&Value>, scales: bool, found: &ObservedStream) {
        let from = before.map_or("none".to_owned(), Value::to_string);
        if scales {
            self.refuse(
                "moves-and-scales",
                "placement and replicas both change; servers refuse to move and scale a stream in one update",
                "Change one of them in the definition, apply, then the other.",
            );
        }
        self.consent(
            "moves-stream",
            format!(
                "its placement (now {from}) changes: that moves the stream with its {} messages ({} bytes) to other \
                 servers, even within one cluster",
                found.state.messages, found.state.bytes
            ),
            "Keep the region's `cluster` and `tags`",
        );
    }

    fn sources(&mut self, sources: SourceChanges, found: &ObservedStream, edited: &mut ConfigEdit) {
        for change in &sources.fields {
            let name = change.path.trim_start_matches("sources.");
            match (&change.before, &change.after) {
                (None, Some(_)) if found.state.messages > 0 => self.plan.findings.push(Finding::info(
                    "adds-source",
                    &self.place,
                    format!(
                        "starts to source {name}: everything that {name} still holds is imported, after what is \
                         here, except what came from it before"
                    ),
                )),
                (Some(_), None) => self.consent(
                    "removes-source",
                    format!("stops sourcing {name}: what came from there stays, nothing more arrives"),
                    "Keep its region in the definition",
                ),
                (Some(_), Some(_)) => self.consent(
                    "imports-again",
                    format!(
                        "the source {name} differs in what makes its identity (external, filter, transforms, \
                         consumer): the server would treat it as a new one, and may import again, a second time, all \
                         that {name} still holds"
                    ),
                    "Make a new virtual stream under another name",
                ),
                _ => {}
            }
        }
        edited.fields.extend(sources.fields);
        edited.config.insert("sources".to_owned(), Value::Array(sources.after));
    }
}

/// Returns `true` if the new limit is lower and servers delete messages because of it.
fn shrinks(key: &str, before: Option<&Value>, after: Option<&Value>) -> bool {
    if !matches!(key, "max_age" | "max_bytes" | "max_msgs" | "max_msgs_per_subject") {
        return false;
    }
    let limit = |value: Option<&Value>| value.and_then(Value::as_i64).filter(|n| *n > 0);
    match (limit(before), limit(after)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(after)) => after < before,
    }
}

/// Returns `true` if the stream holds messages beyond the new limit.
fn reaches(key: &str, limit: Option<&Value>, found: &ObservedStream) -> bool {
    let limit = limit.and_then(Value::as_u64).unwrap_or(u64::MAX);
    match key {
        _ if found.state.messages == 0 => false,
        "max_msgs" => found.state.messages > limit,
        "max_bytes" => found.state.bytes > limit,
        "max_age" => age(&found.state.first_ts, &found.ts).is_none_or(|age| age >= limit),
        _ => true,
    }
}

/// Returns the value that removes a field: servers treat an absent field as zero.
fn wire(key: &str, value: Option<Value>) -> Value {
    value.or_else(|| stream_default(key)).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests;
