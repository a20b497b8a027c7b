//! Many replies to one request: until when they are waited for, and what two in one server's name mean.

use super::{Reply, RequestError, Requests};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// When servers have answered and no other does for this long, those that are missing are taken for dead: servers
/// that were stopped are counted as active for up to 150 s, and must not cost a whole timeout each time.
pub(super) const QUIET: Duration = Duration::from_millis(1500);

/// How long others may answer once all have that are known: half of what those took, within these bounds.
const MOMENT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// How far the replies to a request are.
pub(super) struct Progress {
    began: Instant,
    heard: Notify,
    complete: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), heard: Notify::new(), complete: AtomicBool::new(false) }
    }

    /// Another reply came; with it all are there that are known of, or not yet.
    pub(super) fn heard(&self, complete: bool) {
        self.complete.store(complete, Ordering::Relaxed);
        self.heard.notify_one();
    }

    /// Ends when no reply comes any more: for [`QUIET`], or for a moment once all are there that are known of.
    pub(super) async fn ends(&self) {
        self.heard.notified().await;
        loop {
            let patience = match self.complete.load(Ordering::Relaxed) {
                true => (self.began.elapsed() / 2).clamp(MOMENT.0, MOMENT.1),
                false => QUIET,
            };
            if tokio::time::timeout(patience, self.heard.notified()).await.is_err() {
                return;
            }
        }
    }
}

/// Replies until `enough`, the timeout, or [`QUIET`] after the last reply.
pub(crate) async fn until_quiet(
    requests: &impl Requests,
    subject: &str,
    payload: Vec<u8>,
    timeout: Duration,
    enough: impl FnMut(&[Reply]) -> bool + Send,
) -> Result<Vec<Reply>, RequestError> {
    collect(requests, subject, payload, timeout, enough, true).await
}

/// The same, and then for a moment more: whoever answers first in a server's name does not keep its own answer away.
///
/// # Errors
/// [`RequestError::TwoAnswers`] when two replies in one server's name differ.
pub(crate) async fn until_all(
    requests: &impl Requests,
    subject: &str,
    payload: Vec<u8>,
    timeout: Duration,
    enough: impl FnMut(&[Reply]) -> bool + Send,
) -> Result<Vec<Reply>, RequestError> {
    let replies = collect(requests, subject, payload, timeout, enough, false).await?;
    let mut first: HashMap<String, &Reply> = HashMap::new();
    for reply in &replies {
        let Some(Sender { id, name }) = sender(reply) else { continue };
        let known = first.entry(id.clone()).or_insert(reply);
        if known.payload != reply.payload {
            let server = if name.is_empty() { id } else { name };
            return Err(RequestError::TwoAnswers { subject: subject.to_owned(), server });
        }
    }
    Ok(replies)
}

async fn collect(
    requests: &impl Requests,
    subject: &str,
    payload: Vec<u8>,
    timeout: Duration,
    mut enough: impl FnMut(&[Reply]) -> bool + Send,
    at_once: bool,
) -> Result<Vec<Reply>, RequestError> {
    let (so_far, progress) = (Mutex::new(Vec::<Reply>::new()), Progress::new());
    let mut done = false;
    let asking = requests.request_many(subject, payload, timeout, |replies| {
        done = done || enough(replies);
        let mut so_far = so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let known = so_far.len();
        so_far.extend_from_slice(&replies[known..]);
        progress.heard(done);
        done && at_once
    });
    tokio::select! {
        biased;
        replies = asking => return replies,
        () = progress.ends() => {}
    }
    Ok(so_far.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Who a reply says it is of.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Sender {
    /// Server id.
    pub id: String,
    /// Server name.
    #[serde(default)]
    pub name: String,
}

/// The server that a reply says it is of.
pub(crate) fn sender(reply: &Reply) -> Option<Sender> {
    #[derive(serde::Deserialize)]
    struct Signed {
        server: Sender,
    }
    serde_json::from_slice::<Signed>(&reply.payload).ok().map(|signed| signed.server)
}
