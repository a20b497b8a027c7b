//! How a verb gets its connections.

use super::{Reply, RequestError, Requests};
use crate::model::claims::AccountClaims;
use crate::model::names::RegionName;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::Account;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

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
    fn listen(&self, subjects: &[&str]) -> impl Future<Output = Result<Ear, RequestError>> + Send;

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

/// The most that waits to be read of what was heard, in bytes: more than pushes of a busy day.
const MOST: usize = 64 << 20;

/// Makes a way for what is heard, which takes a bounded number of bytes.
pub fn hearing() -> (Voice, Ear) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::<AtomicUsize>::default();
    (Voice { sender, waiting: waiting.clone() }, Ear { receiver, waiting })
}

/// Where what is heard goes in.
#[derive(Debug, Clone)]
pub struct Voice {
    sender: mpsc::UnboundedSender<Heard>,
    waiting: Arc<AtomicUsize>,
}

impl Voice {
    /// Hands it on, if there is room.
    pub fn tell(&self, heard: Heard) -> Told {
        let size = heard.size();
        if self.sender.is_closed() {
            return Told::Nobody;
        }
        if self.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size) > MOST {
            return Told::NoRoom;
        }
        self.sender.send(heard).map_or(Told::Nobody, |()| Told::Taken)
    }
}

/// What became of what was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It can be read.
    Taken,
    /// Too much waits already; it is lost.
    NoRoom,
    /// The other end is gone.
    Nobody,
}

/// Where what was heard comes out.
#[derive(Debug)]
pub struct Ear {
    receiver: mpsc::UnboundedReceiver<Heard>,
    waiting: Arc<AtomicUsize>,
}

impl Ear {
    /// The next of what was heard so far.
    pub fn read(&mut self) -> Option<Heard> {
        let heard = self.receiver.try_recv().ok()?;
        self.waiting.fetch_sub(heard.size(), Ordering::Relaxed);
        Some(heard)
    }
}

impl Heard {
    /// About what it takes in memory, in bytes.
    fn size(&self) -> usize {
        size_of::<Self>() + self.subject.len() + self.payload.len()
    }
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

    /// Connects to each URL as a user of an application's account, or of the regional account of a region, and lets go again:
    /// the names of the servers that took the user, which have loaded the account then. An error as a whole where there is no
    /// such user.
    fn load(
        &self,
        account: &Account,
        region: Option<&RegionName>,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Result<String, LinkError>>, LinkError>> + Send;

    /// Checks what can be checked without servers of how [`Self::regional`] would connect.
    ///
    /// # Errors
    /// [`LinkError`], as it would be then.
    fn may_reach(&self, account: &Account, region: &RegionName) -> Result<(), LinkError> {
        let _ = (account, region);
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_bounded_by_its_bytes() {
        let (voice, mut ear) = hearing();
        let heard = || Heard { subject: "a".to_owned(), payload: vec![0; MOST / 4] };
        let taken = (0..10).take_while(|_| voice.tell(heard()) == Told::Taken).count();
        assert_eq!(taken, 3);
        let (voice, mut other) = hearing();
        for _ in 0..20 {
            assert_eq!((voice.tell(heard()), other.read()), (Told::Taken, Some(heard())));
        }
        assert_eq!(std::iter::from_fn(|| ear.read()).count(), 3);
        drop(other);
        assert_eq!(voice.tell(heard()), Told::Nobody);
    }
}
