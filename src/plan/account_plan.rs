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

/// What has to be done to a deployment, and what stands in the way.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Per account, in the order of the definition.
    pub accounts: Vec<AccountPlan>,
    /// What was found; errors stop the run.
    pub findings: Vec<Finding>,
}

/// What has to be done to one account.
#[derive(Debug, Clone)]
pub struct AccountPlan {
    /// The definition's name for it.
    pub name: String,
    /// Its public key; a stand-in while the account is yet to be made and has no key.
    pub id: PublicKey,
    /// The region that it serves, for a regional account.
    pub region: Option<RegionName>,
    /// Whether the account is yet to be made.
    pub new: bool,
    /// Its claims as they are, or as the account is founded; none when they could not be read.
    pub current: Option<TrustedClaims>,
    /// Changes of its mappings.
    pub mappings: MappingPlan,
    /// Other changes of its claims.
    pub claims: Vec<ClaimChange>,
    /// Changes of its streams.
    pub streams: StreamPlan,
    /// Changes of its consumers.
    pub consumers: ConsumerPlan,
    /// The tokens that have to be signed and pushed, in the order of their stages.
    pub pushes: Vec<Push>,
    /// Streams and consumers that cannot be reached, left out since the run is allowed to.
    pub skipped: Vec<String>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.accounts.iter().all(AccountPlan::is_empty)
    }

    /// True if servers have to reload the preload before they have its tokens.
    pub fn waits_for_reload(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == preflight::PRELOAD_NOT_RELOADED)
    }

    /// Whether something stops the run.
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// What was seen and is left alone.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.accounts.iter().flat_map(|account| account.mappings.reports.iter().chain(&account.streams.reports))
    }
}

impl AccountPlan {
    /// A plan that changes nothing of the account, whose claims are `current`.
    pub(super) fn unchanged(desired: &DesiredAccount<'_>, current: Option<TrustedClaims>) -> Self {
        Self {
            name: desired.name.clone(),
            id: desired.id.clone(),
            region: desired.seat.region().map(|region| region.name.clone()),
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

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.pushes.is_empty() && self.streams.changes.is_empty() && self.consumers.changes.is_empty()
    }
}

/// How a stream is named in [`AccountPlan::skipped`].
pub(super) fn skipped_stream(stream: &DesiredStream<'_>) -> String {
    format!("stream {}", stream.name)
}

/// How a consumer is named in [`AccountPlan::skipped`].
pub(super) fn skipped_consumer(consumer: &DesiredConsumer) -> String {
    format!("consumer {} of stream {}", consumer.name, consumer.stream)
}
