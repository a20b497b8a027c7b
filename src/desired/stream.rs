//! Streams that have to exist.

use super::recipe::{KEEPS_POSITION, Recipe, keeps_first_sequence};
use crate::model::names::{ClusterName, RegionName};
use crate::model::virtual_stream::Role;
use serde_json::{Map, Value};

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
    recipe: Recipe<'a>,
}

impl<'a> DesiredStream<'a> {
    /// The stream of this role.
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
        keeps_first_sequence(self.recipe.oldest_server)
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
