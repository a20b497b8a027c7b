//! Tests hostile text in definitions, in messages about them, and in documents rendered from them.

use super::{DEFINITION, Run, run, sweep};
use crate::support::hostile::{Field, HOSTILE, everywhere, filled};
use nkeys::KeyPair;
use serde_json::{Value, json};
use vstream_jwt::model::shown::json as json_escaped;

#[test]
fn definitions_are_read_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let id = KeyPair::new_account().public_key();
    let definition = json!({
        "version": 1, "system": { "credentials": "keys/sys.creds" }, "nsc_store": "nsc",
        "tls": { "ca": "ca.pem" },
        "regions": {
            "west": { "cluster": "c-west", "servers": ["nats://127.0.0.1:1"], "tags": ["ssd"] },
            "east": { "servers": ["nats://127.0.0.1:2"] },
        },
        "accounts": { "APP": {
            "id": id, "credentials": "keys/app.creds", "layout": "shared",
            "virtual_streams": { "foo": {
                "subjects": ["foo.>"], "write": { "max_age": "24h", "description": "d", "metadata": { "a": "b" } },
                "names": { "write": "{stream}-write-{region}" },
                "consumers": { "worker": { "ack_policy": "explicit", "filter_subject": "foo.a", "description": "d" } },
            } },
        } },
    });
    let verbs = [
        &["validate"][..],
        &["render", "mappings"],
        &["render", "streams"],
        &["render", "claims"],
        &["render", "permissions"],
        &["plan", "--timeout", "1s"],
    ];
    let mut runs = |fields: &[Field], value: &str| {
        // YAML accepts JSON, with its escapes.
        let text =
            json_escaped(&filled(&definition, fields, value).to_string()).replace(r"\udb40\udc41", r"\U000e0041");
        std::fs::write(folder.join("vstream.yaml"), text).unwrap();
        let json = run(folder, &["render", "streams", "--format", "json"]);
        assert!(serde_json::from_str::<Value>(&json.out).is_ok(), "{fields:?}: {}", json.out);
        let mut runs = vec![json];
        for verb in verbs {
            runs.push(run(folder, verb));
            // An invalid definition gives the same error with every verb.
            if runs[1].code == 2 {
                break;
            }
        }
        Some(runs)
    };
    let valid = std::cell::Cell::new(0);
    let judge = |fields: &[Field], hostile: &Run, tame: &Run| {
        // A definition that is refused because of the value has another message than a valid one.
        if tame.code == hostile.code && tame.code != 2 {
            assert_eq!(hostile.form(), tame.form(), "{fields:?}: {}{}", hostile.out, hostile.err);
            valid.set(valid.get() + fields.len());
        }
    };
    sweep(&everywhere(&definition), &mut runs, &judge);
    assert!(valid.get() > 30, "{valid:?}");
    // Unescaped, in comments and in text that is not YAML.
    for line in
        [format!("# {HOSTILE}"), format!("x: {HOSTILE}"), format!("\"{HOSTILE}"), "a: b\r\n\u{1b}: c".to_owned()]
    {
        std::fs::write(folder.join("vstream.yaml"), format!("version: 1\n{line}\nregions: 7\n")).unwrap();
        assert_eq!(run(folder, &["validate"]).code, 2);
        assert_eq!(run(folder, &["validate", "--format", "json"]).code, 2);
    }
    // Every location has the file's name.
    std::fs::write(folder.join(format!("{HOSTILE}.yaml")), "version: 1\nregions: 7\n").unwrap();
    assert!(run(folder, &["validate", "--definition", &format!("{HOSTILE}.yaml")]).shows(HOSTILE));
}

/// The tools that read a rendered stream configuration can still read it.
#[test]
fn rendered_documents_mean_what_the_definition_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let definition =
        DEFINITION.replace("subjects: [foo.>]", r#"subjects: [foo.>], write: { description: "a\u202eb\u0007" }"#);
    std::fs::write(folder.join("vstream.yaml"), definition).unwrap();
    let out = run(folder, &["render", "streams"]).out;
    let first: Value = serde_json::Deserializer::from_str(&out).into_iter().next().unwrap().unwrap();
    assert_eq!(first["description"], "a\u{202e}b\u{7}");
    assert!(out.contains(r"a\u202eb\u0007"), "{out}");
}
