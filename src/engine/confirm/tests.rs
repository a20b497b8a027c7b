use super::*;
use crate::observed::fake::{Fake, account, claims};
use crate::observed::{Reply, RequestError, system};
use crate::resolver::push::push;
use crate::sign::Signer as _;
use serde_json::json;

const TIME: Duration = Duration::from_secs(5);

fn mappings() -> serde_json::Value {
    json!({ "foo.>": [{ "subject": "foo.west.>", "cluster": "west" }] })
}

/// Has the account in force on every server, and pushes a newer token for it, signed by `signer`.
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
    let anchor = TrustAnchor::of_key(&signer.operator.public_key());
    confirm(&Resolver::servers(), fake, &deployment, &anchor, &tokens, TIME).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_confirm_at_once() {
    let fake = Fake::new(&["west", "east"], 3);
    let start = Instant::now();
    let found = pushed(&fake, &fake).await;
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|one| one.verdict == TokenState::Confirmed), "{found:?}");
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_untrusted_signer_is_seen_without_waiting() {
    let fake = Fake::new(&["west", "east"], 3);
    let start = Instant::now();
    let found = pushed(&fake, &Fake::new(&["elsewhere"], 1)).await;
    assert!(found.iter().all(|one| matches!(one.verdict, TokenState::Untrusted { .. })), "{found:?}");
    assert!(start.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_success_that_was_none_is_found() {
    let fake = Fake::new(&["west", "east"], 2);
    fake.edit("east-0", |server| server.deaf = true);
    fake.edit("west-1", |server| server.drops_mapping = Some("foo.>".to_owned()));
    let found = pushed(&fake, &fake).await;
    let verdict = |server: &str| &found.iter().find(|one| one.server == server).unwrap().verdict;
    assert!(matches!(verdict("east-0"), TokenState::OtherToken { age: Age::Older, issued_at: 1000, .. }), "{found:?}");
    let missing = vec!["foo.>".to_owned()];
    let differ = TokenState::MappingsDiffer { missing, unexpected: Vec::new(), changed: Vec::new() };
    assert_eq!(*verdict("west-1"), differ);
    assert_eq!((verdict("east-1"), verdict("west-0")), (&TokenState::Confirmed, &TokenState::Confirmed));
}

/// Servers whose answers take a while.
struct Slow<'f>(&'f Fake, Duration);

impl Requests for Slow<'_> {
    async fn request(&self, subject: &str, payload: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
        self.0.request(subject, payload, timeout).await
    }

    async fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        tokio::time::sleep(self.1.min(timeout)).await;
        match timeout.checked_sub(self.1) {
            Some(left) => self.0.request_many(subject, payload, left, enough).await,
            None => Ok(Vec::new()),
        }
    }
}

/// If a server goes down at any point of a check, the run waits for it until the time is over.
#[tokio::test(start_paused = true)]
async fn who_has_confirmed_does_not_lose_that_at_the_end_of_the_time() {
    let fake = Fake::new(&["west", "east"], 2);
    let id = account();
    let token = fake.sign(&claims(&id, mappings()), 2000);
    let deployment = system::deployment(&fake, TIME).await.unwrap();
    for server in fake.servers.lock().unwrap().iter_mut() {
        server.stored.insert(id.to_string(), token.as_str().to_owned());
        server.live.insert(id.to_string(), token.as_str().to_owned());
    }
    fake.edit("east-1", |server| server.down = true);
    let tokens = [(id, token.as_str().to_owned())];
    let anchor = TrustAnchor::of_key(&fake.operator.public_key());
    for tenths in 5..80 {
        let time = Duration::from_millis(100 * tenths);
        let start = Instant::now();
        let slow = Slow(&fake, Duration::from_millis(300));
        let found = confirm(&Resolver::servers(), &slow, &deployment, &anchor, &tokens, time).await.unwrap();
        let without: Vec<&str> =
            found.iter().filter(|one| !one.verdict.is_confirmed()).map(|one| one.server.as_str()).collect();
        assert_eq!(without, ["east-1"], "after {time:?}");
        assert!(start.elapsed() <= time && start.elapsed() + Duration::from_secs(4) > time, "{:?}", start.elapsed());
    }
}
