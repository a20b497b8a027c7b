use super::*;
use crate::observed::fake::{Fake, account, claims};
use crate::push::push;
use serde_json::json;

const TIME: Duration = Duration::from_secs(5);

fn mappings() -> serde_json::Value {
    json!({ "foo.>": [{ "subject": "foo.west.>", "cluster": "west" }] })
}

/// The account in force on every server, and a newer token for it, signed by `signer`.
async fn pushed(fake: &Fake, signer: &Fake) -> Vec<Confirmation> {
    let id = account();
    let old = fake.sign(&claims(&id, json!({})), 1000);
    for server in fake.servers.lock().unwrap().iter_mut() {
        server.stored.insert(id.to_string(), old.as_str().to_owned());
        server.live.insert(id.to_string(), old.as_str().to_owned());
    }
    let deployment = system::deployment(fake, TIME).await.unwrap();
    let tokens = [(id.clone(), signer.sign(&claims(&id, mappings()), 2000))];
    push(fake, &deployment, &tokens, TIME).await.unwrap();
    confirm(fake, &deployment, &tokens, TIME).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_confirm_at_once() {
    let fake = Fake::new(&["west", "east"], 3);
    let start = Instant::now();
    let found = pushed(&fake, &fake).await;
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|one| one.verdict == Verdict::Confirmed), "{found:?}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_untrusted_signer_is_seen_without_waiting() {
    let fake = Fake::new(&["west", "east"], 3);
    let start = Instant::now();
    let found = pushed(&fake, &Fake::new(&["elsewhere"], 1)).await;
    assert!(found.iter().all(|one| matches!(one.verdict, Verdict::Untrusted { .. })), "{found:?}");
    assert!(start.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_success_that_was_none_is_found() {
    let fake = Fake::new(&["west", "east"], 2);
    fake.edit("east-0", |server| server.deaf = true);
    fake.edit("west-1", |server| server.drops_mapping = Some("foo.>".to_owned()));
    let found = pushed(&fake, &fake).await;
    let verdict = |server: &str| &found.iter().find(|one| one.server == server).unwrap().verdict;
    assert!(matches!(verdict("east-0"), Verdict::OtherToken { newer: false, issued_at: 1000, .. }), "{found:?}");
    let missing = vec!["foo.>".to_owned()];
    let differ = Verdict::MappingsDiffer { missing, unexpected: Vec::new(), changed: Vec::new() };
    assert_eq!(*verdict("west-1"), differ);
    assert_eq!((verdict("east-1"), verdict("west-0")), (&Verdict::Confirmed, &Verdict::Confirmed));
}
