//! Write and home streams that were deleted and are recreated while their readers still exist.
//!
//! A reader requests the message after the last sequence that it has. A stream that begins at 1 again has not reached
//! that sequence, and servers send its next message instead. The messages published before the request are skipped for
//! good (measured with sources on 2.10.26, 2.11.11, 2.12.8 and 2.14.6, with mirrors on 2.10.26, 2.14.6 and 2.15.1). So
//! the new stream begins after every sequence that readers have read.

use super::AccountPlan;
use super::starts::index_of_application;
use super::stream_change::StreamChange;
use crate::desired::{DesiredAccount, DesiredStream, Role, metadata};
use crate::model::finding::Finding;
use crate::observed::jetstream::{ObservedStream, origins};
use crate::observed::survey::Observed;
use crate::plan::Action;
use serde_json::Value;
use std::collections::HashSet;

/// The finding about streams that are recreated.
pub const MADE_ANEW: &str = "made-anew";

/// Number of sequences that a home stream skips because some mirrors do not answer. The other mirrors store a
/// placeholder for each skipped sequence.
const MARGIN: u64 = 10_000;

/// Sets the first sequence of new streams to one that no reader has read. `unseen` are regions whose streams do not
/// answer; `now` is in seconds since 1970.
pub(super) fn begin_behind(
    plans: &mut [AccountPlan],
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    unseen: &HashSet<&str>,
    now: u64,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for index in 0..plans.len() {
        let application = index_of_application(desired, index);
        let members = (0..plans.len()).filter(|member| index_of_application(desired, *member) == application);
        let streams: Vec<&ObservedStream> =
            members.flat_map(|member| &observed.accounts[member].jetstream.streams).collect();
        let plan = &mut plans[index];
        let made = plan.streams.changes.iter_mut();
        for change in made.filter(|change| change.action == Action::Create && change.role.captures()) {
            let Some(stream) = desired[index].streams.iter().find(|stream| stream.name == change.name) else {
                continue;
            };
            let readers = streams.iter().filter(|stream| may_have_read(stream, change)).copied().collect();
            let readers = Readers { all: readers, unseen: !unseen.is_empty() };
            let Some(first) = readers.first_sequence(change, now) else { continue };
            let lost = readers.lost(change, &plan.name, first);
            begin_at(change, stream, first, lost.is_some());
            findings.extend(lost);
        }
    }
    findings
}

/// Returns `true` if a stream may have messages of a former stream of this name. The present sources do not show the
/// former ones.
fn may_have_read(stream: &ObservedStream, change: &StreamChange) -> bool {
    let of_it = stream.owner.as_ref().is_some_and(|owner| owner.virtual_stream == change.virtual_stream);
    let of_it = of_it && stream.owner.as_ref().is_some_and(|owner| owner.role.serves()) && change.role == Role::Write;
    let has_any = stream.offline || stream.state.last_seq >= stream.first_possible();
    let is_reader = match change.role {
        Role::Home => stream.is_mirror() && reads(stream, change),
        Role::Write | Role::Read => of_it || reads(stream, change),
    };
    has_any && is_reader
}

/// Returns `true` if a stream sources or mirrors the changed stream. For an offline stream, only the config is known.
fn reads(stream: &ObservedStream, change: &StreamChange) -> bool {
    origins(&stream.config).any(|source| source["name"] == change.name.as_str())
}

/// Streams that may have read a former stream of the name.
struct Readers<'o> {
    all: Vec<&'o ObservedStream>,
    /// `true` if regions that do not answer may have more readers.
    unseen: bool,
}

impl Readers<'_> {
    /// Returns the sequence at which the stream must begin, or `None` if no reader of a former stream is known.
    fn first_sequence(&self, change: &StreamChange, now: u64) -> Option<u64> {
        // No real stream has more messages, and clients that use doubles would lose precision.
        let true_to_doubles = |sequence: &u64| *sequence < 1 << 53;
        match change.role {
            // Older servers do not report the sequence that a source has reached, and unreachable streams report
            // nothing. The number of microseconds since 1970 is greater than the last sequence of every earlier stream
            // with fewer than a million messages per second.
            Role::Write if !self.all.is_empty() || self.unseen => {
                let sources =
                    self.all.iter().flat_map(|reader| &reader.sources).filter(|source| source.name == change.name);
                let told = sources.filter_map(|source| source.seq).filter(true_to_doubles).max().unwrap_or(0);
                Some(now.saturating_mul(1_000_000).max(told + 1))
            }
            // A mirror has its origin's sequences, and stores a placeholder for each skipped one.
            Role::Home => {
                let margin = if self.unseen || self.all.iter().any(|reader| reader.offline) { MARGIN } else { 0 };
                let seen = self.all.iter().filter(|reader| !reader.offline).map(|reader| reader.state.last_seq);
                Some(seen.filter(true_to_doubles).max()? + 1 + margin)
            }
            Role::Write | Role::Read => None,
        }
    }

    /// Returns the finding about messages that are lost with the former stream, if there was one.
    fn lost(&self, change: &StreamChange, account: &str, first: u64) -> Option<Finding> {
        let reading = self.all.iter().filter(|reader| reads(reader, change));
        let mut names: Vec<&str> = reading.map(|reader| reader.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return None;
        }
        let names = names.join(", ");
        let (message, next) = match change.role {
            Role::Home => (
                format!(
                    "it does not exist, though {names} mirrored it: it begins at sequence {first}, after all messages \
                     of its mirrors. They keep messages that it lacks: updates by the revision of such a message are \
                     refused, and `create` of a key that they still show succeeds"
                ),
                "Find out who deleted it; write again the keys that applications change by revision, or hold as a \
                 lock. Messages that had not reached any mirror are lost.",
            ),
            Role::Write | Role::Read => (
                format!(
                    "it does not exist, though {names} read it: it begins at sequence {first}, after everything that \
                     can have been read. If it was deleted, messages that had not been copied are lost"
                ),
                "Find out if a user deleted it, or if it could not be made until now.",
            ),
        };
        let place = format!("account {account}, stream {}", change.name);
        Some(Finding::warning(MADE_ANEW, place, message, next))
    }
}

fn begin_at(change: &mut StreamChange, stream: &DesiredStream<'_>, first: u64, anew: bool) {
    let Some(config) = &mut change.after else { return };
    config.insert("first_seq".to_owned(), first.into());
    let Some(Value::Object(marks)) = config.get_mut("metadata") else { return };
    if anew {
        marks.insert(metadata::ANEW.to_owned(), "true".into());
    }
    if !stream.keeps_first_sequence() {
        marks.insert(metadata::FIRST.to_owned(), first.to_string().into());
    }
}

/// Returns an account's changes in a plan file without the streams' first sequences, which depend on the clock.
/// Otherwise a plan that was made earlier would always differ.
pub(super) fn without_beginnings(mut account: Value) -> Value {
    for change in account["streams"].as_array_mut().into_iter().flatten() {
        if change["role"] == Role::Read.as_str() {
            continue;
        }
        if let Some(config) = change["after"].as_object_mut() {
            config.shift_remove("first_seq");
            if let Some(Value::Object(marks)) = config.get_mut("metadata") {
                marks.shift_remove(metadata::FIRST);
            }
        }
    }
    account
}

#[cfg(test)]
mod tests;
