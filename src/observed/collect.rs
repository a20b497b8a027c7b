//! Collects many replies to one request: decides when to stop waiting, and detects two different replies in one
//! server's name.

use super::{Deployment, Reply, RequestError, Requests};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Time without another answer after which missing servers count as down. Servers count stopped servers as active for
/// up to 150 s, and the run must not wait out its whole timeout each time.
pub(super) const QUIET_TIMEOUT: Duration = Duration::from_millis(1500);

/// Bounds of the extra wait after all known servers have answered, which is half of the time that their answers took.
/// The upper bound also applies if only "no responders" came, because the real one comes alone.
const FURTHER_ANSWERS_TIMEOUT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Decides when the replies to a request are complete.
pub(super) struct AnswerProgress {
    began: Instant,
    heard: Notify,
    far: Mutex<Far>,
}

impl AnswerProgress {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), heard: Notify::new(), far: Mutex::new(Far::Some) }
    }

    /// Notes that a reply came, and how complete the replies are now.
    pub(super) fn heard(&self, far: Far) {
        *self.far.lock().unwrap_or_else(PoisonError::into_inner) = far;
        self.heard.notify_one();
    }

    /// Returns when no more replies are expected: after [`QUIET_TIMEOUT`], or after a shorter time if all known servers
    /// have answered.
    pub(super) async fn ends(&self) {
        self.heard.notified().await;
        loop {
            let patience = match *self.far.lock().unwrap_or_else(PoisonError::into_inner) {
                Far::NoneAnswered => FURTHER_ANSWERS_TIMEOUT.1,
                Far::Some => QUIET_TIMEOUT,
                Far::All | Far::Found => {
                    (self.began.elapsed() / 2).clamp(FURTHER_ANSWERS_TIMEOUT.0, FURTHER_ANSWERS_TIMEOUT.1)
                }
            };
            if tokio::time::timeout(patience, self.heard.notified()).await.is_err() {
                return;
            }
        }
    }
}

/// Collects replies until `enough`, the timeout, or [`QUIET_TIMEOUT`] after the last reply.
pub(crate) async fn until_quiet(
    requests: &impl Requests,
    subject: &str,
    payload: Vec<u8>,
    timeout: Duration,
    enough: impl FnMut(&[Reply]) -> bool + Send,
) -> Result<Vec<Reply>, RequestError> {
    collect(requests, subject, payload, timeout, enough, true).await
}

/// Collects replies as [`until_quiet`] does, and then waits a little longer. So a client that answers first in a
/// server's name cannot suppress the server's own answer.
///
/// # Errors
/// [`RequestError::TwoAnswers`] if two replies in one server's name differ.
pub(crate) async fn until_all(
    requests: &impl Requests,
    subject: &str,
    payload: Vec<u8>,
    timeout: Duration,
    enough: impl FnMut(&[Reply]) -> bool + Send,
) -> Result<Vec<Reply>, RequestError> {
    let replies = collect(requests, subject, payload, timeout, enough, false).await?;
    no_two_answers(subject, &replies)?;
    Ok(replies)
}

fn no_two_answers(subject: &str, replies: &[Reply]) -> Result<(), RequestError> {
    let mut first: HashMap<String, &Reply> = HashMap::new();
    for reply in replies {
        let Some(Sender { id, name }) = sender(reply) else { continue };
        let known = first.entry(id.clone()).or_insert(reply);
        if known.payload != reply.payload {
            let server = if name.is_empty() { id } else { name };
            return Err(RequestError::TwoAnswers { subject: subject.to_owned(), server });
        }
    }
    Ok(())
}

/// The completeness of the replies to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Far {
    /// "No responders" came, and no reply.
    NoneAnswered,
    /// More replies are expected.
    Some,
    /// As many replies as expected came; more may still come.
    All,
    /// The wanted reply came; the others do not matter.
    Found,
}

/// A request whose replies are checked one by one.
pub(crate) struct Question<'q, E> {
    pub subject: &'q str,
    pub payload: Vec<u8>,
    pub far: E,
}

/// The replies to two requests.
struct ReplyPair {
    replies: [Vec<Reply>; 2],
    far: [Far; 2],
}

impl ReplyPair {
    /// Returns the completeness of both together. Until all replies to the second request have come, a missing reply to
    /// the first means nothing.
    fn far(&self) -> Far {
        match self.far {
            [Far::NoneAnswered, Far::All | Far::NoneAnswered] => Far::NoneAnswered,
            [Far::All, Far::All] => Far::All,
            _ => Far::Some,
        }
    }
}

/// Reason why one of the two requests ended.
enum RequestEnd {
    Found,
    Failed(RequestError),
}

/// Sends two requests at once. Replies to the first do not name their sender, replies to the second do. Another client
/// can send as many replies to the first as there are servers, so their number alone is not enough. Both requests end
/// when they have all expected replies and no other reply comes for a moment. They also end at [`Far::Found`], at the
/// timeout, or [`QUIET_TIMEOUT`] after the last reply.
///
/// If the first request has no responders, it has no replies.
///
/// # Errors
/// [`RequestError::TwoAnswers`] when two replies to the second in one server's name differ.
pub(crate) async fn beside_named(
    requests: &impl Requests,
    nameless: Question<'_, impl FnMut(&[Reply]) -> Far + Send>,
    named: Question<'_, impl FnMut(&[Reply]) -> Far + Send>,
    timeout: Duration,
) -> Result<[Vec<Reply>; 2], RequestError> {
    let both = Mutex::new(ReplyPair { replies: [Vec::new(), Vec::new()], far: [Far::Some; 2] });
    let (progress, subject) = (AnswerProgress::new(), named.subject);
    let nameless = async {
        match ask_one_of_two(requests, nameless, 0, &both, &progress, timeout).await {
            Err(RequestEnd::Failed(RequestError::NoResponders(_))) => {
                both.lock().unwrap_or_else(PoisonError::into_inner).far[0] = Far::NoneAnswered;
                Ok(())
            }
            other => other,
        }
    };
    let named = ask_one_of_two(requests, named, 1, &both, &progress, timeout);
    tokio::select! {
        biased;
        ended = futures::future::try_join(nameless, named) => {
            if let Err(RequestEnd::Failed(error)) = ended {
                return Err(error);
            }
        }
        () = progress.ends() => {
            if both.lock().unwrap_or_else(PoisonError::into_inner).far[1] == Far::NoneAnswered {
                return Err(RequestError::NoResponders(subject.to_owned()));
            }
        }
    }
    let ReplyPair { replies, far: _ } = both.into_inner().unwrap_or_else(PoisonError::into_inner);
    no_two_answers(subject, &replies[1])?;
    Ok(replies)
}

async fn ask_one_of_two(
    requests: &impl Requests,
    question: Question<'_, impl FnMut(&[Reply]) -> Far + Send>,
    index: usize,
    both: &Mutex<ReplyPair>,
    progress: &AnswerProgress,
    timeout: Duration,
) -> Result<(), RequestEnd> {
    let Question { subject, payload, mut far } = question;
    let mut found = false;
    let heard = |replies: &[Reply]| {
        let far = if replies.is_empty() { Far::NoneAnswered } else { far(replies) };
        found = far == Far::Found;
        let mut both = both.lock().unwrap_or_else(PoisonError::into_inner);
        let known = both.replies[index].len();
        both.replies[index].extend_from_slice(&replies[known..]);
        both.far[index] = far;
        progress.heard(both.far());
        found
    };
    requests.request_many(subject, payload, timeout, heard).await.map_err(RequestEnd::Failed)?;
    if found { Err(RequestEnd::Found) } else { Ok(()) }
}

async fn collect(
    requests: &impl Requests,
    subject: &str,
    payload: Vec<u8>,
    timeout: Duration,
    mut enough: impl FnMut(&[Reply]) -> bool + Send,
    at_once: bool,
) -> Result<Vec<Reply>, RequestError> {
    let (so_far, progress) = (Mutex::new(Vec::<Reply>::new()), AnswerProgress::new());
    let mut done = false;
    let asking = requests.request_many(subject, payload, timeout, |replies| {
        if replies.is_empty() {
            progress.heard(Far::NoneAnswered);
            return false;
        }
        done = done || enough(replies);
        let mut so_far = so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let known = so_far.len();
        so_far.extend_from_slice(&replies[known..]);
        progress.heard(if done { Far::All } else { Far::Some });
        done && at_once
    });
    tokio::select! {
        biased;
        replies = asking => return replies,
        () = progress.ends() => {}
    }
    let replies = so_far.into_inner().unwrap_or_else(PoisonError::into_inner);
    if replies.is_empty() { Err(RequestError::NoResponders(subject.to_owned())) } else { Ok(replies) }
}

/// Returns a check that is `true` once each server of the deployment has answered, whatever other answers come.
pub(crate) fn by_every_server(deployment: &Deployment) -> impl FnMut(&[Reply]) -> bool + Send {
    let mut open: HashSet<&str> = deployment.servers.iter().map(|server| server.id.as_str()).collect();
    let mut known = 0;
    move |replies| {
        for reply in &replies[known..] {
            if let Some(sender) = sender(reply) {
                open.remove(sender.id.as_str());
            }
        }
        known = replies.len();
        open.is_empty()
    }
}

/// The server that a reply names as its sender.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Sender {
    /// Server id.
    pub id: String,
    /// Server name.
    #[serde(default)]
    pub name: String,
}

/// Returns the server that a reply names as its sender.
pub(crate) fn sender(reply: &Reply) -> Option<Sender> {
    #[derive(serde::Deserialize)]
    struct Signed {
        server: Sender,
    }
    serde_json::from_slice::<Signed>(&reply.payload).ok().map(|signed| signed.server)
}
