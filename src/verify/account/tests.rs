use super::*;
use crate::model::nkey::KeyKind;
use crate::sign::tests::respelled;
use crate::sign::{Seed, Signer as _, issue};
use serde_json::{Value, json};

fn loaded(detail: Value) -> Live {
    Live::Loaded(serde_json::from_value(detail).unwrap())
}

struct Case {
    token: String,
    expected: Expected,
    server: Server,
    claims: Value,
}

fn case(mappings: Value) -> Case {
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let id = Seed::generate(KeyKind::Account).unwrap().public_key();
    let claims = json!({
        "sub": id, "name": "APP", "nats": { "type": "account", "version": 2, "limits": {}, "mappings": mappings }
    });
    let token = issue(&claims, &operator, 1000).unwrap().as_str().to_owned();
    let anchor = TrustAnchor::of_key(&operator.public_key());
    let expected = Expected::new(&token, &AccountClaims::decode(&token).unwrap(), anchor);
    let server =
        Server { trusted_keys: vec![operator.public_key().to_string()], ..Server::new("west-0", "west", "2.15.1") };
    Case { token, expected, server, claims }
}

impl Case {
    fn judge(&self, stored: Stored, live: Live) -> TokenState {
        let on_server = AccountOnServer { server: "west-0".to_owned(), cluster: "west".to_owned(), stored, live };
        judge(&self.server, &on_server, &self.expected)
    }

    fn stored(&self) -> Stored {
        Stored::Token(self.token.clone())
    }

    fn live(&self, mappings: Value) -> Live {
        loaded(json!({ "jwt": self.token, "mappings": mappings, "complete": true, "expired": false }))
    }
}

/// The replies of nats-server 2.15.1 and 2.10.26 for these claims.
#[test]
fn live_mappings_of_real_servers_are_recognised() {
    let case = case(json!({
        "foo.>": [{ "subject": "foo.c0.>", "cluster": "c0" }, { "subject": "foo.c1.>", "cluster": "c1", "weight": 50 }],
        "bar.*": [{ "subject": "baz.{{wildcard(1)}}", "weight": 30 }, { "subject": "qux.$1", "weight": 20 }],
    }));
    let live = json!({
        "bar.*": [
            { "subject": "qux.$1", "weight": 20 },
            { "subject": "baz.{{wildcard(1)}}", "weight": 50 },
            { "subject": "bar.$1", "weight": 100 }
        ],
        "foo.>": [
            { "subject": "foo.>", "weight": 100 },
            { "subject": "foo.c0.>", "weight": 100, "cluster": "c0" },
            { "subject": "foo.c1.>", "weight": 50, "cluster": "c1" },
            { "subject": "foo.>", "weight": 100, "cluster": "c1" }
        ],
        "$JS.hub.API.STREAM.>": [{ "subject": "$JS.API.STREAM.>", "weight": 100 }],
        "$JS.hub.API.$KV.>": [{ "subject": "$KV.>", "weight": 100 }],
    });
    assert_eq!(case.judge(case.stored(), case.live(live.clone())), TokenState::Confirmed);
    assert_eq!(case.judge(Stored::NoAnswer, case.live(live)), TokenState::Confirmed, "a resolver without look-ups");
}

#[test]
fn a_source_that_is_its_own_destination_gets_no_share_of_the_rest() {
    let case = case(json!({ "foo": [{ "subject": "foo", "weight": 20 }, { "subject": "bar", "weight": 30 }] }));
    let live = json!({ "foo": [{ "subject": "foo", "weight": 20 }, { "subject": "bar", "weight": 50 }] });
    assert_eq!(case.judge(case.stored(), case.live(live)), TokenState::Confirmed);
}

#[test]
fn differing_mappings_are_named() {
    let case = case(json!({ "foo.>": [{ "subject": "foo.w.>", "cluster": "w" }], "bar.>": [{ "subject": "b.>" }] }));
    let live = json!({
        "foo.>": [{ "subject": "foo.>", "weight": 100 }, { "subject": "foo.w.>", "weight": 100, "cluster": "e" }],
        "old.>": [{ "subject": "new.>", "weight": 100 }]
    });
    let names = |name: &str| vec![name.to_owned()];
    let differ =
        TokenState::MappingsDiffer { missing: names("bar.>"), unexpected: names("old.>"), changed: names("foo.>") };
    assert_eq!(case.judge(case.stored(), case.live(live)), differ);
}

#[test]
fn stored_and_not_loaded_counts_only_with_trust() {
    let mut case = case(json!({}));
    assert_eq!(case.judge(case.stored(), Live::NotLoaded), TokenState::StoredNotLoaded);
    case.server.trusted_keys.clear();
    let untrusted = TokenState::Untrusted { issuer: case.expected.issuer.clone() };
    assert_eq!(case.judge(case.stored(), Live::NotLoaded), untrusted);
    assert_eq!(case.judge(case.stored(), loaded(json!({ "jwt": "older" }))), untrusted);
}

#[test]
fn of_a_cache_counts_what_is_in_force() {
    let mut case = case(json!({}));
    let [none, copy] = [false, true].map(|cached| Stored::NotKept { cached });
    for stored in [&none, &copy] {
        assert_eq!(case.judge(stored.clone(), case.live(json!({}))), TokenState::Confirmed);
    }
    assert_eq!(case.judge(none.clone(), Live::NotLoaded), TokenState::FetchedOnUse);
    assert_eq!(case.judge(copy, Live::NotLoaded), TokenState::CachedUnclear);
    assert!(TokenState::FetchedOnUse.is_confirmed() && TokenState::CachedUnclear.is_unknown());
    let old = issue(&case.claims, &Seed::generate(KeyKind::Operator).unwrap(), 999).unwrap().as_str().to_owned();
    assert!(!case.judge(none.clone(), loaded(json!({ "jwt": old }))).is_confirmed());
    case.server.trusted_keys.clear();
    assert!(matches!(case.judge(none, Live::NotLoaded), TokenState::Untrusted { .. }));
}

#[test]
fn of_a_preload_counts_what_was_reloaded() {
    let case = case(json!({}));
    let preload = || Stored::Outside { token: Some(case.token.clone()), by_reload: true };
    let old = issue(&case.claims, &Seed::generate(KeyKind::Operator).unwrap(), 900).unwrap().as_str().to_owned();
    let older = loaded(json!({ "jwt": old }));
    assert_eq!(case.judge(preload(), case.live(json!({}))), TokenState::Confirmed);
    let waits = case.judge(preload(), older);
    assert_eq!(waits, TokenState::NotReloaded { live_issued_at: 900 });
    assert!(!waits.is_confirmed() && !waits.is_unknown());
    let unread = case.judge(preload(), Live::NotLoaded);
    assert_eq!(unread, TokenState::PreloadUnread);
    assert!(!unread.is_confirmed() && unread.is_unknown());
    let other = case.judge(Stored::Outside { token: Some(old), by_reload: true }, case.live(json!({})));
    assert!(matches!(other, TokenState::Untrusted { .. }), "{other:?}");
    // An account server does not need a reload.
    let served = || Stored::Outside { token: Some(case.token.clone()), by_reload: false };
    assert_eq!(case.judge(served(), Live::NotLoaded), TokenState::StoredNotLoaded);
    let none = Stored::Outside { token: None, by_reload: false };
    assert_eq!(case.judge(none, case.live(json!({}))), TokenState::NothingStored);
}

#[test]
fn another_token_is_older_or_newer() {
    let mut case = case(json!({}));
    let other = Seed::generate(KeyKind::Operator).unwrap();
    case.server.trusted_keys.push(other.public_key().to_string());
    case.expected.anchor = case.expected.anchor.and(&other.public_key());
    for (iat, age) in [(999, Age::Older), (1001, Age::Newer)] {
        let token = issue(&case.claims, &other, iat).unwrap().as_str().to_owned();
        let wanted = TokenState::OtherToken { age, issued_at: iat, issuer: other.public_key().to_string() };
        assert_eq!(case.judge(Stored::Token(token.clone()), case.live(json!({}))), wanted);
        assert_eq!(case.judge(Stored::NoAnswer, loaded(json!({ "jwt": token }))), wanted);
        let behind = TokenState::NotInForce { live_issued_at: iat };
        assert_eq!(case.judge(case.stored(), loaded(json!({ "jwt": token }))), behind);
    }
}

/// In another spelling, the token in force is still the expected one.
#[test]
fn a_token_in_another_spelling_is_the_expected_one() {
    let case = case(json!({}));
    for spelling in respelled(&case.token) {
        let live = loaded(json!({ "jwt": spelling, "complete": true, "expired": false }));
        assert_eq!(case.judge(Stored::Token(spelling.clone()), live), TokenState::Confirmed);
        assert_eq!(case.judge(Stored::Token(spelling), Live::NotLoaded), TokenState::StoredNotLoaded);
    }
}

/// A token does not count as newer because a server claims to trust its key. The anchor must trust it.
#[test]
fn a_token_that_only_the_server_trusts_is_not_newer() {
    let mut case = case(json!({}));
    let other = Seed::generate(KeyKind::Operator).unwrap();
    case.server.trusted_keys.push(other.public_key().to_string());
    for (iat, age) in [(1, Age::Older), (1001, Age::Unproven), (i64::MAX as u64 / 1_000_000_000, Age::Unproven)] {
        let token = issue(&case.claims, &other, iat).unwrap().as_str().to_owned();
        let wanted = TokenState::OtherToken { age, issued_at: iat, issuer: other.public_key().to_string() };
        assert_eq!(case.judge(Stored::Token(token.clone()), case.live(json!({}))), wanted);
        assert_eq!(case.judge(Stored::NoAnswer, loaded(json!({ "jwt": token }))), wanted);
    }
}

/// A token that is not applied is neither newer nor older, whatever its date.
#[test]
fn a_token_that_the_server_does_not_trust_is_neither_older_nor_newer() {
    let case = case(json!({}));
    let other = Seed::generate(KeyKind::Operator).unwrap();
    for iat in [1, 1001, i64::MAX as u64 / 1_000_000_000] {
        let token = issue(&case.claims, &other, iat).unwrap().as_str().to_owned();
        let wanted = TokenState::Untrusted { issuer: other.public_key().to_string() };
        assert_eq!(case.judge(Stored::Token(token), case.live(json!({}))), wanted);
    }
}

#[test]
fn what_is_not_known_is_not_called_wrong() {
    let case = case(json!({}));
    let unknown = [
        case.judge(Stored::NoAnswer, Live::NoAnswer),
        case.judge(case.stored(), Live::NoAnswer),
        case.judge(Stored::NoAnswer, Live::NotLoaded),
        case.judge(Stored::Unclear(vec![None, Some(case.token.clone())]), Live::NotLoaded),
    ];
    for verdict in unknown {
        assert!(verdict.is_unknown() && !verdict.is_confirmed(), "{verdict:?}");
    }
    assert_eq!(case.judge(Stored::Nothing, case.live(json!({}))), TokenState::NothingStored);
}

#[test]
fn broken_imports_are_named() {
    let case = case(json!({}));
    let live = loaded(json!({ "jwt": case.token, "complete": false, "imports": [
        { "subject": "a.>", "local_subject": "b.>", "invalid": true }, { "subject": "c", "invalid": false }
    ] }));
    let verdict = case.judge(case.stored(), live);
    assert_eq!(verdict, TokenState::ImportsIncomplete { imports: vec!["b.>".to_owned()] });
    assert!(verdict.is_confirmed());
}
