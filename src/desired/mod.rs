//! What the definition asks for: mappings, streams and consumers, ready to be compared with what is.

use crate::model::mapping::MappingSet;
use crate::model::names::{ClusterName, RegionName};
use crate::model::virtual_stream::Account;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a real stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Captures what is published in its region.
    Write,
    /// Sources all write streams.
    Read,
}

/// The metadata keys that mark a stream as ours (`vstream.name`, `vstream.region`, `vstream.role`).
pub mod metadata {
    /// The virtual stream.
    pub const NAME: &str = "vstream.name";
    /// The region.
    pub const REGION: &str = "vstream.region";
    /// `write` or `read`.
    pub const ROLE: &str = "vstream.role";
}

/// A stream that has to exist.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DesiredStream {
    /// The virtual stream it serves.
    pub virtual_stream: String,
    /// Its region.
    pub region: RegionName,
    /// The cluster it is placed in.
    pub cluster: ClusterName,
    /// Write or read.
    pub role: Role,
    /// Its real name.
    pub name: String,
    /// Its config as the JetStream API takes it, `metadata` included.
    pub config: Map<String, Value>,
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

/// All that one account has to have.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredAccount<'a> {
    /// The account of the definition.
    pub account: &'a Account,
    /// Its mappings.
    pub mappings: MappingSet,
    /// Write streams first, then read streams.
    pub streams: Vec<DesiredStream>,
    /// Consumers of the definition.
    pub consumers: Vec<DesiredConsumer>,
}
