//! File text → model: what a definition may say, and everything that is wrong with one.

use crate::model::topology::{Tls, Topology};
use crate::model::virtual_stream::{Access, Account};

/// How the servers keep account tokens (nats-server `resolver`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// The NATS resolver, `full` or `cache`.
    Nats,
    /// An HTTP account server.
    Url,
    /// Tokens in the servers' configuration.
    Memory,
    /// A directory that something else distributes.
    Directory,
}

/// A definition whose checks were made: every name, subject, field and reference in it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Where account tokens go.
    pub resolver: Resolver,
    /// Access to the system account.
    pub system: Access,
    /// TLS towards all servers, unless a region has its own.
    pub tls: Option<Tls>,
    /// Regions, clusters, servers.
    pub topology: Topology,
    /// In the order of the files.
    pub accounts: Vec<Account>,
}

/// The text of one file of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name as the user knows it; errors cite it.
    pub name: String,
    /// Its text.
    pub text: String,
}
