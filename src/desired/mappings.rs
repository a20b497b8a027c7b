//! The mapping entries of an account in either layout.

use super::DesiredError;
use super::api::{self, REGIONAL_RULES, RULES, Rule, Treatment};
use super::regional::{JETSTREAM, ORIGIN_JS_API};
use crate::model::mapping::{Destination, Mapping};
use crate::model::names::ClusterName;
use crate::model::prefixes::{CAPTURE_PREFIX, OWN_JS_PREFIX, region_prefix};
use crate::model::subject::SubjectFilter;
use crate::model::topology::{Region, Topology};
use crate::model::virtual_stream::{Account, KV, Kind, Layout, VirtualStream};

/// The prefix that clients use.
///
/// Clients with a JetStream domain use `$JS.<domain>.API.`, which servers map themselves. Servers use the first entry
/// that matches (nats-server `accounts.go`, `selectMappedSubject`). So an entry of ours for that prefix would win only
/// by chance.
const API_PREFIX: &str = "$JS.API.";

/// Returns all entries of an account: captures of its virtual streams, and routes of requests to their streams.
pub(super) fn of_account(topology: &Topology, account: &Account) -> Result<Vec<Mapping>, DesiredError> {
    let mut mappings = Vec::with_capacity(account.virtual_streams.len() * 10);
    if account.layout == Layout::Regional && !account.virtual_streams.is_empty() {
        mappings.extend(ways(topology, account)?);
    }
    for root in &account.subject_roots {
        mappings.push(of_root(topology, root)?);
    }
    for kind in [Kind::Kv, Kind::ObjectStore] {
        let used = account.virtual_streams.iter().any(|stream| stream.kind == kind);
        if let (true, Some(prefix)) = (used && is_exclusive(account), kind.prefix()) {
            mappings.push(capture(topology, &filter(format!("{prefix}.>"))?));
        }
    }
    if is_exclusive(account) && account.virtual_streams.iter().any(is_mirrored_bucket) {
        mappings.push(puts_on_mirrors(topology, ">")?);
    }
    for stream in &account.virtual_streams {
        captures(topology, account, stream, &mut mappings)?;
        match (account.layout, account.exclusive) {
            (Layout::Shared, _) => requests_to_read_streams(topology, account, stream, &mut mappings)?,
            (Layout::Regional, false) => requests_to_regions(topology, account, stream, &mut mappings)?,
            (Layout::Regional, true) => {}
        }
    }
    Ok(mappings)
}

/// Returns `true` if the account uses JetStream only for virtual streams.
fn is_exclusive(account: &Account) -> bool {
    account.layout == Layout::Regional && account.exclusive
}

/// Returns the entries of the regional layout that are for all streams. `$VSH.>` leads back to the account's own
/// JetStream. In an exclusive account, `$JS.>` leads to the region.
///
/// Servers with a JetStream domain add `$JS.<domain>.API.…` themselves, which does not interfere (measured, 2.10.26,
/// 2.12.8, 2.15.1).
fn ways(topology: &Topology, account: &Account) -> Result<Vec<Mapping>, DesiredError> {
    let mut mappings = Vec::new();
    if account.exclusive {
        mappings.push(Mapping {
            source: filter(format!("{JETSTREAM}.>"))?,
            destinations: destinations(topology, |_, cluster| format!("{}.>", region_prefix(cluster))),
        });
    }
    mappings.push(own_js_mapping()?);
    Ok(mappings)
}

/// Returns the mapping `$VSH.> → $JS.>`, for every cluster.
///
/// # Errors
/// None: both are subjects.
pub fn own_js_mapping() -> Result<Mapping, DesiredError> {
    let back = Destination { subject: format!("{JETSTREAM}.>"), weight: 100, cluster: None };
    Ok(Mapping { source: filter(format!("{OWN_JS_PREFIX}.>"))?, destinations: vec![back] })
}

/// Adds the entries that capture the stream's subjects, unless an entry for all streams already does.
fn captures(
    topology: &Topology,
    account: &Account,
    stream: &VirtualStream,
    mappings: &mut Vec<Mapping>,
) -> Result<(), DesiredError> {
    match stream.kind.prefix() {
        None => {
            let own = stream.subjects.iter().filter(|subject| account.root_of(subject).is_none());
            mappings.extend(own.map(|subject| capture(topology, subject)));
        }
        Some(_) if is_exclusive(account) => {}
        Some(prefix) => {
            mappings.push(capture(topology, &filter(format!("{prefix}.{}.>", stream.name))?));
            if is_mirrored_bucket(stream) {
                mappings.push(puts_on_mirrors(topology, &format!("{}.>", stream.name))?);
            }
        }
    }
    Ok(())
}

fn is_mirrored_bucket(stream: &VirtualStream) -> bool {
    stream.kind == Kind::Kv && stream.home().is_some()
}

/// Returns the mapping `$VSM.API.$KV.> → $VW.<cluster>.$KV.>`. Clients of a mirrored bucket put its keys below the API
/// prefix of the origin (nats.go `jetstream/kv.go`, `mapStreamToKVS`).
fn puts_on_mirrors(topology: &Topology, keys: &str) -> Result<Mapping, DesiredError> {
    let source = filter(format!("{ORIGIN_JS_API}.{KV}.{keys}"))?;
    Ok(Mapping { source, ..capture(topology, &filter(format!("{KV}.{keys}"))?) })
}

/// Layout `shared`: adds the entries that lead requests about the virtual stream to the read streams.
fn requests_to_read_streams(
    topology: &Topology,
    account: &Account,
    stream: &VirtualStream,
    mappings: &mut Vec<Mapping>,
) -> Result<(), DesiredError> {
    for rule in RULES {
        let wanted = match rule.treatment {
            Treatment::Mapped | Treatment::Guarded => true,
            Treatment::OnRequest(request) => stream.map_requests.contains(&request),
            Treatment::Never => false,
        };
        if wanted {
            let source = api::filter(API_PREFIX, rule.source, stream.name.as_str())
                .map_err(|error| DesiredError::Subject { stream: stream.name.to_string(), error })?;
            mappings.push(Mapping {
                source,
                destinations: destinations(topology, |region, _| {
                    api::fill(API_PREFIX, rule.destination, &account.read_name(stream, &region.name))
                }),
            });
        }
    }
    Ok(())
}

/// Layout `regional` with ordinary streams: adds the entries that lead requests, acks and flow control of the virtual
/// stream to the region. Requests without an import there get no responders, as in an exclusive account.
fn requests_to_regions(
    topology: &Topology,
    account: &Account,
    stream: &VirtualStream,
    mappings: &mut Vec<Mapping>,
) -> Result<(), DesiredError> {
    let name = stream.stream_name();
    let to = |pattern: &str| {
        destinations(topology, |_, cluster| api::fill(&format!("{}.", region_prefix(cluster)), pattern, &name))
    };
    let wanted = |rule: &&Rule| match rule.treatment {
        Treatment::Mapped | Treatment::Guarded => true,
        Treatment::OnRequest(request) => account.opens(stream, request),
        Treatment::Never => false,
    };
    for rule in RULES.iter().chain(REGIONAL_RULES).filter(wanted) {
        let source = filter(api::fill(API_PREFIX, rule.source, &name))?;
        mappings.push(Mapping { source, destinations: to(&format!("API.{}", rule.destination)) });
    }
    // These subjects contain the virtual stream's name, which is the read stream's name.
    for pattern in ["ACK.{stream}.>", "FC.{stream}.>"] {
        let source = filter(api::fill("$JS.", pattern, &name))?;
        mappings.push(Mapping { source, destinations: to(pattern) });
    }
    Ok(())
}

fn filter(subject: String) -> Result<SubjectFilter, DesiredError> {
    SubjectFilter::parse(&subject).map_err(|error| DesiredError::Subject { stream: subject, error })
}

/// Returns one entry for all subjects below a subject root: `app.>` → `$VW.west.app.>`.
pub(super) fn of_root(topology: &Topology, root: &SubjectFilter) -> Result<Mapping, DesiredError> {
    Ok(capture(topology, &filter(format!("{root}.>"))?))
}

/// Returns the entry that captures a subject: `foo.*` → `$VW.west.foo.{{wildcard(1)}}` for clients in west, and so on.
fn capture(topology: &Topology, subject: &SubjectFilter) -> Mapping {
    let kept = wildcards_as_functions(subject);
    Mapping {
        source: subject.clone(),
        destinations: destinations(topology, |_, cluster| format!("{CAPTURE_PREFIX}.{}.{kept}", cluster.token())),
    }
}

/// Returns one destination per cluster whose clients use a region.
fn destinations(topology: &Topology, subject: impl Fn(&Region, &ClusterName) -> String) -> Vec<Destination> {
    let to = |(region, cluster): (&Region, &ClusterName)| Destination {
        subject: subject(region, cluster),
        weight: 100,
        cluster: Some(cluster.as_str().to_owned()),
    };
    topology.clusters().map(to).collect()
}

/// Returns the destination that keeps all tokens in place: `foo.*.>` → `foo.{{wildcard(1)}}.>`.
fn wildcards_as_functions(subject: &SubjectFilter) -> String {
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
