use super::*;
use crate::model::claims::AccountClaims;
use crate::observed::fake::{Crowd, Fake, account, claims};
use crate::observed::system::{self, deployment};
use crate::sign::Signer as _;

const TIME: Duration = Duration::from_secs(5);
/// A time for answers that no test waits for.
const A_MOMENT: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn an_account_that_a_server_lists_and_does_not_show_is_not_missing() {
    let fake = Fake::new(&["west", "east"], 1);
    let held = account();
    let token = fake.sign(&claims(&held, json!({})), 1000);
    let read = |token: &str| AccountClaims::decode(token).ok();
    fake.edit("west-0", |server| _ = server.stored.insert(held.to_string(), token.as_str().to_owned()));
    let found = deployment(&fake, TIME).await.unwrap();
    let start = Instant::now();
    fake.edit("east-0", |server| server.keeps_tokens = true);
    // Accounts were read before, as in a run.
    let all = stored_claims(&fake, &found, TIME, read).await.unwrap();
    assert_eq!(all.iter().map(AccountClaims::id).collect::<Vec<_>>(), [&held]);
    // A server without a copy costs no time, nor does a copy that cannot be read.
    assert!(stored_claims(&fake, &found, TIME, |_| None::<()>).await.unwrap().is_empty());
    assert!(start.elapsed() <= 3 * A_MOMENT, "{:?}", start.elapsed());

    fake.edit("west-0", |server| server.keeps_tokens = true);
    fake.edit("east-0", |server| server.keeps_tokens = false);
    let silent = stored_claims(&fake, &found, TIME, read).await;
    assert!(
        matches!(&silent, Err(RequestError::Timeout(subject)) if subject.contains(&held.to_string())),
        "{silent:?}"
    );
}

/// Answers to a look-up do not name their sender. As many as there are servers, all from another client, end nothing.
#[tokio::test(start_paused = true)]
async fn a_strangers_copies_end_no_look_up() {
    let fake = Fake::new(&["west", "east"], 2);
    let id = account();
    let [old, new] = [1000, 2000].map(|iat| fake.sign(&claims(&id, json!({})), iat).as_str().to_owned());
    for server in fake.servers.lock().unwrap().iter_mut() {
        server.stored.insert(id.to_string(), new.clone());
    }
    let found = deployment(&fake, TIME).await.unwrap();
    let read = |token: &str| AccountClaims::decode(token).ok();
    for payload in [old.clone(), String::new()] {
        for late in [0, 300, 1200].map(Duration::from_millis) {
            let payloads = vec![payload.clone().into_bytes(); 8];
            let crowd = Crowd { fake: &fake, subject: "CLAIMS.LOOKUP", payloads, late, nobody: false };
            let accounts = accounts(&crowd, &found, std::slice::from_ref(&id), TIME).await.unwrap();
            for on in &accounts[0] {
                let Stored::Unclear(candidates) = &on.stored else { panic!("{late:?}: {:?}", on.stored) };
                assert!(candidates.contains(&Some(new.clone())), "{late:?}: {candidates:?}");
            }
            if payload.is_empty() {
                let all = stored_claims(&crowd, &found, TIME, read).await.unwrap();
                assert_eq!(all.len(), 1, "{late:?}: an account that servers hold is taken for missing");
            }
            let wanted = |reply: &Reply| reply.payload == new.as_bytes();
            let all = |replies: &[Reply]| replies.len() >= 4;
            let replies = look_up(&crowd, &found, &id, TIME, all, wanted).await.unwrap();
            assert!(replies.iter().any(wanted), "{late:?}: {payload}");
        }
    }
}

/// "No responders" comes in place of all replies, so one that replies follow comes from another client.
#[tokio::test(start_paused = true)]
async fn no_responders_from_a_stranger_end_nothing() {
    let fake = Fake::new(&["west", "east"], 2);
    let id = account();
    let token = fake.sign(&claims(&id, json!({})), 1000);
    for server in fake.servers.lock().unwrap().iter_mut().skip(1) {
        server.stored.insert(id.to_string(), token.as_str().to_owned());
    }
    let found = deployment(&fake, TIME).await.unwrap();
    let stored = accounts(&fake, &found, std::slice::from_ref(&id), TIME).await.unwrap();
    let read = |token: &str| AccountClaims::decode(token).ok();
    for subject in ["", "PING.STATSZ", "PING.VARZ", "PING.ACCOUNTZ", "PING.SUBSZ", "CLAIMS.LOOKUP", "CLAIMS.LIST"] {
        for late in [0, 100, 200].map(Duration::from_millis) {
            let crowd = Crowd { fake: &fake, subject, payloads: Vec::new(), late, nobody: true };
            assert_eq!(deployment(&crowd, TIME).await.unwrap().servers.len(), 4, "{subject}, {late:?}");
            let asked = accounts(&crowd, &found, std::slice::from_ref(&id), TIME).await.unwrap();
            assert_eq!(asked, stored, "{subject}, {late:?}");
            assert_eq!(stored_claims(&crowd, &found, TIME, read).await.unwrap().len(), 1, "{subject}, {late:?}");
        }
    }
}

/// "No responders" that comes alone counts after a moment.
#[tokio::test(start_paused = true)]
async fn no_responders_are_known_after_a_moment() {
    let fake = Fake::new(&["west"], 2);
    let found = deployment(&fake, TIME).await.unwrap();
    for server in fake.servers.lock().unwrap().iter_mut() {
        (server.no_resolver, server.keeps_tokens) = (true, false);
    }
    let start = Instant::now();
    let crowd = |subject| Crowd { fake: &fake, subject, payloads: Vec::new(), late: Duration::ZERO, nobody: true };
    let accounts = accounts(&crowd("CLAIMS.LOOKUP"), &found, &[account()], TIME).await.unwrap();
    assert!(accounts[0].iter().all(|on| on.stored == Stored::NoAnswer && on.live == Live::NotLoaded));
    assert!(start.elapsed() <= Duration::from_millis(300), "{:?}", start.elapsed());
    for server in fake.servers.lock().unwrap().iter_mut() {
        server.down = true;
    }
    let nothing = deployment(&crowd(""), TIME).await.unwrap_err();
    assert_eq!(nothing, RequestError::NoResponders(system::SUBJECTS[1].to_owned()));
    assert!(start.elapsed() <= Duration::from_millis(600), "{:?}", start.elapsed());
}

/// Two different answers in one server's name, to any request.
#[tokio::test(start_paused = true)]
async fn two_answers_in_one_servers_name_are_an_error() {
    let fake = Fake::new(&["west", "east"], 2);
    let id = account();
    let token = fake.sign(&claims(&id, json!({})), 1000);
    fake.edit("east-0", |server| _ = server.stored.insert(id.to_string(), token.as_str().to_owned()));
    let found = deployment(&fake, TIME).await.unwrap();
    let read = |token: &str| AccountClaims::decode(token).ok();
    for (subject, body) in [
        ("PING.STATSZ", json!({ "statsz": { "active_servers": 9 } })),
        ("PING.VARZ", json!({ "data": { "server_name": "west-0" } })),
        ("PING.ACCOUNTZ", json!({ "data": null })),
        ("CLAIMS.LIST", json!({ "data": [] })),
    ] {
        for late in [0, 300].map(Duration::from_millis) {
            let mut answer = body.clone();
            answer["server"] = json!({ "id": "N-west-0", "name": "west-0" });
            let crowd =
                |answers: &[&Value]| answers.iter().map(|answer| answer.to_string().into_bytes()).collect::<Vec<_>>();
            let crowd = Crowd { fake: &fake, subject, payloads: crowd(&[&answer, &answer]), late, nobody: false };
            let ids = std::slice::from_ref(&id);
            let error = match subject {
                "PING.STATSZ" | "PING.VARZ" => deployment(&crowd, TIME).await.unwrap_err(),
                "PING.ACCOUNTZ" => accounts(&crowd, &found, ids, TIME).await.unwrap_err(),
                // Sent when some servers hold the account and some do not; and for all accounts.
                _ => {
                    let error = accounts(&crowd, &found, ids, TIME).await.unwrap_err();
                    assert_eq!(stored_claims(&crowd, &found, TIME, read).await.unwrap_err(), error);
                    error
                }
            };
            let RequestError::TwoAnswers { subject: on, server } = &error else { panic!("{subject}: {error}") };
            assert!(on.ends_with(subject) && server == "west-0", "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_are_read_on_every_server() {
    let fake = Fake::new(&["west", "east"], 3);
    let (stored, absent) = (account(), account());
    let token = fake.sign(&claims(&stored, json!({})), 1000);
    for server in fake.servers.lock().unwrap().iter_mut() {
        server.stored.insert(stored.to_string(), token.as_str().to_owned());
    }
    fake.edit("west-0", |server| _ = server.live.insert(stored.to_string(), token.as_str().to_owned()));
    let found = deployment(&fake, TIME).await.unwrap();
    let accounts = accounts(&fake, &found, &[stored, absent], TIME).await.unwrap();
    assert!(accounts[0].iter().all(|on| on.stored == Stored::Token(token.as_str().to_owned())));
    let live: Vec<bool> = accounts[0].iter().map(|on| matches!(on.live, Live::Loaded(_))).collect();
    assert_eq!(live, [false, false, false, true, false, false], "sorted by cluster");
    assert!(accounts[1].iter().all(|on| on.stored == Stored::Nothing && on.live == Live::NotLoaded));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_account_is_named() {
    let fake = Fake::new(&["west", "east"], 2);
    let id = account();
    let token = fake.sign(&claims(&id, json!({})), 1000);
    for name in ["west-0", "east-0", "east-1"] {
        fake.edit(name, |server| _ = server.stored.insert(id.to_string(), token.as_str().to_owned()));
    }
    let found = deployment(&fake, TIME).await.unwrap();
    let accounts = accounts(&fake, &found, &[id], TIME).await.unwrap();
    for on in &accounts[0] {
        assert_eq!(on.stored == Stored::Nothing, on.server == "west-1", "{}", on.server);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_resolver_that_answers_nothing_is_known_to_be_stored() {
    let fake = Fake::new(&["west"], 1);
    fake.edit("west-0", |server| server.no_resolver = true);
    let found = deployment(&fake, TIME).await.unwrap();
    let accounts = accounts(&fake, &found, &[account()], TIME).await.unwrap();
    assert_eq!(accounts[0][0].stored, Stored::NoAnswer);
}

#[test]
fn a_placeholder_is_not_a_loaded_account() {
    let reply = |detail: Value| Reply {
        headers: Vec::new(),
        payload: json!({ "server": { "id": "N" }, "data": { "account_detail": detail } }).to_string().into_bytes(),
    };
    let placeholder = live_of(&reply(json!({ "expired": true, "complete": false })));
    assert_eq!(placeholder, Some(("N".to_owned(), Live::NotLoaded)));
    assert!(matches!(live_of(&reply(json!({ "jwt": "ey" }))), Some((_, Live::Loaded(_)))));
}

/// Any client in the system account can list any accounts, under any number of server names.
#[tokio::test(start_paused = true)]
async fn lists_of_accounts_are_no_more_than_accounts_and_have_an_end() {
    struct Listing {
        fake: Fake,
        lists: Vec<Value>,
        asked: std::sync::Mutex<Vec<String>>,
    }
    impl Requests for Listing {
        async fn request(&self, subject: &str, payload: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
            self.fake.request(subject, payload, timeout).await
        }

        async fn request_many(
            &self,
            subject: &str,
            payload: Vec<u8>,
            timeout: Duration,
            mut enough: impl FnMut(&[Reply]) -> bool + Send,
        ) -> Result<Vec<Reply>, RequestError> {
            if subject != LIST {
                self.asked.lock().unwrap().extend((subject != SUBSCRIPTIONS).then(|| subject.to_owned()));
                return self.fake.request_many(subject, payload, timeout, enough).await;
            }
            let reply = |list: &Value| Reply { headers: Vec::new(), payload: list.to_string().into_bytes() };
            let replies: Vec<Reply> = self.lists.iter().map(reply).collect();
            enough(&replies);
            Ok(replies)
        }
    }
    let fake = Fake::new(&["west"], 1);
    let found = deployment(&fake, TIME).await.unwrap();
    let held = account();
    let token = fake.sign(&claims(&held, json!({})), 1000);
    fake.edit("west-0", |server| _ = server.stored.insert(held.to_string(), token.as_str().to_owned()));
    let read = |token: &str| AccountClaims::decode(token).ok();
    let list = |server: &str, ids: Vec<String>| json!({ "server": { "id": server, "name": server }, "data": ids });
    let mut listing = Listing { fake, lists: Vec::new(), asked: std::sync::Mutex::default() };

    let strange = ["*", ">", "A.B", "", "a b", &found.servers[0].id, &held.to_string()[..50]];
    let strange = strange.map(str::to_owned).into_iter().chain([listing.fake.operator.public_key().to_string()]);
    listing.lists = vec![list("N-west-0", strange.chain([held.to_string()]).collect())];
    let all = stored_claims(&listing, &found, TIME, read).await.unwrap();
    assert_eq!(all.iter().map(AccountClaims::id).collect::<Vec<_>>(), [&held]);
    assert_eq!(*listing.asked.lock().unwrap(), [format!("$SYS.REQ.ACCOUNT.{held}.CLAIMS.LOOKUP")]);

    listing.asked.lock().unwrap().clear();
    let key = |number: u32| {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        PublicKey::from_bytes(KeyKind::Account, bytes).to_string()
    };
    let some = |from: u32, count: usize| (from..).take(count).map(key).collect::<Vec<_>>();
    let strangers = (0..2 + MOST_STRANGERS).map(|number| list(&format!("N{number}"), vec![held.to_string()]));
    for lists in [
        vec![list("N-west-0", some(0, MOST_HELD + 1))],
        vec![list("N-west-0", some(0, MOST_HELD)), list("N-other", some(u32::MAX / 2, 1))],
        strangers.collect(),
    ] {
        listing.lists = lists;
        let all = stored_claims(&listing, &found, TIME, read).await;
        assert_eq!(all.err(), Some(RequestError::TooMuch(LIST.to_owned())));
        assert_eq!(*listing.asked.lock().unwrap(), [""; 0], "nothing was looked up");
    }
}

/// One server is a `cache`: accounts that it has no copy of, an account whose copy may be old, and an account in use
/// there.
#[tokio::test(start_paused = true)]
async fn a_cache_is_told_from_a_server_that_says_nothing() {
    let fake = Fake::new(&["west", "east"], 1);
    let ids = [(); 3].map(|()| account());
    let [unused, _, used] = &ids;
    for id in &ids {
        let token = fake.sign(&claims(id, json!({})), 1000).as_str().to_owned();
        fake.edit("west-0", |server| _ = server.stored.insert(id.to_string(), token.clone()));
        if id != unused {
            fake.edit("east-0", |server| _ = server.stored.insert(id.to_string(), token.clone()));
        }
        if id == used {
            fake.edit("east-0", |server| _ = server.live.insert(id.to_string(), token.clone()));
        }
    }
    fake.edit("east-0", |server| server.cache = true);
    // An account that only a cache has does not exist any more; it does not keep other accounts from being found.
    let gone = account();
    let token = fake.sign(&claims(&gone, json!({})), 1000).as_str().to_owned();
    fake.edit("east-0", |server| _ = server.stored.insert(gone.to_string(), token));
    let found = deployment(&fake, TIME).await.unwrap();
    let start = Instant::now();
    let read = accounts(&fake, &found, &ids, TIME).await.unwrap();
    let at = |index: usize| read[index].iter().find(|on| on.server == "east-0").unwrap().stored.clone();
    assert_eq!([at(0), at(1), at(2)], [false, true, true].map(|cached| Stored::NotKept { cached }));
    assert!(read.iter().all(|on| on.iter().any(|on| matches!(on.stored, Stored::Token(_)))), "{read:?}");
    let all = stored_claims(&fake, &found, TIME, |token| AccountClaims::decode(token).ok()).await.unwrap();
    let mut all: Vec<String> = all.iter().map(|claims| claims.id().to_string()).collect();
    let mut wanted = ids.map(|id| id.to_string()).to_vec();
    all.sort();
    wanted.sort();
    assert_eq!(all, wanted);
    assert!(start.elapsed() < TIME, "{:?}", start.elapsed());
}

/// `memory` and `url` list nothing, so there is nothing to distinguish, and no permission is needed for it.
#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_subscriptions_where_no_cache_can_be() {
    let fake = Fake::new(&["west", "east"], 1);
    let id = account();
    let token = fake.sign(&claims(&id, json!({})), 1000).as_str().to_owned();
    for server in ["west-0", "east-0"] {
        fake.edit(server, |server| {
            server.stored.insert(id.to_string(), token.clone());
            server.live.insert(id.to_string(), token.clone());
        });
    }
    let asked = async || {
        let found = deployment(&fake, TIME).await.unwrap();
        for _ in 0..2 {
            accounts(&fake, &found, std::slice::from_ref(&id), TIME).await.unwrap();
        }
        let asked = std::mem::take(&mut *fake.asked.lock().unwrap());
        asked.iter().filter(|subject| subject.as_str() == SUBSCRIPTIONS).count()
    };
    assert_eq!(asked().await, 0);
    fake.edit("east-0", |server| server.no_resolver = true);
    assert_eq!(asked().await, 0);
    fake.edit("east-0", |server| (server.no_resolver, server.cache) = (false, true));
    assert_eq!(asked().await, 1, "known from then on");
}
