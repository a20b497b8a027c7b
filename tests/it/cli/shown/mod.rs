//! Tests hostile text in every string that the command reads, and in its arguments. Each run is on terminals. The
//! output may contain only text and this program's own styles (`support/pty.rs`). One value is one line: the output has
//! as many lines, and the same styles, as with a harmless value.

mod answers;
mod claims;
mod definitions;
mod plan_files;
mod servers;
mod stores;
mod surroundings;

use super::DEFINITION;
use crate::support::hostile::{BROUGHT, Field, HOSTILE, SEEN, SEEN_IN_JSON, SEEN_QUOTED, TAME};
use crate::support::pty::{self, Ran};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claims::record;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use vstream_jwt::plan::record::Record;

struct Run {
    code: i32,
    out: String,
    err: String,
    styles: [Vec<String>; 2],
}

/// The part of the output that must not depend on a value: the exit code, the number of lines, and the styles of both
/// streams.
type Form<'r> = (i32, [usize; 2], &'r [Vec<String>; 2]);

impl Run {
    fn of(command: &mut Command) -> Self {
        let run = pty::run(command.env_remove("VSTREAM_OPERATOR_FILE").env_remove("VSTREAM_OPERATOR_SEED"));
        let Ran { code, out, err } = run;
        for line in out.text.lines().chain(err.text.lines()) {
            assert!(!BROUGHT.iter().any(|brought| line.trim().starts_with(brought)), "{}{}", out.text, err.text);
        }
        Self { code, out: out.text, err: err.text, styles: [out.styles, err.styles] }
    }

    fn form(&self) -> Form<'_> {
        (self.code, [self.out.lines().count(), self.err.lines().count()], &self.styles)
    }

    /// Counts how often the value is visible, in a form that may be shown.
    fn sights(&self, value: &str) -> usize {
        let seen = if value == HOSTILE { &[SEEN, SEEN_IN_JSON, SEEN_QUOTED][..] } else { &[value] };
        let of = |text: &str| -> usize { seen.iter().map(|seen| text.matches(seen).count()).sum() };
        of(&self.out) + of(&self.err)
    }

    fn shows(&self, value: &str) -> bool {
        self.sights(value) > 0
    }

    /// Fails unless the run differs from one with the harmless value only in that value.
    #[track_caller]
    fn assert_like(&self, tame: &Self, of: &dyn std::fmt::Debug) {
        assert_eq!(self.form(), tame.form(), "{of:?}: {}{}\n{}{}", self.out, self.err, tame.out, tame.err);
        assert_eq!(
            self.sights(HOSTILE),
            tame.sights(TAME),
            "{of:?}: {}{}\n{}{}",
            self.out,
            self.err,
            tame.out,
            tame.err
        );
    }
}

/// Runs with the fields filled with a value; `None` if the value is not possible there.
type Filled<'f, F> = dyn FnMut(&[F], &str) -> Option<Vec<Run>> + 'f;

/// Fills every field, as many at a time as possible. If the harmless value removes nothing from the output, no field
/// hides the effect of another. `judge` compares the runs of both values, at the end of each field alone. Returns how
/// often the hostile value was visible.
fn sweep(fields: &[Field], run: &mut Filled<'_, Field>, judge: &dyn Fn(&[Field], &Run, &Run)) -> usize {
    let plain = run(&[], TAME).unwrap();
    let says_all = |runs: &[Run]| {
        let lines = |run: &Run| run.form().1;
        let more = |run: &Run, plain: &Run| lines(run)[0] >= lines(plain)[0] && lines(run)[1] >= lines(plain)[1];
        runs.iter().zip(&plain).all(|(run, plain)| run.code == plain.code && more(run, plain))
    };
    let alike = |a: &[Run], b: &[Run]| a.iter().zip(b).all(|(a, b)| a.form() == b.form());
    let (mut open, mut sights) = (vec![fields], 0);
    while let Some(fields) = open.pop() {
        let tame = run(fields, TAME);
        let (alone, together) = (fields.len() == 1, tame.as_deref().is_some_and(says_all));
        let hostile = if alone || together { run(fields, HOSTILE) } else { None }.unwrap_or_default();
        let tame = tame.unwrap_or_default();
        let settled = alone || (together && alike(&hostile, &tame));
        if !settled {
            let (first, second) = fields.split_at(fields.len() / 2);
            open.extend([first, second].into_iter().filter(|fields| !fields.is_empty()));
            continue;
        }
        tame.iter().zip(&hostile).for_each(|(tame, hostile)| judge(fields, hostile, tame));
        sights += hostile.iter().map(|run| run.sights(HOSTILE)).sum::<usize>();
    }
    sights
}

/// Puts the hostile value into all fields of each part at once. Fields that would end a run before it reads the others
/// are filled alone. Whatever the run does with the value, it must do no harm. Returns how often it was visible.
fn sweep_harmless<F: Clone>(parts: Vec<Vec<F>>, run: &mut Filled<'_, F>) -> usize {
    let lines = |runs: &[Run]| runs.iter().map(|run| run.form().1.iter().sum::<usize>()).sum::<usize>();
    let plain = lines(&run(&[], HOSTILE).unwrap());
    let (mut open, mut sights) = (parts, 0);
    while let Some(mut fields) = open.pop() {
        let runs = run(&fields, HOSTILE).unwrap();
        sights += runs.iter().map(|run| run.sights(HOSTILE)).sum::<usize>();
        if lines(&runs) * 2 < plain && fields.len() > 1 {
            let rest = fields.split_off(fields.len() / 2);
            open.extend([fields, rest]);
        }
    }
    sights
}

/// Splits fields into eight parts, and separates neighbors: the meaning of a field often depends on them, as a stream's
/// does on its name.
fn eighths<F: Clone>(fields: &[F]) -> Vec<Vec<F>> {
    let part = |start| fields.iter().skip(start).step_by(8).cloned().collect::<Vec<F>>();
    (0..8).map(part).filter(|part| !part.is_empty()).collect()
}

/// Sweeps fields where the value makes no other difference. Returns how often it was visible.
fn sweep_alike(fields: &[Field], run: &mut Filled<'_, Field>) -> usize {
    sweep(fields, run, &|fields, hostile, tame| hostile.assert_like(tame, &fields))
}

fn command(folder: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vstream-jwt"));
    command.current_dir(folder).args(args);
    command
}

fn run(folder: &Path, args: &[&str]) -> Run {
    Run::of(&mut command(folder, args))
}

/// Runs a command line with the value in place of `@`, in both formats. Asserts that one value is one line.
#[track_caller]
fn with_value(folder: &Path, args: &[&str]) -> Run {
    let with = |value: &str, more: &[&str]| {
        let args: Vec<String> = args.iter().chain(more).map(|arg| arg.replace('@', value)).collect();
        run(folder, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (tame, hostile) = (with(TAME, &[]), with(HOSTILE, &[]));
    hostile.assert_like(&tame, &args);
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

/// Writes a file to a folder, readable only by its owner.
fn private(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Returns the content of a `.creds` file.
fn creds(claims: &Value, account: &KeyPair, user: &KeyPair) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n\
         ------END USER NKEY SEED------\n",
        token(claims, account),
        user.seed().unwrap()
    )
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

/// These tests see the output as the user does, with styles.
#[test]
fn terminals_get_the_styles_of_this_program() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("history")).unwrap();
    let text = Record::new(serde_json::from_value(record()).unwrap()).render();
    std::fs::write(folder.path().join("history/2026-01-01T00-00-00.000Z-aaaa.json"), text).unwrap();
    for args in [&["history"][..], &["help", HOSTILE], &["keys", "inspect", HOSTILE]] {
        let styles = run(folder.path(), args).styles.concat();
        assert!(styles.contains(&"\u{1b}[1m".to_owned()), "{args:?}: {styles:?}");
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
    // Bytes that are not valid text.
    let raw = OsStr::from_bytes(b"a\xff\x9b2J\x1b[2J\n::error::x");
    for args in [[OsStr::new("keys"), OsStr::new("inspect"), raw], [OsStr::new("render"), raw, raw]] {
        let run = Run::of(&mut command(folder, &args));
        assert_ne!(run.code, 0, "{}{}", run.out, run.err);
    }
}
