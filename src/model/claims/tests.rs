use super::json::parse_strict;
use super::*;
use crate::model::mapping::{Destination, Mapping};
use crate::model::nkey::KeyKind;
use crate::model::subject::SubjectFilter;
use crate::sign::tests::{respelled, unchecked};
use crate::sign::{Seed, Signer as _, issue};
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

fn any_number() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?(e[+-][0-9]{1,4})?",
    ];
    text.prop_map(|text| Value::Number(text.parse::<Number>().unwrap()))
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any_number(),
        ".{0,12}".prop_map(Value::String)
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            any_object(inner).prop_map(Value::Object)
        ]
    })
}

fn any_object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    // Names without a meaning to servers.
    prop::collection::vec(("[~!?ü]{1,2}.{0,8}", value), 0..6).prop_map(|fields| fields.into_iter().collect())
}

fn account_claims(top: Map<String, Value>, mut nats: Map<String, Value>, mappings: Value) -> AccountClaims {
    let [operator, account] = [KeyKind::Operator, KeyKind::Account].map(|kind| Seed::generate(kind).unwrap());
    let mut claims = top;
    if !mappings.is_null() {
        nats.insert("mappings".to_owned(), mappings);
    }
    nats.insert("type".to_owned(), "account".into());
    nats.insert("version".to_owned(), 2.into());
    claims.insert("nats".to_owned(), Value::Object(nats));
    claims.insert("sub".to_owned(), account.public_key().to_string().into());
    AccountClaims::decode(issue(&Value::Object(claims), &operator, 1).unwrap().as_str()).unwrap()
}

fn mapping(source: &str, to: &[(&str, u8)]) -> Mapping {
    let destination =
        |(subject, weight): &(&str, u8)| Destination { subject: (*subject).to_owned(), weight: *weight, cluster: None };
    Mapping { source: SubjectFilter::parse(source).unwrap(), destinations: to.iter().map(destination).collect() }
}

proptest! {
    #[test]
    fn arbitrary_claims_survive_byte_for_byte(top in any_object(any_json()), nats in any_object(any_json())) {
        let claims = account_claims(top, nats, Value::Null);
        let text = serde_json::to_string(claims.value()).unwrap();
        let parsed = parse_strict("claims", text.as_bytes()).unwrap();
        prop_assert_eq!(serde_json::to_string(&parsed).unwrap(), text.clone());
        let mut edited = claims.clone();
        prop_assert!(edited.set_mapping(&mapping("a.>", &[("b.>", 100)])));
        prop_assert!(edited.remove_mapping("a.>"));
        prop_assert_eq!(serde_json::to_string(edited.value()).unwrap(), text);
    }

    #[test]
    fn only_the_named_mapping_changes(sources in prop::collection::btree_set("[a-z]{1,4}", 1..8), pick: prop::sample::Index, weight in 1u8..=100) {
        let before: Map<String, Value> =
            sources.iter().map(|s| (s.clone(), json!([{"cluster": "c", "extra": [1.0], "subject": "old"}]))).collect();
        let mut claims = account_claims(Map::new(), Map::new(), Value::Object(before.clone()));
        let source = pick.get(&sources.iter().collect::<Vec<_>>()).to_string();
        prop_assert!(claims.set_mapping(&mapping(&source, &[("new", weight)])));
        let after = claims.value()["nats"]["mappings"].as_object().unwrap().clone();
        prop_assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        for (name, value) in &after {
            prop_assert_eq!(value == &before[name], *name != source);
        }
        prop_assert!(claims.remove_mapping(&source));
        let left: Vec<String> = claims.mappings().into_iter().map(|m| m.source).collect();
        prop_assert_eq!(left, before.keys().filter(|s| **s != source).cloned().collect::<Vec<_>>());
        prop_assert_eq!(claims.value()["nats"].get("mappings").is_none(), sources.len() == 1);
    }

    #[test]
    fn decoding_never_panics(bytes: Vec<u8>, text in "\\PC{0,60}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        let _ = AccountClaims::decode(&String::from_utf8_lossy(&bytes));
        let _ = AccountClaims::decode(&text);
        let _ = OperatorClaims::decode(&parts.join("."));
        let _ = parse_strict("claims", &bytes);
    }

    #[test]
    fn a_token_cut_short_or_changed_is_refused(cut: prop::sample::Index, letter in "[A-Za-z0-9_.-]") {
        let claims = account_claims(Map::new(), Map::new(), Value::Null);
        let operator = Seed::generate(KeyKind::Operator).unwrap();
        let token = issue(claims.value(), &operator, 1).unwrap().as_str().to_owned();
        let at = cut.index(token.len());
        let refused = AccountClaims::decode(&token[..at]).unwrap_err().to_string();
        prop_assert!(!refused.contains("eyJ"), "{}", refused);
        let mut changed = token.clone();
        changed.replace_range(at..=at, &letter);
        prop_assert!(spelled_as_signed(&changed) == token || AccountClaims::decode(&changed).is_err());
    }
}

/// The signature does not cover its own spelling. Servers accept every spelling that their decoder maps to the same
/// bytes.
#[test]
fn a_token_whose_signature_is_spelled_otherwise_is_the_same_token() {
    let claims = account_claims(Map::new(), Map::new(), Value::Null);
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let token = issue(claims.value(), &operator, 1).unwrap().as_str().to_owned();
    let claims = AccountClaims::decode(&token).unwrap();
    assert_eq!(spelled_as_signed(&token), token);
    for spelling in respelled(&token) {
        assert_ne!(spelling, token);
        assert_eq!(AccountClaims::decode(&spelling).as_ref(), Ok(&claims), "{spelling:?}");
        assert_eq!(spelled_as_signed(&spelling), token);
    }
    // The signed part has only one spelling, and other letters do not match the signature.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    for spelling in [
        format!("{header}.{body}\n.{signature}"),
        format!("\r{header}.{body}.{signature}"),
        format!("{signed}.{signature}="),
        format!("{signed}. {signature}"),
        format!("{signed}.{signature}A"),
        format!("{signed}.{}", &signature[..signature.len() - 1]),
        format!("{signed}."),
    ] {
        assert!(AccountClaims::decode(&spelling).is_err(), "{spelling:?}");
        assert_ne!(spelled_as_signed(&spelling), token);
    }
    for none in ["", ".", "a.b.c.\u{e9}", "x"] {
        assert_eq!(spelled_as_signed(none), none);
    }
}

#[test]
fn duplicate_names_are_found_at_any_depth() {
    let refused = |text: &str| parse_strict("claims", text.as_bytes()).unwrap_err();
    let duplicate = |path: &str| ClaimsError::DuplicateKey { part: "claims", path: path.into() };
    assert_eq!(refused(r#"{"a":1,"a":1}"#), duplicate("a"));
    assert_eq!(refused(r#"{"a":[{"b":{"c":1,"d":2,"\u0063":1.5}}]}"#), duplicate("a.b.c"));
    assert!(parse_strict("claims", br#"{"a":{"a":1},"b":{"a":[{"a":1},{"a":2}]}}"#).is_ok());
}

#[test]
fn names_that_serde_json_keeps_for_itself_are_refused() {
    for text in [
        r#"{"x":{"$serde_json::private::Number":"1"}}"#,
        r#"{"x":{"\u0024serde_json::private::Number":"1"}}"#,
        r#"{"a\"":"\\","x":{"$serde_json::private::Number":{}}}"#,
    ] {
        assert!(matches!(parse_strict("claims", text.as_bytes()), Err(ClaimsError::Json { .. })), "{text}");
    }
}

#[test]
fn broken_json_is_named_by_place_and_not_repeated() {
    let refused = |text: &[u8]| parse_strict("claims", text).unwrap_err().to_string();
    assert_eq!(refused(b"{\"secret\":"), "the token's claims: it ends too early, at line 1 column 10");
    assert!(refused(b"{\"a\": secret}").starts_with("the token's claims: it is not valid JSON, at line 1 column"));
    assert_eq!(refused(b"\xff"), "the token's claims: not UTF-8");
    let deep = "[".repeat(500) + &"]".repeat(500);
    assert!(refused(deep.as_bytes()).contains("not valid JSON"));
}

#[test]
fn fields_of_the_wrong_shape_are_named() {
    let [operator, account] = [KeyKind::Operator, KeyKind::Account].map(|kind| Seed::generate(kind).unwrap());
    let refused = |field: &str, value: Value| {
        let mut nats = json!({"type": "account", "version": 2});
        nats[field] = value;
        let claims = json!({"sub": account.public_key().to_string(), "nats": nats});
        assert!(issue(&claims, &operator, 1).is_err());
        match AccountClaims::decode(&unchecked(&claims, &operator, 1)).unwrap_err() {
            ClaimsError::Field { path, .. } => path,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused("mappings", json!([])), "nats.mappings");
    assert_eq!(refused("mappings", json!({"a": {}})), "nats.mappings.a");
    assert_eq!(refused("mappings", json!({"a": [{"weight": 1}]})), "nats.mappings.a.subject");
    assert_eq!(refused("mappings", json!({"a": [{"subject": "b", "weight": 256}]})), "nats.mappings.a.weight");
    assert_eq!(refused("mappings", json!({"a": [{"subject": "b", "cluster": 1}]})), "nats.mappings.a.cluster");
    assert_eq!(refused("limits", json!({"payload": "1"})), "nats.limits.payload");
    assert_eq!(
        refused("limits", json!({"tiered_limits": {"R3": {"streams": 1.5}}})),
        "nats.limits.tiered_limits.R3.streams"
    );
    assert_eq!(refused("signing_keys", json!(["X"])), "nats.signing_keys");
    assert_eq!(refused("exports", json!({})), "nats.exports");
}

#[test]
fn null_means_absent() {
    let nats =
        [("mappings", Value::Null), ("limits", Value::Null), ("exports", Value::Null), ("signing_keys", Value::Null)];
    let mut claims =
        account_claims(Map::new(), nats.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(), Value::Null);
    assert!(claims.mappings().is_empty() && claims.exports().is_empty());
    assert!(claims.set_mapping(&mapping("a", &[("b", 0)])));
    assert_eq!(claims.mappings()[0].destinations[0].weight, 100);
    assert!(!claims.set_mapping(&mapping("a", &[("b", 100)])));
}
