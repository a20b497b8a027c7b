//! Answers of servers, and of anything that may answer in their place, through the system account. Each call ends in
//! time, and returns only what an answer said.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use support::{Script, filled, in_paused_time, keys};
use vstream_jwt::model::subject::SubjectFilter;
use vstream_jwt::observed::{Deployment, Live, Server, Stored, listeners, system};
use vstream_jwt::resolver::push::{Answer, push};
use vstream_jwt::resolver::servers;
use vstream_jwt::sign::{SignedToken, Signer as _};

const TIME: Duration = Duration::from_secs(20);
/// Time that a call may take beyond its timeout.
const GRACE: Duration = Duration::from_secs(2);

fuzz_target!(|data: &[u8]| {
    let script = Script::read(data);
    let (found, took) = in_paused_time(system::deployment(&script, TIME));
    assert!(took <= TIME + GRACE, "{took:?}");
    let deployment = match found {
        Ok(found) => {
            judge(&found);
            found
        }
        // Goes on with two known servers, as a run would.
        Err(_) => {
            let servers = vec![Server::new("east-0", "east", "2.15.1"), Server::new("west-0", "west", "2.15.1")];
            Deployment { servers, expected: 2 }
        }
    };
    accounts(&script, &deployment);
    subscriptions(&script, &deployment);
    pushed(&script, &deployment);
    let (_, took) = in_paused_time(servers::stored_claims(&script, &deployment, TIME, |text| Some(text.to_owned())));
    assert!(took <= TIME + GRACE, "{took:?}");
});

fn judge(found: &Deployment) {
    let keys: Vec<_> = found.servers.iter().map(|server| (&server.cluster, &server.name)).collect();
    assert!(keys.is_sorted());
    let mut ids: Vec<&str> = found.servers.iter().map(|server| server.id.as_str()).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "a server twice");
    assert!(found.total() >= found.servers.len());
    assert_eq!(found.missing() > 0, found.missing_text().is_some());
    for name in found.missing_names() {
        assert!(found.servers.iter().all(|server| server.name != name));
    }
    assert!(found.clusters().len() <= found.servers.len());
}

fn accounts(script: &Script, deployment: &Deployment) {
    let ids = [keys().account.public_key(), keys().other_account.public_key()];
    let (found, took) = in_paused_time(servers::accounts(script, deployment, &ids, TIME));
    assert!(took <= TIME + GRACE, "{took:?}");
    let Ok(found) = found else { return };
    assert_eq!(found.len(), ids.len());
    for (account, id) in found.iter().zip(&ids) {
        assert_eq!(account.len(), deployment.servers.len());
        for (on, server) in account.iter().zip(&deployment.servers) {
            assert_eq!((&on.server, &on.cluster), (&server.name, &server.cluster));
            let tokens: Vec<&String> = match &on.stored {
                Stored::Token(token) => vec![token],
                Stored::Unclear(several) => {
                    assert!(!several.is_empty());
                    several.iter().flatten().collect()
                }
                Stored::Nothing | Stored::NotKept { .. } | Stored::Outside { .. } | Stored::NoAnswer => Vec::new(),
            };
            for token in tokens {
                let body = token.trim().split('.').nth(1).expect("a copy is a token");
                let claims = B64.decode(body).expect("a copy can be read");
                let claims: serde_json::Value = serde_json::from_slice(&claims).expect("its claims are JSON");
                assert_eq!(claims["sub"], id.to_string(), "a token of another account");
            }
            if let Live::Loaded(detail) = &on.live {
                assert!(!detail.jwt.is_empty());
            }
        }
    }
}

fn subscriptions(script: &Script, deployment: &Deployment) {
    let wanted = SubjectFilter::parse("foo.*.>").expect("it is a subject");
    let account = keys().account.public_key();
    let asked = listeners::subscriptions(script, deployment, &account, std::slice::from_ref(&wanted), TIME);
    let (found, took) = in_paused_time(asked);
    assert!(took <= TIME + GRACE, "{took:?}");
    for one in found.unwrap_or_default() {
        let subject = SubjectFilter::parse(&one.subject).expect("a subject");
        assert!(subject.overlaps(&wanted), "{subject}");
        assert!(!one.who.is_empty());
    }
}

fn pushed(script: &Script, deployment: &Deployment) {
    let token = SignedToken::verified(&filled("@{TA}"), &keys().operator.public_key()).expect("it is signed");
    let tokens = [(keys().account.public_key(), token)];
    let (found, took) = in_paused_time(push(script, deployment, &tokens, TIME));
    assert!(took <= TIME + GRACE, "{took:?}");
    let Ok(outcomes) = found else { return };
    // One outcome for each server comes first; the answers of strangers follow.
    assert!(outcomes.len() >= deployment.servers.len());
    let (of_servers, others) = outcomes.split_at(deployment.servers.len());
    for (outcome, server) in of_servers.iter().zip(&deployment.servers) {
        assert_eq!((&outcome.server, &outcome.cluster), (&server.name, &server.cluster));
        assert!(!matches!(outcome.answer, Answer::Stranger));
    }
    assert!(others.iter().all(|outcome| matches!(outcome.answer, Answer::Stranger)));
}
