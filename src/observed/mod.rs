//! The observed deployment: data that servers report, and the trait for requests to them.

pub(crate) mod collect;
pub mod connection;
#[cfg(test)]
pub(crate) mod fake;
pub mod jetstream;
pub mod listeners;
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

/// Reason why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The subject has no subscriber.
    #[error("no responders on {0}")]
    NoResponders(String),
    /// No answer came in time.
    #[error("no answer on {0} in time")]
    Timeout(String),
    /// The user may not publish there, as the server reported.
    #[error("the user may not publish on {0}")]
    Permission(String),
    /// The answers exceed the bound on bytes, replies or pages.
    #[error("the answers on {0} have no end")]
    TooMuch(String),
    /// The connection was closed or failed.
    #[error("connection: {0}")]
    Connection(String),
    /// Two different answers came in the name of one server: another client sent one of them.
    #[error("two different answers on {subject} in the name of server {server}: one of them is not that server's")]
    TwoAnswers {
        /// The subject of the request.
        subject: String,
        /// The server's name.
        server: String,
    },
}

/// Requests over one connection, to the system account or to an application's account.
///
/// All code that talks to servers uses this trait, so that a test can stand in for 200 servers.
pub trait Requests: Send + Sync {
    /// Sends one request, and returns one reply.
    fn request(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Reply, RequestError>> + Send;

    /// Sends one request. Returns the replies that come until `enough` returns `true` or `timeout` has passed. The list
    /// is empty if no reply comes in time.
    ///
    /// "No responders" comes instead of replies, and any client that may reply can forge it. If it comes before any
    /// reply, `enough` is called with none. It is an error if no reply follows.
    fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> impl Future<Output = Result<Vec<Reply>, RequestError>> + Send;

    /// Returns the connection's user, if known.
    fn user(&self) -> Option<&User> {
        None
    }
}

/// The difference between a server's clock and this machine's, in milliseconds; positive if the server's clock is
/// ahead. The server answered at some time between the request and the arrival of its answer, so there are two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// The smallest possible difference.
    pub least: i64,
    /// The largest possible difference.
    pub most: i64,
}

/// A server of the deployment, from `$SYS.REQ.SERVER.PING.STATSZ` and `.VARZ`.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Server id (`N…`).
    pub id: String,
    /// Server name.
    pub name: String,
    /// The cluster's name, which is its gateway's name.
    pub cluster: String,
    /// `2.15.1`
    pub version: String,
    /// Keys whose signatures the server accepts on account tokens: operators' signing keys, and operators' identity
    /// keys unless strict signing key usage is on.
    pub trusted_keys: Vec<String>,
    /// The system account's public key.
    pub system_account: String,
    /// The largest message that the server accepts, in bytes.
    pub max_payload: u64,
    /// JetStream domain, if any.
    pub domain: Option<String>,
    /// The difference of the server's clock, if the server reported its time.
    pub clock: Option<ClockOffset>,
    /// The raw `VARZ`.
    pub varz: Value,
    /// Records whether the server's resolver answers look-ups, once that is known.
    pub look_ups: LookUps,
}

/// Knowledge about whether a server's resolver answers look-ups, which a run gains after it has read the server. Clones
/// share it, and comparisons of servers ignore it.
#[derive(Debug, Clone, Default)]
pub struct LookUps(Arc<OnceLock<bool>>);

impl LookUps {
    pub(crate) fn learn(&self, answers: bool) {
        // The first answer counts.
        let _ = self.0.set(answers);
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.0.get().is_none()
    }

    /// Checks whether the resolver is known to leave look-ups unanswered, as a `cache` does.
    pub(crate) fn are_left(&self) -> bool {
        self.0.get() == Some(&false)
    }
}

impl PartialEq for LookUps {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Server {
    /// Returns a server with these facts and defaults. It accepts messages of 1 MiB, the servers' default.
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
    /// Checks whether JetStream is enabled on the server.
    pub fn has_jetstream(&self) -> bool {
        self.varz["jetstream"]["config"].is_object()
    }

    /// Checks whether the server may forget a stream when it restarts, if the stream changed after the last snapshot of
    /// the JetStream meta group. The server takes one snapshot per minute, and keeps a change that is the last of the
    /// log. 30 s after the restart it deletes its data of the stream. See jetstream_cluster.go
    /// (`recoveryUpdates.updateStream`, and no snapshot after an update) in 2.11.10 to 2.11.17, 2.12.1 and 2.12.2.
    /// Measured on 2.11.11: streams that had been made and changed were gone with all messages after their region
    /// restarted.
    pub fn forgets_changed_streams(&self) -> bool {
        match server_version::numbers(&self.version).collect::<Vec<_>>()[..] {
            [2, 11, patch, ..] => patch >= 10,
            [2, 12, patch, ..] => patch == 1 || patch == 2,
            _ => false,
        }
    }

    /// Checks whether a replicated stream with a subject transform compares `Nats-Expected-Last-Subject-Sequence` with
    /// messages on the untransformed subject, of which there are none. The server then refuses any value but 0, and
    /// compares 0 once more with the stored messages (nats-server before 2.12.8 `server/jetstream_cluster.go`,
    /// `processClusteredInboundMsg`; measured, 2.10.26, 2.11.11).
    pub fn compares_before_transform(&self) -> bool {
        match server_version::numbers(&self.version).collect::<Vec<_>>()[..] {
            [2, 12, patch, ..] => patch < 8,
            [2, minor, ..] => minor < 12,
            _ => false,
        }
    }

    /// Checks whether only consumers of the same tier count against a tier's limit (nats-server 2.15.1
    /// `server/jetstream_cluster.go`, `jsClusteredConsumerRequest`; measured). Older servers count all consumers of the
    /// stream.
    pub fn counts_consumers_by_tier(&self) -> bool {
        server_version::numbers(&self.version).ge([2, 15, 1])
    }

    /// Checks whether the server started so recently that other servers may still count its predecessor.
    fn is_new(&self) -> bool {
        const REMEMBERED: i64 = 160;
        let time = |field: &str| self.varz[field].as_str()?.parse::<jiff::Timestamp>().ok();
        match (time("start"), time("now")) {
            (Some(start), Some(now)) => now.as_second() - start.as_second() < REMEMBERED,
            _ => false,
        }
    }
}

/// All servers that answered, and the number of servers expected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deployment {
    /// Sorted by cluster and name.
    pub servers: Vec<Server>,
    /// The largest `active_servers` that any server reported.
    pub expected: usize,
}

/// The name that servers report for a peer whose name they do not know yet.
const UNNAMED: &str = "Server name unknown";

impl Deployment {
    /// Returns the number of servers that should have answered but did not.
    ///
    /// Servers count a stopped server as active for up to 150 s, under each id that it had (nats-server 2.15
    /// `events.go`, measured). So while a server is that new, this function ignores the count and uses other facts:
    /// routes inside the clusters, and the peers of JetStream's meta group.
    pub fn missing(&self) -> usize {
        let known = self.known_missing();
        match self.servers.iter().any(Server::is_new) {
            true => known,
            false => known.max(self.expected.saturating_sub(self.servers.len())),
        }
    }

    /// Returns the number of servers that answer look-ups, as far as known. Servers with a `cache` resolver do not.
    pub(crate) fn answering(&self) -> usize {
        self.servers.iter().filter(|server| !server.look_ups.are_left()).count()
    }

    /// Returns the number of missing servers by what servers report about each other, apart from their count of active
    /// servers.
    pub(crate) fn known_missing(&self) -> usize {
        self.unanswered_routes().max(self.unanswered_peers()).max(self.missing_names().len())
    }

    /// Returns the names of the servers that answered.
    fn answered(&self) -> HashSet<&str> {
        self.servers.iter().map(|server| server.name.as_str()).collect()
    }

    /// Returns the number of servers that did not answer although another server of their cluster has a route to them
    /// (`VARZ` `remotes`).
    fn unanswered_routes(&self) -> usize {
        let of_cluster = |cluster: &str| {
            let members = || self.servers.iter().filter(|server| server.cluster == cluster);
            let remotes = members().filter_map(|server| server.varz["remotes"].as_u64()).max().unwrap_or(0);
            usize::try_from(remotes).unwrap_or(usize::MAX).saturating_add(1).saturating_sub(members().count())
        };
        self.clusters().into_iter().map(of_cluster).fold(0, usize::saturating_add)
    }

    /// Returns the number of peers of the meta group that did not answer. A new meta leader does not know all their
    /// names yet (measured, 2.15.1). A peer without a name may be a server that answered and that the leader does not
    /// list otherwise. Only a leader lists peers. If no leader answers, the size of the group counts (`monitor.go`,
    /// `MetaClusterInfo`).
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

    /// Returns the number of servers, including those that do not answer.
    pub fn total(&self) -> usize {
        // Servers may report any number.
        self.servers.len().saturating_add(self.missing())
    }

    /// Returns the names of JetStream servers that did not answer: the meta leader, as the other servers name it, and
    /// the peers that it knows. Does not include servers without JetStream.
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

    /// Returns `2 of 9 servers do not answer (among them east-1)`. Returns `None` if all do.
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

    /// Returns the servers' clusters, sorted, each once.
    pub fn clusters(&self) -> Vec<&str> {
        let mut clusters: Vec<&str> = self.servers.iter().map(|server| server.cluster.as_str()).collect();
        clusters.sort_unstable();
        clusters.dedup();
        clusters
    }
}

/// An account as one server knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountOnServer {
    /// Server name.
    pub server: String,
    /// The server's cluster.
    pub cluster: String,
    /// The result of `CLAIMS.LOOKUP`.
    pub stored: Stored,
    /// The result of `ACCOUNTZ`.
    pub live: Live,
}

impl AccountOnServer {
    /// Checks whether the server has a `cache` resolver.
    pub fn is_cache(&self) -> bool {
        matches!(self.stored, Stored::NotKept { .. })
    }
}

/// The resolver's copy on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The token.
    Token(String),
    /// The server answered that it has no token.
    Nothing,
    /// One of these tokens, or none for `None`. Servers hold different tokens, and the answers to `CLAIMS.LOOKUP` do
    /// not name their servers.
    Unclear(Vec<Option<String>>),
    /// The server's resolver answers no look-ups (`cache`). It gets missing tokens from other servers.
    NotKept {
        /// `true` if the server has a copy of its own, which may be old.
        cached: bool,
    },
    /// The server's resolver is `url` or `memory`, and the server loads tokens from elsewhere.
    Outside {
        /// The account's token there, if there is one.
        token: Option<String>,
        /// `true` for the preload. The server has the token once it has reloaded the preload.
        by_reload: bool,
    },
    /// No answer in time.
    NoAnswer,
}

/// An account that a run does not change: its token in the preload, and the one in force on each server.
#[derive(Debug, Clone, PartialEq)]
pub struct Bystander {
    /// The account.
    pub id: PublicKey,
    /// The account's token in the file.
    pub kept: Option<String>,
    /// The account on each server, in the order of the deployment.
    pub servers: Vec<AccountOnServer>,
}

/// The fields of an account's `account_detail` in `ACCOUNTZ` that this tool uses. The rest, such as the decoded claims,
/// is as large again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// The token in force. Without a token, the account is a placeholder that the server made when another server
    /// reported interest in it.
    pub jwt: String,
    /// `true` if the token has expired.
    pub expired: bool,
    /// `false` if imports do not work.
    pub complete: Option<bool>,
    /// The imports.
    pub imports: Vec<DetailImport>,
    /// The mappings in force, by their source.
    pub mappings: BTreeMap<String, Vec<DetailDestination>>,
}

/// An import in [`Detail`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DetailImport {
    /// The subject in the exporting account.
    pub subject: String,
    /// The subject in the importing account, if it differs.
    pub local_subject: String,
    /// `true` if the server considers the import invalid.
    pub invalid: bool,
}

impl DetailImport {
    /// Returns the subject in the importing account.
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
    /// The sum of the weights up to this destination, among those of its cluster.
    pub weight: u64,
    /// The cluster that the destination is for; empty for all other clusters.
    pub cluster: String,
}

/// The account as it is in force on one server.
#[derive(Debug, Clone, PartialEq)]
pub enum Live {
    /// Loaded.
    Loaded(Detail),
    /// Not loaded, or only known by name. The server loads the account on first use.
    NotLoaded,
    /// No answer in time.
    NoAnswer,
    /// The server answered with another error.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Any user of the system account can answer in a server's name, with any numbers.
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
