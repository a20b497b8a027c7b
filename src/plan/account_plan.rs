//! The plan of a deployment and of each of its accounts, as data.

use super::consumers::ConsumerPlan;
use super::mappings::MappingPlan;
use super::preflight;
use super::stream_change::StreamPlan;
use super::{ClaimChange, Push, Report};
use crate::desired::{DesiredAccount, DesiredConsumer, DesiredStream};
use crate::model::claims::TrustedClaims;
use crate::model::finding::{Finding, Severity};
use crate::model::names::RegionName;
use crate::model::nkey::PublicKey;

/// Changes of a deployment, and findings that stand in the way.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Changes per account, in the order of the definition.
    pub accounts: Vec<AccountPlan>,
    /// Findings; errors stop the run.
    pub findings: Vec<Finding>,
}

/// Changes of one account.
#[derive(Debug, Clone)]
pub struct AccountPlan {
    /// The account's name in the definition.
    pub name: String,
    /// The account's public key. A new account without a key has a placeholder.
    pub id: PublicKey,
    /// The region that a regional account serves.
    pub region: Option<RegionName>,
    /// `true` if the run makes the account.
    pub new: bool,
    /// The account's present claims, or the initial claims of a new account. `None` if they could not be read.
    pub current: Option<TrustedClaims>,
    /// Changes of the account's mappings.
    pub mappings: MappingPlan,
    /// Other changes of the account's claims.
    pub claims: Vec<ClaimChange>,
    /// Changes of the account's streams.
    pub streams: StreamPlan,
    /// Changes of the account's consumers.
    pub consumers: ConsumerPlan,
    /// The tokens to sign and push, in the order of their stages.
    pub pushes: Vec<Push>,
    /// Streams and consumers that are left out because they are unreachable. The run may go on without them.
    pub skipped: Vec<String>,
}

impl Plan {
    /// Returns `true` if the plan changes nothing.
    pub fn is_empty(&self) -> bool {
        self.accounts.iter().all(AccountPlan::is_empty)
    }

    /// Returns `true` if servers must reload the preload before they have the account's tokens.
    pub fn waits_for_reload(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == preflight::PRELOAD_NOT_RELOADED)
    }

    /// Returns `true` if a finding stops the run.
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Returns the reports about what the plan leaves alone.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.accounts.iter().flat_map(|account| account.mappings.reports.iter().chain(&account.streams.reports))
    }
}

impl AccountPlan {
    /// Returns a plan that changes nothing in the account. `current` are the account's claims.
    pub(super) fn unchanged(desired: &DesiredAccount<'_>, current: Option<TrustedClaims>) -> Self {
        Self {
            name: desired.name.clone(),
            id: desired.id.clone(),
            region: desired.account_role.region().map(|region| region.name.clone()),
            new: false,
            current,
            mappings: MappingPlan::default(),
            claims: Vec::new(),
            streams: StreamPlan::default(),
            consumers: ConsumerPlan::default(),
            pushes: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Returns `true` if the plan changes nothing.
    pub fn is_empty(&self) -> bool {
        self.pushes.is_empty() && self.streams.changes.is_empty() && self.consumers.changes.is_empty()
    }
}

/// Returns a stream's name in [`AccountPlan::skipped`].
pub(super) fn skipped_stream(stream: &DesiredStream<'_>) -> String {
    format!("stream {}", stream.name)
}

/// Returns a consumer's name in [`AccountPlan::skipped`].
pub(super) fn skipped_consumer(consumer: &DesiredConsumer) -> String {
    format!("consumer {} of stream {}", consumer.name, consumer.stream)
}
