use super::*;
use crate::model::claims::{AccountClaims, Activation, OperatorClaims, Token};
use crate::model::nkey::KeyKind;
use crate::sign::tests::unchecked;
use crate::sign::{Seed, Signer as _, issue};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the fields that Go's library decodes, as `tests/peers/fields` lists them: by type of claims, path and kind.
fn go_fields() -> BTreeMap<String, BTreeMap<String, String>> {
    let text = include_str!("../../../../tests/fixtures/claims-fields.json");
    let mut document: Value = serde_json::from_str(text).unwrap();
    serde_json::from_value(document["fields"].take()).unwrap()
}

/// Adds the fields of the table in the same form.
fn listed(prefix: &str, of: &Struct, found: &mut BTreeMap<String, String>) {
    for (name, kind) in of.fields() {
        list(&format!("{prefix}{name}"), kind, found);
    }
}

fn list(path: &str, kind: &Kind, found: &mut BTreeMap<String, String>) {
    let mut inner = |suffix: &str, kind: &Kind| list(&format!("{path}{suffix}"), kind, found);
    let name = match kind {
        Kind::Text => "string",
        Kind::Flag => "bool",
        Kind::Int | Kind::Time => "int64",
        Kind::Uint => "uint64",
        Kind::Byte => "uint8",
        Kind::ExportType => "ExportType",
        Kind::ScopeType => "ScopeType",
        Kind::SamplingRate => "SamplingRate",
        Kind::CidrList => "CIDRList",
        Kind::Struct(of) => {
            listed(&format!("{path}."), of, found);
            "struct"
        }
        Kind::List(of) => {
            inner("[]", of);
            "list"
        }
        Kind::Map(of) => {
            inner("{}", of);
            "map"
        }
        Kind::SigningKeys(scope) => {
            inner("[]", &Kind::Struct(scope));
            "SigningKeys"
        }
    };
    assert_eq!(found.insert(path.to_owned(), name.to_owned()), None, "{path} is there twice");
}

#[test]
fn the_table_has_every_field_of_gos_library_and_no_other() {
    for (claim_type, expected) in go_fields() {
        let of = if claim_type == "header" { &table::HEADER } else { table::claims(&claim_type) };
        let mut found = BTreeMap::new();
        listed("", of, &mut found);
        for (path, kind) in &expected {
            assert_eq!(found.get(path), Some(kind), "{claim_type}: {path}");
        }
        for path in found.keys() {
            assert!(expected.contains_key(path), "{claim_type}: {path} is no field of the library");
        }
    }
}

#[test]
fn names_that_are_one_to_go_are_one_here() {
    for set in include_str!("../../../../tests/fixtures/go-fold.txt").lines() {
        let names: BTreeSet<String> = set.chars().map(|c| folded(&format!("x{c}"))).collect();
        assert_eq!(names.len(), 1, "{set}");
        // Field names are ASCII, so only these sets matter.
        for c in set.chars().filter(|_| set.chars().any(|c| c.is_ascii())) {
            let lower = set.chars().find(char::is_ascii_lowercase).unwrap();
            assert!(is_read_as(&format!("a{c}"), &format!("a{lower}")), "{c}");
        }
    }
    for other in ["lımits", "limıts", "limits\u{301}", "lim\u{200b}its", "ⅼimits", "limit", "limitss", "ﬁ"] {
        assert!(!is_read_as(other, "limits"), "{other}");
    }
}

/// A document in which the path of a field holds `value`, by the name `name`.
fn with(claim_type: &str, path: &str, name: &str, value: &Value) -> Value {
    let mut document = json!({ "nats": { "type": claim_type, "version": 2 } });
    if claim_type == "generic" {
        document = json!({ "nats": {} });
    }
    let (parent, _) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = &mut document;
    for step in parent.split('.').filter(|step| !step.is_empty()) {
        let bare = step.trim_end_matches(['[', ']', '{', '}']);
        at = &mut at[bare];
        for brackets in step.as_bytes()[bare.len()..].chunks(2) {
            if brackets == b"[]" {
                *at = json!([{}]);
                at = &mut at[0];
            } else {
                at = &mut at["a.>"];
            }
        }
        if at.is_null() {
            *at = json!({});
        }
    }
    at[name] = value.clone();
    if let Some(entry) = document
        .pointer_mut("/nats/signing_keys/0")
        .filter(|entry| entry.is_object() && entry["kind"].is_null() && name != "kind")
    {
        entry["kind"] = json!("user_scope");
    }
    document
}

/// Returns a valid value for a field of this kind.
fn sample(kind: &str) -> Value {
    match kind {
        "string" => json!("x"),
        "bool" => json!(true),
        "int64" => json!(2),
        "uint64" | "uint8" => json!(7),
        "struct" | "map" => json!({}),
        "list" | "SigningKeys" | "CIDRList" => json!([]),
        "ExportType" => json!("stream"),
        "ScopeType" => json!("user_scope"),
        "SamplingRate" => json!("headers"),
        other => panic!("{other}"),
    }
}

/// Returns spellings of a name that Go matches to it.
fn look_alikes(name: &str) -> Vec<String> {
    let capital = name[..1].to_ascii_uppercase() + &name[1..];
    let long = [name.replacen('s', "ſ", 1), name.replacen('k', "\u{212a}", 1)];
    let mut all = vec![capital, name.to_ascii_uppercase()];
    all.extend(long.into_iter().filter(|other| other != name));
    all
}

#[test]
fn every_field_is_read_by_its_name_and_refused_by_another() {
    let mut count = 0;
    for (claim_type, fields) in go_fields().into_iter().filter(|(claim_type, _)| claim_type != "header") {
        for (path, kind) in fields.iter().filter(|(path, _)| !path.ends_with(['}', ']'])) {
            let name = path.rsplit('.').next().unwrap();
            let own = matches!(path.as_str(), "nats" | "nats.type" | "nats.version" | "type");
            if !own {
                check(&with(&claim_type, path, name, &sample(kind)))
                    .unwrap_or_else(|e| panic!("{claim_type} {path}: {e}"));
                let null = check(&with(&claim_type, path, name, &Value::Null));
                assert_eq!(
                    null.is_ok(),
                    !matches!(kind.as_str(), "ExportType" | "ScopeType"),
                    "{claim_type} {path}: null"
                );
                for wrong in [json!(1.5), json!([1]), json!({ "a": 1 }), json!("\u{0}"), json!(-1), json!(false)] {
                    let fits = match (kind.as_str(), &wrong) {
                        ("string" | "CIDRList", Value::String(_)) | ("bool", Value::Bool(_)) => true,
                        ("struct", Value::Object(_)) => true,
                        ("map", Value::Object(_)) => path.ends_with("revocations") || path == "revocations",
                        ("int64" | "SamplingRate", Value::Number(n)) => {
                            n.is_i64() && !matches!(name, "iat" | "exp" | "nbf")
                        }
                        _ => false,
                    };
                    let read = check(&with(&claim_type, path, name, &wrong));
                    assert_eq!(read.is_ok(), fits, "{claim_type} {path}: {wrong}: {read:?}");
                }
            }
            for other in look_alikes(name) {
                for value in [sample(kind), Value::Null] {
                    let refused = check(&with(&claim_type, path, &other, &value)).unwrap_err();
                    let named =
                        matches!(&refused, ClaimsError::Field { reason, .. } if reason.contains(&format!("`{name}`")));
                    assert!(named, "{claim_type} {path} as {other}: {refused}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 1000, "{count}");
}

fn account(nats: Value) -> Value {
    let mut all = json!({ "type": "account", "version": 2 });
    all.as_object_mut().unwrap().extend(nats.as_object().unwrap().clone());
    json!({ "sub": "A", "nats": all })
}

#[test]
fn keys_of_maps_and_the_inside_of_unknown_claims_are_data() {
    for nats in [
        json!({ "mappings": { "Orders.>": [{ "subject": "a.>" }], "orders.>": [{ "subject": "b.>" }] } }),
        json!({ "mappings": { "Subject": [{ "subject": "a" }], "ſubject": [{ "subject": "b" }], "nats": null } }),
        json!({ "revocations": { "UA": 1, "ua": 2, "*": -1 } }),
        json!({ "limits": { "tiered_limits": { "R1": { "streams": 1 }, "r1": { "streams": 2 }, "Streams": {} } } }),
        json!({ "exports": [{ "subject": "x", "type": "stream", "revocations": { "Type": 1, "TYPE": 2 } }] }),
        json!({ "future": { "Limits": 1, "limits": 2, "LIMITS": [{ "Subject": 1, "subject": 2 }] } }),
        json!({ "imports": [{ "subject": "x", "type": "stream", "later": { "Type": 1, "type": 2 } }] }),
        json!({ "lımits": { "Conn": 1 } }),
    ] {
        assert_eq!(check(&account(nats.clone())), Ok(()), "{nats}");
    }
    let mut document = account(json!({}));
    document["Zeta"] = json!({ "Sub": "A", "sub": "B" });
    assert_eq!(check(&document), Ok(()));
}

#[test]
fn two_names_of_a_struct_that_go_takes_for_one_are_refused() {
    for nats in [
        json!({ "Future": 1, "future": 2 }),
        json!({ "limits": { "Tachyons": 1, "tachyonſ": 2 } }),
        json!({ "exports": [{ "subject": "x", "type": "stream", "ΑΒΓ": 1, "αβγ": 2 }] }),
        json!({ "signing_keys": [{ "kind": "user_scope", "since": 1, "SINCE": 2 }] }),
        json!({ "mappings": { "a": [{ "subject": "x", "Colour": 1, "colour": 1 }] } }),
    ] {
        let refused = check(&account(nats.clone())).unwrap_err().to_string();
        assert!(refused.contains("twice but for the case"), "{nats}: {refused}");
    }
    let mut document = account(json!({}));
    document["zeta"] = json!(1);
    document["Zeta"] = json!(1);
    assert!(check(&document).is_err());
}

#[test]
fn versions_and_types_are_those_that_servers_take() {
    let read = |claim_type: Value, version: Value| {
        check(&json!({ "nats": { "type": claim_type, "version": version } })).map_err(|error| error.to_string())
    };
    let own = ["operator", "account", "user", "activation", "authorization_request", "authorization_response"];
    for claim_type in own {
        assert!(read(json!(claim_type), json!(2)).is_ok());
        for version in [json!(0), json!(1), json!(3), json!(-1), Value::Null, json!(4_294_967_298_u64)] {
            assert!(read(json!(claim_type), version.clone()).is_err(), "{claim_type} {version}");
        }
    }
    for claim_type in ["generic", "new"] {
        assert!(read(json!(claim_type), json!(2)).is_ok() && read(json!(claim_type), Value::Null).is_ok());
        assert!(read(json!(claim_type), json!(3)).is_err());
    }
    for text in ["2.0", "2e0", "\"2\"", "[2]"] {
        let version: Value = serde_json::from_str(text).unwrap();
        assert!(read(json!("account"), version).is_err(), "{text}");
    }
    assert!(read(json!(["account"]), json!(2)).is_err());
    // With this field, a server treats the token as version 1, which has another signature.
    let mut document = account(json!({}));
    for (type_, taken) in [(json!("account"), false), (json!("x"), false), (json!(1), false), (json!(""), true)] {
        document["type"] = type_;
        assert_eq!(check(&document).is_ok(), taken, "{document}");
    }
    document["type"] = Value::Null;
    document["version"] = json!("2");
    assert!(check(&document).is_err(), "resolvers decode it there");
}

#[test]
fn times_are_those_that_servers_can_count() {
    for field in ["iat", "exp", "nbf"] {
        let read = |text: &str| {
            let mut document = account(json!({}));
            document[field] = serde_json::from_str(text).unwrap();
            check(&document)
        };
        for taken in ["0", "1", "9223372036", "null"] {
            assert_eq!(read(taken), Ok(()), "{field} {taken}");
        }
        for refused in
            ["9223372037", "253402300800", "9223372036854775807", "9223372036854775808", "-1", "1.0", "1e3", "\"1\""]
        {
            let refused = read(refused).unwrap_err().to_string();
            assert!(refused.contains(field), "{refused}");
        }
    }
}

#[test]
fn numbers_of_scopes_pass_through_floating_point() {
    let read = |subs: &str| {
        let template: Value = serde_json::from_str(&format!("{{\"subs\":{subs}}}")).unwrap();
        check(&account(json!({ "signing_keys": [{ "kind": "user_scope", "template": template }] })))
    };
    assert!(read("9007199254740992").is_ok() && read("-1").is_ok());
    // Servers read the first as 9007199254740992, and fail on the second.
    assert!(read("9007199254740993").is_err() && read("9223372036854775807").is_err());
    assert!(check(&account(json!({ "limits": { "subs": 9_223_372_036_854_775_807_i64 } }))).is_ok());
    // Data stays unchanged, as long as servers can read its numbers.
    let with = |data: &str| {
        let scope =
            format!(r#"{{ "kind": "user_scope", "notes": {data}, "template": {{ "notes": [{{ "x": {data} }}] }} }}"#);
        check(&account(json!({ "signing_keys": [serde_json::from_str::<Value>(&scope).unwrap()] })))
    };
    for data in ["1e308", "1.5", "-0", "123456789012345678901234567890"] {
        with(data).unwrap();
    }
    for data in ["1e999", "-1e309", "[1e400]", r#"{ "y": 1e999 }"#] {
        let refused = with(data).unwrap_err().to_string();
        assert!(refused.contains("signing_keys.") && refused.contains("too large"), "{refused}");
    }
    for entry in [json!(1), Value::Null, json!(["A"]), json!({ "key": "A" }), json!({ "kind": "role", "key": "A" })] {
        assert!(check(&account(json!({ "signing_keys": [entry] }))).is_err());
    }
}

/// Claims that claim to be an account's, from each possible source.
#[test]
fn nothing_comes_in_past_the_reader() {
    let [operator, account] = [KeyKind::Operator, KeyKind::Account].map(|kind| Seed::generate(kind).unwrap());
    let system = Seed::generate(KeyKind::Account).unwrap().public_key().to_string();
    let good = json!({ "sub": account.public_key().to_string(), "nats": { "type": "account", "version": 2,
        "default_permissions": { "pub": { "deny": ["$JS.>"] } } } });
    assert!(AccountClaims::unsigned(good.clone()).is_ok() && issue(&good, &operator, 1).is_ok());
    let edits: [(&str, Value); 12] = [
        ("/ſub", json!(system)),
        ("/Sub", json!(system)),
        ("/SUB", json!(null)),
        ("/Nats", json!({})),
        ("/nats/Signing_keys", json!([system])),
        ("/nats/ſigning_\u{212a}eyſ", json!([system])),
        ("/nats/Type", json!("account")),
        ("/nats/version", json!(3)),
        ("/nats/default_permissions/pub/Deny", json!([])),
        ("/nats/default_permissions/Pub", json!({})),
        ("/exp", json!(9_223_372_037_u64)),
        ("/type", json!("account")),
    ];
    for (path, value) in edits {
        let mut claims = good.clone();
        let (parent, name) = path.rsplit_once('/').unwrap();
        claims.pointer_mut(parent).unwrap()[name] = value;
        assert!(AccountClaims::unsigned(claims.clone()).is_err(), "{path}");
        assert!(issue(&claims, &operator, 1).is_err(), "{path}");
        let token = unchecked(&claims, &operator, 1);
        assert!(AccountClaims::decode(&token).is_err() && Token::decode(&token).is_err(), "{path}");
    }
    let mut none = good.clone();
    none["nats"].as_object_mut().unwrap().shift_remove("version");
    assert!(AccountClaims::unsigned(none).is_err());
    assert!(OperatorClaims::from_claims(&json!({ "sub": operator.public_key(), "Sub": "O", "nats": {} })).is_err());
    let activation = json!({ "sub": account.public_key(), "nats": { "type": "activation", "version": 2, "subject": "a",
        "Subject": ">", "kind": "stream" } });
    assert!(Activation::decode(&unchecked(&activation, &account, 1)).is_err());
}

#[test]
fn the_header_is_read_strictly() {
    assert!(check_header(&json!({ "typ": "JWT", "alg": "ed25519-nkey", "kid": [1] })).is_ok());
    for header in [
        json!({ "typ": "JWT", "alg": "ed25519-nkey", "Alg": "ed25519" }),
        json!({ "typ": "JWT", "alg": "ed25519-nkey", "TYP": null }),
        json!({ "typ": "JWT", "alg": 1 }),
        json!([]),
    ] {
        assert!(check_header(&header).is_err(), "{header}");
    }
}

#[test]
fn of_two_entries_for_one_key_the_last_counts() {
    let [account, key] = [0, 1].map(|_| Seed::generate(KeyKind::Account).unwrap().public_key().to_string());
    let scope = json!({ "kind": "user_scope", "key": key, "role": "r", "template": {} });
    let scoped = |keys: Value| {
        let claims = json!({ "sub": account, "nats": { "type": "account", "version": 2, "signing_keys": keys } });
        let claims = AccountClaims::unsigned(claims).unwrap();
        claims.signing_keys().iter().map(|key| key.scope.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(scoped(json!([key, scope])), [true]);
    assert_eq!(scoped(json!([scope, key])), [false]);
}
