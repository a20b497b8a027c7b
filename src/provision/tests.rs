use super::*;
use crate::desired::Role;
use crate::observed::jetstream::Api;
use crate::observed::{RequestError, fake::Answers};
use crate::plan::Action;
use crate::plan::streams::StreamChange;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// Answers each subject with its prepared replies, one after the other, and records the requests.
#[derive(Default)]
struct Scripted {
    replies: Mutex<HashMap<String, Vec<Result<Value, RequestError>>>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn on(self, operation: &str, replies: impl IntoIterator<Item = Result<Value, RequestError>>) -> Self {
        self.replies.lock().unwrap().insert(format!("$JS.API.{operation}"), replies.into_iter().collect());
        self
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Answers for Scripted {
    fn answer(&self, subject: &str, _: &[u8]) -> Result<Value, RequestError> {
        self.asked.lock().unwrap().push(subject.trim_start_matches("$JS.API.").to_owned());
        let mut replies = self.replies.lock().unwrap();
        let script = replies.get_mut(subject).filter(|script| !script.is_empty());
        script.map_or_else(|| Err(RequestError::NoResponders(subject.to_owned())), |script| script.remove(0))
    }
}

fn error(code: u64, err_code: u64) -> Result<Value, RequestError> {
    Ok(json!({ "error": { "code": code, "err_code": err_code, "description": "as scripted" } }))
}

fn lost() -> Result<Value, RequestError> {
    Err(RequestError::Timeout("as scripted".to_owned()))
}

fn config(name: &str, max_age: u64) -> Map<String, Value> {
    let metadata = json!({ "vstream.name": "foo", "vstream.region": "west", "vstream.role": "write" });
    json!({ "name": name, "max_age": max_age, "metadata": metadata }).as_object().unwrap().clone()
}

fn info(config: &Map<String, Value>) -> Result<Value, RequestError> {
    Ok(json!({ "config": config, "state": {}, "cluster": {} }))
}

fn change(
    action: Action,
    name: &str,
    before: Option<Map<String, Value>>,
    after: Option<Map<String, Value>>,
) -> StreamChange {
    StreamChange {
        action,
        name: name.to_owned(),
        virtual_stream: "foo".to_owned(),
        region: "west".to_owned(),
        role: Role::Write,
        before,
        after,
        fields: Vec::new(),
        messages: None,
        history: None,
        hands_over: false,
    }
}

fn quick() -> RunOptions {
    RunOptions {
        deadline: Duration::from_secs(3),
        request_timeout: Duration::from_millis(100),
        grace: Duration::from_millis(200),
        ..RunOptions::default()
    }
}

async fn results(server: &Scripted, changes: &[StreamChange]) -> Vec<Result<Done, ItemError>> {
    run(Api::new(server), changes, &[], quick(), |_| ()).await.into_iter().map(|o| o.result).collect()
}

#[tokio::test]
async fn passing_refusals_are_tried_again() {
    let created = Ok(json!({ "did_create": true }));
    let server = Scripted::default().on("STREAM.CREATE.w", [error(503, 10008), error(503, 10039), created]);
    let made = change(Action::Create, "w", None, Some(config("w", 1)));
    assert_eq!(results(&server, &[made]).await, [Ok(Done::Created)]);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn after_a_lost_answer_it_looks_first() {
    let server = Scripted::default().on("STREAM.CREATE.w", [lost()]).on("STREAM.INFO.w", [info(&config("w", 1))]);
    let made = change(Action::Create, "w", None, Some(config("w", 1)));
    assert_eq!(results(&server, &[made]).await, [Ok(Done::AlreadySo)]);
    assert_eq!(server.asked(), ["STREAM.CREATE.w", "STREAM.INFO.w"]);
}

#[tokio::test]
async fn a_lost_request_that_was_not_carried_out_is_sent_again() {
    let created = Ok(json!({ "did_create": true }));
    let server = Scripted::default().on("STREAM.CREATE.w", [lost(), created]).on("STREAM.INFO.w", [error(404, 10059)]);
    let made = change(Action::Create, "w", None, Some(config("w", 1)));
    assert_eq!(results(&server, &[made]).await, [Ok(Done::Created)]);
}

/// Servers before 2.11 must not keep a `first_seq`. If the update that removes it is lost, the next run sends it.
#[tokio::test]
async fn a_first_sequence_goes_where_servers_may_not_keep_it() {
    let mut after = config("w", 1);
    after.insert("first_seq".to_owned(), 21.into());
    let kept = change(Action::Create, "w", None, Some(after.clone()));
    let created = || Ok(json!({ "did_create": true }));
    let server = Scripted::default().on("STREAM.CREATE.w", [created()]);
    assert_eq!(results(&server, &[kept]).await, [Ok(Done::Created)]);
    assert_eq!(server.asked(), ["STREAM.CREATE.w"]);

    after["metadata"]["vstream.first"] = "21".into();
    let goes = change(Action::Create, "w", None, Some(after.clone()));
    let updated = || Ok(json!({ "config": {} }));
    let server = Scripted::default().on("STREAM.CREATE.w", [created()]).on("STREAM.UPDATE.w", [lost(), updated()]);
    assert_eq!(results(&server, std::slice::from_ref(&goes)).await, [Ok(Done::Created)]);
    assert_eq!(server.asked(), ["STREAM.CREATE.w", "STREAM.UPDATE.w", "STREAM.UPDATE.w"]);
    // The meta leader has changed, and does not know the stream yet, or never will.
    let unknown = || error(404, 10059);
    let server =
        Scripted::default().on("STREAM.CREATE.w", [created()]).on("STREAM.UPDATE.w", [unknown(), unknown(), updated()]);
    assert_eq!(results(&server, std::slice::from_ref(&goes)).await, [Ok(Done::Created)]);
    let server =
        Scripted::default().on("STREAM.CREATE.w", [created()]).on("STREAM.UPDATE.w", (0..99).map(|_| unknown()));
    assert_eq!(results(&server, std::slice::from_ref(&goes)).await[0].as_ref().unwrap_err().code(), "refused");
    // The reply to the creation was lost. The stream exists, with or without the field.
    let mut without = after.clone();
    without.shift_remove("first_seq");
    for found in [&after, &without] {
        let server = Scripted::default().on("STREAM.CREATE.w", [lost()]).on("STREAM.INFO.w", [info(found)]);
        let server = server.on("STREAM.UPDATE.w", [updated()]);
        assert_eq!(results(&server, std::slice::from_ref(&goes)).await, [Ok(Done::AlreadySo)]);
    }
    // Another tool made a stream that begins at 1.
    let server =
        Scripted::default().on("STREAM.CREATE.w", [error(400, 10058)]).on("STREAM.INFO.w", [info(&config("w", 1))]);
    assert_eq!(
        results(&server, std::slice::from_ref(&goes)).await[0].as_ref().unwrap_err().code(),
        "changed-meanwhile"
    );
    let server = Scripted::default().on("STREAM.CREATE.w", [created()]).on("STREAM.UPDATE.w", [error(400, 10052)]);
    assert_eq!(results(&server, &[goes]).await[0].as_ref().unwrap_err().code(), "refused");
}

#[tokio::test]
async fn a_stream_that_appeared_meanwhile_is_not_overwritten() {
    let server =
        Scripted::default().on("STREAM.CREATE.w", [error(400, 10058)]).on("STREAM.INFO.w", [info(&config("w", 9))]);
    let made = change(Action::Create, "w", None, Some(config("w", 1)));
    assert_eq!(results(&server, &[made]).await[0].as_ref().unwrap_err().code(), "changed-meanwhile");
}

#[tokio::test]
async fn refusals_that_stay_end_at_once_and_hold_back_what_depends() {
    let server = Scripted::default().on("STREAM.CREATE.w", [error(500, 10047)]);
    let mut reads = config("r", 0);
    reads.insert("sources".to_owned(), json!([{ "name": "w" }]));
    let changes = [
        change(Action::Create, "w", None, Some(config("w", 1))),
        change(Action::Create, "r", None, Some(reads)),
        change(Action::Delete, "old", Some(config("old", 1)), None),
    ];
    let results = results(&server, &changes).await;
    assert_eq!(results[0].as_ref().unwrap_err().code(), "refused");
    assert_eq!(results[1].as_ref().unwrap_err().code(), "not-begun");
    assert_eq!(results[2].as_ref().unwrap_err().code(), "not-begun");
    assert_eq!(server.asked(), ["STREAM.CREATE.w"]);
}

#[tokio::test]
async fn an_update_is_only_sent_on_what_was_planned_on() {
    let server = Scripted::default().on("STREAM.INFO.w", [info(&config("w", 3))]);
    let update = change(Action::Update, "w", Some(config("w", 1)), Some(config("w", 2)));
    assert!(matches!(results(&server, std::slice::from_ref(&update)).await[0], Err(ItemError::Changed(_))));
    let mut with_servers_own = config("w", 1);
    with_servers_own["metadata"]["_nats.ver"] = json!("2.15.1");
    let server = Scripted::default()
        .on("STREAM.INFO.w", [info(&with_servers_own)])
        .on("STREAM.UPDATE.w", [Ok(json!({ "config": {} }))]);
    assert_eq!(results(&server, &[update]).await, [Ok(Done::Updated)]);
}

#[tokio::test]
async fn only_the_stream_that_was_planned_on_is_deleted() {
    let mut foreign = config("w", 1);
    foreign.shift_remove("metadata");
    let server = Scripted::default().on("STREAM.INFO.w", [info(&foreign)]);
    let deletion = change(Action::Delete, "w", Some(config("w", 1)), None);
    assert!(matches!(results(&server, std::slice::from_ref(&deletion)).await[0], Err(ItemError::Changed(_))));
    let server = Scripted::default().on("STREAM.INFO.w", [error(404, 10059)]);
    assert_eq!(results(&server, &[deletion]).await, [Ok(Done::AlreadySo)]);
}

#[tokio::test]
async fn an_answer_that_describes_nothing_is_no_proof_of_absence() {
    let server = Scripted::default().on("STREAM.INFO.w", [Ok(json!({ "state": {} }))]);
    let deletion = change(Action::Delete, "w", Some(config("w", 1)), None);
    assert_eq!(results(&server, &[deletion]).await[0].as_ref().unwrap_err().code(), "malformed-reply");
}

#[tokio::test]
async fn the_deadline_ends_it() {
    let server = Scripted::default();
    let options = RunOptions { deadline: Duration::from_millis(200), ..quick() };
    let made = [change(Action::Create, "w", None, Some(config("w", 1)))];
    let outcomes = run(Api::new(&server), &made, &[], options, |_| ()).await;
    assert_eq!(outcomes[0].result.as_ref().unwrap_err().code(), "no-answer");
}
