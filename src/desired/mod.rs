//! What the definition asks for: mappings, streams and consumers, ready to be compared with what is.

pub mod api;
mod bucket;
pub mod lease;
pub mod links;
mod mappings;
pub mod permissions;
pub mod regional;
mod streams;
#[cfg(test)]
pub(crate) mod tests;

use crate::definition::Definition;
use crate::model::claims::{ExportSpec, ImportSpec, Permission, Permissions};
use crate::model::mapping::{MappingSet, Overlap};
use crate::model::names::{ClusterName, RegionName};
use crate::model::nkey::PublicKey;
use crate::model::subject::SubjectError;
use crate::model::subject_trie::SubjectTrie;
use crate::model::topology::Topology;
pub use crate::model::virtual_stream::Role;
use crate::model::virtual_stream::{Account, Consistency, Kind, Layout, RegionalAccounts};
pub use mappings::way_back;
use permissions::{ApplicationPermissions, Line};
use regional::{RegionalIds, Seat};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
pub use streams::KEEPS_POSITION;

/// The metadata keys that mark a stream as ours (`vstream.name`, `vstream.region`, `vstream.role`), and what was taken
/// along to another layout.
pub mod metadata {
    /// The virtual stream.
    pub const NAME: &str = "vstream.name";
    /// The region.
    pub const REGION: &str = "vstream.region";
    /// `write`, `home`, `read`, or `lease` for the stream that says who is changing the account.
    pub const ROLE: &str = "vstream.role";
    /// On a read stream that took history along: the read stream that it came from.
    pub const HISTORY: &str = "vstream.history";
    /// On a write or home stream that was made anew behind what was read of the former one.
    pub const ANEW: &str = "vstream.anew";
    /// On a stream whose `first_seq` its servers may not keep: the sequence that it began at.
    pub const FIRST: &str = "vstream.first";
    /// On a consumer that was taken along: where it stood in the stream that it came from.
    pub const POSITION: &str = "vstream.position";
}

/// A stream that has to exist.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredStream<'a> {
    /// The virtual stream it serves.
    pub virtual_stream: &'a str,
    /// Its region.
    pub region: &'a RegionName,
    /// The cluster it is placed in.
    pub cluster: &'a ClusterName,
    /// What it is for.
    pub role: Role,
    /// Its real name.
    pub name: String,
    recipe: streams::Recipe<'a>,
}

impl DesiredStream<'_> {
    /// Its config as the JetStream API takes it, `metadata` included; made anew by each call.
    pub fn config(&self) -> Map<String, Value> {
        self.recipe.config(self.role)
    }

    /// Why a read stream drops messages that its origins still hold, if it does. `None` where readers read what was
    /// published until it is dropped everywhere.
    pub fn drops_messages(&self) -> Option<&'static str> {
        match self.role {
            Role::Write | Role::Home => None,
            Role::Read => self.recipe.drops_messages(),
        }
    }

    /// Whether it takes over again what it has dropped when it gets another leader, on the oldest of the servers.
    pub fn goes_back(&self) -> bool {
        let old = self.recipe.oldest_server.is_some_and(|version| version < KEEPS_POSITION);
        old && self.drops_messages().is_some()
    }

    /// Returns whether its servers can keep a `first_seq` in its config.
    pub fn keeps_first_sequence(&self) -> bool {
        streams::keeps_first_sequence(self.recipe.oldest_server)
    }

    /// What it captures; nothing for a read stream.
    pub fn subjects(&self) -> Vec<String> {
        match self.role {
            Role::Write => self.recipe.write_subjects().collect(),
            Role::Home => self.recipe.home_subjects().collect(),
            Role::Read => Vec::new(),
        }
    }

    /// Returns the name of the home stream that a read stream mirrors, of level `mirrored`.
    pub fn mirrors(&self) -> Option<String> {
        self.recipe.mirrors(self.role)
    }
}

/// A durable consumer that has to exist.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DesiredConsumer {
    /// The virtual stream it reads.
    pub virtual_stream: String,
    /// Its region.
    pub region: RegionName,
    /// The real (read) stream.
    pub stream: String,
    /// Its durable name.
    pub name: String,
    /// Its config as the API takes it.
    pub config: Map<String, Value>,
}

/// All that one account has to have: the application's, or in the layout `regional` also that of a region.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredAccount<'a> {
    /// The account of the definition that it is, or that it serves.
    pub account: &'a Account,
    /// Which of its accounts this is.
    pub seat: Seat<'a>,
    /// The definition's name for it, `APP` or `APP-west`.
    pub name: String,
    /// Its public key; a stand-in for a regional account that is yet to be made.
    pub id: PublicKey,
    /// Its mappings.
    pub mappings: MappingSet,
    /// What it exports for the regional layout.
    pub exports: Vec<ExportSpec>,
    /// What it imports for the regional layout.
    pub imports: Vec<ImportSpec>,
    /// What users without permissions of their own are denied (`restrict_users`).
    pub denied: Option<Permissions>,
    /// Write streams first, then read streams.
    pub streams: Vec<DesiredStream<'a>>,
    /// Consumers of the definition.
    pub consumers: Vec<DesiredConsumer>,
}

impl DesiredAccount<'_> {
    /// Whether it is a regional account that the tool makes, and not one that the definition names.
    pub fn is_made_here(&self) -> bool {
        self.seat != Seat::Application && matches!(self.account.regional_accounts, RegionalAccounts::Named(_))
    }
}

/// Why there is no desired state. A definition that was parsed gives none of these, unless it asks for
/// something that is not built yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// A layout, kind or consistency level that this version cannot do.
    #[error(
        "{place}: {what} is not built yet; this version does `consistency: eventual`, and buckets and `consistency: mirrored` in the layout `regional`"
    )]
    NotBuilt {
        /// Account or virtual stream.
        place: String,
        /// The key with its value.
        what: String,
    },
    /// A name that does not make a subject.
    #[error("virtual stream {stream}: {error}")]
    Subject {
        /// The virtual stream.
        stream: String,
        /// What is wrong.
        error: SubjectError,
    },
    /// Two mapping sources have subjects in common.
    #[error("account {account}: {overlap}")]
    Overlap {
        /// The account of the definition.
        account: String,
        /// The two sources.
        overlap: Overlap,
    },
    /// Two write streams would store the same subjects.
    #[error("account {account}: streams {first} and {second} would both store subjects of `{subject}`")]
    WriteSubjects {
        /// The account of the definition.
        account: String,
        /// One write stream.
        first: String,
        /// The other.
        second: String,
        /// The subject of the second.
        subject: String,
    },
    /// Two streams of one account, real or virtual, with one name.
    #[error("account {account}: two streams would be called `{name}`: {first} and {second}")]
    SameName {
        /// The account of the definition.
        account: String,
        /// The name.
        name: String,
        /// What has the name first.
        first: String,
        /// What has it too.
        second: String,
    },
}

/// What the definition does not say, but the deployment does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Major and minor version of the oldest server; `None` means one of the newest.
    pub oldest_server: Option<(u64, u64)>,
    /// The regional accounts that exist.
    pub regional: RegionalIds,
}

/// Everything that the definition's accounts have to have, on the newest servers.
///
/// # Errors
/// [`DesiredError`]
pub fn desired(definition: &Definition) -> Result<Vec<DesiredAccount<'_>>, DesiredError> {
    desired_with(definition, &Options::default())
}

/// Everything that the definition's accounts have to have: each account of the definition, followed by its regional
/// accounts in the order of the topology.
///
/// # Errors
/// [`DesiredError`]
pub fn desired_with<'a>(
    definition: &'a Definition,
    options: &Options,
) -> Result<Vec<DesiredAccount<'a>>, DesiredError> {
    let mut all = Vec::with_capacity(definition.accounts.len());
    for account in &definition.accounts {
        all.extend(accounts(&definition.topology, account, options)?);
    }
    Ok(all)
}

/// Everything that one account of the definition has to have: its own, then its regional accounts'.
///
/// # Errors
/// [`DesiredError`]
pub fn accounts<'a>(
    topology: &'a Topology,
    account: &'a Account,
    options: &Options,
) -> Result<Vec<DesiredAccount<'a>>, DesiredError> {
    check_built(account)?;
    let mut application = DesiredAccount {
        account,
        seat: Seat::Application,
        name: account.name.clone(),
        id: account.id.clone(),
        mappings: MappingSet::new(mappings::of_account(topology, account)?)
            .map_err(|overlap| DesiredError::Overlap { account: account.name.clone(), overlap })?,
        exports: Vec::new(),
        imports: Vec::new(),
        denied: None,
        streams: capturing(topology, account, options),
        consumers: Vec::new(),
    };
    check_write_subjects(account, &application.streams)?;
    let reads = reads(topology, account, options);
    let consumers = account.virtual_streams.iter().flat_map(|stream| streams::consumers(account, stream, topology));
    if account.restrict_users {
        let ApplicationPermissions { publish, subscribe } = permissions::permissions(topology, account)?;
        let denied = |lines: Vec<Line>| Permission {
            allow: Vec::new(),
            deny: lines.into_iter().map(|line| line.subject).collect(),
        };
        application.denied = Some(Permissions { publish: denied(publish.deny), subscribe: denied(subscribe.deny) });
    }
    match account.layout {
        Layout::Shared => {
            application.streams.extend(reads);
            application.consumers.extend(consumers);
            check_names(account, &application.streams)?;
            Ok(vec![application])
        }
        Layout::Regional => {
            check_names(account, &application.streams)?;
            if !account.virtual_streams.is_empty() {
                application.exports = links::exports_of_application(account);
                application.imports = links::imports_of_application(topology, account, &options.regional);
            }
            let mut regional: Vec<DesiredAccount<'a>> = topology
                .regions
                .iter()
                .map(|region| DesiredAccount {
                    account,
                    seat: Seat::Regional(region),
                    name: regional::name(account, &region.name),
                    id: options.regional.get(account, &region.name),
                    mappings: MappingSet::default(),
                    exports: links::exports_of_region(account),
                    imports: links::imports_of_region(account, region),
                    denied: None,
                    streams: Vec::new(),
                    consumers: Vec::new(),
                })
                .collect();
            let place = |name: &RegionName| topology.regions.iter().position(|region| region.name == *name);
            for read in reads {
                if let Some(place) = place(read.region) {
                    regional[place].streams.push(read);
                }
            }
            for consumer in consumers {
                if let Some(place) = place(&consumer.region) {
                    regional[place].consumers.push(consumer);
                }
            }
            Ok(std::iter::once(application).chain(regional).collect())
        }
    }
}

/// The write streams of each virtual stream, region by region, or its home stream.
fn capturing<'a>(topology: &'a Topology, account: &'a Account, options: &Options) -> Vec<DesiredStream<'a>> {
    let all = recipes(topology, account, options);
    all.filter_map(|recipe| Some(recipe.stream(recipe.stream.capturing_in(&recipe.region.name)?))).collect()
}

/// The read streams of each virtual stream, region by region.
fn reads<'a>(topology: &'a Topology, account: &'a Account, options: &Options) -> Vec<DesiredStream<'a>> {
    recipes(topology, account, options).map(|recipe| recipe.stream(Role::Read)).collect()
}

fn recipes<'a>(
    topology: &'a Topology,
    account: &'a Account,
    options: &Options,
) -> impl Iterator<Item = streams::Recipe<'a>> + use<'a> {
    let oldest_server = options.oldest_server;
    account.virtual_streams.iter().flat_map(move |stream| {
        topology.regions.iter().map(move |region| streams::Recipe { topology, account, stream, region, oldest_server })
    })
}

fn check_built(account: &Account) -> Result<(), DesiredError> {
    let not_built = |place: String, what: String| Err(DesiredError::NotBuilt { place, what });
    for stream in &account.virtual_streams {
        let place = || format!("account {}, virtual stream {}", account.name, stream.name);
        if stream.kind != Kind::Stream && account.layout == Layout::Shared {
            return not_built(place(), "a bucket in the layout `shared`".to_owned());
        }
        let level = format!("consistency: {}", stream.consistency.as_str());
        match stream.consistency {
            Consistency::Eventual => {}
            Consistency::Mirrored { .. } if account.layout == Layout::Shared => {
                return not_built(place(), format!("{level} in the layout `shared`"));
            }
            Consistency::Mirrored { .. } => {}
            Consistency::Ordered | Consistency::Immediate => return not_built(place(), level),
        }
    }
    Ok(())
}

/// A real stream called like a virtual one would answer for it; two of one name would be one.
fn check_names(account: &Account, streams: &[DesiredStream<'_>]) -> Result<(), DesiredError> {
    let describe = |stream: &DesiredStream<'_>| {
        format!("the {} stream of {} in {}", stream.role.as_str(), stream.virtual_stream, stream.region)
    };
    let same = |name: &str, first: String, second: String| {
        Err(DesiredError::SameName { account: account.name.clone(), name: name.to_owned(), first, second })
    };
    let mut names = HashSet::with_capacity(account.virtual_streams.len());
    for stream in &account.virtual_streams {
        if !names.insert(stream.name.as_str()) {
            return same(stream.name.as_str(), "a virtual stream".to_owned(), "another virtual stream".to_owned());
        }
    }
    let mut real: HashMap<&str, &DesiredStream<'_>> = HashMap::with_capacity(streams.len());
    for stream in streams {
        if names.contains(stream.name.as_str()) {
            return same(&stream.name, "a virtual stream".to_owned(), describe(stream));
        }
        if let Some(first) = real.insert(&stream.name, stream) {
            return same(&stream.name, describe(first), describe(stream));
        }
    }
    Ok(())
}

/// Servers refuse streams with common subjects (error 10065); distinct virtual subjects can still lead there.
fn check_write_subjects(account: &Account, streams: &[DesiredStream<'_>]) -> Result<(), DesiredError> {
    let captured: Vec<(String, &DesiredStream<'_>)> =
        streams.iter().flat_map(|stream| stream.subjects().into_iter().map(move |s| (s, stream))).collect();
    let mut trie = SubjectTrie::default();
    for (subject, stream) in &captured {
        let mut first: Option<&DesiredStream<'_>> = None;
        trie.overlapping(subject, &mut |other: &&DesiredStream<'_>| {
            first = Some(other);
            ControlFlow::Break(())
        });
        if let Some(first) = first {
            return Err(DesiredError::WriteSubjects {
                account: account.name.clone(),
                first: first.name.clone(),
                second: stream.name.clone(),
                subject: subject.clone(),
            });
        }
        trie.insert(subject, *stream);
    }
    Ok(())
}
