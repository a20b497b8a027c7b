//! What is checked: the mappings of an account, and what listens there.

use crate::model::mapping::Destination;

/// A mapping of the account as it will be.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its source, whatever it is.
    pub source: &'a str,
    /// Its destinations.
    pub destinations: &'a [Destination],
    /// Whether it belongs to the definition.
    pub ours: bool,
    /// Whether the account has it in force already, with these destinations; what listens on its source has
    /// then stopped receiving long ago.
    pub in_force: bool,
    /// The account maps this source already, with these destinations or others.
    pub known: bool,
}

/// What receives messages on a subject, or brings them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// A subscription of a client.
    Subscription,
    /// A service that the account imports; the subject is the local one.
    ServiceImport,
    /// A service that the account exports: requests of importers are mapped in the exporter's account.
    ServiceExport,
    /// A stream of messages that the account exports.
    StreamExport,
    /// A stream of messages that the account imports; the subject is the local one.
    StreamImport,
}

/// Something in the account that receives messages on a subject, or brings them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener<'a> {
    /// What it is.
    pub kind: ListenerKind,
    /// Its subject, wildcards included.
    pub subject: &'a str,
    /// Who it is, as far as known (`client orders on west-1`); may be empty.
    pub who: &'a str,
}

/// What is checked, and what is known of the deployment.
#[derive(Debug, Clone, Copy, Default)]
pub struct LintInput<'a> {
    /// The account's name in the definition.
    pub account: &'a str,
    /// All mappings of the account as they will be, ours and others'.
    pub entries: &'a [Entry<'a>],
    /// The clusters that live servers belong to; empty when unknown (offline).
    pub clusters: &'a [&'a str],
    /// Names of the virtual streams.
    pub virtual_streams: &'a [&'a str],
    /// Who listens in the account; empty when unknown.
    pub listeners: &'a [Listener<'a>],
}
