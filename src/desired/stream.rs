//! Streams that must exist.

use super::recipes::{KEEPS_POSITION, StreamTemplate, keeps_first_sequence};
use crate::model::names::{ClusterName, RegionName};
use crate::model::virtual_stream::Role;
use serde_json::{Map, Value};

/// A stream that must exist.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredStream<'a> {
    /// The virtual stream that this stream serves.
    pub virtual_stream: &'a str,
    /// The stream's region.
    pub region: &'a RegionName,
    /// The cluster where the stream is placed.
    pub cluster: &'a ClusterName,
    /// The stream's role.
    pub role: Role,
    /// The stream's real name.
    pub name: String,
    template: StreamTemplate<'a>,
}

impl<'a> DesiredStream<'a> {
    /// Returns the stream of this role.
    pub(super) fn new(template: StreamTemplate<'a>, role: Role) -> Self {
        let StreamTemplate { account, stream, region, .. } = template;
        Self {
            virtual_stream: stream.name.as_str(),
            region: &region.name,
            cluster: &region.cluster,
            role,
            name: account.real_name(stream, role, &region.name),
            template,
        }
    }
}

impl DesiredStream<'_> {
    /// Returns the config in the form of the JetStream API, including `metadata`. Computes it with each call.
    pub fn config(&self) -> Map<String, Value> {
        self.template.config(self.role)
    }

    /// Returns the reason why a read stream drops messages that its origins still hold. Returns `None` if readers can
    /// read a message until it is dropped everywhere.
    pub fn drops_messages(&self) -> Option<&'static str> {
        if self.role.serves() { self.template.drops_messages() } else { None }
    }

    /// Returns `true` if the stream may import dropped messages again when it gets another leader, judging by the
    /// oldest server's version.
    pub fn goes_back(&self) -> bool {
        let old = self.template.oldest_server.is_some_and(|version| version < KEEPS_POSITION);
        old && self.drops_messages().is_some()
    }

    /// Returns `true` if the stream's servers keep a `first_seq` in its config.
    pub fn keeps_first_sequence(&self) -> bool {
        keeps_first_sequence(self.template.oldest_server)
    }

    /// Returns the subjects that the stream captures. A read stream has none.
    pub fn subjects(&self) -> Vec<String> {
        self.template.subjects(self.role)
    }

    /// Returns `true` if the stream sources the write streams of all regions.
    pub fn sources(&self) -> bool {
        self.template.sources(self.role)
    }

    /// Returns the name of the home stream that a read stream of level `mirrored` mirrors.
    pub fn mirrors(&self) -> Option<String> {
        self.template.mirrors(self.role)
    }
}
