//! How a verb gets its connections.

use super::Requests;
use crate::model::claims::AccountClaims;
use crate::model::names::RegionName;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::Account;
use std::time::Duration;

/// Makes the connections that a verb needs.
pub trait Connector: Sync {
    /// A connection.
    type Link: Requests;

    /// Whether the connections are to change something, not only to read.
    fn changes(&self) -> bool;

    /// To the system account, on any server of any region; and the account that the user is of.
    fn system(&self, timeout: Duration) -> impl Future<Output = Result<(Self::Link, PublicKey), LinkError>> + Send;

    /// To an application's account, on any server of any region. `claims` are the account's stored ones and `strict`
    /// is the operator's strict signing key usage: they decide how a user of the account can be issued.
    fn account(
        &self,
        account: &Account,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Link, LinkError>> + Send;

    /// To the regional account of a region; `None` when no key of it is at hand. `claims` are the regional account's.
    fn regional(
        &self,
        account: &Account,
        region: &RegionName,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<Self::Link>, LinkError>> + Send;
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LinkError {
    /// Stable name (`unreachable`, `expired-credentials`).
    pub code: &'static str,
    /// What is wrong, and where.
    pub message: String,
    /// The next step.
    pub next: String,
}
