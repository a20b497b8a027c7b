//! Merges two changes of one base. The merge takes a change that only one side made, gives the same result when the
//! sides are swapped, and never loses a revocation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use support::documents;
use vstream_jwt::model::claims::{Conflict, TrustedClaims, merge, with_credentials_of};

fuzz_target!(|data: &[u8]| {
    let Some([base, ours, theirs]) = documents(data) else { return };
    for all in [&base, &ours, &theirs] {
        assert_eq!(merge(all, all, all).as_ref(), Ok(all));
    }
    assert_eq!(merge(&base, &base, &theirs).as_ref(), Ok(&theirs));
    let taken = merge(&base, &ours, &base).expect("one side changed it");
    assert_eq!(bare(&taken), bare(&ours));
    let same = merge(&base, &ours, &ours).expect("both sides did the same");
    assert_eq!(bare(&same), bare(&ours));

    let (one, other) = (merge(&base, &ours, &theirs), merge(&base, &theirs, &ours));
    match (&one, &other) {
        (Ok(one), Ok(other)) => assert_eq!(content(one), content(other), "{base} {ours} {theirs}"),
        (Err(one), Err(other)) => assert_eq!(places(one), places(other), "{base} {ours} {theirs}"),
        (one, other) => panic!("{base} {ours} {theirs}: {one:?} and {other:?}"),
    }
    if let Ok(merged) = &one {
        neither_more_nor_less(&base, &ours, &theirs, merged);
    }
    let back = with_credentials_of(&base, &theirs);
    assert_eq!(with_credentials_of(&back, &theirs), back);

    let reviewed = [&base, &ours, &theirs].map(|claims| TrustedClaims::reviewed(claims.clone()).ok());
    if let [Some(a), Some(b), Some(c)] = &reviewed {
        let merged = TrustedClaims::merge(a, b, c);
        assert!(merged.is_err() || one.is_ok());
        if let Ok(merged) = merged {
            assert_eq!(merged.id(), a.id());
        }
        assert_eq!(TrustedClaims::merge(a, a, a).as_ref(), Ok(a));
    }
});

/// Checks that each limit, mapping and revocation of the merge comes from one side. One that only a single side changed
/// must come from that side.
fn neither_more_nor_less(base: &Value, ours: &Value, theirs: &Value, merged: &Value) {
    for name in ["limits", "mappings", "revocations"] {
        let weighed = |value: Option<&Value>| plain(value.map(with_weights).as_ref());
        let of = |claims: &Value, key: &str| match name {
            "mappings" => weighed(claims["nats"][name].get(key)),
            _ => plain(claims["nats"][name].get(key)),
        };
        let keys = [base, ours, theirs, merged].into_iter().flat_map(|claims| claims["nats"][name].as_object());
        for key in keys.flat_map(|fields| fields.keys()) {
            let [was, a, b, is] = [base, ours, theirs, merged].map(|claims| of(claims, key));
            if name != "limits" || !(a.is_some() && b.is_some()) {
                assert!(is == a || is == b, "{name}.{key} is neither side's: {base} {ours} {theirs} {merged}");
            }
            if a == was && name != "revocations" {
                assert_eq!(is, b, "{name}.{key}");
            }
            if a != b && name == "revocations" && a != was && b != was {
                assert!(is.is_some(), "a renewed revocation was lost");
            }
        }
    }
}

fn with_weights(destinations: &Value) -> Value {
    let mut destinations = destinations.clone();
    for fields in destinations.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if fields.get("weight").is_none_or(|weight| weight.is_null() || weight.as_u64() == Some(0)) {
            fields.insert("weight".to_owned(), 100.into());
        }
    }
    destinations
}

fn bare(claims: &Value) -> Value {
    let mut claims = claims.clone();
    for field in ["iss", "iat", "jti"] {
        claims.as_object_mut().expect("it is an object").shift_remove(field);
    }
    claims
}

/// Returns the content of the claims, sorted where order has no meaning.
fn content(claims: &Value) -> Value {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(sorted).collect();
                items.sort_by_key(ToString::to_string);
                items.into()
            }
            value => value.clone(),
        }
    }
    let mut claims = bare(claims);
    if let Some(mappings) = claims.pointer_mut("/nats/mappings").and_then(Value::as_object_mut) {
        mappings.values_mut().for_each(|to| *to = with_weights(to));
    }
    sorted(&plain(Some(&claims)).unwrap_or_default())
}

/// Returns the value without the fields that Go leaves out.
fn plain(value: Option<&Value>) -> Option<Value> {
    match value? {
        Value::Null | Value::Bool(false) => None,
        Value::Number(number) if number.as_i64() == Some(0) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => {
            let empty = |item: &Value| if item.is_object() { Map::new().into() } else { Value::Null };
            Some(items.iter().map(|item| plain(Some(item)).unwrap_or_else(|| empty(item))).collect())
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, value)| Some((name.clone(), plain(Some(value))?)));
            let fields: Map<String, Value> = fields.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        value => Some(value.clone()),
    }
}

fn places(conflicts: &[Conflict]) -> Vec<&str> {
    let mut places: Vec<&str> = conflicts.iter().map(|conflict| conflict.path.as_str()).collect();
    places.sort_unstable();
    places
}
