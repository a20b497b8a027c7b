use super::*;
use crate::observed::Reply;
use crate::observed::connection::{MessageReceiver, message_channel};
use crate::observed::fake::Answers;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// The stream of the lease. A user of the account sends forged answers before the stream does.
#[derive(Clone, Debug, Default)]
struct Stream(Arc<Mutex<StreamContent>>);

#[derive(Debug, Default)]
struct StreamContent {
    last: Option<(u64, Vec<u8>)>,
    /// Age of the last message, in seconds.
    age: i64,
    forged: Option<String>,
    /// The error code with which it refuses all messages.
    refuses: Option<u64>,
    /// `true` to answer nothing.
    silent: bool,
}

impl Stream {
    fn edit(&self, change: impl FnOnce(&mut StreamContent)) {
        change(&mut self.0.lock().unwrap());
    }

    /// Stores a note over any other message.
    fn store(&self, seq: u64, note: &Note) {
        self.edit(|content| content.last = Some((seq, serde_json::to_vec(note).unwrap())));
    }

    fn api(&self) -> Api<'_, Self> {
        Api::new(self)
    }

    async fn last(&self) -> Option<LastNote> {
        last(self.api()).await.unwrap()
    }

    async fn contend(&self, note: &Note, seen: Option<LastNote>) -> Result<TakeAttempt, LeaseFailure> {
        contend(&self.lease_stream(), self.api(), note, seen).await
    }

    fn lease_stream(&self) -> LeaseStream<Self> {
        LeaseStream { connection: self.clone(), regional: false }
    }

    fn held(&self, note: &Note, seq: u64) -> Held<Self> {
        let state = Mutex::new(State { seq, renewed: Instant::now() });
        Held { account: "APP".to_owned(), stream: self.lease_stream(), note: note.clone(), state }
    }
}

impl Answers for Stream {
    fn answer(&self, subject: &str, _: &[u8]) -> Result<Value, RequestError> {
        let StreamContent { last, age, silent, .. } = &*self.0.lock().unwrap();
        if *silent {
            return Err(RequestError::Timeout(subject.to_owned()));
        }
        let now = Timestamp::from_second(2_000_000_000).unwrap();
        if !subject.contains("MSG.GET") {
            return Ok(json!({ "ts": now.to_string() }));
        }
        Ok(match last {
            None => json!({ "error": { "code": 404, "err_code": code::NO_MESSAGE } }),
            Some((seq, note)) => {
                let time = now - SignedDuration::from_secs(*age);
                json!({ "message": { "seq": seq, "data": B64.encode(note), "time": time.to_string() } })
            }
        })
    }
}

impl Connection for Stream {
    async fn publish_after(&self, to: &str, after: u64, note: Vec<u8>, most: Duration) -> Result<Reply, RequestError> {
        if self.0.lock().unwrap().silent {
            tokio::time::sleep(most).await;
            return Err(RequestError::Timeout(to.to_owned()));
        }
        let mut content = self.0.lock().unwrap();
        let error = |err_code: u64| json!({ "stream": STREAM, "error": { "code": 400, "err_code": err_code } });
        let last = content.last.as_ref().map_or(0, |(seq, _)| *seq);
        let answer = match content.refuses {
            Some(refusal) => error(refusal),
            None if after == last => {
                content.last = Some((last + 1, note));
                json!({ "stream": STREAM, "seq": last + 1 })
            }
            None => error(code::WRONG_LAST_SEQUENCE),
        };
        let answer = content.forged.clone().unwrap_or(answer.to_string());
        Ok(Reply { headers: Vec::new(), payload: answer.into_bytes() })
    }

    async fn listen(&self, _: &[&str]) -> Result<MessageReceiver, RequestError> {
        Ok(message_channel().1)
    }

    fn denied_subscription<'s>(&self, _: &[&'s str]) -> Option<&'s str> {
        None
    }
}

fn note(id: &str) -> Note {
    let text = str::to_owned;
    Note { id: text(id), holder: text(id), verb: text("apply"), tool: text(""), since: text(""), released: false }
}

/// Forged answers of a user that subscribes to the subject.
const FORGED: [&str; 7] = [
    r#"{"seq":1}"#,
    r#"{"stream":"vstream-lease","seq":1}"#,
    r#"{"stream":"vstream-lease","seq":18446744073709551615}"#,
    r#"{"error":{"code":400,"err_code":10071}}"#,
    r#"{"error":{"code":400,"err_code":10169}}"#,
    "nonsense",
    "",
];

#[tokio::test]
async fn a_lease_is_what_is_stored_whoever_answers() {
    for forged in FORGED {
        let (stream, ours, theirs) = (Stream::default(), note("ours"), note("theirs"));
        stream.store(7, &Note { released: true, ..theirs.clone() });
        stream.edit(|content| content.forged = Some(forged.to_owned()));
        let taken = stream.contend(&ours, stream.last().await).await;
        assert!(matches!(taken, Ok(TakeAttempt::Taken(8))), "{forged}: {taken:?}");
        // A run that checked at the same moment was too late.
        let late = stream.contend(&theirs, None).await;
        match forged.contains("10169") {
            true => assert!(matches!(late, Err(LeaseFailure::Planted { .. })), "{late:?}"),
            false => assert!(matches!(&late, Ok(TakeAttempt::Held(held)) if *held == ours), "{forged}: {late:?}"),
        }
    }
}

#[tokio::test]
async fn a_lease_is_renewed_whoever_answers() {
    for forged in FORGED.into_iter().filter(|forged| !forged.contains("10169")) {
        let (stream, ours, theirs) = (Stream::default(), note("ours"), note("theirs"));
        stream.store(7, &ours);
        stream.edit(|content| content.forged = Some(forged.to_owned()));
        let held = stream.held(&ours, 7);
        for seq in [8, 9] {
            assert!(held.renew().await.unwrap());
            assert_eq!((held.state().seq, stream.last().await.unwrap().seq), (seq, seq), "{forged}");
        }
        stream.edit(|content| content.last = None);
        assert!(held.renew().await.unwrap());
        stream.store(12, &theirs);
        let lost = held.renew().await.unwrap_err().to_string();
        assert!(lost.contains("theirs has it now"), "{forged}: {lost}");
        held.release(false).await;
        assert_eq!(stream.last().await.unwrap().note, theirs);
        let held = stream.held(&theirs, 3);
        held.release(false).await;
        assert!(stream.last().await.unwrap().note.released, "{forged}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_answer_costs_no_other_lease() {
    let (ours, healthy) = (note("ours"), Stream::default());
    healthy.store(7, &ours);
    let silent = || {
        let stream = Stream::default();
        stream.edit(|content| content.silent = true);
        stream.held(&ours, 7)
    };
    let lease = Lease { held: vec![silent(), silent(), silent(), healthy.held(&ours, 7)], waited: false };
    let most = RENEW_INTERVAL * 5 + RENEW_INTERVAL / 2;
    assert!(tokio::time::timeout(most, lease.keep()).await.is_err(), "no lease is lost so soon");
    assert_eq!(healthy.last().await.unwrap().seq, 7 + 5);
}

#[tokio::test]
async fn what_was_given_back_is_taken_anew() {
    let (stream, ours) = (Stream::default(), note("ours"));
    stream.store(3, &Note { released: true, ..ours.clone() });
    let taken = stream.contend(&ours, stream.last().await).await;
    assert!(matches!(taken, Ok(TakeAttempt::Taken(4))), "{taken:?}");
    assert!(!stream.last().await.unwrap().note.released);
}

/// A stream may come from a backup of a server whose clock was ahead.
#[tokio::test]
async fn a_note_of_another_time_is_no_lease() {
    let (stream, ours, theirs) = (Stream::default(), note("ours"), note("theirs"));
    let expiry = i64::try_from(EXPIRY).unwrap();
    for (age, holds) in
        [(0, true), (expiry - 1, true), (expiry, false), (-5, true), (-expiry, false), (-9_000_000_000, false)]
    {
        stream.store(5, &theirs);
        stream.edit(|content| content.age = age);
        let seen = stream.last().await;
        stream.edit(|content| content.age = 0);
        let attempt = stream.contend(&ours, seen).await;
        assert_eq!(matches!(attempt, Ok(TakeAttempt::Held(_))), holds, "{age}: {attempt:?}");
        assert_eq!(matches!(attempt, Ok(TakeAttempt::Taken(6))), !holds, "{age}: {attempt:?}");
    }
}

/// The next step is to remove the stream, for any reason to refuse messages.
#[tokio::test]
async fn a_stream_that_takes_no_notes_is_named() {
    let (stream, ours) = (Stream::default(), note("ours"));
    stream.edit(|content| content.refuses = Some(10_169));
    let refused = stream.contend(&ours, None).await.unwrap_err();
    let finding = unreachable("APP", &refused);
    assert_eq!((finding.code, &*finding.place), (UNREACHABLE, "account APP, stream vstream-lease"));
    assert!(finding.message.contains("it takes no lease") && finding.message.contains("10169"), "{finding:?}");
    assert!(finding.next.starts_with("Remove it, with `nats stream rm`"), "{finding:?}");
    // The stream is electing a leader.
    stream.edit(|content| content.refuses = Some(code::NOT_AVAILABLE));
    let refused = stream.contend(&ours, None).await;
    assert!(matches!(&refused, Err(LeaseFailure::Call(error)) if error.is_transient()), "{refused:?}");
}
