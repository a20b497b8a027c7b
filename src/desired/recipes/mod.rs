//! The configs of write streams, home streams and read streams, as the JetStream API takes them.
//!
//! A `StreamTemplate` is the input of a stream's config. Each consistency level has one file: `eventual` and
//! `mirrored`. Both put together the level's own fields, the settings of a bucket (`bucket`), and what all streams have
//! (`fields`).

mod bucket;
mod eventual;
mod fields;
mod mirrored;
mod stream_template;

pub use eventual::KEEPS_POSITION;
pub(super) use eventual::keeps_first_sequence;
pub(super) use stream_template::StreamTemplate;

use crate::model::virtual_stream::Role;
use serde_json::{Map, Value};

impl StreamTemplate<'_> {
    /// Returns the config of the stream of this role.
    pub fn config(&self, role: Role) -> Map<String, Value> {
        match role {
            Role::Write => self.write_config(),
            Role::Home => self.home_config(),
            Role::Read if self.stream.home().is_some() => self.mirror_config(),
            Role::Read => self.read_config(),
        }
    }

    /// Returns the home stream that the stream of this role mirrors.
    pub fn mirrors(&self, role: Role) -> Option<String> {
        (role.serves() && self.stream.home().is_some()).then(|| self.stream.home_name())
    }

    /// Returns `true` if the stream of this role sources the write streams of all regions.
    pub fn sources(&self, role: Role) -> bool {
        role.serves() && self.stream.home().is_none()
    }

    /// Returns the subjects that the stream of this role captures.
    pub fn subjects(&self, role: Role) -> Vec<String> {
        match role {
            Role::Write => self.write_subjects().collect(),
            Role::Home => self.home_subjects().collect(),
            Role::Read => Vec::new(),
        }
    }
}
