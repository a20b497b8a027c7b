//! How a verb gets its connections.

use super::{Reply, RequestError, Requests};
use crate::model::claims::AccountClaims;
use crate::model::names::RegionName;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::Account;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// What a verb that changes things needs of a connection beside requests. Clones share the connection.
pub trait Link: Requests + Clone + std::fmt::Debug + 'static {
    /// Publishes to a stream, which takes it only if the last message that it has on the subject has the sequence
    /// `last` (`Nats-Expected-Last-Subject-Sequence`; 0: it has none). The reply is the stream's.
    fn publish_after(
        &self,
        subject: &str,
        last: u64,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Reply, RequestError>> + Send;

    /// Hears what is published on these subjects, as long as the connection is open.
    fn listen(&self, subjects: &[&str]) -> impl Future<Output = Result<UnboundedReceiver<Heard>, RequestError>> + Send;

    /// A subject of these to which the user may not subscribe; known once a request made after
    /// [`listen`](Self::listen) was answered.
    fn may_not_hear<'s>(&self, subjects: &[&'s str]) -> Option<&'s str>;
}

/// A message that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its subject.
    pub subject: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Makes the connections that a verb needs.
pub trait Connector: Sync {
    /// A connection.
    type Link: Link;

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
