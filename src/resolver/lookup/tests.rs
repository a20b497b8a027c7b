use super::*;
use crate::observed::Detail;
use crate::observed::fake::{Fake, account, claims};
use crate::observed::system;
use serde_json::json;
use std::time::Duration;

struct Case {
    fake: Fake,
    deployment: Deployment,
    old: String,
    new: String,
    foreign: String,
}

/// Three servers of one cluster, and tokens of one account.
async fn case() -> Case {
    let fake = Fake::new(&["west"], 3);
    let deployment = system::deployment(&fake, Duration::from_secs(1)).await.unwrap();
    let claims = claims(&account(), json!({}));
    let old = fake.sign(&claims, 1000).as_str().to_owned();
    let new = fake.sign(&claims, 2000).as_str().to_owned();
    let foreign = Fake::new(&["east"], 1).sign(&claims, 3000).as_str().to_owned();
    Case { fake, deployment, old, new, foreign }
}

fn live(token: &str) -> Live {
    Live::Loaded(Detail { jwt: token.to_owned(), ..Detail::default() })
}

fn stored(deployment: &Deployment, stored: &[Option<&str>], live: [Live; 3]) -> Vec<Stored> {
    let ids = deployment.servers.iter().map(|server| server.id.clone());
    let answers = Answers {
        stored: stored.iter().map(|token| token.map(str::to_owned)).collect(),
        live: ids.zip(live).collect(),
    };
    attribute(deployment, answers, |_| Holder { cache: false, holds: None }).into_iter().map(|on| on.stored).collect()
}

#[tokio::test]
async fn different_tokens_are_told_apart_by_what_is_in_force() {
    let Case { deployment, old, new, .. } = case().await;
    let found = stored(&deployment, &[Some(&new), Some(&old), Some(&new)], [live(&new), live(&old), Live::NotLoaded]);
    assert_eq!(found, [Stored::Token(new.clone()), Stored::Token(old), Stored::Token(new)]);
}

#[tokio::test]
async fn what_cannot_be_told_apart_is_unclear() {
    let Case { deployment, old, new, foreign, .. } = case().await;
    let both = |a: &str, b: &str| {
        let mut both = vec![Some(a.to_owned()), Some(b.to_owned())];
        both.sort();
        Stored::Unclear(both)
    };
    let found =
        stored(&deployment, &[Some(&new), Some(&old), Some(&new)], [Live::NotLoaded, Live::NotLoaded, Live::NotLoaded]);
    assert_eq!(found, vec![both(&old, &new); 3]);
    // The stored token has no effect on some server, so the token in force proves nothing about it.
    let found = stored(&deployment, &[Some(&foreign), Some(&old), Some(&old)], [live(&old), live(&old), live(&old)]);
    assert_eq!(found, vec![both(&foreign, &old); 3]);
}

#[tokio::test]
async fn a_server_that_is_down_takes_no_ones_answer() {
    let Case { fake, deployment, new, .. } = case().await;
    assert_eq!(fake.servers.lock().unwrap().len(), 3);
    let found = stored(&deployment, &[Some(&new), Some(&new)], [live(&new), Live::NoAnswer, Live::NotLoaded]);
    assert_eq!(found, [Stored::Token(new.clone()), Stored::NoAnswer, Stored::Token(new.clone())]);
    let found = stored(&deployment, &[Some(&new)], [live(&new), Live::NotLoaded, Live::NotLoaded]);
    assert_eq!(found, [Stored::Token(new), Stored::NoAnswer, Stored::NoAnswer], "two did not answer");
}

#[tokio::test]
async fn a_server_that_cannot_read_its_tokens_is_told_from_the_others() {
    let Case { deployment, old, new, .. } = case().await;
    let ids: Vec<String> = deployment.servers.iter().map(|server| server.id.clone()).collect();
    let answers = Answers {
        stored: vec![Some(new.clone()), Some(new.clone())],
        live: ids.iter().cloned().zip([Live::NotLoaded, live(&old), Live::NotLoaded]).collect(),
    };
    assert!(answers.some_have_none());
    let found = attribute(&deployment, answers, |server| Holder { cache: false, holds: Some(server != ids[1]) });
    let found: Vec<Stored> = found.into_iter().map(|on| on.stored).collect();
    assert_eq!(found, [Stored::Token(new.clone()), Stored::Nothing, Stored::Token(new)]);
}

/// A `cache` leaves look-ups unanswered, which is normal. The token in force counts.
#[tokio::test]
async fn a_cache_keeps_nothing_and_takes_nothing_away_from_others() {
    let Case { deployment, old, new, .. } = case().await;
    let ids: Vec<String> = deployment.servers.iter().map(|server| server.id.clone()).collect();
    for holds in [None, Some(false), Some(true)] {
        for (stored, of_others) in [
            (vec![Some(new.clone()), Some(new.clone())], [Stored::Token(new.clone()), Stored::Token(new.clone())]),
            (vec![Some(new.clone()), Some(old.clone())], [Stored::Token(new.clone()), Stored::Token(old.clone())]),
            (vec![None, None], [Stored::Nothing, Stored::Nothing]),
        ] {
            let lives = [live(&new), live(&old), live(&old)];
            let answers = Answers { stored, live: ids.iter().cloned().zip(lives).collect() };
            assert!(answers.some_are_silent());
            let found = attribute(&deployment, answers, |server| {
                let cache = server == ids[2];
                Holder { cache, holds: if cache { holds } else { None } }
            });
            let found: Vec<Stored> = found.into_iter().map(|on| on.stored).collect();
            let [first, second] = of_others;
            assert_eq!(found, [first, second, Stored::NotKept { cached: holds != Some(false) }]);
        }
    }
}
