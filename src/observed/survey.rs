//! Everything that a run needs to know about a deployment: every server, each account on it, and the accounts' streams.

use super::jetstream::ObservedJetStream;
use super::listeners::Listeners;
use super::{AccountOnServer, Deployment};
use crate::model::claims::{LastPush, TrustAnchor, TrustedClaims};
use crate::model::nkey::PublicKey;

/// A deployment as it was observed.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The servers.
    pub deployment: Deployment,
    /// The account that the system connection is in.
    pub system_account: PublicKey,
    /// The keys whose signatures count.
    pub anchor: TrustAnchor,
    /// The last push of each account by this tool with each key, as far as records show.
    pub pushed: Vec<LastPush>,
    /// The definition's accounts, in the definition's order.
    pub accounts: Vec<ObservedAccount>,
}

/// One account as it was observed.
#[derive(Debug, Clone)]
pub struct ObservedAccount {
    /// Per server, in the order of [`Deployment::servers`].
    pub servers: Vec<AccountOnServer>,
    /// The account's streams and consumers.
    pub jetstream: ObservedJetStream,
    /// The subscribers of subjects that are about to be mapped.
    pub listeners: Listeners,
    /// The claims that concurrent pushes of other tools leave.
    pub heard: Heard,
    /// `true` if no mapping leads to the account's JetStream, so that its streams could not be read. Only for an
    /// application's account.
    pub out_of_reach: bool,
}

/// The outcome of the pushes that this run heard of an account.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Heard {
    /// No conflict with another push: the newest token counts.
    #[default]
    Nothing,
    /// The newest token was made from an older one; these claims keep every tool's change.
    Merged(Box<TrustedClaims>),
    /// The newest token was made from an older one; these are the entries that two tools changed differently.
    Conflict(Vec<String>),
}
