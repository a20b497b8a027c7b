//! Checks the destinations of restored mappings: if there is no stream, messages are lost.

use super::effects::Unused;
use super::undo::Undo;
use crate::desired::DesiredAccount;
use crate::desired::regional::{AccountRole, JETSTREAM};
use crate::model::claims::{AccountClaims, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::mapping::RawMapping;
use crate::model::prefixes::{REGION_PREFIX, is_below};
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::ObservedStream;
use crate::observed::survey::{Observed, ObservedAccount};
use crate::plan::mappings::captured;
use crate::plan::record::Streamed;
use std::collections::{BTreeMap, HashMap};

const GONE: &str = "stream-gone";
const NEXT: &str = "Make the streams again first: apply a definition that has them, then run it again.";

/// Refuses to restore mappings that lead to no stream.
pub(super) fn restored(
    wanted: &DesiredAccount<'_>,
    current: &AccountClaims,
    goal: &AccountClaims,
    found: &ObservedAccount,
    undo: &Undo<'_>,
) -> Vec<Finding> {
    let now: HashMap<String, RawMapping> =
        current.mappings().into_iter().map(|mapping| (mapping.source.clone(), mapping)).collect();
    let known: Vec<&Streamed> = undo.streams.iter().filter(|stream| stream.account == wanted.id).copied().collect();
    let streams = &found.jetstream.streams;
    let mut findings = Vec::new();
    for mapping in goal.mappings().iter().filter(|mapping| now.get(&mapping.source) != Some(mapping)) {
        let place = format!("account {}, mapping {}", wanted.name, mapping.source);
        for subject in mapping.destinations.iter().map(|to| to.subject.as_str()) {
            let missing = match to(subject) {
                To::Requests => named(subject, &known).filter(|name| streams.iter().all(|stream| stream.name != *name)),
                To::Region => None,
                To::Subject(filter) if streams.iter().any(|stream| stores(stream, &filter)) => None,
                To::Subject(filter) => {
                    let stored = |stream: &&&Streamed| stream.subjects.iter().any(|own| overlap(own, &filter));
                    let missing = known.iter().find(stored).map(|stream| stream.name.as_str());
                    if missing.is_none() {
                        let message = format!("it would be restored, and no stream of the account stores {subject}");
                        let next =
                            "If messages published there are only for subscribers, go on with --allow leads-nowhere.";
                        findings.push(Finding::error("leads-nowhere", &place, message, next));
                    }
                    missing
                }
            };
            if let Some(name) = missing {
                let message = format!("it would lead to {subject} again, and stream {name} no longer exists");
                findings.push(Finding::error(GONE, &place, message, NEXT));
                break;
            }
        }
    }
    findings
}

/// Refuses a target record whose mappings lead to streams that no longer exist.
pub(super) fn gone(
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    goals: &[Option<TrustedClaims>],
    undo: &Undo<'_>,
) -> Vec<Finding> {
    let Some(target) = undo.target else { return Vec::new() };
    let mut findings = Vec::new();
    for (wanted, goal) in
        desired.iter().zip(goals).filter(|(wanted, _)| wanted.account_role == AccountRole::Application)
    {
        let (Some(goal), true) = (goal, undo.applications.contains(&wanted.id)) else { continue };
        let led = led(&goal.mappings());
        let family: Vec<(&DesiredAccount<'_>, &ObservedAccount)> =
            desired.iter().zip(&observed.accounts).filter(|(other, _)| other.account.id == wanted.id).collect();
        let streams = || target.content.streams.iter();
        let used = |stream: &&Streamed| {
            let mut writes = streams().filter(|write| {
                write.account == wanted.id && write.role.captures() && write.virtual_stream == stream.virtual_stream
            });
            writes.any(|write| write.subjects.iter().any(|own| led.iter().any(|to| overlap(own, to))))
        };
        let mut gone: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for stream in streams().filter(used) {
            let Some((_, found)) = family.iter().find(|(account, _)| account.id == stream.account) else { continue };
            let unknown = found.jetstream.unknown_streams.iter().any(|unknown| unknown.name == stream.name);
            let what = match found.jetstream.streams.iter().find(|other| other.name == stream.name) {
                None if unknown => continue,
                None => stream.name.clone(),
                Some(there) => match stream.subjects.iter().find(|own| !covered(there, own)) {
                    Some(subject) => format!("{}, which no longer stores {subject}", stream.name),
                    None => continue,
                },
            };
            gone.entry(&stream.virtual_stream).or_default().push(what);
        }
        findings.extend(gone.into_iter().map(|(virtual_stream, streams)| {
            let place = format!("account {}, streams of {virtual_stream}", wanted.name);
            let message = format!(
                "mappings of record {} would lead applications to them, and they no longer exist: {}",
                target.name,
                streams.join(", ")
            );
            Finding::error(GONE, place, message, NEXT)
        }));
    }
    findings
}

/// Returns streams of ours to which mappings lead now, but not after the rollback.
pub(super) fn unused(
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    currents: &[Option<&AccountClaims>],
    goals: &[Option<TrustedClaims>],
) -> Vec<Unused> {
    let mut all = Vec::new();
    for (index, wanted) in
        desired.iter().enumerate().filter(|(_, wanted)| wanted.account_role == AccountRole::Application)
    {
        let (Some(current), Some(goal)) = (currents[index], &goals[index]) else { continue };
        let [before, after] = [current, goal].map(|claims| led(&claims.mappings()));
        let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for stream in &observed.accounts[index].jetstream.streams {
            let Some(owner) = stream.owner.as_ref().filter(|owner| owner.role.captures()) else { continue };
            let leads = |to: &[SubjectFilter]| to.iter().any(|filter| stores(stream, filter));
            if leads(&before) && !leads(&after) {
                names.entry(&owner.virtual_stream).or_default();
            }
        }
        let family = desired.iter().zip(&observed.accounts).filter(|(other, _)| other.account.id == wanted.account.id);
        for stream in family.flat_map(|(_, found)| &found.jetstream.streams) {
            let Some(owner) = &stream.owner else { continue };
            if let Some(streams) = names.get_mut(owner.virtual_stream.as_str()) {
                streams.push(stream.name.clone());
            }
        }
        all.extend(names.into_iter().map(|(virtual_stream, mut streams)| {
            streams.sort_unstable();
            streams.dedup();
            Unused { account: wanted.name.clone(), virtual_stream: virtual_stream.to_owned(), streams }
        }));
    }
    all
}

/// Kind of a destination.
enum To {
    /// JetStream requests, within the account.
    Requests,
    /// A regional account.
    Region,
    /// Messages of applications.
    Subject(SubjectFilter),
}

fn to(subject: &str) -> To {
    match SubjectFilter::parse(&captured(subject)) {
        _ if is_below(subject, REGION_PREFIX) => To::Region,
        Ok(filter) if !is_below(subject, JETSTREAM) => To::Subject(filter),
        _ => To::Requests,
    }
}

/// Returns the stream that a request on this subject names.
fn named<'s>(subject: &str, known: &[&'s Streamed]) -> Option<&'s str> {
    let mut tokens = subject.split('.').skip(1);
    tokens.find_map(|token| known.iter().find(|stream| stream.name == token).map(|stream| stream.name.as_str()))
}

/// Returns the subjects to which mappings lead applications' messages.
fn led(mappings: &[RawMapping]) -> Vec<SubjectFilter> {
    let destinations = mappings.iter().flat_map(|mapping| &mapping.destinations);
    let filters = destinations.filter_map(|destination| match to(&destination.subject) {
        To::Subject(filter) => Some(filter),
        To::Requests | To::Region => None,
    });
    filters.collect()
}

fn stores(stream: &ObservedStream, filter: &SubjectFilter) -> bool {
    stream.subjects().any(|own| overlap(own, filter))
}

fn overlap(subject: &str, filter: &SubjectFilter) -> bool {
    SubjectFilter::parse(subject).is_ok_and(|own| own.overlaps(filter))
}

/// Returns `true` if the stream stores every message of a subject.
fn covered(stream: &ObservedStream, subject: &str) -> bool {
    let Ok(wanted) = SubjectFilter::parse(subject) else { return true };
    stream.subjects().any(|own| SubjectFilter::parse(own).is_ok_and(|own| own.covers(&wanted)))
}
