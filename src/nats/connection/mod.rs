//! A connection: many requests in flight over one inbox subscription.

use super::login::Login;
use crate::desired::regional::OWN_JS_API;
use crate::model::nkey::PublicKey;
use crate::observed::connection::{Connection, Delivery, MessageReceiver, ReceivedMessage, message_channel};
use crate::observed::jetstream::DEFAULT_PREFIX;
use crate::observed::{Reply, RequestError, Requests, User};
use async_nats::{Client, HeaderMap, Message, StatusCode};
use futures::StreamExt as _;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// An open connection as one user of one account. Reconnects automatically, and closes when its last clone is dropped.
#[derive(Clone)]
pub struct NatsConnection(Arc<Open>);

struct Open {
    /// `None` after the server sent more data than this process keeps.
    client: Mutex<Option<Client>>,
    inbox: String,
    next: AtomicU64,
    waiting: Waiting,
    denied: Denied,
    /// Number of bytes in the messages that were passed on.
    taken: Arc<AtomicU64>,
    /// The tasks that read from the client. They end with the connection.
    tasks: Mutex<Vec<AbortHandle>>,
    url: String,
    account: PublicKey,
    user: Option<User>,
}

/// Most bytes of the answers to one request, which is more than all servers of a large deployment send.
const MOST_BYTES: usize = 256 << 20;
/// Most answers to one request.
const MOST_ANSWERS: usize = 100_000;
/// Most bytes that a server may send before a message is complete. Servers accept no message above 64 MiB (nats-server
/// `const.go`, `MAX_PAYLOAD_MAX_SIZE`), but the client would allocate any length that a server announces.
const MOST_UNREAD: u64 = 80 << 20;
/// Interval for checking this limit.
const UNREAD_INTERVAL: Duration = Duration::from_millis(10);

/// Interval for checking a lost connection.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);
/// Time to wait after a reconnect for answers to earlier requests.
const LATE_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

/// The requests that wait for replies, by the last token of the reply subject.
type Waiting = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Message>>>>;

/// Permission violations, which a server reports separately from the requests that caused them.
#[derive(Clone)]
pub(super) struct Denied {
    violations: broadcast::Sender<Violation>,
    /// Subjects that the user may not subscribe to.
    subscriptions: Arc<Mutex<Vec<String>>>,
    /// Count of lost connections.
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

    /// Notes a permission violation that the server reports: `Permissions Violation for Publish to "subject"`
    /// (nats-server `server/client.go`).
    pub(super) fn server_said(&self, text: &str) {
        let Some(violation) = parse_violation(text) else { return };
        if let Violation::Subscription(subject) = &violation {
            self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).push(subject.clone());
        }
        // Without a request in flight there is no receiver.
        let _ = self.violations.send(violation);
    }

    /// Checks whether the server refused the subscription.
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

impl NatsConnection {
    pub(super) async fn new(client: Client, login: &Login, denied: Denied, url: String) -> Result<Self, String> {
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(format!("{inbox}.*")).await.map_err(|error| error.to_string())?;
        let (waiting, taken) = (Waiting::default(), Arc::<AtomicU64>::default());
        let (route, count) = (waiting.clone(), taken.clone());
        let reader = tokio::spawn(async move {
            while let Some(message) = replies.next().await {
                count.fetch_add(message.length as u64, Ordering::Relaxed);
                let id = message.subject.rsplit('.').next().and_then(|token| token.parse::<u64>().ok());
                let waiting = route.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = id.and_then(|id| waiting.get(&id)) {
                    // The reply is late; the request may have just ended.
                    let _ = sender.send(message);
                }
            }
        });
        let received = client.statistics();
        let open = Arc::new(Open {
            client: Mutex::new(Some(client)),
            inbox,
            next: AtomicU64::new(0),
            waiting,
            denied,
            taken,
            tasks: Mutex::new(vec![reader.abort_handle()]),
            url,
            account: login.account.clone(),
            user: login.as_user(),
        });
        tokio::spawn(guard(Arc::downgrade(&open), received));
        Ok(Self(open))
    }

    /// Returns the client, or an error after [`Open::leave`].
    fn client(&self) -> Result<Client, RequestError> {
        let client = self.0.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| RequestError::Connection(format!("{} sent data without end, and was left", self.0.url)))
    }

    /// Lets the client reconnect to any of the servers.
    pub(super) async fn widen(&self, urls: impl Iterator<Item = &str>) {
        let mut servers: Vec<async_nats::ServerAddr> = urls.filter_map(|url| url.parse().ok()).collect();
        // The client cannot mix WebSocket with other servers. An encrypted connection stays encrypted, and one over
        // `ws://` never is.
        let (web, open) = (self.0.url.starts_with("ws"), self.0.url.starts_with("ws://"));
        servers.retain(|server| server.is_websocket() == web && (open || server.scheme() != "ws"));
        let Ok(client) = self.client() else { return };
        let _ = client.set_server_pool(servers.as_slice()).await;
    }

    /// Returns the account of the connection.
    pub fn account(&self) -> &PublicKey {
        &self.0.account
    }

    /// Returns the URL of the first server. The client may have reconnected to another one since.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Returns the name of the server that the client is connected to now.
    pub fn server_name(&self) -> String {
        self.client().map(|client| client.server_info().server_name).unwrap_or_default()
    }

    /// Returns the largest message that the server accepts, in bytes.
    pub fn max_payload(&self) -> usize {
        self.client().map(|client| client.max_payload()).unwrap_or_default()
    }

    /// Returns the subject of the subscription for replies.
    fn replies(&self) -> String {
        format!("{}.*", self.0.inbox)
    }

    fn expect_replies(&self) -> Ticket<'_> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, replies) = mpsc::unbounded_channel();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        Ticket { connection: self, id, replies }
    }

    /// Sends one request. Collects replies until `enough` returns `true` or the time is over.
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
        // Servers check permissions on the subject to which the account's own mapping maps this one.
        let mapped = subject.strip_prefix(OWN_JS_API).map(|rest| format!("{DEFAULT_PREFIX}{rest}")).unwrap_or_default();
        let mut ticket = self.expect_replies();
        let reply = format!("{}.{}", self.0.inbox, ticket.id);
        let client = self.client()?;
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
        let (mut replies, mut bytes, mut nobody) = (Vec::new(), 0_usize, false);
        loop {
            tokio::select! {
                message = ticket.replies.recv() => {
                    let Some(message) = message else {
                        self.client()?;
                        return Err(RequestError::Connection(format!("{} closed the connection", self.0.url)));
                    };
                    if message.status == Some(StatusCode::NO_RESPONDERS) && message.payload.is_empty() {
                        if nobody || !replies.is_empty() {
                            continue;
                        }
                        nobody = true;
                    } else {
                        bytes = bytes.saturating_add(message.length);
                        if bytes > MOST_BYTES || replies.len() >= MOST_ANSWERS {
                            return Err(RequestError::TooMuch(subject.to_owned()));
                        }
                        replies.push(into_reply(message));
                    }
                    if enough(&replies) {
                        break;
                    }
                }
                violation = violations.recv() => match violation {
                    Ok(Violation::Publish(denied)) if denied == subject || denied == mapped => {
                        return Err(RequestError::Permission(denied));
                    }
                    Ok(Violation::Subscription(denied)) if denied == self.replies() => {
                        return Err(self.silence(subject));
                    }
                    // The channel cannot be closed: `self` holds a sender.
                    _ => {}
                },
                Ok(()) = lost.changed() => was_lost = true,
                // The request or its answers may have been lost with the connection.
                () = tokio::time::sleep(RECONNECT_INTERVAL), if was_lost => {
                    if self.client()?.connection_state() == async_nats::connection::State::Connected {
                        deadline = deadline.min(Instant::now() + LATE_ANSWERS_TIMEOUT);
                        was_lost = false;
                    }
                }
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        match nobody && replies.is_empty() {
            true => Err(RequestError::NoResponders(subject.to_owned())),
            false => Ok(replies),
        }
    }

    /// Returns the error for a request without an answer.
    fn silence(&self, subject: &str) -> RequestError {
        let replies = self.replies();
        if self.0.denied.refused(&replies) {
            return RequestError::Connection(format!("the user may not subscribe to {replies}, so no reply arrives"));
        }
        let client = match self.client() {
            Ok(client) => client,
            Err(left) => return left,
        };
        match client.connection_state() {
            async_nats::connection::State::Connected => RequestError::Timeout(subject.to_owned()),
            _ => RequestError::Connection(format!("lost {} and could not reconnect in time", self.0.url)),
        }
    }
}

impl Requests for NatsConnection {
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

impl Connection for NatsConnection {
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

    async fn listen(&self, subjects: &[&str]) -> Result<MessageReceiver, RequestError> {
        let (sender, receiver) = message_channel();
        for subject in subjects {
            let failed = |error: async_nats::SubscribeError| RequestError::Connection(error.to_string());
            let mut messages = self.client()?.subscribe((*subject).to_owned()).await.map_err(failed)?;
            let (sender, taken, open) = (sender.clone(), self.0.taken.clone(), Arc::downgrade(&self.0));
            // The task ends with the connection, or when the receiver is dropped.
            let task = tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    taken.fetch_add(message.length as u64, Ordering::Relaxed);
                    let received =
                        ReceivedMessage { subject: message.subject.to_string(), payload: message.payload.to_vec() };
                    match sender.send(received) {
                        Delivery::Queued => {}
                        Delivery::Closed => break,
                        // The lost message could be any, so the run cannot continue.
                        Delivery::Full => return open.upgrade().map_or((), |open| open.leave()),
                    }
                }
            });
            self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
        }
        Ok(receiver)
    }

    fn denied_subscription<'s>(&self, subjects: &[&'s str]) -> Option<&'s str> {
        subjects.iter().copied().find(|subject| self.0.denied.refused(subject))
    }
}

/// Leaves a server that sends data without ever completing a message, because the client would keep all of it.
async fn guard(open: Weak<Open>, received: Arc<async_nats::Statistics>) {
    // The counts at the last complete message.
    let (mut taken, mut before) = (0, 0);
    loop {
        tokio::time::sleep(UNREAD_INTERVAL).await;
        let Some(open) = open.upgrade() else { return };
        let (now, all) = (open.taken.load(Ordering::Relaxed), received.in_bytes.load(Ordering::Relaxed));
        if now != taken {
            (taken, before) = (now, all);
        } else if all - before > MOST_UNREAD {
            return open.leave();
        }
    }
}

impl Open {
    /// Drops the client, which then closes the connection, and ends all tasks that read from it.
    fn leave(&self) {
        drop(self.client.lock().unwrap_or_else(PoisonError::into_inner).take());
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.leave();
    }
}

impl std::fmt::Debug for NatsConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} as account {})", self.0.url, self.0.account)
    }
}

/// An entry in the table of waiting requests, removed on drop.
struct Ticket<'a> {
    connection: &'a NatsConnection,
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
mod tests;
