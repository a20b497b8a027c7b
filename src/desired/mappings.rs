//! The mapping entries of an account, in either layout.

use super::DesiredError;
use super::api::{self, REGIONAL_RULES, RULES, Rule, Treatment};
use super::regional::{JETSTREAM, SOURCE_API};
use crate::model::mapping::{Destination, Mapping};
use crate::model::names::ClusterName;
use crate::model::prefixes::{BACK, CAPTURED, near};
use crate::model::subject::SubjectFilter;
use crate::model::topology::{Region, Topology};
use crate::model::virtual_stream::{Account, KV, Kind, Layout, VirtualStream};

/// The prefix of clients. Those with a JetStream domain use `$JS.<domain>.API.`, which servers map themselves, and the
/// first entry that fits is taken (nats-server `accounts.go`, `selectMappedSubject`): ours would come first by chance.
const API_PREFIX: &str = "$JS.API.";

/// Everything of an account: what its virtual streams capture, and how requests find their streams.
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

/// Whether all of the account's JetStream is virtual streams.
fn is_exclusive(account: &Account) -> bool {
    account.layout == Layout::Regional && account.exclusive
}

/// The entries of the regional layout that serve all streams: `$VSH.>` leads back into the account's own JetStream;
/// where the account is exclusive, `$JS.>` leads to the region. What servers with a JetStream domain add themselves,
/// `$JS.<domain>.API.…`, does not stand in the way (measured, 2.10.26, 2.12.8, 2.15.1).
fn ways(topology: &Topology, account: &Account) -> Result<Vec<Mapping>, DesiredError> {
    let mut mappings = Vec::new();
    if account.exclusive {
        mappings.push(Mapping {
            source: filter(format!("{JETSTREAM}.>"))?,
            destinations: destinations(topology, |_, cluster| format!("{}.>", near(cluster))),
        });
    }
    mappings.push(way_back()?);
    Ok(mappings)
}

/// `$VSH.> → $JS.>`, in every cluster.
///
/// # Errors
/// None: both are subjects.
pub fn way_back() -> Result<Mapping, DesiredError> {
    let back = Destination { subject: format!("{JETSTREAM}.>"), weight: 100, cluster: None };
    Ok(Mapping { source: filter(format!("{BACK}.>"))?, destinations: vec![back] })
}

/// What is published on the stream's subjects, where no entry for all does it.
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

/// `$VSM.API.$KV.> → $VW.<cluster>.$KV.>`: clients put the keys of a bucket that is a mirror below the API prefix of its
/// origin (nats.go `jetstream/kv.go`, `mapStreamToKVS`).
fn puts_on_mirrors(topology: &Topology, keys: &str) -> Result<Mapping, DesiredError> {
    let source = filter(format!("{SOURCE_API}.{KV}.{keys}"))?;
    Ok(Mapping { source, ..capture(topology, &filter(format!("{KV}.{keys}"))?) })
}

/// Layout `shared`: requests about the virtual stream go to the read streams.
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

/// Layout `regional` beside ordinary streams: requests, acks and flow control that name the virtual stream go to the
/// region, under the name that they have. What no import serves there finds no responders, as in an exclusive account.
fn requests_to_regions(
    topology: &Topology,
    account: &Account,
    stream: &VirtualStream,
    mappings: &mut Vec<Mapping>,
) -> Result<(), DesiredError> {
    let name = stream.stream_name();
    let to =
        |pattern: &str| destinations(topology, |_, cluster| api::fill(&format!("{}.", near(cluster)), pattern, &name));
    let wanted = |rule: &&Rule| match rule.treatment {
        Treatment::Mapped | Treatment::Guarded => true,
        Treatment::OnRequest(request) => account.opens(stream, request),
        Treatment::Never => false,
    };
    for rule in RULES.iter().chain(REGIONAL_RULES).filter(wanted) {
        let source = filter(api::fill(API_PREFIX, rule.source, &name))?;
        mappings.push(Mapping { source, destinations: to(&format!("API.{}", rule.destination)) });
    }
    // These subjects carry the virtual stream's name, since that is the read stream's.
    for pattern in ["ACK.{stream}.>", "FC.{stream}.>"] {
        let source = filter(api::fill("$JS.", pattern, &name))?;
        mappings.push(Mapping { source, destinations: to(pattern) });
    }
    Ok(())
}

fn filter(subject: String) -> Result<SubjectFilter, DesiredError> {
    SubjectFilter::parse(&subject).map_err(|error| DesiredError::Subject { stream: subject, error })
}

/// One entry for all that is below a subject root: `app.>` → `$VW.west.app.>`.
pub(super) fn of_root(topology: &Topology, root: &SubjectFilter) -> Result<Mapping, DesiredError> {
    Ok(capture(topology, &filter(format!("{root}.>"))?))
}

/// `foo.*` → `$VW.west.foo.{{wildcard(1)}}` for clients in west, and so on.
fn capture(topology: &Topology, subject: &SubjectFilter) -> Mapping {
    let kept = wildcards_as_functions(subject);
    Mapping {
        source: subject.clone(),
        destinations: destinations(topology, |_, cluster| format!("{CAPTURED}.{}.{kept}", cluster.token())),
    }
}

/// One destination per cluster whose clients use a region.
fn destinations(topology: &Topology, subject: impl Fn(&Region, &ClusterName) -> String) -> Vec<Destination> {
    let to = |(region, cluster): (&Region, &ClusterName)| Destination {
        subject: subject(region, cluster),
        weight: 100,
        cluster: Some(cluster.as_str().to_owned()),
    };
    topology.clusters().map(to).collect()
}

/// `foo.*.>` → `foo.{{wildcard(1)}}.>`: the destination that keeps all tokens where they are.
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
