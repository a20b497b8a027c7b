//! What the servers say: the data, and the trait by which they are asked.

pub(crate) mod collect;
#[cfg(test)]
pub(crate) mod fake;
pub mod jetstream;
pub mod link;
pub mod listeners;
mod lookup;
pub mod survey;
pub mod system;
mod user;

pub use user::User;

use crate::model::nkey::PublicKey;
use crate::model::server_version;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A reply to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `Nats-…` and other headers, in order.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens on the subject.
    #[error("no responders on {0}")]
    NoResponders(String),
    /// Nobody answered within the time.
    #[error("no answer on {0} in time")]
    Timeout(String),
    /// The user may not publish there (the server said so).
    #[error("the user may not publish on {0}")]
    Permission(String),
    /// More was answered than is taken: bytes, replies or pages.
    #[error("the answers on {0} have no end")]
    TooMuch(String),
    /// The connection is gone or failed.
    #[error("connection: {0}")]
    Connection(String),
    /// Two different answers in the name of one server: one of them is not the server's.
    #[error("two different answers on {subject} in the name of server {server}: one of them is not that server's")]
    TwoAnswers {
        /// Where it was asked.
        subject: String,
        /// The server's name.
        server: String,
    },
}

/// Requests over one connection, to the system account or to an application's account.
///
/// Everything that talks to servers is written against this, so that a test can stand in for 200 servers.
pub trait Requests: Send + Sync {
    /// One request, one reply.
    fn request(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Reply, RequestError>> + Send;

    /// One request, replies until `enough` says so or `timeout` has passed; then what came. No reply in time is an empty
    /// list.
    ///
    /// "No responders" comes in place of all replies, and whoever may reply can forge it. Before any reply, `enough` is
    /// asked with none; at the end it is an error if none came.
    fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> impl Future<Output = Result<Vec<Reply>, RequestError>> + Send;

    /// Whose connection it is, if that is known.
    fn user(&self) -> Option<&User> {
        None
    }
}

/// How a server's clock differs from this machine's, in milliseconds: positive when it is ahead. It answered somewhere
/// between the request and the arrival of its answer, so there are two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// At least.
    pub least: i64,
    /// At most.
    pub most: i64,
}

/// A server of the deployment, from `$SYS.REQ.SERVER.PING.STATSZ` and `.VARZ`.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Server id (`N…`).
    pub id: String,
    /// Server name.
    pub name: String,
    /// Cluster, that is gateway, name.
    pub cluster: String,
    /// `2.15.1`
    pub version: String,
    /// Keys whose signatures it accepts on account tokens: operators' signing keys, and their identities
    /// unless strict signing key usage is on.
    pub trusted_keys: Vec<String>,
    /// The system account's public key.
    pub system_account: String,
    /// Bytes.
    pub max_payload: u64,
    /// JetStream domain, if any.
    pub domain: Option<String>,
    /// Its clock against ours, if it told the time.
    pub clock: Option<ClockOffset>,
    /// The raw `VARZ`.
    pub varz: Value,
    /// Whether its resolver answers look-ups, once that is known.
    pub look_ups: LookUps,
}

/// Whether a server's resolver answers look-ups: what is learnt after the server was read. Clones share it, and it makes no
/// two servers different.
#[derive(Debug, Clone, Default)]
pub struct LookUps(Arc<OnceLock<bool>>);

impl LookUps {
    fn learn(&self, answers: bool) {
        // What was said first stands.
        let _ = self.0.set(answers);
    }

    fn is_unknown(&self) -> bool {
        self.0.get().is_none()
    }

    /// Whether they were found to be left unanswered, as a `cache` does.
    fn are_left(&self) -> bool {
        self.0.get() == Some(&false)
    }
}

impl PartialEq for LookUps {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Server {
    /// Returns a server of which no more than this is known; it takes messages of 1 MiB, as servers do by default.
    pub fn new(name: &str, cluster: &str, version: &str) -> Self {
        Self {
            id: format!("N-{name}"),
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            version: version.to_owned(),
            trusted_keys: Vec::new(),
            system_account: String::new(),
            max_payload: 1 << 20,
            domain: None,
            clock: None,
            varz: Value::Null,
            look_ups: LookUps::default(),
        }
    }
}

impl Server {
    /// Whether JetStream is on there.
    pub fn has_jetstream(&self) -> bool {
        self.varz["jetstream"]["config"].is_object()
    }

    /// Whether it may forget a stream, when it restarts, that was changed since its last snapshot of the JetStream meta
    /// group, which it takes once a minute (a change that is the last of its log is kept); 30 s later it deletes what it has
    /// of it. From jetstream_cluster.go (`recoveryUpdates.updateStream`, and no snapshot after an update) in 2.11.10 to
    /// 2.11.17, 2.12.1 and 2.12.2; measured on 2.11.11: streams that had been made and changed were gone with all messages
    /// when their region was started again.
    pub fn forgets_changed_streams(&self) -> bool {
        match server_version::numbers(&self.version).collect::<Vec<_>>()[..] {
            [2, 11, patch, ..] => patch >= 10,
            [2, 12, patch, ..] => patch == 1 || patch == 2,
            _ => false,
        }
    }

    /// Returns whether a replicated stream with a subject transform compares `Nats-Expected-Last-Subject-Sequence` with
    /// messages on the subject as it was before the transform, of which there are none: any but 0 is refused, and 0 is
    /// compared once more with what is stored (nats-server before 2.12.8 `server/jetstream_cluster.go`,
    /// `processClusteredInboundMsg`; measured, 2.10.26, 2.11.11).
    pub fn compares_before_transform(&self) -> bool {
        match server_version::numbers(&self.version).collect::<Vec<_>>()[..] {
            [2, 12, patch, ..] => patch < 8,
            [2, minor, ..] => minor < 12,
            _ => false,
        }
    }

    /// Whether, with limits by tier, only consumers of the same tier count against a tier's limit (nats-server 2.15.1
    /// `server/jetstream_cluster.go`, `jsClusteredConsumerRequest`; measured). Before, all of the stream do.
    pub fn counts_consumers_by_tier(&self) -> bool {
        server_version::numbers(&self.version).ge([2, 15, 1])
    }

    /// Whether it started so recently that others may still count its predecessor.
    fn is_new(&self) -> bool {
        const REMEMBERED: i64 = 160;
        let time = |field: &str| self.varz[field].as_str()?.parse::<jiff::Timestamp>().ok();
        match (time("start"), time("now")) {
            (Some(start), Some(now)) => now.as_second() - start.as_second() < REMEMBERED,
            _ => false,
        }
    }
}

/// All servers that answered, and how many should have.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deployment {
    /// Sorted by cluster and name.
    pub servers: Vec<Server>,
    /// The largest `active_servers` that any of them reported.
    pub expected: usize,
}

/// How servers call a peer whose name they do not know yet.
const UNNAMED: &str = "Server name unknown";

impl Deployment {
    /// How many servers should have answered and did not.
    ///
    /// Servers count a stopped one as active for up to 150 s, under each id that it had (nats-server 2.15 `events.go`,
    /// measured). So while a server is that new, the count is not believed, but what is known by other ways: routes
    /// inside the clusters, and the peers of JetStream's meta group.
    pub fn missing(&self) -> usize {
        let known = self.known_missing();
        match self.servers.iter().any(Server::is_new) {
            true => known,
            false => known.max(self.expected.saturating_sub(self.servers.len())),
        }
    }

    /// How many servers answer look-ups, as far as it is known: those with a `cache` resolver do not.
    pub(crate) fn answering(&self) -> usize {
        self.servers.iter().filter(|server| !server.look_ups.are_left()).count()
    }

    /// The same by what servers know of each other, without their count of active servers.
    pub(crate) fn known_missing(&self) -> usize {
        self.unanswered_routes().max(self.unanswered_peers()).max(self.missing_names().len())
    }

    /// Names of the servers that answered.
    fn answered(&self) -> HashSet<&str> {
        self.servers.iter().map(|server| server.name.as_str()).collect()
    }

    /// Servers that others of their cluster have a route to (`VARZ` `remotes`), and that did not answer.
    fn unanswered_routes(&self) -> usize {
        let of_cluster = |cluster: &str| {
            let members = || self.servers.iter().filter(|server| server.cluster == cluster);
            let remotes = members().filter_map(|server| server.varz["remotes"].as_u64()).max().unwrap_or(0);
            usize::try_from(remotes).unwrap_or(usize::MAX).saturating_add(1).saturating_sub(members().count())
        };
        self.clusters().into_iter().map(of_cluster).fold(0, usize::saturating_add)
    }

    /// Peers of the meta group that did not answer. A new meta leader does not know all their names yet (measured, 2.15.1):
    /// those without a name may be servers that answered and are not in its list otherwise. Only a leader lists them; where
    /// none answers, there is the size of the group (monitor.go, `MetaClusterInfo`).
    fn unanswered_peers(&self) -> usize {
        let group = |reporter: &Server| -> Vec<&Server> {
            let members = self.servers.iter().filter(|server| server.has_jetstream());
            members.filter(|server| server.domain == reporter.domain).collect()
        };
        let answered = self.answered();
        let of = |reporter: &Server| {
            let list = reporter.varz.pointer("/jetstream/meta/replicas")?.as_array()?;
            let names: Vec<&str> = list.iter().filter_map(|peer| peer["name"].as_str()).collect();
            let (unnamed, named): (Vec<&str>, Vec<&str>) =
                names.into_iter().partition(|name| name.starts_with(UNNAMED));
            let silent = named.iter().filter(|name| !answered.contains(**name)).count();
            let (group, named) = (group(reporter), HashSet::<&str>::from_iter(named));
            let others =
                group.iter().filter(|server| server.name != reporter.name && !named.contains(server.name.as_str()));
            Some(silent.saturating_add(unnamed.len().saturating_sub(others.count())))
        };
        let by_size = |reporter: &Server| {
            let size = reporter.varz.pointer("/jetstream/meta/cluster_size")?.as_u64()?;
            Some(usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(group(reporter).len()))
        };
        let listed = self.servers.iter().filter_map(of).max();
        listed.or_else(|| self.servers.iter().filter_map(by_size).max()).unwrap_or(0)
    }

    /// How many servers there are, those included that do not answer.
    pub fn total(&self) -> usize {
        // Counts that servers tell may be anything.
        self.servers.len().saturating_add(self.missing())
    }

    /// Names of JetStream servers that did not answer: of the meta leader, by what the others say, and of those that it
    /// knows. Servers without JetStream are not among them.
    pub fn missing_names(&self) -> Vec<String> {
        let answered = self.answered();
        let meta = || self.servers.iter().filter_map(|server| server.varz.pointer("/jetstream/meta"));
        let leaders = meta().filter_map(|meta| meta["leader"].as_str()).filter(|name| !name.is_empty());
        let peers = meta().filter_map(|meta| meta["replicas"].as_array()).flatten();
        let peers = peers.filter_map(|peer| peer["name"].as_str());
        let mut names: Vec<String> = leaders
            .chain(peers)
            .filter(|name| !name.starts_with(UNNAMED))
            .filter(|name| !answered.contains(name))
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// `2 of 9 servers do not answer (among them east-1)`; nothing when all do.
    pub fn missing_text(&self) -> Option<String> {
        let (missing, names) = (self.missing(), self.missing_names());
        let named = match names.len() {
            0 => String::new(),
            all if all == missing => format!(" ({})", names.join(", ")),
            _ => format!(" (among them {})", names.join(", ")),
        };
        let verb = if missing == 1 { "does" } else { "do" };
        (missing > 0).then(|| format!("{missing} of {} servers {verb} not answer{named}", self.total()))
    }

    /// The servers' clusters, sorted, each once.
    pub fn clusters(&self) -> Vec<&str> {
        let mut clusters: Vec<&str> = self.servers.iter().map(|server| server.cluster.as_str()).collect();
        clusters.sort_unstable();
        clusters.dedup();
        clusters
    }
}

/// What one server knows of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountOnServer {
    /// Server name.
    pub server: String,
    /// Its cluster.
    pub cluster: String,
    /// What `CLAIMS.LOOKUP` gave.
    pub stored: Stored,
    /// What `ACCOUNTZ` gave.
    pub live: Live,
}

impl AccountOnServer {
    /// Whether the server has a `cache` resolver.
    pub fn is_cache(&self) -> bool {
        matches!(self.stored, Stored::NotKept { .. })
    }
}

/// The resolver's copy on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The token.
    Token(String),
    /// The server answered that it has none.
    Nothing,
    /// Servers hold different tokens, and the answers to `CLAIMS.LOOKUP` do not say which server sent them: this
    /// server's is one of these. `None`: it has none.
    Unclear(Vec<Option<String>>),
    /// The server's resolver answers no look-ups (`cache`): what it does not have, it gets from others.
    NotKept {
        /// Whether it has a copy of its own, which may be an old one.
        cached: bool,
    },
    /// The server's resolver is `url` or `memory`: what it has is loaded from elsewhere.
    Outside {
        /// The account's token there, if there is one.
        token: Option<String>,
        /// It is the preload: the server has it once it has reloaded that.
        by_reload: bool,
    },
    /// No answer in time.
    NoAnswer,
}

/// An account that a run does not touch: its token in the preload, and what each server has in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Bystander {
    /// The account.
    pub id: PublicKey,
    /// Its token in the file.
    pub kept: Option<String>,
    /// Each server, in the order of the deployment.
    pub servers: Vec<AccountOnServer>,
}

/// Of an account's `account_detail` in `ACCOUNTZ`, what is looked at: the rest, its decoded claims among it, is as much
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// The token in force. Without one it is a placeholder, made when another server told of interest in the account.
    pub jwt: String,
    /// Whether the token has expired.
    pub expired: bool,
    /// `false` when imports do not work.
    pub complete: Option<bool>,
    /// The imports.
    pub imports: Vec<DetailImport>,
    /// The live mappings, by their source.
    pub mappings: BTreeMap<String, Vec<DetailDestination>>,
}

/// An import in [`Detail`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DetailImport {
    /// The subject in the exporting account.
    pub subject: String,
    /// The subject in the importing account, when it is another.
    pub local_subject: String,
    /// Whether the server calls it invalid.
    pub invalid: bool,
}

impl DetailImport {
    /// The subject in the importing account.
    pub fn local(&self) -> &str {
        if self.local_subject.is_empty() { &self.subject } else { &self.local_subject }
    }
}

/// A destination of a mapping in [`Detail`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DetailDestination {
    /// The subject.
    pub subject: String,
    /// The sum of the weights up to this one, among those of its cluster.
    pub weight: u64,
    /// The cluster that it is for; empty for all others.
    pub cluster: String,
}

/// The account as it is in force on one server.
#[derive(Debug, Clone, PartialEq)]
pub enum Live {
    /// Loaded.
    Loaded(Detail),
    /// Not loaded, or only known by name: it loads on first use.
    NotLoaded,
    /// No answer in time.
    NoAnswer,
    /// An answer that is an error of another kind.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Anyone in the system account can answer in a server's name, with any numbers.
    #[test]
    fn numbers_in_answers_do_not_overflow() {
        let servers = ["a", "b", "c"].map(|name| {
            let varz = json!({ "remotes": u64::MAX, "jetstream": { "meta": { "cluster_size": u64::MAX } } });
            Server { varz, ..Server::new(name, name, "2.15.1") }
        });
        let deployment = Deployment { servers: servers.to_vec(), ..Deployment::default() };
        assert_eq!((deployment.missing(), deployment.total()), (usize::MAX, usize::MAX));
    }
}
