//! A definition after all checks.

use crate::model::nkey::PublicKey;
use crate::model::topology::{Tls, Topology};
use crate::model::virtual_stream::{Access, Account};
use std::path::PathBuf;

/// The way the servers keep account tokens (nats-server `resolver`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolverConfig {
    /// The NATS resolver, `full` or `cache`.
    Nats,
    /// An HTTP account server, with the URL below which it has each account's token. The URL ends with a slash.
    Url(String),
    /// Tokens in the servers' configuration, in the file with `resolver_preload` that it includes.
    Memory(PathBuf),
}

/// A definition that passed all checks: every name, subject, field and reference in it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The resolver that keeps account tokens.
    pub resolver: ResolverConfig,
    /// Access to the system account.
    pub system: Access,
    /// TLS towards all servers, unless a region has its own.
    pub tls: Option<Tls>,
    /// The nsc store whose copies of the tokens the tool keeps up to date, if any.
    pub nsc_store: Option<PathBuf>,
    /// The pinned operator, whose signatures count.
    pub operator: Option<PublicKey>,
    /// Regions, clusters, servers.
    pub topology: Topology,
    /// The accounts in the order of the files.
    pub accounts: Vec<Account>,
}
