use super::*;
use crate::model::nkey::KeyKind;
use crate::sign::{Seed, Signer as _};
use serde_json::json;

fn content(name: &str) -> PlanContent {
    let id = Seed::generate(KeyKind::Account).unwrap().public_key();
    let content = json!({
        "tool": "vstream-jwt 0.1.0", "created": "2026-01-01T00:00:00Z", "definition": [],
        "options": { "adopt": false, "prune": [], "delete_streams": false, "allow": [], "signing_keys": [] },
        "text": ["a plan with (a password, not shown)@h", "see -----BEGIN PRIVATE KEY-----", "A".repeat(30)],
        "changes": { "accounts": [] },
        "accounts": [{ "name": name, "id": id, "base": null, "streams": [], "tokens": [] }],
    });
    serde_json::from_value(content).unwrap()
}

#[test]
fn what_would_not_be_shown_in_full_is_named() {
    let plain = content("APP");
    let line = |line: &str| vec![vec![line.to_owned()]];
    assert_eq!(not_in_full(&plain, &line(r#"+ nats.description: "ask team@example.com""#)), [""; 0]);
    for hidden in [
        r#"+ nats.description: "me:secret1@h:4222""#,
        r#"~ nats.description: "nats://a:b" → "x@h""#,
        r#"+ nats.description: "(a password, not shown)@h""#,
        "+ nats.info_url: \"nats://me:\u{1b}secret1@h\"",
    ] {
        assert_eq!(not_in_full(&plain, &line(hidden)), [hidden]);
    }
    for name in ["a:b@h", "nats://a:b\n@h", "(a seed, not shown)"] {
        let named = content(name);
        assert_eq!(not_in_full(&named, &line("+ a: 1")), [format!("account {name} ({})", named.accounts[0].id)]);
    }
    let mut allowed = plain;
    allowed.options.allow.push("me:issued-in-future@h".to_owned());
    allowed.options.prune.push("nats://a:b".to_owned());
    assert_eq!(not_in_full(&allowed, &[]), ["goes on in spite of: me:issued-in-future@h"]);
}
