//! Damaged records, and names that match no record: refused before any connection.

use super::DEFINITION;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::plan::record::{Outcome, Record, RecordContent, Who};
use vstream_jwt::plan::{Reason, Stage};

fn record() -> Record {
    let key = PublicKey::from_bytes(KeyKind::Account, [7; 32]);
    Record::new(RecordContent {
        tool: "vstream-jwt 0.1.0".to_owned(),
        verb: "apply".to_owned(),
        who: Who { user: "user".to_owned(), host: "host".to_owned(), ci: [("CI_JOB_ID".into(), "7".into())].into() },
        started: "2026-01-01T00:00:00.000Z".to_owned(),
        ended: None,
        outcome: Outcome::Begun,
        error: None,
        system_account: key.clone(),
        back_to: None,
        definition: Vec::new(),
        text: vec!["a plan".to_owned()],
        changes: json!({}),
        streams: Vec::new(),
        attempts: vec![serde_json::from_value(json!({
            "at": "2026-01-01T00:00:00.000Z",
            "tokens": [{
                "account": "APP", "id": key, "application": key, "stage": Stage::Mappings, "reason": Reason::Changed,
                "base": "ey.before", "token": "ey.after", "progress": "sending",
            }],
        }))
        .unwrap()],
    })
}

fn run(folder: &Path, args: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_vstream-jwt"))
        .current_dir(folder)
        .args(args)
        .args(["--format", "json"])
        .env_remove("VSTREAM_OPERATOR_FILE")
        .env_remove("VSTREAM_OPERATOR_SEED")
        .output()
        .unwrap();
    crate::support::secrets::assert_shows_none(&args.join(" "), &[&output.stdout, &output.stderr]);
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"));
    (output.status.code().unwrap(), document)
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vstream.yaml"), DEFINITION).unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    folder
}

fn refused(folder: &Path, args: &[&str], code: &str, exit: i32) {
    let (found, document) = run(folder, args);
    assert_eq!((found, document["error"]["code"].as_str()), (exit, Some(code)), "{args:?}: {document:#}");
    assert!(document["error"]["next"].as_str().is_some_and(|next| !next.is_empty()), "{args:?}: no next step");
}

#[test]
fn records_that_are_not_as_they_were_written_are_refused() {
    let folder = folder();
    let folder = folder.path();
    let history = folder.join("history");
    std::fs::create_dir(&history).unwrap();
    let text = record().render();
    let variants = [
        ("2026-01-02-truncated-aa0001", text[..text.len() / 2].to_owned(), "not-a-record"),
        ("2026-01-03-changed-aa0002", text.replace("ey.before", "ey.other"), "record-changed"),
        ("2026-01-04-spaced-aa0003", text.replacen("  ", " ", 1), "record-changed"),
        (
            "2026-01-05-newer-aa0004",
            text.replace("\"vstream_jwt_record\": 1", "\"vstream_jwt_record\": 2"),
            "record-newer",
        ),
        ("2026-01-06-other-aa0005", "{}".to_owned(), "not-a-record"),
        ("2026-01-07-empty-aa0006", String::new(), "not-a-record"),
    ];
    std::fs::write(history.join("2026-01-01-whole-bb0000.json"), &text).unwrap();
    for (name, text, code) in &variants {
        let path = history.join(format!("{name}.json"));
        std::fs::write(&path, text).unwrap();
        let id = &name[name.len() - 6..];
        refused(folder, &["history", id], code, 2);
        refused(folder, &["rollback", id, "--operator", "op.nk"], code, 2);
        refused(folder, &["rollback", "--last", "--operator", "op.nk"], code, 2);
        // A rollback to an older record also needs every record after it.
        refused(folder, &["rollback", "bb", "--operator", "op.nk"], code, 2);
        refused(folder, &["history", "bb", id], code, 2);
        std::fs::remove_file(path).unwrap();
    }
    // The list includes the bad ones, with the error in each.
    std::fs::write(history.join("2026-01-08-bad-cc0000.json"), "{}").unwrap();
    std::fs::write(history.join(".record-half"), "{").unwrap();
    let (exit, document) = run(folder, &["history"]);
    let records = document["records"].as_array().unwrap();
    assert_eq!((exit, records.len()), (0, 2), "{document:#}");
    assert_eq!(records[0]["who"]["ci"]["CI_JOB_ID"], "7");
    assert_eq!(records[1]["error"]["code"], "not-a-record");
    // It keeps nobody from comparing others, and is named if it may belong to what is compared.
    std::fs::write(history.join("2026-01-09-whole-dd0000.json"), &text).unwrap();
    let (exit, document) = run(folder, &["history", "bb", "dd"]);
    assert_eq!((exit, &document["unreadable"]), (0, &json!(["2026-01-08-bad-cc0000"])), "{document:#}");
    let (exit, document) = run(folder, &["history", "bb", "bb"]);
    assert_eq!((exit, &document["unreadable"]), (0, &json!([])), "{document:#}");
}

#[test]
fn a_record_is_shown_without_its_tokens() {
    let folder = folder();
    let history = folder.path().join("history");
    std::fs::create_dir(&history).unwrap();
    std::fs::write(history.join("2026-01-01-apply-bb0000.json"), record().render()).unwrap();
    let (exit, document) = run(folder.path(), &["history", "last"]);
    assert_eq!((exit, document["accounts"][0]["tokens"][0]["progress"].as_str()), (0, Some("sending")));
    assert!(!document.to_string().contains("ey.after"), "{document:#}");
}

#[test]
fn names_that_lead_to_no_record_are_refused() {
    let folder = folder();
    let folder = folder.path();
    let operator = ["--operator", "op.nk"];
    refused(folder, &["history", "last"], "no-such-record", 2);
    refused(folder, &[&["rollback", "--last"], &operator[..]].concat(), "no-such-record", 2);
    refused(folder, &[&["rollback"], &operator[..]].concat(), "usage", 2);
    refused(folder, &[&["rollback", "last", "--last"], &operator[..]].concat(), "usage", 2);
    refused(folder, &["history", "--history", "none"], "no-history", 2);
    refused(folder, &[&["rollback", "--last", "--history", "none"], &operator[..]].concat(), "no-history", 2);
    refused(folder, &["history", "--history", "vstream.yaml"], "history-unreadable", 1);
    std::fs::create_dir(folder.join("history")).unwrap();
    for name in ["2026-01-01-apply-ab0000", "2026-01-02-apply-ac0000"] {
        std::fs::write(folder.join(format!("history/{name}.json")), record().render()).unwrap();
    }
    refused(folder, &["history", "a"], "record-ambiguous", 2);
    refused(folder, &["history", "last~2"], "no-such-record", 2);
    let (exit, document) = run(folder, &["history"]);
    assert_eq!((exit, document["records"].as_array().unwrap().len()), (0, 2));
}
