//! Virtual streams and the accounts that they live in, as defined.

use super::names::{ConsumerName, RegionName, StreamName};
use super::nkey::PublicKey;
use super::subject::SubjectFilter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How to get into an account; what it names is resolved when it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A `.creds` file.
    Credentials(PathBuf),
    /// A seed (identity or signing key) of the account; mints a short-lived, least-privilege user.
    Key(PathBuf),
    /// A context of the `nats` CLI, by name.
    Context(String),
}

/// How the streams are spread over accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Read streams in one account per region, under the virtual name.
    Regional,
    /// All streams in the application's account.
    Shared,
}

/// What the virtual stream is to its applications.
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

/// What readers in different regions may rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Write and read streams per region; order differs between regions.
    Eventual,
    /// An ordering stream in the stretch cluster; same sequence everywhere.
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

/// Requests that are mapped to the local read stream only on demand, because regions diverge by them.
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
    /// All of them.
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

/// A durable consumer of the definition, provisioned on the read stream of each region (or some).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerDefinition {
    /// Durable name.
    pub name: ConsumerName,
    /// Where it is provisioned; all regions when empty.
    pub regions: Vec<RegionName>,
    /// Consumer fields by their API names, values as the API takes them (durations in nanoseconds).
    pub config: Map<String, Value>,
}

/// One stream name that applications use in every region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualStream {
    /// The virtual name.
    pub name: StreamName,
    /// The virtual subjects; they do not overlap each other or those of other virtual streams.
    pub subjects: Vec<SubjectFilter>,
    /// Stream, KV bucket or object store.
    pub kind: Kind,
    /// What readers may rely on.
    pub consistency: Consistency,
    /// Fields of the write streams by API name, API values; defaults are filled in by `desired`.
    pub write: Map<String, Value>,
    /// Fields of the read streams by API name, API values; defaults are filled in by `desired`.
    pub read: Map<String, Value>,
    /// Names of the real streams.
    pub names: NameTemplates,
    /// Durables that every region gets.
    pub consumers: Vec<ConsumerDefinition>,
    /// Extra requests mapped to the local read stream.
    pub map_requests: Vec<MapRequest>,
    /// A bucket's settings (`kv`, `object_store`) by their NATS names.
    pub bucket: Map<String, Value>,
}

/// The fields of `write` that a `mirrored` stream takes: they are about publishing. What is kept is said under `read`.
pub const PUBLISHING: [&str; 5] = ["duplicate_window", "max_msg_size", "discard", "allow_atomic", "allow_batched"];

/// Where NATS clients receive replies unless told otherwise: the default of `inbox_prefixes`.
pub const INBOX: &str = "_INBOX";
/// Subjects of KV buckets, as clients publish them.
pub const KV: &str = "$KV";
/// Subjects of object stores, as clients publish them.
pub const OBJECTS: &str = "$O";

impl Kind {
    /// The first token of a bucket's subjects; none for a plain stream.
    pub fn prefix(self) -> Option<&'static str> {
        match self {
            Self::Stream => None,
            Self::Kv => Some(KV),
            Self::ObjectStore => Some(OBJECTS),
        }
    }
}

/// What a real stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Captures what is published in its region.
    Write,
    /// Captures what is published in all regions; the read streams mirror it.
    Home,
    /// Serves the readers of its region: sources all write streams, or mirrors the home stream.
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

    /// Returns whether such a stream captures what applications publish, in the application's account.
    pub fn captures(self) -> bool {
        match self {
            Self::Write | Self::Home => true,
            Self::Read => false,
        }
    }
}

impl VirtualStream {
    /// Returns an eventually consistent stream of these subjects, every other setting at the definition's default.
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

    /// The stream's name as clients know it: `foo`, `KV_cfg`, `OBJ_files`.
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

    /// Returns the name of the home stream of a `mirrored` stream: a bucket's is called like the bucket.
    ///
    /// Client libraries derive the prefix of a bucket's keys from the name of the stream that their stream mirrors
    /// (measured, server-facts: nats.go, nats-py and the `nats` CLI).
    pub fn home_name(&self) -> String {
        match self.kind {
            Kind::Stream => format!("{}-home", self.name),
            Kind::Kv | Kind::ObjectStore => self.stream_name(),
        }
    }

    /// Returns the role of the stream that captures this one's subjects in the cluster of `region`, if one does: each region
    /// has a write stream, or one of them the home stream.
    pub fn capturing_in(&self, region: &RegionName) -> Option<Role> {
        match self.home() {
            None => Some(Role::Write),
            Some(home) => (home == region).then_some(Role::Home),
        }
    }

    /// Name of the write stream in `region`.
    pub fn write_name(&self, region: &RegionName) -> String {
        fill(&self.names.write, &self.name, region)
    }
}

fn fill(template: &str, stream: &StreamName, region: &RegionName) -> String {
    template.replace("{stream}", stream.as_str()).replace("{region}", region.as_str())
}

impl Account {
    /// Name of the read stream in `region`: the virtual one in the layout `regional`.
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

    /// Whether applications may make this request of the virtual stream: as defined, and in the layout `regional` for
    /// object stores, since clients purge the chunks of an object that is deleted or replaced. Of a `mirrored` one they
    /// purge the home stream.
    pub fn opens(&self, stream: &VirtualStream, request: MapRequest) -> bool {
        let chunks = stream.kind == Kind::ObjectStore && request == MapRequest::Purge;
        chunks || stream.map_requests.contains(&request) || self.opens_to_all().contains(&request)
    }

    /// Requests that applications may make of all virtual streams (`map_requests` of the account).
    pub fn opens_to_all(&self) -> &[MapRequest] {
        self.map_requests.as_deref().unwrap_or_default()
    }

    /// The subject root that a subject is below.
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
    /// Made by the tool; a name template with `{account}` and `{region}`.
    Named(String),
    /// Existing ones, one per region.
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
    /// The definition's name for it.
    pub name: String,
    /// Public key (`A…`).
    pub id: PublicKey,
    /// How the streams are provisioned in it.
    pub access: Access,
    /// The key that issues activation tokens and users; found in the keys folder when absent.
    pub signing_key: Option<PublicKey>,
    /// Where the read streams live.
    pub layout: Layout,
    /// Layout `regional`: the account's JetStream is virtual streams only.
    pub exclusive: bool,
    /// Literal prefixes below which every subject is virtual (`app` stands for `app.>`).
    pub subject_roots: Vec<SubjectFilter>,
    /// Layout `regional`: the accounts of the read streams.
    pub regional_accounts: RegionalAccounts,
    /// Whether the account's `default_permissions` keep applications off the write streams.
    pub restrict_users: bool,
    /// Prefixes of the applications' reply subjects.
    pub inbox_prefixes: Vec<SubjectFilter>,
    /// Layout `regional`: limits of the regional accounts, by their names in an account token (`nats.limits`).
    pub regional_limits: Map<String, Value>,
    /// Requests of all its virtual streams that are opened to applications besides those that are harmless. `None` where
    /// the definition says nothing of them: then what another definition opened stays open.
    pub map_requests: Option<Vec<MapRequest>>,
    /// How long activation tokens between the account and its regional accounts hold, in seconds; without end when
    /// `None`.
    pub activation_lifetime: Option<u64>,
    /// In definition order.
    pub virtual_streams: Vec<VirtualStream>,
}

impl Account {
    /// Returns an account without virtual streams, every setting at the definition's default.
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
