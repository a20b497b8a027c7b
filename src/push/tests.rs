use super::*;
use crate::observed::fake::{Fake, account, claims};
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
}

#[test]
fn a_cache_that_skips_has_not_stored() {
    let payload = br#"{"server":{"id":"N"},"data":{"account":"A","code":200,"message":"jwt update cache skipped"}}"#;
    let reply = Reply { headers: Vec::new(), payload: payload.to_vec() };
    let skipped = Answer::Skipped { text: "jwt update cache skipped".to_owned() };
    assert_eq!(answer(&reply), Some(("N".to_owned(), skipped)));
}
