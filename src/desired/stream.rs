//! Streams that must exist.

use super::recipe::{KEEPS_POSITION, Recipe, keeps_first_sequence};
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
    /// The cluster that the stream is placed in.
    pub cluster: &'a ClusterName,
    /// The stream's role.
    pub role: Role,
    /// The stream's real name.
    pub name: String,
    recipe: Recipe<'a>,
}

impl<'a> DesiredStream<'a> {
    /// Returns the stream of this role.
    pub(super) fn new(recipe: Recipe<'a>, role: Role) -> Self {
        let Recipe { account, stream, region, .. } = recipe;
        Self {
            virtual_stream: stream.name.as_str(),
            region: &region.name,
            cluster: &region.cluster,
            role,
            name: account.real_name(stream, role, &region.name),
            recipe,
        }
    }
}

impl DesiredStream<'_> {
    /// Returns the config as the JetStream API takes it, including `metadata`. Each call makes it again.
    pub fn config(&self) -> Map<String, Value> {
        self.recipe.config(self.role)
    }

    /// Returns the reason why a read stream drops messages that its origins still hold. Returns `None` if readers can
    /// read a message until it is dropped everywhere.
    pub fn drops_messages(&self) -> Option<&'static str> {
        match self.role {
            Role::Write | Role::Home => None,
            Role::Read => self.recipe.drops_messages(),
        }
    }

    /// Returns `true` if the stream sources dropped messages again when it gets another leader, on the oldest server's
    /// version.
    pub fn goes_back(&self) -> bool {
        let old = self.recipe.oldest_server.is_some_and(|version| version < KEEPS_POSITION);
        old && self.drops_messages().is_some()
    }

    /// Returns `true` if the stream's servers keep a `first_seq` in its config.
    pub fn keeps_first_sequence(&self) -> bool {
        keeps_first_sequence(self.recipe.oldest_server)
    }

    /// Returns the subjects that the stream captures; none for a read stream.
    pub fn subjects(&self) -> Vec<String> {
        match self.role {
            Role::Write => self.recipe.write_subjects().collect(),
            Role::Home => self.recipe.home_subjects().collect(),
            Role::Read => Vec::new(),
        }
    }

    /// Returns the name of the home stream that a read stream of level `mirrored` mirrors.
    pub fn mirrors(&self) -> Option<String> {
        self.recipe.mirrors(self.role)
    }
}
