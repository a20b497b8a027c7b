//! Many replies to one request: until when they are waited for, and what two in one server's name mean.

use super::{Reply, RequestError, Requests};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// When servers have answered and no other does for this long, those that are missing are taken for dead: servers
/// that were stopped are counted as active for up to 150 s, and must not cost a whole timeout each time.
pub(super) const QUIET: Duration = Duration::from_millis(1500);

/// How long others may answer once all have that are known: half of what those took, within these bounds. The longer one
/// too when "no responders" is all that came: a real one comes alone.
const MOMENT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Waits for the end of the replies to a request.
pub(super) struct Progress {
    began: Instant,
    heard: Notify,
    far: Mutex<Far>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), heard: Notify::new(), far: Mutex::new(Far::Some) }
    }

    /// Something else came, and with it they are so far.
    pub(super) fn heard(&self, far: Far) {
        *self.far.lock().unwrap_or_else(PoisonError::into_inner) = far;
        self.heard.notify_one();
    }

    /// Ends when no reply comes any more: for [`QUIET`], or for a moment where none is expected.
    pub(super) async fn ends(&self) {
        self.heard.notified().await;
        loop {
            let patience = match *self.far.lock().unwrap_or_else(PoisonError::into_inner) {
                Far::Nobody => MOMENT.1,
                Far::Some => QUIET,
                Far::All | Far::Found => (self.began.elapsed() / 2).clamp(MOMENT.0, MOMENT.1),
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

/// How far the replies to one request are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Far {
    /// "No responders" came, and no reply.
    Nobody,
    /// More are expected.
    Some,
    /// As many as are expected: others may still come.
    All,
    /// What was looked for is there; nothing else matters.
    Found,
}

/// A request of which each reply is looked at.
pub(super) struct Question<'q, E> {
    pub(super) subject: &'q str,
    pub(super) payload: Vec<u8>,
    pub(super) far: E,
}

/// What came in reply to two requests.
struct Both {
    replies: [Vec<Reply>; 2],
    far: [Far; 2],
}

impl Both {
    /// How far they are together: until all replies to the second are there, none to the first says nothing.
    fn far(&self) -> Far {
        match self.far {
            [Far::Nobody, Far::All | Far::Nobody] => Far::Nobody,
            [Far::All, Far::All] => Far::All,
            _ => Far::Some,
        }
    }
}

/// Why a request of two is over.
enum Over {
    Found,
    Failed(RequestError),
}

/// Two requests at once: replies to the first do not name who sent them, those to the second do. A stranger can send as many
/// replies to the first as there are servers, so their number alone ends nothing. Both end when both have all that are
/// expected, and no other reply comes for a moment; at [`Far::Found`], at the timeout, or [`QUIET`] after the last reply.
///
/// Without responders to the first, nothing came in reply to it.
///
/// # Errors
/// [`RequestError::TwoAnswers`] when two replies to the second in one server's name differ.
pub(super) async fn beside_named(
    requests: &impl Requests,
    nameless: Question<'_, impl FnMut(&[Reply]) -> Far + Send>,
    named: Question<'_, impl FnMut(&[Reply]) -> Far + Send>,
    timeout: Duration,
) -> Result<[Vec<Reply>; 2], RequestError> {
    let both = Mutex::new(Both { replies: [Vec::new(), Vec::new()], far: [Far::Some; 2] });
    let (progress, subject) = (Progress::new(), named.subject);
    let nameless = async {
        match ask_one_of_two(requests, nameless, 0, &both, &progress, timeout).await {
            Err(Over::Failed(RequestError::NoResponders(_))) => {
                both.lock().unwrap_or_else(PoisonError::into_inner).far[0] = Far::Nobody;
                Ok(())
            }
            other => other,
        }
    };
    let named = ask_one_of_two(requests, named, 1, &both, &progress, timeout);
    tokio::select! {
        biased;
        ended = futures::future::try_join(nameless, named) => {
            if let Err(Over::Failed(error)) = ended {
                return Err(error);
            }
        }
        () = progress.ends() => {
            if both.lock().unwrap_or_else(PoisonError::into_inner).far[1] == Far::Nobody {
                return Err(RequestError::NoResponders(subject.to_owned()));
            }
        }
    }
    let Both { replies, far: _ } = both.into_inner().unwrap_or_else(PoisonError::into_inner);
    no_two_answers(subject, &replies[1])?;
    Ok(replies)
}

async fn ask_one_of_two(
    requests: &impl Requests,
    question: Question<'_, impl FnMut(&[Reply]) -> Far + Send>,
    place: usize,
    both: &Mutex<Both>,
    progress: &Progress,
    timeout: Duration,
) -> Result<(), Over> {
    let Question { subject, payload, mut far } = question;
    let mut found = false;
    let heard = |replies: &[Reply]| {
        let far = if replies.is_empty() { Far::Nobody } else { far(replies) };
        found = far == Far::Found;
        let mut both = both.lock().unwrap_or_else(PoisonError::into_inner);
        let known = both.replies[place].len();
        both.replies[place].extend_from_slice(&replies[known..]);
        both.far[place] = far;
        progress.heard(both.far());
        found
    };
    requests.request_many(subject, payload, timeout, heard).await.map_err(Over::Failed)?;
    if found { Err(Over::Found) } else { Ok(()) }
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
        if replies.is_empty() {
            progress.heard(Far::Nobody);
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
