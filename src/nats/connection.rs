//! A connection: many requests in flight over one inbox subscription.

use super::login::Login;
use crate::desired::regional::HUB_API;
use crate::model::nkey::PublicKey;
use crate::observed::jetstream::DEFAULT_PREFIX;
use crate::observed::link::{Heard, Link};
use crate::observed::{Reply, RequestError, Requests, User};
use async_nats::{Client, HeaderMap, Message, StatusCode};
use futures::StreamExt as _;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

/// An open connection as one user of one account. Reconnects by itself; closes when its last clone is dropped.
#[derive(Clone)]
pub struct Connection(Arc<Open>);

struct Open {
    client: Client,
    inbox: String,
    next: AtomicU64,
    waiting: Waiting,
    denied: Denied,
    reader: tokio::task::JoinHandle<()>,
    url: String,
    account: PublicKey,
    user: Option<User>,
}

/// How often a lost connection is looked at.
const RECONNECT: Duration = Duration::from_millis(100);
/// How long after a reconnect answers to what was asked before are still waited for.
const LATE: Duration = Duration::from_secs(1);

/// Who waits for replies, by the last token of the reply subject.
type Waiting = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Message>>>>;

/// Permission violations, which a server reports beside the requests that they belong to.
#[derive(Clone)]
pub(super) struct Denied {
    violations: broadcast::Sender<Violation>,
    /// Subjects that the user may not subscribe to.
    subscriptions: Arc<Mutex<Vec<String>>>,
    /// How often the connection was lost.
    lost: watch::Sender<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Violation {
    Publish(String),
    Subscription(String),
}

impl Denied {
    pub(super) fn new() -> Self {
        Self { violations: broadcast::channel(1024).0, subscriptions: Arc::default(), lost: watch::channel(0).0 }
    }

    pub(super) fn was_lost(&self) {
        self.lost.send_modify(|times| *times += 1);
    }

    /// `Permissions Violation for Publish to "subject"` (nats-server `server/client.go`).
    pub(super) fn server_said(&self, text: &str) {
        let Some(violation) = parse_violation(text) else { return };
        if let Violation::Subscription(subject) = &violation {
            self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).push(subject.clone());
        }
        // Nobody listens when no request is in flight.
        let _ = self.violations.send(violation);
    }

    /// Whether the server refused the subscription.
    fn refused(&self, subject: &str) -> bool {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|refused| refused == subject)
    }
}

fn parse_violation(text: &str) -> Option<Violation> {
    let rest = text.strip_prefix("Permissions Violation for ")?;
    let subject = || rest.split('"').nth(1).map(str::to_owned);
    if rest.starts_with("Publish") {
        Some(Violation::Publish(subject()?))
    } else if rest.starts_with("Subscription") {
        Some(Violation::Subscription(subject()?))
    } else {
        None
    }
}

impl Connection {
    pub(super) async fn new(client: Client, login: &Login, denied: Denied, url: String) -> Result<Self, String> {
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(format!("{inbox}.*")).await.map_err(|error| error.to_string())?;
        let waiting = Waiting::default();
        let route = waiting.clone();
        let reader = tokio::spawn(async move {
            while let Some(message) = replies.next().await {
                let id = message.subject.rsplit('.').next().and_then(|token| token.parse::<u64>().ok());
                let waiting = route.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = id.and_then(|id| waiting.get(&id)) {
                    // The receiver may just have gone: a late reply.
                    let _ = sender.send(message);
                }
            }
        });
        let account = login.account.clone();
        let user = login.as_user();
        let next = AtomicU64::new(0);
        Ok(Self(Arc::new(Open { client, inbox, next, waiting, denied, reader, url, account, user })))
    }

    /// Lets a reconnect go to any of the servers.
    pub(super) async fn widen(&self, urls: impl Iterator<Item = &str>) {
        let servers: Vec<async_nats::ServerAddr> = urls.filter_map(|url| url.parse().ok()).collect();
        // Fails only for lists of mixed schemes; then reconnects stay with what this server announces.
        let _ = self.0.client.set_server_pool(servers.as_slice()).await;
    }

    /// The account that the connection is in.
    pub fn account(&self) -> &PublicKey {
        &self.0.account
    }

    /// URL of the server that was connected to.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Name of the server that it is connected to.
    pub fn server_name(&self) -> String {
        self.0.client.server_info().server_name
    }

    /// Largest message in bytes that the server takes.
    pub fn max_payload(&self) -> usize {
        self.0.client.max_payload()
    }

    /// What is subscribed to for replies.
    fn replies(&self) -> String {
        format!("{}.*", self.0.inbox)
    }

    fn expect_replies(&self) -> Ticket<'_> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, replies) = mpsc::unbounded_channel();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        Ticket { connection: self, id, replies }
    }

    /// One request; replies until `enough` or the time is over.
    async fn collect(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Vec<u8>,
        timeout: Duration,
        mut enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        let mut deadline = Instant::now() + timeout;
        let mut violations = self.0.denied.violations.subscribe();
        let mut lost = self.0.denied.lost.subscribe();
        let mut was_lost = false;
        // Permissions are checked on what the account's own mapping makes of it.
        let mapped = subject.strip_prefix(HUB_API).map(|rest| format!("{DEFAULT_PREFIX}{rest}")).unwrap_or_default();
        let mut ticket = self.expect_replies();
        let reply = format!("{}.{}", self.0.inbox, ticket.id);
        let client = &self.0.client;
        let publish = async {
            match headers.is_empty() {
                true => client.publish_with_reply(subject.to_owned(), reply, payload.into()).await,
                false => {
                    client.publish_with_reply_and_headers(subject.to_owned(), reply, headers, payload.into()).await
                }
            }
        };
        match tokio::time::timeout_at(deadline, publish).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(RequestError::Connection(format!("{}: {error}", self.0.url))),
            Err(_) => return Err(self.silence(subject)),
        }
        let mut replies = Vec::new();
        loop {
            tokio::select! {
                message = ticket.replies.recv() => {
                    let Some(message) = message else {
                        return Err(RequestError::Connection(format!("{} closed the connection", self.0.url)));
                    };
                    if message.status == Some(StatusCode::NO_RESPONDERS) && message.payload.is_empty() {
                        return Err(RequestError::NoResponders(subject.to_owned()));
                    }
                    replies.push(into_reply(message));
                    if enough(&replies) {
                        return Ok(replies);
                    }
                }
                violation = violations.recv() => match violation {
                    Ok(Violation::Publish(denied)) if denied == subject || denied == mapped => {
                        return Err(RequestError::Permission(denied));
                    }
                    Ok(Violation::Subscription(denied)) if denied == self.replies() => {
                        return Err(self.silence(subject));
                    }
                    // Closed cannot happen: `self` holds a sender.
                    _ => {}
                },
                Ok(()) = lost.changed() => was_lost = true,
                // The request, or the answers to it, may have gone with the connection.
                () = tokio::time::sleep(RECONNECT), if was_lost => {
                    if self.0.client.connection_state() == async_nats::connection::State::Connected {
                        deadline = deadline.min(Instant::now() + LATE);
                        was_lost = false;
                    }
                }
                () = tokio::time::sleep_until(deadline) => return Ok(replies),
            }
        }
    }

    /// What no answer at all means.
    fn silence(&self, subject: &str) -> RequestError {
        let replies = self.replies();
        if self.0.denied.refused(&replies) {
            return RequestError::Connection(format!("the user may not subscribe to {replies}, so no reply arrives"));
        }
        match self.0.client.connection_state() {
            async_nats::connection::State::Connected => RequestError::Timeout(subject.to_owned()),
            _ => RequestError::Connection(format!("lost {} and could not reconnect in time", self.0.url)),
        }
    }
}

impl Requests for Connection {
    async fn request(&self, subject: &str, payload: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
        let mut replies = self.collect(subject, HeaderMap::new(), payload, timeout, |_| true).await?;
        replies.pop().ok_or_else(|| self.silence(subject))
    }

    async fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        let replies = self.collect(subject, HeaderMap::new(), payload, timeout, enough).await?;
        match self.silence(subject) {
            RequestError::Timeout(_) => Ok(replies),
            lost if replies.is_empty() => Err(lost),
            _ => Ok(replies),
        }
    }

    fn user(&self) -> Option<&User> {
        self.0.user.as_ref()
    }
}

impl Link for Connection {
    async fn publish_after(
        &self,
        subject: &str,
        last: u64,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> Result<Reply, RequestError> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string().as_str());
        let mut replies = self.collect(subject, headers, payload, timeout, |_| true).await?;
        replies.pop().ok_or_else(|| self.silence(subject))
    }

    async fn listen(&self, subjects: &[&str]) -> Result<mpsc::UnboundedReceiver<Heard>, RequestError> {
        let (sender, heard) = mpsc::unbounded_channel();
        for subject in subjects {
            let failed = |error: async_nats::SubscribeError| RequestError::Connection(error.to_string());
            let mut messages = self.0.client.subscribe((*subject).to_owned()).await.map_err(failed)?;
            let sender = sender.clone();
            // Ends with the connection, or when nobody hears any more.
            tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    let heard = Heard { subject: message.subject.to_string(), payload: message.payload.to_vec() };
                    if sender.send(heard).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(heard)
    }

    fn may_not_hear<'s>(&self, subjects: &[&'s str]) -> Option<&'s str> {
        subjects.iter().copied().find(|subject| self.0.denied.refused(subject))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} as account {})", self.0.url, self.0.account)
    }
}

/// A place in the table of those who wait, given up on drop.
struct Ticket<'a> {
    connection: &'a Connection,
    id: u64,
    replies: mpsc::UnboundedReceiver<Message>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.connection.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

fn into_reply(message: Message) -> Reply {
    let headers = message.headers.map(|headers| {
        let pairs = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    });
    Reply { headers: headers.unwrap_or_default(), payload: message.payload.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::{Violation, parse_violation};

    #[test]
    fn permission_violations_are_understood() {
        let publish = Violation::Publish("$SYS.REQ.CLAIMS.UPDATE".to_owned());
        let subscription = Violation::Subscription("_INBOX.>".to_owned());
        let parse = |text| parse_violation(text);
        assert_eq!(parse(r#"Permissions Violation for Publish to "$SYS.REQ.CLAIMS.UPDATE""#), Some(publish));
        assert_eq!(parse(r#"Permissions Violation for Subscription to "_INBOX.>""#), Some(subscription));
        assert_eq!(parse("Maximum Payload Violation"), None);
    }
}
