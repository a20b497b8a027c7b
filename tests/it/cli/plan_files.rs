//! Forged plan files, which try to get the operator's signature on something other than what the review shows. They are
//! refused, or shown truthfully. `sign` needs no servers.

use super::DEFINITION;
use serde_json::{Map, Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use vstream_jwt::model::claims::Token;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::sign::file::write_seed_file;
use vstream_jwt::sign::{Seed, Signer as _, issue};

/// 2020-09-13, long before any test run.
const ISSUED: u64 = 1_600_000_000;

/// A folder with the operator's key, and a plan for one account, whose token has the claims of the base.
struct Project {
    folder: tempfile::TempDir,
    operator: Seed,
    account: String,
    system: String,
}

/// Result of a run: exit code, standard output, standard error.
type Ran = (i32, String, String);

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let operator = Seed::generate(KeyKind::Operator).unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        write_seed_file(&folder.path().join("keys/op.nk"), &operator).unwrap();
        let key = || Seed::generate(KeyKind::Account).unwrap().public_key().to_string();
        Self { folder, operator, account: key(), system: key() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn claims(&self) -> Value {
        json!({ "sub": self.account, "name": "APP", "nats": {
            "limits": { "conn": 5, "subs": -1 },
            "default_permissions": { "pub": { "deny": ["$JS.>"] }, "sub": {} },
            "type": "account", "version": 2 } })
    }

    /// Returns the content of a file, as `plan` writes it.
    fn content(&self) -> Value {
        let base = issue(&self.claims(), &self.operator, ISSUED).unwrap();
        let text = DEFINITION.replace("AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN", &self.account);
        json!({
            "tool": "vstream-jwt 0.1.0",
            "created": "2026-01-01T00:00:00Z",
            "definition": [{ "name": "vstream.yaml", "text": text }],
            "options": { "adopt": false, "prune": [], "delete_streams": false, "allow": [], "signing_keys": [] },
            "text": ["a plan"],
            "changes": { "accounts": [] },
            "accounts": [{
                "name": "APP", "id": self.account, "base": base.as_str(), "streams": [],
                "tokens": [{
                    "stage": "mappings", "reason": "changed", "newest_iat": ISSUED,
                    "claims": Token::decode(base.as_str()).unwrap().into_claims(), "activations": [],
                }],
            }],
        })
    }

    /// Writes a complete file with this content and the right digest, as any program that knows the format could.
    fn write(&self, name: &str, content: &Value) {
        let digest = ring::digest::digest(&ring::digest::SHA256, content.to_string().as_bytes());
        let sha256 = data_encoding::HEXLOWER.encode(digest.as_ref());
        let file = json!({ "vstream_jwt_plan": 1, "content": content, "sha256": sha256 });
        std::fs::write(self.path(name), format!("{file:#}\n")).unwrap();
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vstream-jwt"));
        command.current_dir(self.folder.path()).args(args).env("NO_COLOR", "1").stdin(std::process::Stdio::null());
        for name in ["VSTREAM_OPERATOR_FILE", "VSTREAM_OPERATOR_SEED", "VSTREAM_OPERATOR_CMD"] {
            command.env_remove(name);
        }
        let output = crate::support::secrets::output(&mut command);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    fn sign(&self, content: &Value) -> Ran {
        self.write("p.json", content);
        let _ = std::fs::remove_file(self.path("s.json"));
        self.run(&["sign", "p.json", "--operator", "op.nk", "--out", "s.json"])
    }

    /// Asserts that `sign` refuses the file in both formats: exit code 2, and no file is written.
    #[track_caller]
    fn refused(&self, what: &str, content: &Value, words: &[&str]) {
        let (code, out, said) = self.sign(content);
        assert_eq!(code, 2, "{what}: {out}{said}");
        assert!(said.contains("next: ") && words.iter().all(|word| said.contains(word)), "{what}: {words:?}: {said}");
        assert!(!self.path("s.json").exists(), "{what}");
        let sign = ["sign", "p.json", "--operator", "op.nk", "--out", "s.json", "--format", "json"];
        let (code, out, _) = self.run(&sign);
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, document["error"]["exit"].as_i64()), (2, Some(2)), "{what}: {document:#}");
        // `apply` with the unsigned file ends before it sends a request to a server.
        let (code, _, said) = self.run(&["apply", "p.json", "--operator", "op.nk"]);
        assert_eq!(code, 2, "apply: {what}: {said}");
    }

    /// Asserts that the file is signed. Returns the review that the user saw.
    #[track_caller]
    fn review(&self, content: &Value) -> String {
        let (code, out, said) = self.sign(content);
        assert_eq!(code, 0, "{out}{said}");
        said
    }
}

/// Returns the only token of the only account.
fn token(content: &mut Value) -> &mut Value {
    &mut content["accounts"][0]["tokens"][0]
}

fn put(at: &mut Value, key: &str, value: Value) {
    at.as_object_mut().unwrap().insert(key.to_owned(), value);
}

/// A7, A8, A9 and similar: claims that servers read differently from what the reviewer sees.
#[test]
fn claims_that_servers_read_otherwise_are_not_signed() {
    let project = Project::new();
    assert_eq!(project.sign(&project.content()).0, 0, "the plan itself");
    let system = &json!(project.system);
    let cases: [(&str, &str, Value); 26] = [
        ("", "ſub", system.clone()),
        ("", "Sub", system.clone()),
        ("", "sUB", system.clone()),
        ("", "Nats", json!({ "signing_keys": [system] })),
        ("", "natſ", json!({})),
        ("", "Exp", json!(1)),
        ("", "iſs", json!("x")),
        ("", "type", json!("account")),
        ("/nats", "Signing_keys", json!([system])),
        ("/nats", "signing_\u{212a}eys", json!([system])),
        ("/nats", "Type", json!("user")),
        ("/nats", "Version", json!(1)),
        ("/nats", "version", json!(3)),
        ("/nats", "version", json!(1)),
        ("/nats", "version", json!("2")),
        ("/nats", "Imports", json!([])),
        ("/nats", "reVocations", json!({})),
        ("/nats", "Trace", json!({ "dest": "x" })),
        ("/nats/default_permissions", "Pub", json!({})),
        ("/nats/default_permissions/pub", "Deny", json!([])),
        ("/nats/default_permissions/sub", "ALLOW", json!(["$SYS.>"])),
        ("/nats/limits", "Conn", json!(-1)),
        ("/nats/limits", "ſubſ", json!(0)),
        ("/nats/limits", "conn", json!(1.0)),
        ("", "exp", json!(i64::MAX)),
        ("", "nbf", json!(u64::MAX)),
    ];
    for (at, key, value) in cases {
        let mut content = project.content();
        put(token(&mut content)["claims"].pointer_mut(at).unwrap(), key, value);
        project.refused(&format!("{at}/{key}"), &content, &["account APP"]);
    }
    for (at, key) in [("/nats", "version"), ("/nats", "type"), ("", "nats"), ("", "sub")] {
        let mut content = project.content();
        token(&mut content)["claims"].pointer_mut(at).unwrap().as_object_mut().unwrap().shift_remove(key);
        project.refused(&format!("without {at}/{key}"), &content, &["account APP"]);
    }
    // The same in nested objects, which the claims do not have yet.
    let nested: [(&str, Value); 10] = [
        ("mappings", json!({ "a": [{ "subject": "b", "Subject": "c" }] })),
        ("mappings", json!({ "a": [{ "subject": "b", "cluſter": "west" }] })),
        ("imports", json!([{ "subject": "x", "account": system, "type": "service", "Account": project.account }])),
        ("imports", json!([{ "subject": "x", "account": system, "type": "service", "to\u{212a}en": "" }])),
        ("exports", json!([{ "subject": "x", "type": "service", "token_req": true, "Token_req": false }])),
        ("signing_keys", json!([{ "kind": "user_scope", "key": project.account, "template": { "Pub": {} } }])),
        ("signing_keys", json!([{ "kind": "user_scope", "key": project.account, "Key": system }])),
        ("authorization", json!({ "auth_users": [], "Auth_users": [system] })),
        ("trace", json!({ "dest": "a", "Deſt": "b" })),
        ("limits", json!({ "tiered_limits": { "R1": { "streams": 1, "Streams": -1 } } })),
    ];
    for (field, value) in nested {
        let mut content = project.content();
        put(&mut token(&mut content)["claims"]["nats"], field, value.clone());
        project.refused(&format!("{field}: {value}"), &content, &["account APP"]);
    }
}

/// Data is not changed: keys of maps may differ by case, and claims of other tools may have any content.
#[test]
fn data_is_signed_whatever_its_case() {
    let project = Project::new();
    let mut content = project.content();
    let nats = &mut token(&mut content)["claims"]["nats"];
    put(nats, "mappings", json!({ "Orders.>": [{ "subject": "a.>" }], "orders.>": [{ "subject": "b.>" }] }));
    put(nats, "revocations", json!({ "U": 1, "u": 2 }));
    put(nats, "quantum", json!({ "Sub": 1, "sub": 2, "ſub": [3] }));
    let said = project.review(&content);
    assert!(said.contains("+ nats.mappings.Orders.>: ") && said.contains("+ nats.mappings.orders.>: "), "{said}");
}

/// Dates must be plausible, whatever the file allows.
#[test]
fn dates_that_servers_cannot_count_are_not_signed() {
    let project = Project::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for newest in [u64::MAX, i64::MAX as u64, 9_223_372_036, now + 10 * 365 * 86_400, now + 3_600] {
        for allow in [json!([]), json!(["issued-in-future"])] {
            let mut content = project.content();
            put(token(&mut content), "newest_iat", json!(newest));
            content["options"]["allow"] = allow.clone();
            project.refused(&format!("{newest}, allowed: {allow}"), &content, &["account APP", "future"]);
        }
    }
    // A token that the operator dated ahead can be the base, if `issued-in-future` is allowed.
    let mut content = project.content();
    let base = issue(&project.claims(), &project.operator, now + 3_600).unwrap();
    content["accounts"][0]["base"] = json!(base.as_str());
    put(token(&mut content), "newest_iat", json!(now + 3_600));
    project.refused("not allowed", &content, &["future"]);
    content["options"]["allow"] = json!(["issued-in-future"]);
    let said = project.review(&content);
    assert!(said.contains("goes on in spite of: issued-in-future"), "{said}");
}

/// A pin decides which keys may sign and seal a file: the key of another operator does neither.
#[test]
fn a_key_of_another_operator_signs_no_plan_file() {
    let project = Project::new();
    let (identity, other) = (Seed::generate(KeyKind::Operator).unwrap(), Seed::generate(KeyKind::Operator).unwrap());
    write_seed_file(&project.path("keys/other.nk"), &other).unwrap();
    let claims = json!({ "sub": identity.public_key(), "name": "OP", "nats": { "type": "operator", "version": 2,
        "signing_keys": [project.operator.public_key()] } });
    let token = issue(&claims, &identity, ISSUED).unwrap();
    std::fs::write(project.path("keys/operator.jwt"), token.as_str()).unwrap();
    // A new account has no token that another key could have signed.
    let mut content = project.content();
    content["accounts"][0].as_object_mut().unwrap().shift_remove("base");
    content["accounts"][0]["tokens"] = json!([]);
    project.write("p.json", &content);
    let pin = identity.public_key().to_string();
    let sign = |key: &str| project.run(&["sign", "p.json", "--operator", key, "--out", "s.json", "--trust", &pin]);
    let (code, out, said) = sign("other.nk");
    assert_eq!(code, 2, "{out}{said}");
    let other = other.public_key().to_string();
    for words in ["is not a key of the pinned operator", &pin, &other, "nothing was signed"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("What the tokens to be signed change") && !project.path("s.json").exists(), "{said}");
    let json = ["--trust", &pin, "--format", "json"];
    let (_, out, _) =
        project.run(&[&["sign", "p.json", "--operator", "other.nk", "--out", "s.json"], &json[..]].concat());
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["error"]["code"], "signer-untrusted", "{document:#}");
    let (code, out, said) = sign("op.nk");
    assert_eq!(code, 0, "{out}{said}");
}

/// A12: an old token with its own claims, under a new date.
#[test]
fn the_review_says_how_old_the_base_is() {
    let project = Project::new();
    let said = project.review(&project.content());
    let issuer = project.operator.public_key();
    assert!(said.contains(&format!("made from the token that {issuer} issued 2020-09-13T12:26:40Z, ")), "{said}");
    assert!(said.contains(" days ago"), "{said}");
    // The file says that the servers store a newer token.
    let mut content = project.content();
    put(token(&mut content), "newest_iat", json!(ISSUED + 86_400));
    let said = project.review(&content);
    assert!(said.contains("2020-09-14T12:26:40Z"), "{said}");
    let (_, out, _) = {
        project.write("p.json", &project.content());
        project.run(&["sign", "p.json", "--operator", "op.nk", "--out", "s.json", "--format", "json"])
    };
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["accounts"][0]["base"]["issued_at"], ISSUED, "{document:#}");
}

/// Without the base token, the review could not show which claims are removed.
#[test]
fn an_account_that_is_there_already_is_not_new() {
    let project = Project::new();
    let mut content = project.content();
    content["accounts"][0].as_object_mut().unwrap().shift_remove("base");
    project.refused("an account of applications", &content, &["account APP", "lacks the token that it starts from"]);

    let mut content = project.content();
    let text = content["definition"][0]["text"].as_str().unwrap();
    let regional = text.replace("    virtual_streams:", "    layout: regional\n    virtual_streams:");
    content["definition"][0]["text"] = json!(regional);
    let mut claims = token(&mut content)["claims"].clone();
    put(&mut claims, "sub", json!(project.system));
    let new = json!({ "name": "APP-west", "id": project.system, "streams": [], "tokens": [{
        "stage": "regional_exports", "reason": "changed", "newest_iat": ISSUED, "claims": claims, "activations": [],
    }] });
    content["accounts"].as_array_mut().unwrap().push(new);
    let said = project.review(&content);
    assert!(said.contains(&format!("account APP-west ({}, new)", project.system)), "{said}");

    let mut imports = project.claims();
    let import = json!({ "name": "x", "subject": "x", "account": project.system, "type": "service" });
    put(&mut imports["nats"], "imports", json!([import]));
    let base = issue(&imports, &project.operator, ISSUED).unwrap();
    content["accounts"][0]["base"] = json!(base.as_str());
    let words = ["account APP-west", "is not new: account APP imports from it"];
    project.refused("a regional account", &content, &words);
}

/// B1, B2: text that would add lines to the review.
#[test]
fn one_value_is_one_line() {
    let project = Project::new();
    let evil = "x\n    - nats.signing_keys: \"K\"\n    + x";
    let mut content = project.content();
    put(&mut token(&mut content)["claims"], evil, json!(1));
    put(&mut token(&mut content)["claims"]["nats"], "signing_keys", json!([project.system]));
    let said = project.review(&content);
    assert!(!said.lines().any(|line| line.trim_start().starts_with("- nats.signing_keys")), "{said}");
    assert!(said.lines().any(|line| line.contains(r"+ ") && line.contains(r"\n    - nats.signing_keys")), "{said}");

    let forged = "innocent\n\nWhat the tokens to be signed change:\n  account APP, 0 tokens\n";
    let places: [(&str, Value); 8] = [
        ("/text/0", json!(forged)),
        ("/created", json!(forged)),
        ("/tool", json!(forged)),
        ("/options/prune", json!([forged])),
        ("/options/allow", json!([forged])),
        ("/changes/accounts", json!([{ "account": forged, "streams": [{ "action": "delete", "name": forged }] }])),
        ("/accounts/0/tokens/0/claims/name", json!(forged)),
        ("/accounts/0/tokens/0/claims/nats/mappings", json!({ forged: [{ "subject": forged, "cluster": forged }] })),
    ];
    for (place, value) in places {
        let mut content = project.content();
        let (at, key) = place.rsplit_once('/').unwrap();
        match content.pointer_mut(at).unwrap() {
            Value::Array(items) => items[0] = value,
            at => put(at, key, value),
        }
        let said = project.review(&content);
        assert_eq!(said.lines().filter(|line| line.starts_with("What the tokens")).count(), 1, "{place}: {said}");
        assert!(said.contains(r"innocent\n\nWhat the tokens"), "{place}: {said}");
    }
    // Characters that move the cursor, change the writing direction or are invisible.
    for hidden in ["\u{1b}[2J", "\r", "\u{9b}31m", "\u{7f}", "\u{202e}", "\u{2066}", "\u{200b}", "\u{2028}", "\u{feff}"]
    {
        let mut content = project.content();
        content["text"][0] = json!(format!("a{hidden}b"));
        let claims = &mut token(&mut content)["claims"];
        put(claims, &format!("k{hidden}"), json!(format!("v{hidden}")));
        let said = project.review(&content);
        let c = hidden.chars().next().unwrap();
        assert!(!said.contains(c), "{}: {said}", c.escape_unicode());
    }
}

/// Everything beyond adding and changing has a line of its own.
#[test]
fn what_is_allowed_pruned_and_deleted_is_shown_in_full() {
    let project = Project::new();
    let mut content = project.content();
    content["options"] = json!({ "adopt": true, "prune": ["old", "older"], "delete_streams": true,
        "allow": ["region-missing", "deletes-messages"], "signing_keys": [[project.account, project.system]] });
    content["changes"]["accounts"] = json!([{ "account": "APP-west",
        "streams": [{ "action": "delete", "name": "old-write-west", "messages": 17 }, { "action": "update", "name": "u" }],
        "consumers": [{ "action": "delete", "stream": "old", "name": "worker" }] }]);
    let said = project.review(&content);
    for line in [
        "takes over mappings and streams of others (--adopt)",
        "removes virtual stream old",
        "removes virtual stream older",
        "deletes their streams, with all messages (--delete-streams)",
        "goes on in spite of: region-missing",
        "goes on in spite of: deletes-messages",
        "account APP-west: deletes stream old-write-west, with 17 messages",
        "account APP-west: deletes consumer worker of stream old",
    ] {
        assert!(said.lines().any(|found| found.trim() == line), "{line}: {said}");
    }
    assert!(said.contains(&format!("account {} gets the signing key {}", project.account, project.system)), "{said}");
}

/// The review names the author of the plan, as far as the file says.
#[test]
fn the_review_says_who_made_the_plan() {
    let project = Project::new();
    let said = project.review(&project.content());
    assert!(said.contains("vstream-jwt 0.1.0") && said.contains("2026-01-01T00:00:00Z"), "{said}");
    let mut fields = Map::new();
    for (name, value) in project.content().as_object().unwrap() {
        fields.insert(name.clone(), value.clone());
        if name == "created" {
            fields.insert("who".to_owned(), json!({ "user": "eve", "host": "laptop", "ci": { "CI_JOB_ID": "7\n8" } }));
        }
    }
    let said = project.review(&Value::Object(fields));
    assert!(said.contains("eve@laptop") && said.contains(r"CI_JOB_ID 7\n8"), "{said}");
}

/// Differences in lists, order, types and emptiness.
#[test]
fn every_difference_is_at_least_a_line() {
    let project = Project::new();
    let base = json!({ "tags": ["a", "b"], "future": 1, "revocations": { "U": 5 },
        "exports": [{ "subject": "x", "type": "stream" }, { "subject": "y", "type": "stream" }] });
    let edits: [(&str, Value); 16] = [
        ("tags", json!(["b", "a"])),
        ("tags", json!(["a", "b", "b"])),
        ("tags", json!(["a"])),
        ("tags", json!([])),
        ("tags", Value::Null),
        ("future", json!(1.0)),
        ("future", json!("1")),
        ("future", json!([1])),
        ("future", json!({})),
        ("future", Value::Null),
        ("revocations", json!({})),
        ("revocations", json!({ "U": 5, "V": 0 })),
        ("description", json!("")),
        ("signing_keys", json!([])),
        ("exports", json!([{ "subject": "y", "type": "stream" }, { "subject": "x", "type": "stream" }])),
        ("exports", json!([{ "subject": "x", "type": "stream", "name": "n" }, { "subject": "y", "type": "stream" }])),
    ];
    let mut claims = project.claims();
    claims["nats"].as_object_mut().unwrap().extend(base.as_object().unwrap().clone());
    let base = issue(&claims, &project.operator, ISSUED).unwrap();
    for (field, value) in edits {
        let mut content = project.content();
        content["accounts"][0]["base"] = json!(base.as_str());
        let planned = &mut token(&mut content)["claims"];
        *planned = Token::decode(base.as_str()).unwrap().into_claims();
        put(&mut planned["nats"], field, value.clone());
        let said = project.review(&content);
        let lines = said.lines().filter(|line| {
            let line = line.trim_start();
            line.starts_with("~ ") || line.starts_with("+ ") || line.starts_with("- ")
        });
        assert!(lines.count() >= 1, "{field}: {value}: {said}");
    }
}

/// The text of one value begins like a secret, and the text of another ends like one. A mask over both would hide
/// everything between them.
#[test]
fn nothing_in_a_plan_hides_what_is_signed() {
    let project = Project::new();
    let key = Seed::generate(KeyKind::Account).unwrap().public_key().to_string();
    let mut content = project.content();
    content["text"] = json!(["a plan; see -----BEGIN PRIVATE KEY-----", "A".repeat(24)]);
    let nats = &mut token(&mut content)["claims"]["nats"];
    let scope = json!({ "kind": "user_scope", "role": "nats://a:b", "key": key, "template": {}, "description": "x@h" });
    put(nats, "signing_keys", json!([scope]));
    put(nats, "tags", json!(["-----", "https://example.com"]));
    let review = project.review(&content);
    assert!(!review.contains("not shown"), "{review}");
    for shown in [&key, r"x\u0040h", "nats://a:b", r#"+ nats.tags: "-----""#, &"A".repeat(24)] {
        assert!(review.contains(shown), "{shown}: {review}");
    }
}

#[test]
fn what_cannot_be_shown_is_not_signed() {
    let project = Project::new();
    let hidden = |change: &dyn Fn(&mut Value)| {
        let mut content = project.content();
        change(&mut content);
        let (code, out, said) = project.sign(&content);
        assert_eq!(code, 2, "{out}{said}");
        assert!(said.contains("nothing was signed") && said.contains("next: "), "{said}");
        let sign = ["sign", "p.json", "--operator", "op.nk", "--out", "s.json", "--format", "json"];
        let (code, out, _) = project.run(&sign);
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &document["error"]["code"]), (2, &json!("review-incomplete")), "{document:#}");
        assert!(!project.path("s.json").exists());
    };
    let describe = |content: &mut Value, text: &str| {
        put(&mut token(content)["claims"]["nats"], "description", text.into());
    };
    hidden(&|content| describe(content, "me:secret1@h"));
    hidden(&|content| describe(content, "(a password, not shown)@h"));
    hidden(&|content| content["options"]["allow"] = json!(["me:issued-in-future@h"]));
    hidden(&|content| content["options"]["prune"] = json!(["a:b@h"]));
    let mut mail = project.content();
    describe(&mut mail, "ask team@example.com, see https://example.com");
    assert!(project.review(&mail).contains("ask team@example.com"));
}

/// `--trust` pins the operator if no definition does, and must not contradict one.
#[test]
fn the_operator_that_is_pinned_on_the_command_line_counts() {
    let project = Project::new();
    let (own, other) = (project.operator.public_key(), Seed::generate(KeyKind::Operator).unwrap());
    let sign = |trust: &str| {
        let _ = std::fs::remove_file(project.path("s.json"));
        project.run(&["sign", "p.json", "--operator", "op.nk", "--out", "s.json", "--trust", trust])
    };
    let refused = |trust: &str, words: &[&str]| {
        let (code, out, said) = sign(trust);
        assert!(code == 2 && words.iter().all(|word| said.contains(word)), "{trust}: {words:?}: {out}{said}");
        assert!(!project.path("s.json").exists(), "{trust}");
    };
    let (own, other_id) = (own.to_string(), other.public_key().to_string());
    let mut content = project.content();
    project.write("p.json", &content);
    let (code, out, said) = sign(&own);
    assert!(code == 0 && project.path("s.json").exists(), "{out}{said}");
    // If the token of the named operator is available, only its keys count, not the key that signs.
    let claims = json!({ "sub": other_id, "name": "OTHER", "nats": { "type": "operator", "version": 2 } });
    std::fs::write(project.path("operator.jwt"), issue(&claims, &other, ISSUED).unwrap().as_str()).unwrap();
    refused(&other_id, &[&own, "next: "]);
    std::fs::remove_file(project.path("operator.jwt")).unwrap();
    for none in ["", "O", &project.account, &own[1..], &own.to_lowercase()] {
        refused(none, &["--trust"]);
    }

    // The key of another operator signed the base. Neither the plan nor the signer's own key makes that key count.
    let base = issue(&project.claims(), &other, ISSUED).unwrap();
    content["accounts"][0]["base"] = json!(base.as_str());
    project.write("p.json", &content);
    refused(&own, &[&other_id, "next: "]);
    let (code, out, said) = project.sign(&content);
    assert!(code == 2 && said.contains(&other_id) && said.contains("--trust O…"), "{out}{said}");
    let text = content["definition"][0]["text"].as_str().unwrap().to_owned();
    content["definition"][0]["text"] = json!(format!("operator: {other_id}\n{text}"));
    project.write("p.json", &content);
    refused(&own, &["the definition in the plan file pins", &other_id, &own]);

    // The definition on this machine already pins an operator.
    let pinned = format!("operator: {own}\n{DEFINITION}");
    std::fs::write(project.path("vstream.yaml"), pinned).unwrap();
    project.write("p.json", &project.content());
    assert_eq!(sign(&own).0, 0);
    refused(&other_id, &["vstream.yaml pins", &own, "next: "]);
}

#[test]
fn a_signer_with_a_weak_key_is_refused() {
    let project = Project::new();
    let mut one = [0; 32];
    one[0] = 1;
    let weak = PublicKey::from_bytes(KeyKind::Operator, one).to_string();
    let mut signature = [0; 64];
    signature[0] = 1;
    let signature = data_encoding::BASE64.encode(&signature);
    let script = format!(
        "#!/bin/sh\nwhile read -r line; do case \"$line\" in\n*'\"request\":\"sign\"'*) echo '{{\"signature\":\"{signature}\"}}';;\n\
         *) echo '{{\"public_key\":\"{weak}\"}}';; esac; done\n"
    );
    std::fs::write(project.path("signer"), script).unwrap();
    std::fs::set_permissions(project.path("signer"), std::fs::Permissions::from_mode(0o700)).unwrap();
    project.write("p.json", &project.content());
    let (code, out, said) = project.run(&["sign", "p.json", "--operator-cmd", "./signer", "--out", "s.json"]);
    assert!(code != 0 && said.contains("weak key") && said.contains("next: "), "{code}: {out}{said}");
    assert!(!project.path("s.json").exists());
    // A weak key is refused everywhere in a plan: as the account of an activation token, and as an added key.
    for key in [KeyKind::Account, KeyKind::User] {
        let weak = PublicKey::from_bytes(key, one).to_string();
        let mut content = project.content();
        put(&mut token(&mut content)["claims"]["nats"], "signing_keys", json!([weak]));
        project.refused("a signing key", &content, &["account APP"]);
    }
    let mut content = project.content();
    content["options"]["signing_keys"] = json!([[project.account, PublicKey::from_bytes(KeyKind::Account, one)]]);
    project.refused("a new signing key", &content, &["weak key"]);
}

/// D2: a file that is not a plan file takes no memory, however large it is.
#[test]
fn large_files_that_are_no_plans_are_refused_before_a_tree_is_built() {
    let project = Project::new();
    std::fs::write(project.path("vstream.yaml"), DEFINITION).unwrap();
    std::fs::create_dir(project.path("history")).unwrap();
    let zeros = "0,".repeat(12_000_000);
    let files = [
        format!("{{\"vstream_jwt_plan\":1,\"content\":[{zeros}0]}}"),
        format!("{{\"vstream_jwt_plan\":1,\"other\":[{zeros}0]}}"),
        format!("{{\"content\":[{zeros}0],\"vstream_jwt_plan\":1}}"),
        format!("{{\"vstream_jwt_plan\":[{zeros}0]}}"),
        format!("{{\"vstream_jwt_plan\":1,\"content\":{{\"changes\":[{zeros}0]}}}}"),
        format!("[{zeros}0]"),
        "[".repeat(24_000_000),
    ];
    for (index, text) in files.into_iter().enumerate() {
        std::fs::write(project.path("p.json"), &text).unwrap();
        let record = text.replace("vstream_jwt_plan", "vstream_jwt_record");
        std::fs::write(project.path("history/2026-01-01-apply-aa0000.json"), record).unwrap();
        for args in ["sign p.json --operator op.nk --out s.json", "apply p.json", "history aa", "rollback aa"] {
            let limited = format!("ulimit -v 450000 && exec \"$0\" {args} --format json");
            let mut command = Command::new("sh");
            command.args(["-c", &limited, env!("CARGO_BIN_EXE_vstream-jwt")]).current_dir(self::folder(&project));
            let output = crate::support::secrets::output(&mut command);
            let out = String::from_utf8_lossy(&output.stdout);
            assert_eq!(
                output.status.code(),
                Some(2),
                "{index}: {args}: {out}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

fn folder(project: &Project) -> &std::path::Path {
    project.folder.path()
}
