//! All that a run has to know of a deployment: every server, each account on it, its streams.

use super::jetstream::ObservedJetStream;
use super::listeners::Listeners;
use super::{AccountOnServer, Deployment};
use crate::model::claims::{LastPush, TrustAnchor, TrustedClaims};
use crate::model::nkey::PublicKey;

/// A deployment as it was read.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The servers.
    pub deployment: Deployment,
    /// The account that the system connection is in.
    pub system_account: PublicKey,
    /// Whose signatures count.
    pub anchor: TrustAnchor,
    /// The last push of each account from here by each key, as far as records say.
    pub pushed: Vec<LastPush>,
    /// The definition's accounts, in its order.
    pub accounts: Vec<ObservedAccount>,
}

/// One account as it was read.
#[derive(Debug, Clone)]
pub struct ObservedAccount {
    /// Per server, in the order of [`Deployment::servers`].
    pub servers: Vec<AccountOnServer>,
    /// Its streams and consumers.
    pub jetstream: ObservedJetStream,
    /// Who listens on subjects that are about to be mapped.
    pub listeners: Listeners,
    /// What its claims should be, as far as others' pushes were heard.
    pub heard: Heard,
    /// No mapping leads to its JetStream, so that nothing of it was read. Of an application's account only.
    pub out_of_reach: bool,
}

/// What follows from the pushes that were heard of an account.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Heard {
    /// Nothing: its newest token counts.
    #[default]
    Nothing,
    /// Its newest token was made from an older one: with these claims, nobody's change is lost.
    Merged(Box<TrustedClaims>),
    /// Its newest token was made from an older one, and what both changed, differently, are these.
    Conflict(Vec<String>),
}
