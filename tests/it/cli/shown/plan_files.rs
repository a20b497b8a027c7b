//! Tests plan files with hostile text from their author, as the user sees them before signing.

use super::{DEFINITION, Run, account_claims, run, sweep_alike, token};
use crate::support::hostile::{Field, keys, strings};
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use vstream_jwt::plan::file::{PlanContent, PlanFile};

/// Signs a plan file for one account with the operator's key; `change` forges its content.
fn sign(folder: &Path, change: impl Fn(&mut Value)) -> (Run, Value) {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    std::fs::create_dir_all(folder.join("keys")).unwrap();
    let seed = folder.join("keys/op.nk");
    std::fs::write(&seed, operator.seed().unwrap()).unwrap();
    std::fs::set_permissions(&seed, Permissions::from_mode(0o600)).unwrap();
    let definition =
        DEFINITION.replace("AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN", &account.public_key());
    let definition = definition.replace("    virtual_streams", "    layout: shared\n    virtual_streams");
    let base = account_claims(&account, &operator);
    let mut claims = base.clone();
    claims["nats"]["mappings"]["foo.>"][0]["subject"] = "$VW.west.foo.>".into();
    let mut content = json!({
        "tool": "vstream-jwt 0.1.0", "created": "2026-01-01T00:00:00Z",
        "definition": [{ "name": "vstream.yaml", "text": definition }],
        "options": { "adopt": false, "prune": ["old"], "delete_streams": false, "allow": ["moves-stream"], "signing_keys": [] },
        "text": ["3 servers", "", "account APP"],
        "changes": { "accounts": [{ "account": "APP", "streams": [{ "account": "APP", "name": "s", "action": "delete" }] }] },
        "accounts": [{
            "name": "APP", "id": account.public_key(), "base": token(&base, &operator), "streams": [{ "name": "s" }],
            "tokens": [{
                "stage": "mappings", "reason": { "repair": ["west-1"] }, "newest_iat": 1_760_000_000, "claims": claims,
                "activations": [],
            }],
        }],
    });
    change(&mut content);
    let content: PlanContent = serde_json::from_value(content).unwrap();
    std::fs::write(folder.join("plan.json"), PlanFile::new(content).render()).unwrap();
    let args = ["sign", "plan.json", "--operator", "op.nk", "--out", "signed.json"];
    let shown = run(folder, &args);
    let json = run(folder, &[&args[..], &["--format", "json"]].concat());
    (shown, serde_json::from_str(&json.out).unwrap())
}

/// Claims whose name contains a line of the review, and the end of another.
#[test]
fn a_claim_cannot_add_lines_to_what_the_signer_reads() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::new_account().public_key();
    let (run, document) = sign(folder.path(), |content| {
        let claims = &mut content["accounts"][0]["tokens"][0]["claims"];
        claims["nats"]["signing_keys"] = json!([key]);
        claims[format!("x\n    - nats.signing_keys: \"{key}\"\n    + x")] = "y".into();
    });
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let of_key: Vec<&str> = run.err.lines().filter(|line| line.contains(&key)).collect();
    assert_eq!(
        of_key,
        [
            format!(r#"    + nats.signing_keys: "{key}""#),
            format!(r#"    + "x\n    - nats.signing_keys: \"{key}\"\n    + x": "y""#)
        ]
    );
    let lines = document["accounts"][0]["claims"].as_array().unwrap();
    assert_eq!(lines.iter().filter(|line| line.as_str().unwrap().starts_with("+ nats.signing_keys")).count(), 1);
}

/// The plan file's own text contains a section of the review.
#[test]
fn a_plan_file_cannot_add_sections_to_what_the_signer_reads() {
    let folder = tempfile::tempdir().unwrap();
    let forged = "\n\nWhat the tokens to be signed change:\n  account APP (A…), 1 tokens\n    + nothing";
    let (run, _) = sign(folder.path(), |content| {
        content["created"] = format!("2026{forged}").into();
        content["text"][0] = forged.into();
        content["text"][1] = "What the tokens to be signed change:".into();
        content["options"]["allow"][0] = format!("x{forged}").into();
        content["changes"]["accounts"][0]["streams"][0]["name"] = forged.into();
    });
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let review = "What the tokens to be signed change:";
    assert_eq!(run.err.lines().filter(|line| *line == review).count(), 1, "{}", run.err);
    let section = run.err.split_once(&format!("\n{review}\n")).unwrap().1;
    assert!(section.lines().nth(1).unwrap().starts_with("    made from the token that O"), "{section}");
    assert!(section.lines().nth(2).unwrap().starts_with("    - nats.mappings.foo.>"), "{section}");
    assert!(run.err.contains("  | What the tokens to be signed change:\n"), "{}", run.err);
}

#[test]
fn plan_files_are_reviewed_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let taken = RefCell::new(Value::Null);
    let (plain, _) = sign(folder, |content| *taken.borrow_mut() = content.clone());
    let content = taken.into_inner();
    assert_eq!(plain.code, 0, "{}", plain.err);
    let fixed = ["/accounts/*/id", "/accounts/*/base", "/accounts/*/tokens/*/stage", "/definition/*/text"];
    // A key that the program does not know is refused when the plan is read.
    let data = ["/changes", "/accounts/*/tokens/*/claims/nats/mappings", "/accounts/*/tokens/*/claims/nats/future"];
    let strings = strings(&content).into_iter().filter(|field| !fixed.contains(&field.at.as_str()));
    let fields: Vec<Field> =
        strings.chain(keys(&content).into_iter().filter(|field| data.contains(&field.at.as_str()))).collect();
    let mut signed = 0;
    let mut filled = |fields: &[Field], value: &str| {
        let (run, document) = sign(folder, |content| fields.iter().for_each(|field| field.fill(content, value)));
        assert_eq!(document["error"]["exit"].as_i64().unwrap_or(0), i64::from(run.code));
        signed += if run.code == 0 { fields.len() } else { 0 };
        Some(vec![run])
    };
    let sights = sweep_alike(&fields, &mut filled);
    assert!(signed > 50 && sights > 25, "{signed} {sights}");
}
