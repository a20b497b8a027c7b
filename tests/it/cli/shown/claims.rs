//! Tests hostile text in tokens and in the records of pushes.

use super::{Run, account_claims, run, sweep_alike, token};
use crate::support::hostile::{Field, HOSTILE, TAME, everywhere, filled};
use nkeys::KeyPair;
use serde_json::{Value, json};
use vstream_jwt::plan::record::Record;

#[test]
fn tokens_are_inspected_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let of_account = account_claims(&account, &operator);
    let of_operator = json!({
        "jti": "ID", "iat": 1_760_000_000, "iss": operator.public_key(), "sub": operator.public_key(), "name": "OP",
        "nats": {
            "type": "operator", "version": 2, "tags": ["t"], "signing_keys": [operator.public_key()],
            "account_server_url": "nats://h:4222", "operator_service_urls": ["nats://h:4222"], "assert_server_version": "2.10.0",
            "system_account": account.public_key(),
        },
    });
    let of_user = json!({
        "jti": "ID", "iat": 1_760_000_000, "iss": account.public_key(), "sub": user.public_key(), "name": "u",
        "nats": {
            "type": "user", "version": 2, "issuer_account": account.public_key(), "src": ["192.0.2.1/32"], "times_location": "UTC",
            "pub": { "allow": ["a.>"] }, "sub": { "deny": ["b.>"] }, "resp": { "max": 1, "ttl": 0 },
            "allowed_connection_types": ["STANDARD"], "times": [{ "start": "01:00:00", "end": "02:00:00" }],
        },
    });
    let of_activation = json!({
        "jti": "ID", "iat": 1_760_000_000, "iss": account.public_key(), "sub": account.public_key(), "name": "a",
        "nats": { "type": "activation", "version": 2, "subject": "s.>", "kind": "stream", "issuer_account": account.public_key() },
    });
    let mut shown = 0;
    for (claims, signer) in
        [(of_account, &operator), (of_operator, &operator), (of_user, &account), (of_activation, &account)]
    {
        let mut inspected = |fields: &[Field], value: &str| {
            std::fs::write(folder.join("a.jwt"), token(&filled(&claims, fields, value), signer)).unwrap();
            let person = run(folder, &["keys", "inspect", "a.jwt"]);
            let script = run(folder, &["keys", "inspect", "a.jwt", "--format", "json"]);
            let document: Value = serde_json::from_str(&script.out).unwrap();
            assert_eq!(person.code, script.code, "{document}");
            Some(vec![person, script])
        };
        shown += sweep_alike(&everywhere(&claims), &mut inspected);
    }
    assert!(shown > 100, "{shown}");
}

pub(super) fn record() -> Value {
    let (account, operator) = (KeyPair::new_account(), KeyPair::new_operator());
    let id = account.public_key();
    let before = account_claims(&account, &operator);
    let mut after = before.clone();
    after["nats"]["mappings"]["foo.>"][0]["subject"] = "baz.>".into();
    after["nats"]["description"] = "other".into();
    let token = |claims: &Value| token(claims, &operator);
    json!({
        "tool": "vstream-jwt 0.1.0", "verb": "apply",
        "who": { "user": "user", "host": "host", "ci": { "GITHUB_REF": "main" } },
        "started": "2026-01-01T00:00:00.000Z", "ended": "2026-01-01T00:00:01.000Z", "outcome": "failed", "error": "it failed",
        "system_account": id, "back_to": "x",
        "definition": [{ "name": "vstream.yaml", "text": "version: 1" }],
        "text": ["9 servers", "", "account APP"], "changes": { "accounts": [{ "account": "APP" }] },
        "streams": [{ "account": id, "name": "s", "virtual_stream": "v", "role": "write", "subjects": ["a.>"] }],
        "attempts": [{
            "at": "2026-01-01T00:00:00.000Z",
            "tokens": [{
                "account": "APP", "id": id, "application": id, "region": "west", "stage": "mappings", "reason": "changed",
                "base": token(&before), "token": token(&after), "progress": "pushed",
                "servers": [
                    { "server": "west-1", "cluster": "west", "confirmed": true, "found": "in force" },
                    { "server": "west-2", "cluster": "west", "confirmed": false, "found": "has another" },
                ],
                "refused": ["west-2: no"],
            }],
        }],
    })
}

#[test]
fn records_are_shown_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let history = folder.join("history");
    std::fs::create_dir(&history).unwrap();
    let written = |content: &Value, name: &str| {
        let content = serde_json::from_value(content.clone()).ok()?;
        std::fs::write(history.join(format!("{name}.json")), Record::new(content).render()).unwrap();
        Some(())
    };
    written(&record(), "2026-01-01-apply-aa").unwrap();
    let shown = |content: &Value| {
        written(content, "2026-01-02-apply-bb")?;
        let runs = [&["history"][..], &["history", "last", "-v"], &["history", "last~1", "last"]];
        let mut runs: Vec<Run> = runs.iter().map(|args| run(folder, args)).collect();
        let json = run(folder, &["history", "last", "--format", "json"]);
        assert!(serde_json::from_str::<Value>(&json.out).unwrap().is_object());
        runs.push(json);
        Some(runs)
    };
    let record = record();
    let mut filled = |fields: &[Field], value: &str| shown(&filled(&record, fields, value));
    let sights = sweep_alike(&everywhere(&record), &mut filled);
    assert!(sights > 40, "{sights}");
    // Changes in the claims of a record's tokens.
    let (account, operator) = (KeyPair::new_account(), KeyPair::new_operator());
    let mut runs = Vec::new();
    for value in [TAME, HOSTILE] {
        let mut content = record.clone();
        let mut claims = account_claims(&account, &operator);
        claims[value] = "x".into();
        claims["nats"]["mappings"][value] = json!([{ "subject": value, "cluster": value }]);
        claims["nats"]["tags"] = json!([value]);
        content["attempts"][0]["tokens"][0]["token"] = token(&claims, &operator).into();
        let shown = shown(&content).unwrap();
        assert!(value == TAME || shown[1].shows(HOSTILE));
        runs.push(shown);
    }
    for (tame, hostile) in runs[0].iter().zip(&runs[1]) {
        assert_eq!(hostile.form(), tame.form(), "{}{}", hostile.out, hostile.err);
    }
    // The list shows the file's name too.
    std::fs::write(history.join(format!("2026-01-03-{HOSTILE}.json")), "{}").unwrap();
    assert!(run(folder, &["history"]).shows(HOSTILE));
    assert!(run(folder, &["history", "last"]).shows(HOSTILE));
}
