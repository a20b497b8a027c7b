//! The traits for connections, and for opening the connections that a verb needs.

use super::{Reply, RequestError, Requests};
use crate::model::claims::AccountClaims;
use crate::model::names::RegionName;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::Account;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// A connection for a verb that changes the deployment. It has requests, and more. Clones share the connection.
pub trait Connection: Requests + Clone + std::fmt::Debug + 'static {
    /// Publishes to a stream. The stream accepts the message only if its last message on the subject has the sequence
    /// `last` (`Nats-Expected-Last-Subject-Sequence`; 0 means no message). Returns the stream's reply.
    fn publish_after(
        &self,
        subject: &str,
        last: u64,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Reply, RequestError>> + Send;

    /// Subscribes to these subjects, until the connection closes.
    fn listen(&self, subjects: &[&str]) -> impl Future<Output = Result<MessageReceiver, RequestError>> + Send;

    /// Returns one of these subjects to which the user may not subscribe. The result is reliable once a request after
    /// [`listen`](Self::listen) was answered.
    fn denied_subscription<'s>(&self, subjects: &[&'s str]) -> Option<&'s str>;
}

/// A message of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The message's subject.
    pub subject: String,
    /// The message's payload.
    pub payload: Vec<u8>,
}

/// Most bytes of messages that wait to be read: more than a busy day's pushes.
const MOST: usize = 64 << 20;

/// Makes a channel for messages that holds a bounded number of bytes.
pub fn message_channel() -> (MessageSender, MessageReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::<AtomicUsize>::default();
    (MessageSender { sender, waiting: waiting.clone() }, MessageReceiver { receiver, waiting })
}

/// The sending end of the channel.
#[derive(Debug, Clone)]
pub struct MessageSender {
    sender: mpsc::UnboundedSender<ReceivedMessage>,
    waiting: Arc<AtomicUsize>,
}

impl MessageSender {
    /// Sends a message, if there is room.
    pub fn send(&self, message: ReceivedMessage) -> Delivery {
        let size = message.size();
        if self.sender.is_closed() {
            return Delivery::Closed;
        }
        if self.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size) > MOST {
            return Delivery::Full;
        }
        self.sender.send(message).map_or(Delivery::Closed, |()| Delivery::Queued)
    }
}

/// The outcome of sending a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The message can be read.
    Queued,
    /// Too many bytes are waiting; the message is lost.
    Full,
    /// The receiving end was dropped.
    Closed,
}

/// The receiving end of the channel.
#[derive(Debug)]
pub struct MessageReceiver {
    receiver: mpsc::UnboundedReceiver<ReceivedMessage>,
    waiting: Arc<AtomicUsize>,
}

impl MessageReceiver {
    /// Returns the next message that has arrived, if any.
    pub fn read(&mut self) -> Option<ReceivedMessage> {
        let message = self.receiver.try_recv().ok()?;
        self.waiting.fetch_sub(message.size(), Ordering::Relaxed);
        Some(message)
    }
}

impl ReceivedMessage {
    /// Returns the approximate size of the message in memory, in bytes.
    fn size(&self) -> usize {
        size_of::<Self>() + self.subject.len() + self.payload.len()
    }
}

/// Opens the connections that a verb needs.
pub trait Connector: Sync {
    /// A connection.
    type Connection: Connection;

    /// Returns `true` if the connections are for changes, not only for reading.
    fn changes(&self) -> bool;

    /// Connects to the system account on any server of any region. Also returns the user's account.
    fn system(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<(Self::Connection, PublicKey), ConnectionError>> + Send;

    /// Connects to an application's account on any server of any region. `claims` are the account's stored claims, and
    /// `strict` is the operator's strict signing key usage. They decide how a user of the account can be issued.
    fn account(
        &self,
        account: &Account,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Connection, ConnectionError>> + Send;

    /// Connects to the regional account of a region. Returns `None` without a key for it. `claims` are the regional
    /// account's.
    fn regional(
        &self,
        account: &Account,
        region: &RegionName,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<Self::Connection>, ConnectionError>> + Send;

    /// Connects to each URL as a user of an application's account, or of a region's regional account, and closes the
    /// connections again. Returns the names of the servers that accepted the user, and so have loaded the account.
    /// Fails as a whole if there is no such user.
    fn load(
        &self,
        account: &Account,
        region: Option<&RegionName>,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Result<String, ConnectionError>>, ConnectionError>> + Send;

    /// Checks, without asking servers, that [`Self::regional`] could connect.
    ///
    /// # Errors
    /// The [`ConnectionError`] that [`Self::regional`] would return.
    fn may_reach(&self, account: &Account, region: &RegionName) -> Result<(), ConnectionError> {
        let _ = (account, region);
        Ok(())
    }
}

/// Reason why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectionError {
    /// Stable name (`unreachable`, `expired-credentials`).
    pub code: &'static str,
    /// The failure and its place.
    pub message: String,
    /// The next step.
    pub next: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_bounded_by_its_bytes() {
        let (sender, mut receiver) = message_channel();
        let message = || ReceivedMessage { subject: "a".to_owned(), payload: vec![0; MOST / 4] };
        let taken = (0..10).take_while(|_| sender.send(message()) == Delivery::Queued).count();
        assert_eq!(taken, 3);
        let (sender, mut other) = message_channel();
        for _ in 0..20 {
            assert_eq!((sender.send(message()), other.read()), (Delivery::Queued, Some(message())));
        }
        assert_eq!(std::iter::from_fn(|| receiver.read()).count(), 3);
        drop(other);
        assert_eq!(sender.send(message()), Delivery::Closed);
    }
}
