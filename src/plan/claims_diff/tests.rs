use super::*;
use crate::secrets;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn every_difference_is_a_line_and_tokens_are_not_in_words() {
    let before = json!({ "iat": 1, "jti": "a", "name": "APP", "nats": {
        "limits": { "conn": 5, "subs": -1 }, "mappings": { "a.>": [{ "subject": "b.>" }] },
        "imports": [{ "subject": "x", "token": "ey.old" }],
    } });
    let after = json!({ "iat": 2, "jti": "b", "name": "APP", "nats": {
        "limits": { "conn": 7, "subs": -1 }, "mappings": { "c.>": [{ "subject": "d.>" }] },
        "imports": [{ "subject": "x", "token": "ey.new" }], "tags": ["t"],
        "exports": [{ "name": "n", "subject": "y", "type": "service", "token_req": true, "response_type": "Stream" }],
    } });
    assert_eq!(
        claims_diff(Some(&before), &after),
        [
            "~ nats.limits.conn: 5 → 7",
            r#"- nats.mappings.a.>: {"subject":"b.>"}"#,
            r#"+ nats.mappings.c.>: {"subject":"d.>"}"#,
            r#"- nats.imports: {"subject":"x","token":"(activation token 94f4510906efd19e)"}"#,
            r#"+ nats.imports: {"subject":"x","token":"(activation token 485fe8f9c9676cd9)"}"#,
            r#"+ nats.tags: "t""#,
            r#"+ nats.exports: service y answers Stream, private, named "n""#,
        ]
    );
    assert!(claims_diff(Some(&after), &after).is_empty());
    assert_eq!(claims_diff(None, &json!({ "name": "N", "iat": 1 })), [r#"+ name: "N""#]);
}

fn diff(before: &str, after: &str) -> Vec<String> {
    let [before, after]: [Value; 2] = [before, after].map(|text| serde_json::from_str(text).unwrap());
    claims_diff(Some(&before), &after)
}

#[test]
fn emptiness_order_number_and_type_are_differences() {
    for (before, after, lines) in [
        ("{}", r#"{"a":[]}"#, &["+ a: []"][..]),
        (r#"{"a":{}}"#, "{}", &["- a: {}"]),
        ("{}", r#"{"a":{"b":[]}}"#, &["+ a.b: []"]),
        (r#"{"a":null}"#, "{}", &["- a: null"]),
        (r#"{"a":[]}"#, r#"{"a":{}}"#, &["~ a: [] → {}"]),
        (r#"{"a":1}"#, r#"{"a":"1"}"#, &[r#"~ a: 1 → "1""#]),
        (r#"{"a":1}"#, r#"{"a":1.0}"#, &["~ a: 1 → 1.0"]),
        (r#"{"a":[1]}"#, r#"{"a":[1.0]}"#, &["- a: 1", "+ a: 1.0"]),
        (r#"{"a":["x"]}"#, r#"{"a":["x","x"]}"#, &[r#"+ a: "x""#]),
        (r#"{"a":["x","y","x"]}"#, r#"{"a":["y","x"]}"#, &[r#"- a: "x""#, r#"~ a: in another order: "y", "x""#]),
        (r#"{"a":["x","y"]}"#, r#"{"a":["y","x"]}"#, &[r#"~ a: in another order: "y", "x""#]),
        (r#"{"a":["x"]}"#, r#"{"a":"x"}"#, &[r#"~ a: ["x"] → "x""#]),
        (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"c":2,"b":1}}"#, &[]),
        (r#"{"a":[{"b":1,"c":2}]}"#, r#"{"a":[{"c":2,"b":1}]}"#, &[]),
        (r#"{"a.b":1}"#, r#"{"a":{"b":1}}"#, &[r#"- "a.b": 1"#, "+ a.b: 1"]),
        (r#"{"x":{"token":"ey.1"}}"#, "{}", &["- x.token: (activation token d7d0c86829de7beb)"]),
        (r#"{"":1}"#, "{}", &[r#"- "": 1"#]),
    ] {
        assert_eq!(diff(before, after), lines, "{before} {after}");
    }
}

/// The texts are the same, but the values differ: one export sets `token_req` to false, the other leaves it out.
#[test]
fn lines_of_different_entries_differ() {
    let before = r#"{"nats":{"exports":[{"subject":"x","type":"stream","token_req":false}]}}"#;
    let lines = diff(before, r#"{"nats":{"exports":[{"subject":"x","type":"stream"}]}}"#);
    assert_eq!(lines.len(), 2);
    assert_ne!(lines[0][1..], lines[1][1..], "{lines:?}");
}

#[test]
fn nothing_in_claims_makes_a_line_of_its_own() {
    let evil = "x\n    - nats.signing_keys: \"K\"\n    + x";
    let lines = claims_diff(Some(&json!({})), &json!({ evil: [evil], "a": { evil: evil }, "b": [{ evil: evil }] }));
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert!(!line.contains('\n') && line.contains(r"\n    - nats.signing_keys"), "{line}");
        assert!(line.starts_with("+ \"x\\n") || line.starts_with("+ a.\"x\\n") || line.starts_with("+ b: {"), "{line}");
    }
    let hidden = "\u{1b}\u{9b}\u{7f}\u{202e}\u{200b}\u{2028}\u{feff}";
    for line in claims_diff(None, &json!({ hidden: hidden, "nats": { "mappings": { hidden: [hidden] } } })) {
        assert!(line.is_ascii(), "{line}");
    }
}

#[test]
fn long_lists_take_no_time() {
    let list = |from: u32| json!({ "a": (from..from + 20_000).collect::<Vec<_>>() });
    assert_eq!(claims_diff(Some(&list(0)), &list(10)).len(), 20);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop::sample::select(vec!["0", "1", "1.0", "1e0", "-0", "0.0", "10"])
            .prop_map(|text| serde_json::from_str(text).unwrap()),
        prop::sample::select(vec!["", "a", "1", "a.b", "null", "ſ", "\n", "x → y"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            any_object(inner).prop_map(Value::Object),
        ]
    })
}

/// Uses few names, so that two documents share many of them.
fn any_object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let names = ["a", "b", "a.b", "token", "subject", "type", "name", "nats", "mappings", "\n- a", ""];
    let entry = (prop::sample::select(names.to_vec()), value);
    prop::collection::vec(entry, 0..5).prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

/// Generates a document, and a copy with one small change.
fn changed() -> impl Strategy<Value = (Value, Value)> {
    (any_object(any_json()).prop_map(Value::Object), any_json(), any::<prop::sample::Index>(), 0..5u8).prop_map(
        |(before, value, place, change)| {
            let mut after = before.clone();
            let mut at = &mut after;
            let mut place = place.index(usize::MAX);
            loop {
                let inner = match &*at {
                    Value::Array(items) => items.len(),
                    Value::Object(fields) => fields.len(),
                    _ => 0,
                };
                if inner == 0 || place % 4 == 0 {
                    break;
                }
                place /= 4;
                at = match at {
                    Value::Array(items) => &mut items[place % inner],
                    Value::Object(fields) => fields.values_mut().nth(place % inner).unwrap(),
                    _ => unreachable!(),
                };
            }
            match (at, change) {
                (Value::Array(items), 0) => items.reverse(),
                (Value::Array(items), 1) => {
                    items.pop();
                }
                (Value::Array(items), _) => items.extend(items.first().cloned().or(Some(value))),
                (Value::Object(fields), 0) => {
                    let first = fields.keys().next().cloned();
                    first.map(|first| fields.shift_remove(&first));
                }
                (Value::Object(fields), _) => {
                    fields.insert("new".to_owned(), value);
                }
                (at, _) => *at = value,
            }
            (before, after)
        },
    )
}

/// Removes the fields that are new in every token.
fn content(value: &Value) -> Value {
    let mut value = value.clone();
    for field in ["iss", "iat", "jti"] {
        value.as_object_mut().unwrap().shift_remove(field);
    }
    value
}

fn check(before: &Value, after: &Value) -> Result<(), TestCaseError> {
    let lines = claims_diff(Some(before), after);
    prop_assert_eq!(lines.is_empty(), content(before) == content(after), "{} {}: {:?}", before, after, lines);
    prop_assert!(lines.iter().all(|line| !line.contains(['\n', '\r', '\u{1b}'])), "{:?}", lines);
    // A removed entry and an added one never have the same text.
    for gone in lines.iter().filter_map(|line| line.strip_prefix('-')) {
        prop_assert!(!lines.iter().any(|line| line.strip_prefix('+') == Some(gone)), "{:?}", lines);
    }
    prop_assert!(claims_diff(Some(after), after).is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn claims_that_differ_give_a_line(before in any_object(any_json()), after in any_object(any_json())) {
        check(&Value::Object(before), &Value::Object(after))?;
    }

    #[test]
    fn a_small_change_gives_a_line((before, after) in changed()) {
        check(&before, &after)?;
    }

    #[test]
    fn the_order_of_fields_is_no_difference(fields in any_object(any_json())) {
        let turned: Map<String, Value> = fields.iter().rev().map(|(k, v)| (k.clone(), v.clone())).collect();
        prop_assert!(claims_diff(Some(&Value::Object(fields)), &Value::Object(turned)).is_empty());
    }
}

/// One value could begin a text that looks like a secret, and another value could end it. All text between them would
/// be hidden.
#[test]
fn nothing_between_two_values_is_hidden() {
    let key = "ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA";
    let evil = json!({ "role": "nats://a:b", "key": key, "description": "x@h" });
    let lines = [
        claims_diff(None, &json!({ "nats": { "signing_keys": [evil], "exports": [evil] } })),
        claims_diff(Some(&json!({ "description": "nats://a:b" })), &json!({ "description": "x@h" })),
        claims_diff(None, &json!({ "nats://a:b": { key: "x@h" } })),
        claims_diff(Some(&json!({ "a": ["x@h", "nats://a:b"] })), &json!({ "a": ["nats://a:b", "x@h"] })),
    ]
    .concat();
    assert_eq!(lines.len(), 5);
    for line in lines {
        assert_eq!(secrets::hide(&line), line);
        assert!(line.contains("nats://a:b") && line.contains(r"x\u0040h"), "{line}");
    }
}

#[test]
fn a_secret_is_hidden_where_it_stands() {
    let evil = json!({ "a": "nats://me:secret@h", "key": "K", "me:secret@h:1": "x@h", "n": 1.50 });
    let note = "(a password, not shown)";
    assert_eq!(
        claims_diff(Some(&json!({ "d": "me:secret@h", "e": "c:d@h" })), &json!({ "d": "me:other@h", "l": [evil] })),
        [
            format!(r#"~ d: "{note}@h" → "{note}@h""#),
            format!(r#"- e: "{note}@h""#),
            format!(r#"+ l: {{"a":"nats://{note}@h","key":"K","{note}@h:1":"x@h","n":1.5}}"#),
        ]
    );
}
