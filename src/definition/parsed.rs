//! A definition after all checks.

use crate::model::nkey::PublicKey;
use crate::model::topology::{Tls, Topology};
use crate::model::virtual_stream::{Access, Account};
use std::path::PathBuf;

/// How the servers keep account tokens (nats-server `resolver`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// The NATS resolver, `full` or `cache`.
    Nats,
    /// An HTTP account server, by the URL below which each account's token is. It ends with a slash.
    Url(String),
    /// Tokens in the servers' configuration, by the file with `resolver_preload` that it includes.
    Memory(PathBuf),
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
    /// The nsc store that has copies of the tokens, if it is to be kept up to date.
    pub nsc_store: Option<PathBuf>,
    /// The pinned operator: whose signatures count.
    pub operator: Option<PublicKey>,
    /// Regions, clusters, servers.
    pub topology: Topology,
    /// In the order of the files.
    pub accounts: Vec<Account>,
}
