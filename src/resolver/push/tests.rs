use super::*;
use crate::observed::fake::{Crowd, Fake, account, claims};
use crate::observed::system;
use serde_json::json;

const TIME: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn every_servers_answer_is_judged_by_its_name() {
    let fake = Fake::new(&["west", "east"], 2);
    let deployment = system::deployment(&fake, TIME).await.unwrap();
    fake.edit("east-0", |server| server.refuses = Some("jwt update resulted in error - disk full".to_owned()));
    fake.edit("west-1", |server| server.down = true);
    let id = account();
    let tokens = [(id.clone(), fake.sign(&claims(&id, json!({})), 1000))];
    let start = tokio::time::Instant::now();
    let outcomes = push(&fake, &deployment, &tokens, TIME).await.unwrap();
    let answers: Vec<(&str, &Answer)> = outcomes.iter().map(|one| (one.server.as_str(), &one.answer)).collect();
    let refused = Answer::Refused { code: 500, text: "jwt update resulted in error - disk full".to_owned() };
    let wanted =
        [("east-0", &refused), ("east-1", &Answer::Stored), ("west-0", &Answer::Stored), ("west-1", &Answer::NoAnswer)];
    assert_eq!(answers, wanted);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_accounts_to_twenty_servers() {
    let fake = Fake::new(&["a", "b"], 10);
    let deployment = system::deployment(&fake, TIME).await.unwrap();
    let tokens: Vec<_> = (0..100)
        .map(|_| {
            let id = account();
            (id.clone(), fake.sign(&claims(&id, json!({})), 1000))
        })
        .collect();
    let outcomes = push(&fake, &deployment, &tokens, TIME).await.unwrap();
    assert_eq!(outcomes.len(), 2000);
    assert!(outcomes.iter().all(|one| one.answer == Answer::Stored));
    assert!(outcomes.chunks(20).zip(&tokens).all(|(chunk, (id, _))| chunk.iter().all(|one| one.account == *id)));
}

#[tokio::test(start_paused = true)]
async fn without_a_nats_resolver_it_says_so() {
    let fake = Fake::new(&["west"], 1);
    let deployment = system::deployment(&fake, TIME).await.unwrap();
    fake.edit("west-0", |server| server.no_resolver = true);
    let id = account();
    let tokens = [(id.clone(), fake.sign(&claims(&id, json!({})), 1000))];
    assert_eq!(push(&fake, &deployment, &tokens, TIME).await, Err(PushError::NoResolver));
    // A server reports this at once, and other users may forge it.
    let nobody = |late| Crowd { fake: &fake, subject: SUBJECT, payloads: Vec::new(), late, nobody: true };
    let start = tokio::time::Instant::now();
    assert_eq!(push(&nobody(Duration::ZERO), &deployment, &tokens, TIME).await, Err(PushError::NoResolver));
    assert!(start.elapsed() <= Duration::from_millis(300), "{:?}", start.elapsed());
    fake.edit("west-0", |server| server.no_resolver = false);
    let outcomes = push(&nobody(Duration::from_millis(100)), &deployment, &tokens, TIME).await.unwrap();
    assert_eq!(outcomes.iter().map(|one| &one.answer).collect::<Vec<_>>(), [&Answer::Stored]);
}

#[test]
fn a_cache_that_skips_has_not_stored() {
    let payload = br#"{"server":{"id":"N"},"data":{"account":"A","code":200,"message":"jwt update cache skipped"}}"#;
    let reply = Reply { headers: Vec::new(), payload: payload.to_vec() };
    let skipped = Answer::Skipped { text: "jwt update cache skipped".to_owned() };
    assert_eq!(answer(&reply), Some(("N".to_owned(), skipped)));
}

/// If two answers in a server's name differ, one is not from that server. Neither proves that the token is stored.
#[tokio::test(start_paused = true)]
async fn two_answers_in_one_servers_name_are_an_error() {
    let fake = Fake::new(&["west", "east"], 2);
    let deployment = system::deployment(&fake, TIME).await.unwrap();
    let id = account();
    let tokens = [(id.clone(), fake.sign(&claims(&id, json!({})), 1000))];
    let stamp = json!({ "name": "east-0", "id": "N-east-0" });
    let stored = |message: &str| json!({ "server": stamp, "data": { "account": id, "code": 200, "message": message } });
    let refused = json!({ "server": stamp, "error": { "code": 500, "description": "no room" } });
    for (said, code, words) in [
        (vec![stored("jwt updated")], 500, "jwt updated"),
        (vec![stored("jwt update cache skipped")], 500, "jwt update cache skipped"),
        (vec![refused.clone()], 500, "no room"),
        (vec![refused.clone(), refused, stored("jwt updated")], 500, "no room"),
    ] {
        let payloads = said.iter().map(|answer| answer.to_string().into_bytes()).collect();
        let crowd = Crowd { fake: &fake, subject: "CLAIMS.UPDATE", payloads, late: Duration::ZERO, nobody: false };
        let outcomes = push(&crowd, &deployment, &tokens, TIME).await.unwrap();
        let (of_east_0, others) = outcomes.split_first().unwrap();
        let wanted = Answer::Refused { code, text: format!("{words}{DIFFER}") };
        assert_eq!((of_east_0.server.as_str(), &of_east_0.answer), ("east-0", &wanted));
        assert!(others.iter().all(|one| one.answer == Answer::Stored), "{others:?}");
    }
}
