//! Connections to the deployment. Each belongs to a process. When the process is killed, its requests stop.

use super::deployment::{Fault, InMemory, Process, State};
use super::jetstream::Answer;
use super::system::{By, NEAR};
use crate::model::claims::AccountClaims;
use crate::model::names::RegionName;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::Account;
use crate::observed::connection::{Connection, ConnectionError, Connector, MessageReceiver, message_channel};
use crate::observed::{Reply, RequestError, Requests};
use crate::sign::Signer as _;
use crate::sign::keyring::{Keyring, KeyringError, issuer};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Connects one process to the deployment.
#[derive(Debug, Clone)]
pub(crate) struct MemoryConnector {
    world: InMemory,
    process: Process,
    /// The keys folder, whose keys make users of regional accounts.
    keys: PathBuf,
}

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct MemoryConnection {
    world: InMemory,
    process: Process,
    to: To,
}

/// The account of a connection.
#[derive(Debug, Clone)]
enum To {
    System,
    Account(PublicKey),
}

impl MemoryConnector {
    pub(crate) fn new(world: &InMemory, process: &Process, keys: &Path) -> Self {
        Self { world: world.clone(), process: process.clone(), keys: keys.to_owned() }
    }

    fn connection(&self, to: To) -> MemoryConnection {
        MemoryConnection { world: self.world.clone(), process: self.process.clone(), to }
    }
}

impl Connector for MemoryConnector {
    type Connection = MemoryConnection;

    fn changes(&self) -> bool {
        true
    }

    async fn system(&self, _: Duration) -> Result<(MemoryConnection, PublicKey), ConnectionError> {
        let system = self.world.state().system.clone();
        Ok((self.connection(To::System), system))
    }

    async fn account(
        &self,
        account: &Account,
        _: &AccountClaims,
        _: bool,
        _: Duration,
    ) -> Result<MemoryConnection, ConnectionError> {
        Ok(self.connection(To::Account(account.id.clone())))
    }

    async fn regional(
        &self,
        _: &Account,
        _: &RegionName,
        claims: &AccountClaims,
        _: bool,
        _: Duration,
    ) -> Result<Option<MemoryConnection>, ConnectionError> {
        let failed = |code, message: String| ConnectionError { code, message, next: String::new() };
        let unusable = |error: KeyringError| failed("key-unusable", error.to_string());
        let keys = Keyring::open(&self.keys).map_err(unusable)?;
        let Some(seed) = issuer(claims, &keys).map_err(unusable)? else { return Ok(None) };
        let (id, key) = (claims.id(), seed.public_key());
        let taken = self.world.state().takes_user(id, &key);
        match taken {
            true => Ok(Some(self.connection(To::Account(id.clone())))),
            false => Err(failed("authorization-violation", format!("account {id} takes no users by {key}"))),
        }
    }

    async fn load(
        &self,
        _: &Account,
        _: Option<&RegionName>,
        _: &AccountClaims,
        _: bool,
        _: Duration,
    ) -> Result<Vec<Result<String, ConnectionError>>, ConnectionError> {
        // No server has a `cache` resolver.
        Ok(Vec::new())
    }
}

impl MemoryConnection {
    /// Counts a request. Returns `true` if the process is killed before its answer comes. The requests of a killed
    /// process stop.
    async fn begins(&self, subject: &str) -> bool {
        if self.process.is_dead() {
            return pending().await;
        }
        match self.world.begins(subject) {
            Some(Fault::Killed) => self.die().await,
            Some(Fault::AnswerLost) => true,
            _ => false,
        }
    }

    async fn die<T>(&self) -> T {
        self.process.kill();
        pending().await
    }

    /// Lets the servers handle a request a moment later, even if its sender no longer waits.
    async fn exchange(
        &self,
        subject: &str,
        timeout: Duration,
        handle: impl FnOnce(&mut State) -> Answer + Send + 'static,
    ) -> Result<Reply, RequestError> {
        let deadline = Instant::now() + timeout;
        let dies = self.begins(subject).await;
        let (sender, receiver) = oneshot::channel();
        let world = self.world.clone();
        tokio::spawn(async move {
            sleep(NEAR).await;
            let answer = handle(&mut world.state());
            // The sender of the request may no longer exist.
            let _ = sender.send(answer);
        });
        if dies {
            return self.die().await;
        }
        match timeout_at(deadline, receiver).await {
            Ok(Ok(Answer::Reply(value))) => Ok(Reply { headers: Vec::new(), payload: value.to_string().into_bytes() }),
            Ok(Ok(Answer::Nobody)) => Err(RequestError::NoResponders(subject.to_owned())),
            Ok(Ok(Answer::Silence) | Err(_)) | Err(_) => {
                sleep_until(deadline).await;
                Err(RequestError::Timeout(subject.to_owned()))
            }
        }
    }
}

impl Requests for MemoryConnection {
    async fn request(&self, subject: &str, payload: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
        let To::Account(account) = &self.to else {
            let replies = self.request_many(subject, payload, timeout, |replies| !replies.is_empty()).await?;
            return replies.into_iter().next().ok_or_else(|| RequestError::Timeout(subject.to_owned()));
        };
        let (account, asked) = (account.clone(), subject.to_owned());
        let handle = move |state: &mut State| state.request(&account, &asked, &payload);
        self.exchange(subject, timeout, handle).await
    }

    async fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        mut enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        let deadline = Instant::now() + timeout;
        let dies = self.begins(subject).await;
        if subject.ends_with("CLAIMS.UPDATE") && self.world.state().faults.push_denied {
            return Err(RequestError::Permission(subject.to_owned()));
        }
        let Some(mut answers) = self.world.ask_all(subject, payload, By::Run) else {
            return Err(RequestError::NoResponders(subject.to_owned()));
        };
        if dies {
            return self.die().await;
        }
        let mut replies = Vec::new();
        loop {
            match timeout_at(deadline, answers.recv()).await {
                Ok(Some(payload)) => {
                    replies.push(Reply { headers: Vec::new(), payload });
                    if enough(&replies) {
                        return Ok(replies);
                    }
                }
                // All servers that answer have done so.
                Ok(None) => {
                    sleep_until(deadline).await;
                    return Ok(replies);
                }
                Err(_) => return Ok(replies),
            }
        }
    }
}

impl Connection for MemoryConnection {
    async fn publish_after(
        &self,
        subject: &str,
        last: u64,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> Result<Reply, RequestError> {
        let To::Account(account) = self.to.clone() else { return Err(RequestError::NoResponders(subject.to_owned())) };
        let published = subject.to_owned();
        let handle = move |state: &mut State| state.publish(&account, &published, last, payload);
        self.exchange(subject, timeout, handle).await
    }

    async fn listen(&self, _: &[&str]) -> Result<MessageReceiver, RequestError> {
        if self.begins("listen").await {
            return self.die().await;
        }
        let (sender, receiver) = message_channel();
        self.world.state().senders.push(sender);
        Ok(receiver)
    }

    fn denied_subscription<'s>(&self, _: &[&'s str]) -> Option<&'s str> {
        None
    }
}
