//! Tokens, and the records of pushes.

use super::{Run, account_claims, run, token};
use crate::support::hostile::{HOSTILE, TAME, each_hostile};
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
    let data = [
        "",
        "/nats",
        "/nats/mappings",
        "/nats/mappings/foo.>/0",
        "/nats/imports/0",
        "/nats/future",
        "/nats/future/list/1",
    ];
    let mut shown = 0;
    for (claims, signer, data) in [
        (of_account, &operator, &data[..]),
        (of_operator, &operator, &["", "/nats"][..]),
        (of_user, &account, &["/nats", "/nats/pub"][..]),
        (of_activation, &account, &["/nats"][..]),
    ] {
        for (at, tame, hostile) in each_hostile(&claims, data) {
            let inspected = |claims: &Value| {
                std::fs::write(folder.join("a.jwt"), token(claims, signer)).unwrap();
                run(folder, &["keys", "inspect", "a.jwt"])
            };
            let (tame, hostile) = (inspected(&tame), inspected(&hostile));
            assert_eq!(hostile.lines(), tame.lines(), "{at}: {}{}", hostile.out, hostile.err);
            shown += usize::from(hostile.shows(HOSTILE));
            assert_eq!(hostile.shows(HOSTILE), tame.shows(TAME), "{at}: {}{}", hostile.out, hostile.err);
            let json = run(folder, &["keys", "inspect", "a.jwt", "--format", "json"]);
            let document: Value = serde_json::from_str(&json.out).unwrap();
            assert_eq!(json.code, hostile.code, "{document}");
        }
    }
    assert!(shown > 40, "{shown}");
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
        let runs = runs.map(|args| run(folder, args));
        let json = run(folder, &["history", "last", "--format", "json"]);
        assert!(serde_json::from_str::<Value>(&json.out).unwrap().is_object());
        Some(runs)
    };
    let mut tried = 0;
    for (at, tame, hostile) in each_hostile(&record(), &["/who/ci", "/changes"]) {
        let (Some(tame), Some(hostile)) = (shown(&tame), shown(&hostile)) else { continue };
        tried += 1;
        for (tame, hostile) in tame.iter().zip(&hostile) {
            assert_eq!(hostile.lines(), tame.lines(), "{at}: {}{}", hostile.out, hostile.err);
            assert_eq!(hostile.shows(HOSTILE), tame.shows(TAME), "{at}: {}{}", hostile.out, hostile.err);
        }
    }
    assert!(tried > 15, "{tried}");
    // What it records of a change, in the claims of its tokens.
    let (account, operator) = (KeyPair::new_account(), KeyPair::new_operator());
    let mut lines = Vec::new();
    for value in [TAME, HOSTILE] {
        let mut content = record();
        let mut claims = account_claims(&account, &operator);
        claims[value] = "x".into();
        claims["nats"]["mappings"][value] = json!([{ "subject": value, "cluster": value }]);
        claims["nats"]["tags"] = json!([value]);
        content["attempts"][0]["tokens"][0]["token"] = token(&claims, &operator).into();
        let shown = shown(&content).unwrap();
        assert!(value == TAME || shown[1].shows(HOSTILE));
        lines.push(shown.each_ref().map(Run::lines));
    }
    assert_eq!(lines[0], lines[1]);
    // The name of a file is shown too.
    std::fs::write(history.join(format!("2026-01-03-{HOSTILE}.json")), "{}").unwrap();
    assert!(run(folder, &["history"]).shows(HOSTILE));
    assert!(run(folder, &["history", "last"]).shows(HOSTILE));
}
