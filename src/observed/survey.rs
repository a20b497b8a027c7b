//! Everything that a run needs to know about a deployment: every server, each account on it, and the accounts' streams.

use super::jetstream::ObservedJetStream;
use super::listeners::Listeners;
use super::{AccountOnServer, Deployment};
use crate::model::claims::{LastPush, TrustAnchor, TrustedClaims};
use crate::model::nkey::PublicKey;

/// A deployment as the run observed it.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The servers.
    pub deployment: Deployment,
    /// The account of the system connection.
    pub system_account: PublicKey,
    /// The keys whose signatures count.
    pub anchor: TrustAnchor,
    /// The last push of each account by this tool with each key, as far as records show.
    pub pushed: Vec<LastPush>,
    /// The definition's accounts, in the definition's order.
    pub accounts: Vec<ObservedAccount>,
}

/// An account as the run observed it.
#[derive(Debug, Clone)]
pub struct ObservedAccount {
    /// The account on each server, in the order of [`Deployment::servers`].
    pub servers: Vec<AccountOnServer>,
    /// The account's streams and consumers.
    pub jetstream: ObservedJetStream,
    /// The subscribers of subjects that the run is about to map.
    pub listeners: Listeners,
    /// The claims that remain after concurrent pushes of other tools.
    pub concurrent_updates: ConcurrentUpdates,
    /// `true` if no mapping leads to the account's JetStream, so that its streams could not be read. Always `false` for
    /// a regional account.
    pub out_of_reach: bool,
}

/// The outcome of the pushes to an account that this run noticed.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ConcurrentUpdates {
    /// No push conflicts with another, and the newest token counts.
    #[default]
    Nothing,
    /// The newest token was made from an older one. These claims keep every tool's change.
    Merged(Box<TrustedClaims>),
    /// The newest token was made from an older one. Two tools changed these entries differently.
    Conflict(Vec<String>),
}
