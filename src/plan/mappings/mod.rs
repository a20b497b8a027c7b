//! Plans mappings: finds the account's mappings that are ours, and their changes.
//!
//! Mappings carry no mark in the JWT. A mapping is ours if it equals a desired one. It is also ours if all its
//! destinations belong to streams with our metadata, or lead to regional accounts. A mapping with a desired source and
//! other destinations is foreign. An entry that several virtual streams share is removed only when none needs it.

use super::{Action, Options, Report};
use crate::desired::exports_imports::opened;
use crate::desired::regional::JETSTREAM;
use crate::model::finding::Finding;
use crate::model::mapping::{Destination, Mapping, MappingSet, RawMapping};
use crate::model::names::is_transform;
use crate::model::prefixes::{CAPTURE_PREFIX, REGION_PREFIX, is_below, split_captured};
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::ObservedStream;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A mapping entry to add, change or remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MappingChange {
    /// Kind of the change.
    pub action: Action,
    /// The source subject.
    pub source: String,
    /// Destinations before the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Vec<Destination>>,
    /// Destinations after the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<Destination>>,
}

/// Changes of an account's mappings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MappingPlan {
    /// Changes in the order of the desired set, removals last.
    pub changes: Vec<MappingChange>,
    /// Entries that are ours, but do not belong to this definition.
    pub reports: Vec<Report>,
    /// Findings that stop the run.
    pub findings: Vec<Finding>,
    /// Sources of the entries that are ours now, or after the change.
    pub ours: HashSet<String>,
}

impl MappingPlan {
    /// Returns the subjects of applications whose mappings are added or changed. Leaves out those of the JetStream API,
    /// to which the server itself subscribes.
    pub fn about_to_be_mapped(&self) -> impl Iterator<Item = SubjectFilter> {
        let added = self.changes.iter().filter(|change| change.action != Action::Delete);
        let sources = added.map(|change| change.source.as_str()).filter(|source| !source.starts_with("$JS."));
        sources.filter_map(|source| SubjectFilter::parse(source).ok())
    }
}

/// Compares the desired mappings with the account's. `defined` are the definition's virtual streams in the account.
///
/// An entry that leads to the streams of another virtual stream belongs to that virtual stream, which may be in another
/// definition. It changes only if that virtual stream is pruned.
pub fn mappings(
    account: &str,
    defined: &HashSet<&str>,
    desired: &MappingSet,
    observed: &[RawMapping],
    streams: &[ObservedStream],
    options: &Options,
) -> MappingPlan {
    let mut plan = MappingPlan::default();
    let owned = OwnedStreams::of(streams);
    let current: HashMap<&str, &RawMapping> = observed.iter().map(|entry| (entry.source.as_str(), entry)).collect();

    for mapping in desired.iter() {
        let source = mapping.source.as_str();
        plan.ours.insert(source.to_owned());
        let change = |action, before| MappingChange {
            action,
            source: source.to_owned(),
            before,
            after: Some(mapping.destinations.clone()),
        };
        match current.get(source) {
            None => plan.changes.push(change(Action::Create, None)),
            Some(entry) if mapping.same_as(entry) => {}
            Some(entry) => match owned.owner(&entry.destinations) {
                Some(Owned::By(owner)) if !(defined.contains(owner) || options.prunes(owner)) => {
                    plan.findings.push(of_another(account, entry, owner));
                }
                None if !options.adopt => plan.findings.push(foreign(account, entry)),
                _ => plan.changes.push(change(Action::Update, Some(entry.destinations.clone()))),
            },
        }
    }

    let mut left: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let leftovers = observed.iter().filter(|entry| !plan.ours.contains(&entry.source)).collect::<Vec<_>>();
    for entry in leftovers {
        let owners = &owned;
        let Some(owned) = owners.owner(&entry.destinations) else { continue };
        plan.ours.insert(entry.source.clone());
        let goes = match owned {
            // An entry of the account's other layout. Servers would choose between the two at random.
            Owned::By(owner) if defined.contains(owner) && in_the_way(entry, desired) => true,
            // The entry's own definition no longer opens that request (`map_requests`).
            Owned::By(owner) if defined.contains(owner) && opened(&entry.source).is_some() => true,
            Owned::Shared if in_the_way(entry, desired) => true,
            // A root whose virtual streams are all pruned.
            Owned::Shared if owners.all_below(&entry.destinations, &|owner| options.prunes(owner)) => true,
            Owned::By(owner) => options.prunes(owner),
            Owned::Shared => false,
        };
        match owned {
            _ if goes => plan.changes.push(removal(entry)),
            Owned::By(owner) => left.entry(owner).or_default().push(&entry.source),
            Owned::Shared => {}
        }
    }
    plan.reports.extend(left.into_iter().map(|(owner, sources)| Report {
        virtual_stream: owner.to_owned(),
        place: match sources.as_slice() {
            [source] => format!("account {account}, mapping {source}"),
            [first, ..] => format!("account {account}, {} mappings ({first}, …)", sources.len()),
            [] => format!("account {account}"),
        },
        message: format!("of virtual stream {owner}, and not in this definition"),
        next: format!("Remove them with --prune {owner}, if they are not wanted."),
    }));
    plan
}

/// Removes every mapping of the named virtual streams: the desired ones, and others that lead to their streams. Keeps
/// mappings that they share with virtual streams that stay.
pub fn mapping_removal(
    desired: &MappingSet,
    observed: &[RawMapping],
    streams: &[ObservedStream],
    names: &[String],
) -> Vec<MappingChange> {
    let named = |owner: &str| names.iter().any(|name| name == owner);
    let owned = OwnedStreams::of(streams);
    let staying: Vec<ObservedStream> = streams
        .iter()
        .filter(|stream| stream.owner.as_ref().is_some_and(|owner| !named(&owner.virtual_stream)))
        .cloned()
        .collect();
    let staying = OwnedStreams::of(&staying);
    let wanted: HashMap<&str, &Mapping> = desired.iter().map(|mapping| (mapping.source.as_str(), mapping)).collect();
    let goes = |entry: &&RawMapping| {
        let desired = wanted.get(entry.source.as_str()).is_some_and(|mapping| mapping.same_as(entry));
        match owned.owner(&entry.destinations) {
            Some(Owned::By(owner)) => named(owner) || desired,
            Some(Owned::Shared) | None => desired && !staying.need(&entry.destinations),
        }
    };
    observed.iter().filter(goes).map(removal).collect()
}

/// Returns `true` if an entry overlaps with a desired one.
fn in_the_way(entry: &RawMapping, desired: &MappingSet) -> bool {
    SubjectFilter::parse(&entry.source)
        .is_ok_and(|source| desired.iter().any(|mapping| mapping.source.overlaps(&source)))
}

fn removal(entry: &RawMapping) -> MappingChange {
    MappingChange {
        action: Action::Delete,
        source: entry.source.clone(),
        before: Some(entry.destinations.clone()),
        after: None,
    }
}

fn foreign(account: &str, entry: &RawMapping) -> Finding {
    let destinations: Vec<&str> = entry.destinations.iter().map(|destination| destination.subject.as_str()).collect();
    Finding::error(
        "foreign-mapping",
        format!("account {account}, mapping {}", entry.source),
        format!("the account maps it already, to {}, and not for this definition", destinations.join(", ")),
        "Remove that mapping, give the virtual stream other subjects, or take it over with --adopt.",
    )
}

fn of_another(account: &str, entry: &RawMapping, owner: &str) -> Finding {
    Finding::error(
        "belongs-to-another",
        format!("account {account}, mapping {}", entry.source),
        format!(
            "it leads to the streams of virtual stream {owner}, which is not in this definition and would get no more messages"
        ),
        format!(
            "Give the virtual stream other subjects; or, if {owner} is not wanted any more, take it away with --prune {owner}."
        ),
    )
}

/// Returns `true` if an entry leads to streams with our metadata.
pub(super) fn is_ours(entry: &RawMapping, streams: &[ObservedStream]) -> bool {
    OwnedStreams::of(streams).owner(&entry.destinations).is_some()
}

/// Owner of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owned<'a> {
    /// One virtual stream.
    By(&'a str),
    /// All virtual streams of the account, or several.
    Shared,
}

/// The streams with our metadata, keyed by the destinations that lead to them.
struct OwnedStreams<'a> {
    /// Real streams, and the read streams of regional accounts that belong to them.
    by_name: HashMap<String, &'a str>,
    by_subject: HashMap<&'a str, &'a str>,
}

impl<'a> OwnedStreams<'a> {
    fn of(streams: &'a [ObservedStream]) -> Self {
        let owned =
            || streams.iter().filter_map(|stream| Some((stream, stream.owner.as_ref()?.virtual_stream.as_str())));
        let in_regions =
            owned().flat_map(|(_, owner)| ["", "KV_", "OBJ_"].map(|kind| (format!("{kind}{owner}"), owner)));
        Self {
            by_name: owned().map(|(stream, owner)| (stream.name.clone(), owner)).chain(in_regions).collect(),
            by_subject: owned()
                .flat_map(|(stream, owner)| stream.subjects().map(move |subject| (subject, owner)))
                .collect(),
        }
    }

    /// Returns the owner of all destinations, if they are ours. No stream may capture a destination below the prefix of
    /// captured subjects. Then a run was handing its cluster over to another region.
    fn owner(&self, destinations: &[Destination]) -> Option<Owned<'a>> {
        let owners = destinations.iter().map(|to| (self.owner_of(&to.subject), is_below(&to.subject, CAPTURE_PREFIX)));
        let mut owners = owners.filter(|(owner, captured)| owner.is_some() || !captured).map(|(owner, _)| owner);
        let first = owners.next()??;
        owners.all(|owner| owner == Some(first)).then_some(first)
    }

    fn owner_of(&self, destination: &str) -> Option<Owned<'a>> {
        let named =
            |skipped: usize| destination.split('.').skip(skipped).find_map(|token| self.by_name.get(token)).copied();
        if is_below(destination, REGION_PREFIX) {
            // `$VS.west.>` is for all virtual streams, `$VS.west.API.STREAM.INFO.foo` for one.
            return Some(named(2).map_or(Owned::Shared, Owned::By));
        }
        if destination == "$JS.>"
            || ["API", "ACK", "FC"].iter().any(|part| destination == format!("{JETSTREAM}.{part}.>"))
        {
            return Some(Owned::Shared);
        }
        if is_below(destination, JETSTREAM) {
            return named(1).map(Owned::By);
        }
        let subject = captured(destination);
        let owner = |subject: &str| self.by_subject.get(subject);
        if let Some(owner) = owner(&subject).or_else(|| owner(&anywhere(&subject)?)) {
            return Some(Owned::By(owner));
        }
        self.captures_below(&subject).then_some(Owned::Shared)
    }

    /// Returns `true` if one of the streams stores part of a shared subject: `$VW.west.app.foo.>` is part of
    /// `$VW.west.app.>`, and so is `$VW.*.app.foo.>` of a home stream.
    fn captures_below(&self, subject: &str) -> bool {
        let filter = |subject: &str| SubjectFilter::parse(subject).ok();
        let (here, anywhere) = (filter(subject), anywhere(subject).and_then(|subject| filter(&subject)));
        self.by_subject.keys().any(|own| {
            let is_home = split_captured(own).is_some_and(|(cluster, _)| cluster == "*");
            let covers = |all: &Option<SubjectFilter>| {
                all.as_ref().is_some_and(|all| filter(own).is_some_and(|own| all.covers(&own)))
            };
            covers(&here) || (is_home && covers(&anywhere))
        })
    }

    /// Returns `true` if the destinations capture messages for virtual streams, and `so` returns `true` for each of
    /// these.
    fn all_below(&self, destinations: &[Destination], so: &dyn Fn(&str) -> bool) -> bool {
        let filters = destinations.iter().filter(|to| is_below(&to.subject, CAPTURE_PREFIX));
        let subjects = filters.map(|to| captured(&to.subject));
        let both = subjects.flat_map(|subject| [anywhere(&subject), Some(subject)].into_iter().flatten());
        let filters: Vec<_> = both.filter_map(|subject| SubjectFilter::parse(&subject).ok()).collect();
        let owners = self.by_subject.iter().filter(|(own, _)| {
            SubjectFilter::parse(own).is_ok_and(|own| filters.iter().any(|filter| filter.covers(&own)))
        });
        let mut owners = owners.map(|(_, owner)| so(owner)).peekable();
        owners.peek().is_some() && owners.all(|so| so)
    }

    /// Returns `true` if one of the streams receives messages or requests through these destinations.
    fn need(&self, destinations: &[Destination]) -> bool {
        // Without streams, no application needs the mappings to regions.
        if self.by_subject.is_empty() {
            return false;
        }
        destinations.iter().any(|to| self.owner_of(&to.subject).is_some())
    }
}

/// Returns the subject as home streams capture it, for any cluster: `$VW.*.foo.>` for `$VW.west.foo.>`.
fn anywhere(subject: &str) -> Option<String> {
    split_captured(subject).map(|(_, rest)| format!("{CAPTURE_PREFIX}.*.{rest}"))
}

/// Returns the subject filter that matches a destination's messages, with `*` for its functions.
pub(super) fn captured(destination: &str) -> String {
    let function = |token: &str| token.starts_with("{{") || is_transform(token);
    destination.split('.').map(|token| if function(token) { "*" } else { token }).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests;
