use super::*;
use crate::desired::tests::{regional, stream, topology};
use crate::desired::{DesiredOptions, accounts};
use crate::model::finding::Severity;
use crate::observed::{RequestError, fake::Answers};
use std::collections::HashMap;

/// Streams by their names, and messages with their origins.
struct Streams(HashMap<&'static str, Value>);

impl Answers for Streams {
    fn answer(&self, subject: &str, _: &[u8]) -> Result<Value, RequestError> {
        let operation = subject.trim_start_matches("$JS.API.");
        self.0.get(operation).cloned().ok_or_else(|| RequestError::NoResponders(subject.to_owned()))
    }
}

/// A run that runs out of time reports how much of the history was copied, and that the next run continues.
#[tokio::test]
async fn history_that_is_under_way_is_said() {
    let account = regional(vec![stream("foo", &["foo.>"])]);
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap().remove(1);
    let history = History { from: "foo-read-west".to_owned(), messages: 600 };
    let config = backfill::filling(&desired.streams[0].config(), &history);
    let change = StreamChange {
        action: Action::Create,
        name: "foo".to_owned(),
        virtual_stream: "foo".to_owned(),
        region: "west".to_owned(),
        role: Role::Read,
        before: None,
        after: Some(config.clone()),
        fields: Vec::new(),
        messages: None,
        history: Some(history.clone()),
        hands_over: false,
    };
    let header = data_encoding::BASE64.encode(b"NATS/1.0\r\nNats-Stream-Source: foo-read-west 20 > >\r\n\r\n");
    let streams = Streams(HashMap::from([
        (
            "STREAM.INFO.foo-read-west",
            json!({ "config": { "name": "foo-read-west" }, "state": { "messages": 600, "last_seq": 600 } }),
        ),
        ("STREAM.INFO.foo", json!({ "config": config, "state": { "messages": 20, "last_seq": 20 } })),
        ("STREAM.MSG.GET.foo", json!({ "message": { "seq": 20, "hdrs": header } })),
    ]));
    let (old, new, deadline) = (Api::new(&streams), Api::new(&streams), Deadline::after(Duration::ZERO));
    let one = StreamBackfill {
        old,
        new,
        desired: &desired,
        change: &change,
        history: &history,
        consumers: Vec::new(),
        deadline,
    };
    let Err(Unfinished(message)) = one.run().await else { panic!("it is not all there") };
    let Checked { verdict: Verdict::Wrong, problems, .. } = one.problem(message) else { panic!("it is not ready") };
    let [StreamProblem { verdict: Verdict::Wrong, finding }] = &problems[..] else { panic!("{problems:#?}") };
    let Finding { code, severity, place, message, lines: _, next } = finding;
    assert_eq!((*code, *severity, &**place), ("history-under-way", Severity::Error, "account APP-west, stream foo"));
    assert_eq!(message, "has 20 of the 600 messages of foo-read-west so far; the rest is on its way");
    assert_eq!(next, "Run apply again: it continues from here.");
}
