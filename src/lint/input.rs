//! Input of the checks: the mappings of an account, and its listeners.

use crate::model::mapping::Destination;

/// A mapping of the account after the run.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The source; may be any text.
    pub source: &'a str,
    /// The destinations.
    pub destinations: &'a [Destination],
    /// `true` if the mapping belongs to the definition.
    pub ours: bool,
    /// `true` if the mapping is already in force with these destinations. Then listeners on its source already receive
    /// nothing.
    pub in_force: bool,
    /// `true` if the account already maps this source, with any destinations.
    pub known: bool,
}

/// The kind of a [`Listener`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// A subscription of a client.
    Subscription,
    /// A service that the account imports. The subject is the local one.
    ServiceImport,
    /// A service that the account exports. Servers map importers' requests in the exporter's account.
    ServiceExport,
    /// A stream of messages that the account exports.
    StreamExport,
    /// A stream of messages that the account imports. The subject is the local one.
    StreamImport,
}

/// A receiver of messages on a subject in the account, or an import that brings messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener<'a> {
    /// The kind of the listener.
    pub kind: ListenerKind,
    /// The subject, wildcards included.
    pub subject: &'a str,
    /// The name of the listener (`client orders on west-1`); empty if unknown.
    pub who: &'a str,
}

/// The mappings to check, and known facts of the deployment.
#[derive(Debug, Clone, Copy, Default)]
pub struct LintInput<'a> {
    /// The account's name in the definition.
    pub account: &'a str,
    /// All mappings of the account after the run, ours and other tools'.
    pub entries: &'a [Entry<'a>],
    /// The clusters of live servers; empty if unknown (offline).
    pub clusters: &'a [&'a str],
    /// Names of the virtual streams.
    pub virtual_streams: &'a [&'a str],
    /// The listeners in the account; empty if unknown.
    pub listeners: &'a [Listener<'a>],
}
