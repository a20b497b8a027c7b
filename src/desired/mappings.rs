//! The mapping entries of virtual streams in the shared layout.

use super::DesiredError;
use super::api::{self, RULES, Treatment};
use crate::model::mapping::{Destination, Mapping};
use crate::model::names::RegionName;
use crate::model::subject::SubjectFilter;
use crate::model::topology::Topology;
use crate::model::virtual_stream::{Account, VirtualStream};

/// The prefix that clients without a JetStream domain use.
const API_PREFIX: &str = "$JS.API.";

/// All entries of one virtual stream: what it captures, then its API requests, those again per domain.
pub(super) fn of_stream(
    topology: &Topology,
    account: &Account,
    stream: &VirtualStream,
    domains: &[String],
) -> Result<Vec<Mapping>, DesiredError> {
    check_reach(account, stream)?;
    let read_names: Vec<String> = topology.regions.iter().map(|region| stream.read_name(&region.name)).collect();
    let mut mappings = Vec::with_capacity(stream.subjects.len() + RULES.len() * (1 + domains.len()));
    for subject in stream.subjects.iter().filter(|subject| root_of(account, subject).is_none()) {
        mappings.push(capture(topology, subject, stream.region_token));
    }
    let prefixes = std::iter::once(API_PREFIX.to_owned()).chain(domains.iter().map(|d| format!("$JS.{d}.API.")));
    for prefix in prefixes {
        for rule in RULES {
            let wanted = match rule.treatment {
                Treatment::Mapped | Treatment::Guarded => true,
                Treatment::OnRequest(request) => stream.map_requests.contains(&request),
                Treatment::Never => false,
            };
            if wanted {
                // A subject is mapped once only: the domain's prefix goes in the same step.
                let source = api::filter(&prefix, rule.source, stream.name.as_str())
                    .map_err(|error| DesiredError::Subject { stream: stream.name.to_string(), error })?;
                mappings.push(Mapping {
                    source,
                    destinations: destinations(topology, |region| {
                        api::fill(API_PREFIX, rule.destination, &read_names[region])
                    }),
                });
            }
        }
    }
    Ok(mappings)
}

/// One entry for all that is below a subject root: `app.>` → `app.west.>`.
pub(super) fn of_root(topology: &Topology, root: &SubjectFilter) -> Result<Mapping, DesiredError> {
    let source = SubjectFilter::parse(&format!("{root}.>"))
        .map_err(|error| DesiredError::Subject { stream: format!("below the root {root}"), error })?;
    Ok(capture(topology, &source, root.tokens().count()))
}

/// `foo.*` → `foo.west.{{wildcard(1)}}` for clients in west, and so on.
fn capture(topology: &Topology, subject: &SubjectFilter, before: usize) -> Mapping {
    let destination = wildcards_as_functions(subject);
    Mapping {
        source: subject.clone(),
        destinations: destinations(topology, |region| insert(&destination, before, &topology.regions[region].name)),
    }
}

/// The subject root that a subject is below.
fn root_of<'a>(account: &'a Account, subject: &SubjectFilter) -> Option<&'a SubjectFilter> {
    account
        .subject_roots
        .iter()
        .find(|root| subject.as_str().strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with('.')))
}

/// One destination per region; `subject` takes the region's place in the topology.
fn destinations(topology: &Topology, subject: impl Fn(usize) -> String) -> Vec<Destination> {
    topology
        .regions
        .iter()
        .enumerate()
        .map(|(place, region)| Destination {
            subject: subject(place),
            weight: 100,
            cluster: Some(region.cluster.as_str().to_owned()),
        })
        .collect()
}

/// What the write stream of `region` stores for a virtual subject: `foo.>` → `foo.west.>`.
pub(super) fn write_subject(
    account: &Account,
    stream: &VirtualStream,
    subject: &SubjectFilter,
    region: &RegionName,
) -> String {
    let before = root_of(account, subject).map_or(stream.region_token, |root| root.tokens().count());
    insert(subject.as_str(), before, region)
}

/// `foo.*.>` → `foo.{{wildcard(1)}}.>`: the destination that keeps all tokens where they are.
pub(super) fn wildcards_as_functions(subject: &SubjectFilter) -> String {
    let mut wildcards = 0;
    let tokens: Vec<String> = subject
        .tokens()
        .map(|token| {
            if token == "*" {
                wildcards += 1;
                format!("{{{{wildcard({wildcards})}}}}")
            } else {
                token.to_owned()
            }
        })
        .collect();
    tokens.join(".")
}

/// Puts the region after `before` tokens.
fn insert(subject: &str, before: usize, region: &RegionName) -> String {
    let mut tokens: Vec<&str> = subject.split('.').collect();
    tokens.insert(before.min(tokens.len()), region.as_str());
    tokens.join(".")
}

/// The region may stand before any token and after the last, but not after `>`.
pub(super) fn check_reach(account: &Account, stream: &VirtualStream) -> Result<(), DesiredError> {
    for subject in stream.subjects.iter().filter(|subject| root_of(account, subject).is_none()) {
        let tokens = subject.tokens().count();
        let reach = if subject.as_str().ends_with('>') { tokens - 1 } else { tokens };
        if stream.region_token > reach {
            return Err(DesiredError::OutOfReach {
                stream: stream.name.to_string(),
                subject: subject.to_string(),
                region_token: stream.region_token,
                reach,
            });
        }
    }
    Ok(())
}
