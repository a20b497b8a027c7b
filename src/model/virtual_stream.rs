//! Virtual streams and their accounts, as defined.

use super::names::{ConsumerName, RegionName, StreamName};
use super::nkey::PublicKey;
use super::subject::SubjectFilter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Access to an account. Its file or context is read when it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A `.creds` file.
    Credentials(PathBuf),
    /// A file with a seed of the account (identity or signing key). The tool mints a short-lived, least-privilege user
    /// with it.
    Key(PathBuf),
    /// A context of the `nats` CLI, by name.
    Context(String),
}

/// The distribution of streams over accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Read streams in one account per region, under the virtual name.
    Regional,
    /// All streams in the application's account.
    Shared,
}

/// The kind of a virtual stream, as applications see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A plain stream.
    Stream,
    /// A KV bucket.
    Kv,
    /// An object store.
    ObjectStore,
}

/// The guarantee to readers in different regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Write and read streams per region. The order differs between regions.
    Eventual,
    /// An ordering stream in the stretch cluster. The sequence is the same everywhere.
    Ordered,
    /// One stream in the stretch cluster, mirrors in the regions.
    Immediate,
    /// One stream in its home region, mirrors elsewhere.
    Mirrored {
        /// The region that holds the stream.
        home: RegionName,
    },
}

impl Consistency {
    /// Returns the level as definitions name it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Ordered => "ordered",
            Self::Immediate => "immediate",
            Self::Mirrored { .. } => "mirrored",
        }
    }
}

/// Requests that are mapped to the local read stream only on demand, because they make regions diverge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MapRequest {
    /// `STREAM.PURGE`.
    Purge,
    /// `STREAM.MSG.DELETE`.
    MsgDelete,
    /// `STREAM.SNAPSHOT`.
    Snapshot,
}

impl MapRequest {
    /// All requests.
    pub const ALL: [Self; 3] = [Self::Purge, Self::MsgDelete, Self::Snapshot];

    /// The request's name in the JetStream API.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Purge => "STREAM.PURGE",
            Self::MsgDelete => "STREAM.MSG.DELETE",
            Self::Snapshot => "STREAM.SNAPSHOT",
        }
    }
}

/// The templates of the real streams' names; `{stream}` and `{region}` are filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTemplates {
    /// Write stream, `{stream}-write-{region}` by default.
    pub write: String,
    /// Read stream, `{stream}-read-{region}` by default.
    pub read: String,
}

impl Default for NameTemplates {
    fn default() -> Self {
        Self { write: "{stream}-write-{region}".to_owned(), read: "{stream}-read-{region}".to_owned() }
    }
}

/// A durable consumer of the definition. The tool provisions it on the read stream of each region, or of some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerDefinition {
    /// Durable name.
    pub name: ConsumerName,
    /// Regions in which the consumer is provisioned; all regions if empty.
    pub regions: Vec<RegionName>,
    /// Consumer fields by their API names, with values in the API's form (durations in nanoseconds).
    pub config: Map<String, Value>,
}

/// One stream name that applications use in every region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualStream {
    /// The virtual name.
    pub name: StreamName,
    /// The virtual subjects. They overlap neither each other nor those of other virtual streams.
    pub subjects: Vec<SubjectFilter>,
    /// Stream, KV bucket or object store.
    pub kind: Kind,
    /// The guarantee to readers.
    pub consistency: Consistency,
    /// Fields of the write streams by their API names, with API values. `desired` adds the defaults.
    pub write: Map<String, Value>,
    /// Fields of the read streams by their API names, with API values. `desired` adds the defaults.
    pub read: Map<String, Value>,
    /// Names of the real streams.
    pub names: NameTemplates,
    /// Durable consumers of the definition.
    pub consumers: Vec<ConsumerDefinition>,
    /// Extra requests mapped to the local read stream.
    pub map_requests: Vec<MapRequest>,
    /// A bucket's settings (`kv`, `object_store`) by their NATS names.
    pub bucket: Map<String, Value>,
}

/// The fields of `write` that a `mirrored` stream may have, because they are about publishing. Retention is set under
/// `read`.
pub const PUBLISHING: [&str; 5] = ["duplicate_window", "max_msg_size", "discard", "allow_atomic", "allow_batched"];

/// The prefix on which NATS clients receive replies by default. It is the default of `inbox_prefixes`.
pub const INBOX: &str = "_INBOX";
/// First token of the subjects on which clients publish to KV buckets.
pub const KV: &str = "$KV";
/// First token of the subjects on which clients publish to object stores.
pub const OBJECTS: &str = "$O";

impl Kind {
    /// Returns the first token of a bucket's subjects. Returns `None` for a plain stream.
    pub fn prefix(self) -> Option<&'static str> {
        match self {
            Self::Stream => None,
            Self::Kv => Some(KV),
            Self::ObjectStore => Some(OBJECTS),
        }
    }
}

/// The role of a real stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Captures the messages that are published in its region.
    Write,
    /// Captures the messages that are published in all regions. The read streams mirror it.
    Home,
    /// Serves the readers of its region. It sources all write streams, or mirrors the home stream.
    Read,
}

impl Role {
    /// Returns the role as the stream's metadata names it: `write`, `home` or `read`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Home => "home",
            Self::Read => "read",
        }
    }

    /// Returns the role that the metadata names.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Write, Self::Home, Self::Read].into_iter().find(|role| role.as_str() == text)
    }

    /// Returns `true` if a stream with this role captures what applications publish, in the application's account.
    pub fn captures(self) -> bool {
        match self {
            Self::Write | Self::Home => true,
            Self::Read => false,
        }
    }

    /// Returns `true` if a stream with this role serves the readers of its region.
    pub fn serves(self) -> bool {
        !self.captures()
    }
}

impl VirtualStream {
    /// Returns an eventually consistent stream of these subjects, with defaults for all other settings.
    pub fn new(name: StreamName, subjects: Vec<SubjectFilter>) -> Self {
        Self {
            name,
            subjects,
            kind: Kind::Stream,
            consistency: Consistency::Eventual,
            write: Map::new(),
            read: Map::new(),
            names: NameTemplates::default(),
            consumers: Vec::new(),
            map_requests: Vec::new(),
            bucket: Map::new(),
        }
    }

    /// Returns the stream's name as clients know it: `foo`, `KV_cfg`, `OBJ_files`.
    pub fn stream_name(&self) -> String {
        match self.kind {
            Kind::Stream => self.name.to_string(),
            Kind::Kv => format!("KV_{}", self.name),
            Kind::ObjectStore => format!("OBJ_{}", self.name),
        }
    }

    /// Returns the home region of a `mirrored` stream.
    pub fn home(&self) -> Option<&RegionName> {
        match &self.consistency {
            Consistency::Mirrored { home } => Some(home),
            Consistency::Eventual | Consistency::Ordered | Consistency::Immediate => None,
        }
    }

    /// Returns the name of the home stream of a `mirrored` stream. A bucket's home stream has the bucket's own stream
    /// name.
    ///
    /// Client libraries derive the prefix of a bucket's keys from the name of the mirrored stream (measured,
    /// server-facts: nats.go, nats-py and the `nats` CLI).
    pub fn home_name(&self) -> String {
        match self.kind {
            Kind::Stream => format!("{}-home", self.name),
            Kind::Kv | Kind::ObjectStore => self.stream_name(),
        }
    }

    /// Returns the role of the stream that captures this stream's subjects in the cluster of `region`, if there is one.
    /// Either each region has a write stream, or one region has the home stream.
    pub fn capturing_in(&self, region: &RegionName) -> Option<Role> {
        match self.home() {
            None => Some(Role::Write),
            Some(home) => (home == region).then_some(Role::Home),
        }
    }

    /// Returns the name of the write stream in `region`.
    pub fn write_name(&self, region: &RegionName) -> String {
        fill(&self.names.write, &self.name, region)
    }
}

fn fill(template: &str, stream: &StreamName, region: &RegionName) -> String {
    template.replace("{stream}", stream.as_str()).replace("{region}", region.as_str())
}

impl Account {
    /// Returns the name of the read stream in `region`. In the layout `regional`, it is the virtual name.
    pub fn read_name(&self, stream: &VirtualStream, region: &RegionName) -> String {
        match self.layout {
            Layout::Regional => stream.stream_name(),
            Layout::Shared => fill(&stream.names.read, &stream.name, region),
        }
    }

    /// Returns the real name of the stream that has this role in `region`.
    pub fn real_name(&self, stream: &VirtualStream, role: Role, region: &RegionName) -> String {
        match role {
            Role::Write => stream.write_name(region),
            Role::Home => stream.home_name(),
            Role::Read => self.read_name(stream, region),
        }
    }

    /// Returns `true` if applications may make this request of the virtual stream, because the definition opens it.
    ///
    /// In the layout `regional`, object stores are always open to purges: clients purge the chunks of an object that is
    /// deleted or replaced. For a `mirrored` object store, clients purge the home stream.
    pub fn opens(&self, stream: &VirtualStream, request: MapRequest) -> bool {
        let chunks = stream.kind == Kind::ObjectStore && request == MapRequest::Purge;
        chunks || stream.map_requests.contains(&request) || self.opens_to_all().contains(&request)
    }

    /// Returns the requests that applications may make of all virtual streams (`map_requests` of the account).
    pub fn opens_to_all(&self) -> &[MapRequest] {
        self.map_requests.as_deref().unwrap_or_default()
    }

    /// Returns the subject root that a subject is below.
    pub fn root_of(&self, subject: &SubjectFilter) -> Option<&SubjectFilter> {
        let below = |root: &&SubjectFilter| {
            subject.as_str().strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        self.subject_roots.iter().find(below)
    }
}

/// The regional accounts of an application's account (layout `regional`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionalAccounts {
    /// Accounts that the tool makes, with a name template with `{account}` and `{region}`.
    Named(String),
    /// Existing accounts, one per region.
    Existing(BTreeMap<RegionName, ExistingAccount>),
}

impl Default for RegionalAccounts {
    fn default() -> Self {
        Self::Named("{account}-{region}".to_owned())
    }
}

/// An existing account that serves as a regional account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingAccount {
    /// Public key (`A…`).
    pub id: PublicKey,
    /// A `.creds` file of one of its users.
    pub credentials: PathBuf,
}

/// An application's account with its virtual streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's name in the definition.
    pub name: String,
    /// Public key (`A…`).
    pub id: PublicKey,
    /// The access with which streams are provisioned in the account.
    pub access: Access,
    /// The key that issues activation tokens and users. If `None`, the tool looks for one in the keys folder.
    pub signing_key: Option<PublicKey>,
    /// The layout, which decides the accounts of the read streams.
    pub layout: Layout,
    /// Layout `regional`: `true` if the account uses JetStream only for virtual streams.
    pub exclusive: bool,
    /// Literal prefixes below which every subject is virtual (`app` stands for `app.>`).
    pub subject_roots: Vec<SubjectFilter>,
    /// Layout `regional`: the accounts of the read streams.
    pub regional_accounts: RegionalAccounts,
    /// `true` if the account's `default_permissions` keep applications off the write streams.
    pub restrict_users: bool,
    /// Prefixes of the applications' reply subjects.
    pub inbox_prefixes: Vec<SubjectFilter>,
    /// Layout `regional`: limits of the regional accounts, by their names in an account token (`nats.limits`).
    pub regional_limits: Map<String, Value>,
    /// Requests about all its virtual streams that are open to applications, besides the harmless ones. `None` if the
    /// definition does not mention them. In that case, requests that another definition opened stay open.
    pub map_requests: Option<Vec<MapRequest>>,
    /// Lifetime of activation tokens between the account and its regional accounts, in seconds; unlimited if `None`.
    pub activation_lifetime: Option<u64>,
    /// The virtual streams in the order of the definition.
    pub virtual_streams: Vec<VirtualStream>,
}

impl Account {
    /// Returns an account without virtual streams, with defaults for all settings.
    pub fn new(name: &str, id: PublicKey, access: Access) -> Self {
        Self {
            name: name.to_owned(),
            id,
            access,
            signing_key: None,
            layout: Layout::Regional,
            exclusive: true,
            subject_roots: Vec::new(),
            regional_accounts: RegionalAccounts::default(),
            restrict_users: false,
            inbox_prefixes: SubjectFilter::parse(INBOX).into_iter().collect(),
            regional_limits: Map::new(),
            map_requests: None,
            activation_lifetime: None,
            virtual_streams: Vec::new(),
        }
    }
}
