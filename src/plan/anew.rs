//! Write and home streams that were deleted and are made anew, while their readers are still there.
//!
//! A reader asks for what comes after the last sequence that it has. A stream that begins at 1 again has not come so far, and
//! servers give what comes next in its place: what is published until the reader asks is skipped, for good (measured with
//! sources on 2.10.26, 2.11.11, 2.12.8 and 2.14.6, with mirrors on 2.10.26, 2.14.6 and 2.15.1). So it begins behind all that
//! readers have read.

use super::account::{AccountPlan, place_of_application};
use super::streams::StreamChange;
use crate::desired::{DesiredAccount, DesiredStream, Role, metadata};
use crate::model::finding::Finding;
use crate::observed::jetstream::ObservedStream;
use crate::observed::survey::Observed;
use crate::plan::Action;
use serde_json::Value;
use std::collections::HashSet;

/// The finding about them.
pub const MADE_ANEW: &str = "made-anew";

/// How many sequences a home stream leaves out for mirrors that cannot be asked. Those that can store a mark for each.
const MARGIN: u64 = 10_000;

/// Lets them begin behind what was read. `unseen`: regions whose streams cannot be asked; `now` in seconds since 1970.
pub(super) fn begin_behind(
    plans: &mut [AccountPlan],
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    unseen: &HashSet<&str>,
    now: u64,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for place in 0..plans.len() {
        let application = place_of_application(desired, place);
        let members = (0..plans.len()).filter(|member| place_of_application(desired, *member) == application);
        let streams = members.flat_map(|member| &observed.accounts[member].jetstream.streams);
        let readers: Vec<&ObservedStream> = streams.filter(|stream| is_reader(stream)).collect();
        let plan = &mut plans[place];
        for change in plan.streams.changes.iter_mut().filter(|change| change.role.captures()) {
            let Some(stream) = desired[place].streams.iter().find(|stream| stream.name == change.name) else { continue };
            let of_it = |reader: &&&ObservedStream| {
                reader.owner.as_ref().is_some_and(|owner| owner.virtual_stream == change.virtual_stream)
            };
            let readers: Vec<&ObservedStream> = readers.iter().filter(of_it).copied().collect();
            let Some(first) = first_sequence(change, &readers, !unseen.is_empty(), now) else { continue };
            begin_at(change, stream, first);
            findings.extend(lost(change, &plan.name, &readers, first));
        }
    }
    findings
}

fn is_reader(stream: &ObservedStream) -> bool {
    stream.owner.as_ref().is_some_and(|owner| owner.role == Role::Read) && (stream.offline || stream.state.last_seq > 0)
}

/// The first sequence of a stream that is made; `None` where it begins at 1 because nobody can have read of a former one.
fn first_sequence(change: &StreamChange, readers: &[&ObservedStream], unseen: bool, now: u64) -> Option<u64> {
    if change.action != Action::Create || (readers.is_empty() && !unseen) {
        return None;
    }
    match change.role {
        // Older servers do not say how far a source has come, and what is away cannot be asked. By the microseconds since
        // 1970 it is behind every stream of fewer than a million messages per second that was made before.
        Role::Write => {
            let told = readers.iter().flat_map(|reader| &reader.sources).filter(|source| source.name == change.name);
            let told = told.filter_map(|source| source.seq).max().unwrap_or(0);
            Some((now * 1_000_000).max(told + 1))
        }
        // A mirror has its origin's sequences, and stores something for each that is left out.
        Role::Home => {
            let margin = if unseen || readers.iter().any(|reader| reader.offline) { MARGIN } else { 0 };
            let read = readers.iter().filter(|reader| !reader.offline).map(|reader| reader.state.last_seq).max()?;
            Some(read + 1 + margin)
        }
        Role::Read => None,
    }
}

fn begin_at(change: &mut StreamChange, stream: &DesiredStream<'_>, first: u64) {
    let Some(config) = &mut change.after else { return };
    config.insert("first_seq".to_owned(), first.into());
    if !stream.keeps_first_sequence()
        && let Some(Value::Object(marks)) = config.get_mut("metadata")
    {
        marks.insert(metadata::FIRST.to_owned(), first.to_string().into());
    }
}

/// What is lost with the former stream, if there was one.
fn lost(change: &StreamChange, account: &str, readers: &[&ObservedStream], first: u64) -> Option<Finding> {
    let reads = |reader: &&&ObservedStream| reader.sources.iter().any(|source| source.name == change.name);
    let mut names: Vec<&str> = readers.iter().filter(reads).map(|reader| reader.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let names = names.join(", ");
    let (message, next) = match change.role {
        Role::Home => (
            format!(
                "it was deleted, and is made anew from sequence {first} on, behind what its mirrors have ({names}): these keep \
                 what they have, and it has nothing of that, so updates by the revision of an older message are refused"
            ),
            "Write again what has to be changed by revision; what had not reached any mirror is lost.",
        ),
        Role::Write | Role::Read => (
            format!(
                "it was deleted, and is made anew from sequence {first} on, behind what was read of the former one ({names}): \
                 what had not been copied from that is lost"
            ),
            "Find out who deleted it; what the regions have can be compared by `status`.",
        ),
    };
    let place = format!("account {account}, stream {}", change.name);
    Some(Finding::warning(MADE_ANEW, place, message, next))
}

#[cfg(test)]
mod tests;
