use super::*;
use proptest::prelude::*;
use serde_json::json;

/// Values of few kinds and names, so that three of them often overlap.
fn small() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..4u8).prop_map(Value::from),
        "[ab]".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        prop::collection::vec("[ab]", 0..3).prop_map(Value::from),
        prop::collection::btree_map("[ab]", 0..3u8, 0..3).prop_map(|map| json!(map)),
    ]
}

fn set() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("[a-d]", 0..4).prop_map(|set| set.into_iter().collect())
}

fn links() -> impl Strategy<Value = (Vec<Value>, Vec<Value>)> {
    let import = ("[ab]", "[AB]", "(service|stream)", "[xy]?", "[nm]", small());
    let import = import.prop_map(|(subject, account, kind, local, name, odd)| {
        json!({ "subject": subject, "account": account, "type": kind, "local_subject": local, "name": name, "odd": odd })
    });
    let export = ("[ab]", "(service|stream)", any::<bool>(), prop::collection::btree_map("[UV]", 1..4u8, 0..3));
    let export = export.prop_map(|(subject, kind, private, revocations)| {
        json!({ "subject": subject, "type": kind, "token_req": private, "revocations": revocations })
    });
    (prop::collection::vec(import, 0..4), prop::collection::vec(export, 0..4))
        .prop_map(|(imports, exports)| (unique(Shape::Imports, imports), unique(Shape::Exports, exports)))
}

fn unique(shape: Shape, entries: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    entries.into_iter().filter(|entry| seen.insert(shape.identity(entry))).collect()
}

fn claims() -> impl Strategy<Value = Value> {
    let keys = prop::collection::btree_map("[KLM]", prop::option::of("[rs]"), 0..3).prop_map(|keys| {
        let keys = keys.into_iter().map(|(key, role)| match role {
            None => json!(key),
            Some(role) => json!({ "key": key, "role": role, "template": { "pub": { "allow": [role] } } }),
        });
        keys.collect::<Vec<_>>()
    });
    let limits = prop::collection::btree_map("(conn|subs)", -1..3i8, 0..3);
    let mappings = prop::collection::btree_map("[ab]\\.>", prop::collection::vec("[xyz]", 1..3), 0..3);
    let revocations = prop::collection::btree_map("[UVW]", 1..5u8, 0..3);
    let permissions = (set(), set(), set());
    let all = (limits, mappings, revocations, keys, links(), permissions, set(), small(), 1..9u8);
    all.prop_map(|(limits, mappings, revocations, keys, (imports, exports), (allow, deny, sub), tags, odd, iat)| {
        let to = |to: Vec<String>| to.into_iter().map(|to| json!({ "subject": to, "weight": 50 })).collect();
        let mappings: Map<String, Value> = mappings.into_iter().map(|(from, list)| (from, to(list))).collect();
        json!({ "iat": iat, "jti": iat.to_string(), "iss": "O", "sub": "A", "name": "n", "odd": odd, "nats": {
            "limits": limits, "mappings": mappings, "revocations": revocations, "signing_keys": keys,
            "imports": imports, "exports": exports, "tags": tags,
            "default_permissions": { "pub": { "allow": allow, "deny": deny }, "sub": { "deny": sub } },
        } })
    })
}

/// A base and two edits of it, each of some fields.
fn three() -> impl Strategy<Value = (Value, Value, Value)> {
    let few = || prop::collection::vec(prop::bool::weighted(0.35), 9);
    (claims(), claims(), claims(), few(), few()).prop_map(|(base, one, other, mask, mask_of_other)| {
        let changed = |by: &Value, mask: &[bool]| {
            let mut changed = base.clone();
            changed["iat"] = by["iat"].clone();
            let names: Vec<String> = base["nats"].as_object().unwrap().keys().cloned().collect();
            for (name, _) in names.iter().zip(mask).filter(|(_, taken)| **taken) {
                changed["nats"][name] = by["nats"][name].clone();
            }
            if mask[8] {
                changed["odd"] = by["odd"].clone();
            }
            changed
        };
        let (one, other) = (changed(&one, &mask), changed(&other, &mask_of_other));
        (base, one, other)
    })
}

/// Returns the claims without the fields that differ in every token, and with unordered lists sorted.
fn content(claims: &Value) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Object(fields) => fields.values_mut().for_each(sort),
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(ToString::to_string);
            }
            _ => {}
        }
    }
    let mut claims = without_envelope(claims);
    ["imports", "exports", "signing_keys", "tags", "default_permissions"]
        .iter()
        .for_each(|name| sort(&mut claims["nats"][*name]));
    plain(Some(&claims)).unwrap_or_default()
}

fn places(conflicts: &[Conflict]) -> Vec<&str> {
    let mut places: Vec<&str> = conflicts.iter().map(|conflict| conflict.path.as_str()).collect();
    places.sort_unstable();
    places
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_one_side_alone_changed_is_taken(base in claims(), changed in claims()) {
        prop_assert_eq!(merge(&base, &base, &changed).unwrap(), changed.clone());
        let merged = merge(&base, &changed, &base).unwrap();
        prop_assert_eq!(without_envelope(&merged), without_envelope(&changed));
        prop_assert_eq!(&merged["iat"], &base["iat"]);
        prop_assert_eq!(without_envelope(&merge(&base, &changed, &changed).unwrap()), without_envelope(&changed));
    }

    #[test]
    fn it_does_not_matter_which_side_is_ours((base, one, other) in three()) {
        match (merge(&base, &one, &other), merge(&base, &other, &one)) {
            (Ok(a), Ok(b)) => prop_assert_eq!(content(&a), content(&b)),
            (Err(a), Err(b)) => prop_assert_eq!(places(&a), places(&b)),
            (a, b) => prop_assert!(false, "{:?} and {:?}", a, b),
        }
    }

    #[test]
    fn a_merge_changes_only_what_a_side_changed((base, one, other) in three()) {
        let Ok(merged) = merge(&base, &one, &other) else { return Ok(()) };
        for name in ["limits", "mappings", "revocations"] {
            let of = |claims: &Value, key: &str| plain(claims["nats"][name].get(key));
            let keys = [&base, &one, &other, &merged].into_iter().flat_map(|claims| claims["nats"][name].as_object());
            for key in keys.flat_map(|fields| fields.keys()) {
                let [was, a, b, is] = [&base, &one, &other, &merged].map(|claims| of(claims, key));
                prop_assert!(is == a || is == b, "{}.{} is neither side's", name, key);
                if a == was && name != "revocations" {
                    prop_assert_eq!(&is, &b);
                }
                if a != b && name == "revocations" && a != was && b != was {
                    prop_assert!(is.is_some(), "a renewed revocation was lost");
                }
            }
        }
    }
}

fn with(nats: &Value) -> Value {
    json!({ "iat": 1, "sub": "A", "nats": nats })
}

fn merged(base: &Value, ours: &Value, theirs: &Value) -> Value {
    merge(&with(base), &with(ours), &with(theirs)).unwrap()["nats"].clone()
}

fn refused(base: &Value, ours: &Value, theirs: &Value) -> Vec<String> {
    merge(&with(base), &with(ours), &with(theirs)).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn changes_that_have_nothing_to_do_with_each_other_are_both_there() {
    let base = json!({ "mappings": { "a": [{ "subject": "b" }] }, "limits": { "conn": 1, "subs": -1 }, "tags": ["x"],
                       "imports": [{ "subject": "s", "account": "A1", "type": "stream", "name": "one" }] });
    let ours = json!({ "mappings": { "a": [{ "subject": "b" }], "c": [{ "subject": "d" }] }, "tags": ["x", "y"],
                       "limits": { "conn": 2, "subs": -1 },
                       "imports": [{ "subject": "s", "account": "A1", "type": "stream", "name": "one" },
                                   { "subject": "s", "account": "A2", "type": "stream", "name": "two" }] });
    let theirs = json!({ "limits": { "conn": 1, "subs": 5 }, "tags": ["z"],
                         "imports": [{ "subject": "s", "account": "A1", "type": "stream", "name": "other" }] });
    let expected = json!({ "limits": { "conn": 2, "subs": 5 }, "tags": ["z", "y"],
                           "imports": [{ "subject": "s", "account": "A1", "type": "stream", "name": "other" },
                                       { "subject": "s", "account": "A2", "type": "stream", "name": "two" }],
                           "mappings": { "c": [{ "subject": "d" }] } });
    assert_eq!(merged(&base, &ours, &theirs), expected);
}

#[test]
fn a_conflict_names_its_place_and_both_values() {
    let base = json!({ "limits": { "conn": 1 }, "mappings": { "a": [{ "subject": "b" }] } });
    let ours = json!({ "limits": { "conn": 2 }, "mappings": {} });
    let theirs = json!({ "limits": { "conn": 3 }, "mappings": { "a": [{ "subject": "c" }] } });
    assert_eq!(
        refused(&base, &ours, &theirs),
        [
            "nats.limits.conn: 2 against 3, where 1 was before",
            r#"nats.mappings.a: nothing against [{"subject":"c"}], where [{"subject":"b"}] was before"#,
        ]
    );
}

#[test]
fn what_means_the_same_is_no_conflict() {
    let base = json!({ "mappings": { "a": [{ "subject": "b" }] }, "imports": null });
    // Another tool wrote equal claims differently.
    let theirs = json!({ "mappings": { "a": [{ "subject": "b", "weight": 100, "cluster": "" }] },
                         "default_permissions": { "pub": {}, "sub": {} }, "limits": { "conn": 0 } });
    let ours = json!({ "mappings": { "a": [{ "subject": "c" }] }, "default_permissions": { "pub": { "deny": ["x"] } },
                       "limits": { "conn": 4 } });
    let expected = json!({ "mappings": { "a": [{ "subject": "c" }] }, "limits": { "conn": 4 },
                           "default_permissions": { "pub": { "deny": ["x"] } } });
    assert_eq!(plain(Some(&merged(&base, &ours, &theirs))).unwrap(), expected);
}

#[test]
fn what_users_may_do_never_grows_by_a_merge() {
    let allow = |list: &[&str]| json!({ "default_permissions": { "pub": { "allow": list } } });
    let path = "nats.default_permissions.pub.allow: ";
    // The merge would leave an empty list, which servers read as everything.
    assert!(refused(&allow(&["a", "b"]), &allow(&["a"]), &allow(&["b"]))[0].starts_with(path));
    // From everything to something, in two different ways, and back.
    assert!(refused(&allow(&[]), &allow(&["a"]), &allow(&["b"]))[0].starts_with(path));
    assert!(refused(&allow(&["a"]), &allow(&[]), &allow(&["a", "b"]))[0].starts_with(path));
    assert_eq!(merged(&allow(&["a", "b"]), &allow(&["a", "b", "c"]), &allow(&["b"])), allow(&["b", "c"]));
}

#[test]
fn revocations_are_never_weakened() {
    let at = |users: &Value| json!({ "revocations": users });
    let revoked =
        |base: &Value, ours: &Value, theirs: &Value| merged(&at(base), &at(ours), &at(theirs))["revocations"].clone();
    assert_eq!(revoked(&json!({ "U": 1 }), &json!({ "U": 5 }), &json!({ "U": 3 })), json!({ "U": 5 }));
    assert_eq!(revoked(&json!({ "U": 1 }), &json!({}), &json!({ "U": 3 })), json!({ "U": 3 }));
    assert_eq!(revoked(&json!({}), &json!({ "*": 2 }), &json!({ "U": 3 })), json!({ "U": 3, "*": 2 }));
}

#[test]
fn a_key_that_is_scoped_and_one_that_is_not_are_the_same_key() {
    let keys = |keys: &Value| json!({ "signing_keys": keys });
    let scoped = |role: &str| json!({ "key": "K", "kind": "user_scope", "role": role, "template": {} });
    let both = merged(&keys(&json!(["K"])), &keys(&json!([scoped("r")])), &keys(&json!(["K", "L"])));
    assert_eq!(both, keys(&json!([scoped("r"), "L"])));
    let conflict = refused(&keys(&json!(["K"])), &keys(&json!([scoped("r")])), &keys(&json!([scoped("s")])));
    assert!(conflict[0].starts_with("nats.signing_keys[K]: "), "{conflict:?}");
}

#[test]
fn tokens_are_not_in_what_a_conflict_says() {
    let import = |name: &str, token: &str| json!({ "imports": [{ "subject": "s", "account": "A1", "type": "service", "name": name, "token": token }] });
    let conflict = refused(&import("n", "eyJ.1"), &import("n", "eyJ.2"), &import("m", "eyJ.3"));
    let words = "another activation token";
    let place = "nats.imports[service s of A1].token";
    assert_eq!(conflict, [format!("{place}: {words} against {words}, where {words} was before")]);
    let gone = refused(&import("n", "eyJ.1"), &json!({}), &import("m", "eyJ.3"));
    assert!(gone[0].contains("nothing against service s of A1, with an activation token"), "{gone:?}");
}

#[test]
fn of_two_activation_tokens_for_one_import_the_later_stands() {
    use crate::model::nkey::KeyKind;
    use crate::sign::{Seed, Signer as _, activation::issue_activation};
    let [exporter, importer] = [(); 2].map(|()| Seed::generate(KeyKind::Account).unwrap());
    let spec = super::super::ImportSpec {
        name: "n".to_owned(),
        account: exporter.public_key(),
        subject: "s".to_owned(),
        local_subject: String::new(),
        kind: super::super::ExportKind::Service,
    };
    let import = |at: u64| {
        let token =
            issue_activation(&exporter, &exporter.public_key(), &importer.public_key(), &spec, None, at).unwrap();
        json!({ "imports": [{ "subject": "s", "account": exporter.public_key().to_string(), "type": "service",
                              "token": token.as_str() }] })
    };
    assert_eq!(merged(&import(1), &import(3), &import(2)), import(3));
    assert_eq!(merged(&import(1), &import(2), &import(3)), import(3));
}

#[test]
fn two_services_under_one_local_subject_do_not_slip_in() {
    let import =
        |account: &str| json!({ "subject": account, "account": account, "type": "service", "local_subject": "x" });
    let conflict = refused(&json!({}), &json!({ "imports": [import("A1")] }), &json!({ "imports": [import("A2")] }));
    assert_eq!(
        conflict,
        ["nats.imports as x: service A1 of A1 as x against service A2 of A2 as x, where nothing was before"]
    );
}

#[test]
fn lists_whose_entries_cannot_be_told_apart_are_one_value() {
    let double =
        json!({ "exports": [{ "subject": "s", "type": "stream" }, { "subject": "s", "type": "stream", "n": 1 }] });
    let one = json!({ "exports": [{ "subject": "s", "type": "stream" }] });
    let other = json!({ "exports": [{ "subject": "t", "type": "stream" }] });
    assert_eq!(refused(&double, &one, &other).len(), 1);
    assert_eq!(merged(&double, &double, &other), other);
}

#[test]
fn what_is_not_known_is_merged_by_key_and_never_dropped() {
    let base = json!({ "new": { "a": 1, "b": [1, 2] } });
    let ours = json!({ "new": { "a": 2, "b": [1, 2], "c": 1.50 } });
    let theirs = json!({ "new": { "a": 1, "b": [2] }, "other": null });
    assert_eq!(merged(&base, &ours, &theirs), json!({ "new": { "a": 2, "b": [2], "c": 1.50 }, "other": null }));
    assert_eq!(
        refused(&base, &json!({}), &theirs),
        [r#"nats.new: nothing against {"a":1,"b":[2]}, where {"a":1,"b":[1,2]} was before"#]
    );
}

/// Weights add up. Half of each side's destinations would lose messages.
#[test]
fn destinations_of_a_mapping_are_one_value() {
    let claims = |to: &Value| json!({ "nats": { "mappings": { "a.>": to } } });
    let to = |subject: &str| json!([{ "subject": subject, "weight": 100 }]);
    for [base, ours, theirs] in [
        [to("a"), to("b"), to("c")],
        [json!([]), to("b"), to("c")],
        // Our decoder refuses these claims, and the merge refuses them, too.
        [json!({ "a": 1 }), json!({ "a": 1, "b": 1 }), json!({ "a": 1, "c": 1 })],
        [json!({}), json!({ "b": 1 }), to("c")],
    ] {
        let conflicts = merge(&claims(&base), &claims(&ours), &claims(&theirs)).unwrap_err();
        assert_eq!(conflicts.iter().map(|conflict| &*conflict.path).collect::<Vec<_>>(), ["nats.mappings.a.>"]);
    }
}
