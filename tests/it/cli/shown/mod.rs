//! Text from elsewhere that is made to do more than be read: every string of what the command reads, and of how it is
//! called. That nothing in its output does is checked for every run (`support/secrets.rs`); here also that one value is one
//! line: what is printed has as many lines as for a value without anything in it.

mod claims;
mod definitions;
mod plan_files;
mod surroundings;

use super::DEFINITION;
use crate::support::hostile::{HOSTILE, SEEN, SEEN_IN_JSON, TAME};
use crate::support::secrets::{assert_harmless, output};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claims::record;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use vstream_jwt::plan::record::Record;

struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let output = output(command.env_remove("VSTREAM_OPERATOR_FILE").env_remove("VSTREAM_OPERATOR_SEED"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn lines(&self) -> (i32, usize, usize) {
        (self.code, self.out.lines().count(), self.err.lines().count())
    }

    /// The value that it was given, as it may be shown.
    fn shows(&self, value: &str) -> bool {
        let seen = if value == HOSTILE { &[SEEN, SEEN_IN_JSON][..] } else { &[value] };
        seen.iter().any(|seen| self.out.contains(seen) || self.err.contains(seen))
    }
}

fn command(folder: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vstream-jwt"));
    command.current_dir(folder).args(args);
    command
}

fn run(folder: &Path, args: &[&str]) -> Run {
    Run::of(&mut command(folder, args))
}

/// Runs a command line in which `@` stands for the value, for people and for scripts: one value is one line.
#[track_caller]
fn with_value(folder: &Path, args: &[&str]) -> Run {
    let with = |value: &str, more: &[&str]| {
        let args: Vec<String> = args.iter().chain(more).map(|arg| arg.replace('@', value)).collect();
        run(folder, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (tame, hostile) = (with(TAME, &[]), with(HOSTILE, &[]));
    assert_eq!(hostile.lines(), tame.lines(), "{args:?}: {}{}", hostile.out, hostile.err);
    let json = with(HOSTILE, &["--format", "json"]);
    let document: Value = serde_json::from_str(&json.out).unwrap_or_else(|error| panic!("{error}: {}", json.out));
    assert!(document.is_object() || document.is_array(), "{args:?}: {document}");
    hostile
}

fn token(claims: &Value, signer: &KeyPair) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#), part(&claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

fn account_claims(account: &KeyPair, operator: &KeyPair) -> Value {
    let (id, issuer) = (account.public_key(), operator.public_key());
    json!({
        "jti": "ID", "iat": 1_760_000_000, "iss": issuer, "sub": id, "name": "APP", "aud": "x",
        "nats": {
            "type": "account", "version": 2, "tags": ["a:b"], "description": "d", "info_url": "u",
            "limits": { "conn": -1, "subs": -1 },
            "mappings": { "foo.>": [{ "subject": "bar.>", "weight": 50, "cluster": "west" }] },
            "imports": [{ "name": "i", "subject": "s.>", "account": id, "type": "stream", "local_subject": "l.>", "to": "t" }],
            "exports": [{ "name": "e", "subject": "e.>", "type": "service", "response_type": "Stream", "description": "d" }],
            "default_permissions": { "pub": { "deny": ["$JS.>"] }, "sub": {} },
            "trace": { "dest": "trace", "sampling": 10 },
            "future": { "list": ["x", { "y": "z" }] },
        },
    })
}

/// On a terminal there are colors: those of this program, and no more than for a token without anything in it.
#[test]
fn a_terminal_gets_the_colors_of_this_program_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let on_terminal = |args: &[&str]| {
        let mut command = Command::new("python3");
        command.arg(root.join("tests/it/cli/terminal.py")).arg("nothing").arg(folder);
        command.arg(env!("CARGO_BIN_EXE_vstream-jwt")).args(args).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let happened: Value = serde_json::from_slice(&output.stdout).unwrap();
        happened["terminal"].as_str().unwrap().replace("\r\n", "\n")
    };
    std::fs::create_dir(folder.join("history")).unwrap();
    let (mut tame, mut hostile) = (record(), record());
    tame["who"]["user"] = TAME.into();
    hostile["who"]["user"] = HOSTILE.into();
    let mut seen = Vec::new();
    for content in [tame, hostile] {
        let text = Record::new(serde_json::from_value(content).unwrap()).render();
        std::fs::write(folder.join("history/2026-01-01T00-00-00.000Z-aaaa.json"), text).unwrap();
        let text = on_terminal(&["history", "--color", "always"]);
        let codes: Vec<&str> = text.split('\u{1b}').skip(1).map(|after| &after[..=after.find('m').unwrap()]).collect();
        let plain = codes.iter().fold(text.clone(), |text, code| text.replace(&format!("\u{1b}{code}"), ""));
        assert_harmless("history", &plain);
        assert!(text.contains("\u{1b}[1m"), "{text:?}");
        seen.push((codes.join(" "), plain.lines().count()));
    }
    assert_eq!(seen[0], seen[1]);
    for args in [["keys", "inspect", HOSTILE], ["help", HOSTILE, "-v"], ["--color=always", "--format", HOSTILE]] {
        let text = on_terminal(&args);
        assert!(text.contains(SEEN), "{text:?}");
        let plain = text.split('\u{1b}').enumerate().map(|(number, part)| match number {
            0 => part,
            _ => part.strip_prefix('[').and_then(|part| part.split_once('m')).unwrap().1,
        });
        assert_harmless("help", &plain.collect::<String>());
    }
}

#[test]
fn arguments_are_repeated_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("vstream.yaml"), DEFINITION).unwrap();
    std::fs::create_dir(folder.join("keys")).unwrap();
    for args in [
        &["@"][..],
        &["help", "@"],
        &["validate", "@"],
        &["validate", "--@"],
        &["validate", "--format", "json", "--@=1"],
        &["validate", "--color", "@"],
        &["validate", "--timeout", "@"],
        &["validate", "--online", "--allow", "@"],
        &["--definition", "@", "validate"],
        &["--definition", "@/x.yaml", "validate"],
        &["--keys", "@", "keys", "list"],
        &["--keys", "@", "keys", "check"],
        &["keys", "@"],
        &["keys", "inspect", "@"],
        &["keys", "generate", "--name", "./@"],
        &["render", "@"],
        &["render", "mappings", "--out", "/dev/null/@"],
        &["plan", "--allow", "@"],
        &["apply", "@"],
        &["apply", "--operator", "@"],
        &["apply", "--operator-cmd", "echo '@' >&1"],
        &["apply", "--operator-cmd", "exit 1 # @"],
        &["sign", "@", "--operator", "x", "--out", "y"],
        &["destroy", "@", "--yes"],
        &["history", "@"],
        &["history", "--history", "@"],
        &["rollback", "@"],
        &["dev", "--folder", "@", "status"],
        &["dev", "--folder", "@", "kill", "@"],
        &["dev", "up", "--server-version", "@"],
        &["dev", "up", "--nats-server", "@"],
        &["demo", "--nats-server", "@"],
        &["init", "/dev/null/@"],
        &["man", "--out", "/dev/null/@"],
        &["completions", "@"],
    ] {
        with_value(folder, args);
    }
    for args in [&["history", "@"][..], &["keys", "inspect", "@"], &["plan", "--allow", "@"], &["apply", "@"]] {
        assert!(with_value(folder, args).shows(HOSTILE), "{args:?}");
    }
    // Bytes that are no text.
    let raw = OsStr::from_bytes(b"a\xff\x9b2J\x1b[2J\n::error::x");
    for args in [[OsStr::new("keys"), OsStr::new("inspect"), raw], [OsStr::new("render"), raw, raw]] {
        let run = Run::of(&mut command(folder, &args));
        assert_ne!(run.code, 0, "{}{}", run.out, run.err);
    }
}
