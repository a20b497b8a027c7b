//! Helpers for a return to older claims: what it must not restore, and the steps in between.

use super::exports_imports::covers;
use super::merge::{export_identity, import_identity};
use super::views::{Import, items};
use serde_json::{Map, Value};

/// Returns the older claims with the newer credentials: signing keys, revocations, and activation tokens of imports
/// that both have. A return to older claims restores an account's configuration. It does not restore a removed key, or
/// the access of a revoked user.
pub fn with_credentials_of(older: &Value, newer: &Value) -> Value {
    let mut claims = older.clone();
    let Some(nats) = claims["nats"].as_object_mut() else { return claims };
    let newer = &newer["nats"];
    for field in ["signing_keys", "revocations"] {
        take(nats, field, &newer[field]);
    }
    for (list, field) in [("imports", "token"), ("exports", "revocations")] {
        let identity = identity(list);
        for entry in nats.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let same = items(&newer[list]).iter().find(|other| identity(other) == identity(entry));
            if let (Some(same), Some(entry)) = (same, entry.as_object_mut()) {
                take(entry, field, &same[field]);
            }
        }
    }
    claims
}

fn take(fields: &mut Map<String, Value>, name: &str, value: &Value) {
    match value {
        Value::Null => drop(fields.shift_remove(name)),
        value => drop(fields.insert(name.to_owned(), value.clone())),
    }
}

/// Returns the claims with the entries of `wanted` added to a list (`imports`, `exports`). Their own other entries
/// stay.
///
/// Servers refuse two entries of which one covers the other. If neither side has both, only the wider one remains,
/// which also serves the users of the narrower one.
pub fn with_entries_of(claims: &Value, wanted: &Value, list: &str) -> Value {
    let mut claims = claims.clone();
    let identity = identity(list);
    let (here, wanted) = (items(&claims["nats"][list]), items(&wanted["nats"][list]));
    let of = |entries: &[Value], id: &Option<String>| entries.iter().find(|entry| identity(entry) == *id).cloned();
    let kept = here.iter().map(|entry| of(wanted, &identity(entry)).unwrap_or_else(|| entry.clone()));
    let added = wanted.iter().filter(|entry| of(here, &identity(entry)).is_none()).cloned();
    let all: Vec<Value> = kept.chain(added).collect();
    let has = |side: &[Value], entry: &Value| of(side, &identity(entry)).is_some();
    let together = |a: &Value, b: &Value| [here, wanted].iter().any(|side| has(side, a) && has(side, b));
    let alone = |narrow: &&Value| all.iter().all(|wide| !is_within(narrow, wide, list) || together(narrow, wide));
    let all: Vec<Value> = all.iter().filter(alone).cloned().collect();
    if let (Some(nats), false) = (claims["nats"].as_object_mut(), all.is_empty()) {
        nats.insert(list.to_owned(), all.into());
    }
    claims
}

/// Returns `true` if servers refuse a token with both, because one covers the other.
fn is_within(narrow: &Value, wide: &Value, list: &str) -> bool {
    let within = |narrow: &str, wide: &str| narrow != wide && covers(wide, narrow);
    if list == "exports" {
        let subjects = narrow["subject"].as_str().zip(wide["subject"].as_str());
        return narrow["type"] == wide["type"] && subjects.is_some_and(|(narrow, wide)| within(narrow, wide));
    }
    let (narrow, wide) = (Import::of(narrow), Import::of(wide));
    let comparable = narrow.kind == "service" && wide.kind == "service" && narrow.account == wide.account;
    comparable && within(narrow.local(), wide.local())
}

fn identity(list: &str) -> fn(&Value) -> Option<String> {
    if list == "imports" { import_identity } else { export_identity }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_stay_as_they_are_now() {
        let import = |token: &str| json!({ "subject": "s", "account": "A", "type": "service", "token": token });
        let export = |revoked: Value| json!({ "subject": "e", "type": "service", "revocations": revoked });
        let older = json!({ "nats": { "signing_keys": ["LOST"], "imports": [import("old"), { "subject": "gone" }],
                                      "exports": [export(json!({}))], "limits": { "conn": 1 } } });
        let newer = json!({ "nats": { "revocations": { "U": 1 }, "imports": [import("new")],
                                      "exports": [export(json!({ "A": 2 }))], "limits": { "conn": 2 } } });
        let expected = json!({ "nats": { "revocations": { "U": 1 }, "imports": [import("new"), { "subject": "gone" }],
                                         "exports": [export(json!({ "A": 2 }))], "limits": { "conn": 1 } } });
        assert_eq!(with_credentials_of(&older, &newer), expected);
    }

    #[test]
    fn entries_are_added_and_none_is_lost_or_moved() {
        let export = |subject: &str, n: u8| json!({ "subject": subject, "type": "stream", "n": n });
        let claims = json!({ "nats": { "exports": [export("a", 1), export("b", 1), export("c", 1)] } });
        let wanted = json!({ "nats": { "exports": [export("d", 2), export("b", 2)] } });
        let all = json!({ "nats": { "exports": [export("a", 1), export("b", 2), export("c", 1), export("d", 2)] } });
        assert_eq!(with_entries_of(&claims, &wanted, "exports"), all);
        assert_eq!(with_entries_of(&claims, &wanted, "imports"), claims);
    }
}
