//! Permissions that an application's user needs, and permissions to deny.
//!
//! Servers map a subject before they check permissions (nats-server 2.15, measured). So the permissions are for
//! subjects of the regions' real streams, not for virtual ones.

use super::api::{self, RULES, SUBJECTS, Treatment};
use super::checks::check_built;
use super::{DesiredError, lease};
use crate::model::names::RegionName;
use crate::model::prefixes::{captured, region_prefix};
use crate::model::topology::Topology;
use crate::model::virtual_stream::{Account, Layout, VirtualStream};
use serde::Serialize;
use std::collections::BTreeSet;

/// A subject with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The subject, wildcards included.
    pub subject: String,
    /// The reason.
    pub why: String,
}

/// The permissions of an application's user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ApplicationPermissions {
    /// To publish.
    pub publish: Publish,
    /// To subscribe.
    pub subscribe: Subscribe,
}

/// The subscribe permissions of an application's user. Everything else is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Subscribe {
    /// Subjects on which an application could answer in place of a stream.
    pub deny: Vec<Line>,
}

/// The publish permissions of an application's user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Publish {
    /// All needed subjects. A user with this list may publish nothing else.
    pub allow: Vec<Line>,
    /// Subjects that would harm the real streams, for users without an `allow` list.
    pub deny: Vec<Line>,
}

/// Subjects of the lease, including those of future versions.
const LEASES: &str = "$VSTREAM.>";

/// Returns the permissions for all virtual streams of the account in every region, since a user may connect to any
/// region.
///
/// # Errors
/// [`DesiredError`] as for [`accounts`](super::accounts).
pub fn permissions(topology: &Topology, account: &Account) -> Result<ApplicationPermissions, DesiredError> {
    check_built(account)?;
    let mut publish = Publish::default();
    if account.virtual_streams.is_empty() {
        return Ok(ApplicationPermissions::default());
    }
    for stream in &account.virtual_streams {
        for region in &topology.regions {
            for cluster in region.clusters() {
                publish.allow.extend(stream.subjects.iter().map(|subject| Line {
                    subject: captured(subject, cluster).to_string(),
                    why: format!("what is published on {subject} in {cluster}"),
                }));
            }
            if account.layout == Layout::Shared {
                allow_requests(stream, &account.read_name(stream, &region.name), &mut publish.allow);
            }
        }
    }
    let line = |subject: &str, why: &str| Line { subject: subject.to_owned(), why: why.to_owned() };
    match account.layout {
        Layout::Shared => {
            publish.allow.push(line("$JS.FC.>", "flow control of push consumers"));
            publish.allow.push(line("$JS.API.INFO", "account information, which some clients ask for first"));
            for (stream, region) in real_streams(topology, account) {
                deny_requests(&account.read_name(stream, region), &mut publish.deny);
                deny_all(&stream.write_name(region), &mut publish.deny);
            }
            deny_all(lease::STREAM, &mut publish.deny);
        }
        Layout::Regional => {
            publish.allow.extend(topology.clusters().map(|(_, cluster)| Line {
                subject: format!("{}.>", region_prefix(cluster)),
                why: format!("requests, acks and flow control in {cluster}"),
            }));
            if account.exclusive {
                // By then, applications' messages on these subjects are mapped to `$VS.<cluster>.>`.
                publish.deny.push(line("$JS.>", "the account's own JetStream, that is the write streams"));
            } else {
                for (stream, region) in real_streams(topology, account) {
                    if let Some(role) = stream.capturing_in(region) {
                        deny_all(&account.real_name(stream, role, region), &mut publish.deny);
                    }
                }
                deny_all(lease::STREAM, &mut publish.deny);
            }
        }
    }
    let lease = line(LEASES, "the lease by which runs of vstream-jwt keep each other waiting");
    publish.deny.push(lease.clone());
    Ok(ApplicationPermissions { publish, subscribe: Subscribe { deny: vec![lease] } })
}

/// Returns every virtual stream in every region.
fn real_streams<'a>(
    topology: &'a Topology,
    account: &'a Account,
) -> impl Iterator<Item = (&'a VirtualStream, &'a RegionName)> {
    let regions = || topology.regions.iter().map(|region| &region.name);
    account.virtual_streams.iter().flat_map(move |stream| regions().map(move |region| (stream, region)))
}

fn allow_requests(stream: &VirtualStream, read: &str, allow: &mut Vec<Line>) {
    for rule in RULES {
        let why = match rule.treatment {
            Treatment::Mapped => format!("requests about {}", stream.name),
            Treatment::OnRequest(request) if stream.map_requests.contains(&request) => {
                format!("requests about {} that the definition maps (map_requests)", stream.name)
            }
            // The request fails in any case: with a permissions violation instead of error 10056.
            Treatment::Guarded | Treatment::OnRequest(_) | Treatment::Never => continue,
        };
        allow.push(Line { subject: api::fill("$JS.API.", &as_filter(rule.destination), read), why });
    }
    allow.push(Line { subject: format!("$JS.ACK.{read}.>"), why: format!("acks of messages of {}", stream.name) });
}

fn deny_requests(read: &str, deny: &mut Vec<Line>) {
    // `STREAM.PEER.REMOVE` and `STREAM.PEER.EVACUATE` share one line, `STREAM.PEER.*`.
    let mut patterns = BTreeSet::new();
    for api in SUBJECTS.iter().filter(|api| api.pattern.starts_with("STREAM.")) {
        match api.treatment {
            Treatment::Mapped => {}
            Treatment::Guarded | Treatment::OnRequest(_) | Treatment::Never => {
                let tokens: Vec<&str> = api.pattern.split('.').collect();
                patterns.insert(match tokens[..] {
                    [_, "PEER", ..] => "STREAM.PEER.*.{stream}",
                    _ => api.pattern,
                });
            }
        }
    }
    for pattern in patterns {
        deny.push(Line {
            subject: api::fill("$JS.API.", pattern, read),
            why: format!("would change or empty the real stream {read}"),
        });
    }
}

fn deny_all(write: &str, deny: &mut Vec<Line>) {
    for pattern in ["STREAM.*.{stream}", "STREAM.*.*.{stream}"] {
        deny.push(Line {
            subject: api::fill("$JS.API.", pattern, write),
            why: format!("applications have nothing to ask of the stream {write}"),
        });
    }
}

/// Returns the filter of a destination: `CONSUMER.{{wildcard(1)}}.{stream}` → `CONSUMER.*.{stream}`.
fn as_filter(destination: &str) -> String {
    destination.split('.').map(|token| if token.starts_with("{{") { "*" } else { token }).collect::<Vec<_>>().join(".")
}
