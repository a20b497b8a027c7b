use super::*;
use crate::desired::tests::{app, application, regional, stream, topology};
use crate::desired::{DesiredOptions, accounts};
use crate::model::claims::TrustAnchor;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::observed::survey::ConcurrentUpdates;
use crate::observed::{AccountOnServer, Deployment, Detail, Live, Server, Stored};
use crate::plan::starts::is_nowhere;
use crate::plan::{Push, Stage};
use crate::sign::{Seed, Signer as _, issue};
use serde_json::json;

/// Compatible edits of one token are merged. For other edits the user has to decide.
#[test]
fn pushes_that_changed_the_same_differently_stop_the_run() {
    let account = app(vec![stream("foo", &["foo.>"])]);
    let desired = [application(topology(), &account, &DesiredOptions::default()).unwrap()];
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let claims = json!({ "sub": account.id, "name": "APP", "nats": { "type": "account", "version": 2, "limits": {} } });
    let token = issue(&claims, &operator, 1000).unwrap().as_str().to_owned();
    let server =
        Server { trusted_keys: vec![operator.public_key().to_string()], ..Server::new("west-0", "c-west", "2.15.1") };
    let on_server = AccountOnServer {
        server: "west-0".to_owned(),
        cluster: "c-west".to_owned(),
        stored: Stored::Token(token.clone()),
        live: Live::NotLoaded,
    };
    let started = |concurrent_updates: ConcurrentUpdates| {
        let observed = Observed {
            deployment: Deployment { servers: vec![server.clone()], expected: 1 },
            system_account: Seed::generate(KeyKind::Account).unwrap().public_key(),
            anchor: TrustAnchor::of_key(&operator.public_key()),
            pushed: Vec::new(),
            accounts: vec![ObservedAccount {
                servers: vec![on_server.clone()],
                jetstream: ObservedJetStream::default(),
                listeners: Listeners::NotAsked,
                concurrent_updates,
                out_of_reach: false,
            }],
        };
        let mut findings = Vec::new();
        let start = starts(&desired, &observed, 2000, &mut findings).remove(0).expect("there is a token");
        assert_eq!(start.token.as_ref(), Some(&token));
        (start, findings)
    };

    let (start, findings) = started(ConcurrentUpdates::Nothing);
    assert_eq!((findings, start.merged), (vec![], false));

    let mut both = claims.clone();
    both["nats"]["tags"] = json!(["theirs"]);
    let merged = TrustedClaims::reviewed(both).unwrap();
    let (start, findings) = started(ConcurrentUpdates::Merged(Box::new(merged)));
    assert_eq!((findings, start.merged, start.claims.tags()), (vec![], true, vec!["theirs"]));

    let conflicts = ["nats.limits.conn: from 1 to 2, and to 3", "nats.description: from nothing to a, and to b"];
    let (start, findings) = started(ConcurrentUpdates::Conflict(conflicts.map(str::to_owned).to_vec()));
    let [Finding { code, severity, place, message, lines: _, next }] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!((*code, *severity, &**place, start.merged), ("pushes-conflict", Severity::Error, "account APP", false));
    assert!(message.contains("another tool pushed a token of it that was made from an older one"), "{message}");
    assert!(message.ends_with(&format!("both changed: {}", conflicts.join("; "))), "{message}");
    assert_eq!(next, "Find out who pushed, agree on what it should be, and run again.");
}

/// If only a cache has a copy, and that copy is not in use, the account does not exist.
#[test]
fn an_account_that_no_resolver_keeps_is_to_be_made() {
    let on =
        |stored: Stored, live: Live| AccountOnServer { server: "a".to_owned(), cluster: "c".to_owned(), stored, live };
    let nothing = || on(Stored::Nothing, Live::NotLoaded);
    let cache = |cached: bool| on(Stored::NotKept { cached }, Live::NotLoaded);
    let silent = || on(Stored::NoAnswer, Live::NoAnswer);
    let live = Live::Loaded(Detail { jwt: "a.b.c".to_owned(), ..Detail::default() });
    let outside = |token: Option<&str>, live: Live| {
        on(Stored::Outside { token: token.map(str::to_owned), by_reload: false }, live)
    };
    let used = || on(Stored::NotKept { cached: true }, live.clone());
    for (servers, nowhere) in [
        (vec![nothing(), silent()], true),
        (vec![nothing(), cache(false)], true),
        (vec![cache(true), nothing()], true),
        (vec![cache(true), silent()], false),
        (vec![cache(true), cache(false)], false),
        (vec![cache(false), silent()], false),
        (vec![nothing(), used()], false),
        (vec![outside(None, Live::NotLoaded)], true),
        (vec![outside(None, live.clone())], false),
        (vec![outside(Some("a.b.c"), Live::NotLoaded)], false),
        (vec![nothing(), on(Stored::Token("a.b.c".to_owned()), Live::NotLoaded)], false),
        (vec![silent()], false),
    ] {
        assert_eq!(is_nowhere(&servers), nowhere, "{servers:?}");
    }
}

/// Another tool's push removes what one of our stages pushed, and the streams need that stage. The run pushes the stage
/// again first, not with the mappings, which come last.
#[test]
fn what_was_taken_back_is_in_force_before_streams_are_made() {
    let account = regional(vec![stream("foo", &["foo.>"])]);
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
    let nats =
        json!({ "type": "account", "version": 2, "limits": { "imports": -1, "exports": -1, "wildcards": true } });
    let claims = |sub: &PublicKey| TrustedClaims::reviewed(json!({ "sub": sub, "name": "A", "nats": nats })).unwrap();
    let peers: Vec<Peer<'_>> =
        desired.iter().map(|desired| Peer { id: &desired.id, name: &desired.name, claims: None }).collect();
    let options = Options::default();
    let found = ObservedAccount {
        servers: Vec::new(),
        jetstream: ObservedJetStream::default(),
        listeners: Listeners::NotAsked,
        concurrent_updates: ConcurrentUpdates::Nothing,
        out_of_reach: false,
    };
    for mut desired in desired.clone() {
        // Without signed activation tokens the run would request them again.
        if desired.account_role == AccountRole::Application {
            desired.imports.clear();
        }
        let stages = |claims: &TrustedClaims, merged: bool| {
            let start = Start { token: Some("a.b.c".to_owned()), claims: claims.clone(), newest_iat: 1, merged };
            let defined = HashSet::from(["foo"]);
            let mappings = mappings(&desired.name, &defined, &desired.mappings, &claims.mappings(), &[], &options);
            let application = Some(claims).filter(|_| desired.account_role != AccountRole::Application);
            let context = PushContext { peers: &peers, application, options: &options, now: 2000 };
            pushes(&desired, &start, &found, &mappings, &context).pushes
        };
        let all = stages(&claims(&desired.id), false);
        let of = |pushes: &[Push]| pushes.iter().map(|push| push.stage).collect::<Vec<_>>();
        let (first, last) = match desired.account_role {
            AccountRole::Application => (Stage::ApplicationExportsImports, Stage::Mappings),
            AccountRole::Regional(_) => (Stage::RegionalExports, Stage::RegionalImports),
        };
        assert_eq!(of(&all), [first, last], "{}", desired.name);
        assert_eq!(of(&stages(&all[0].claims, false)), [last]);
        assert_eq!(of(&stages(&all[0].claims, true)), [first, last]);
        assert_eq!(of(&stages(&all[1].claims, true))[0], first);
    }
}
