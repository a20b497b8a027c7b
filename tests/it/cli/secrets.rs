//! Tests secrets and other files through the binary. Some paths are not files, some files are open to other users or
//! too large, and some contain secrets that the output must not show.

use super::DEFINITION;
use crate::support::secrets::output;
use serde_json::Value;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A folder with a definition and keys, and without the configuration of the user who runs the tests.
pub(super) struct Project(tempfile::TempDir);

impl Project {
    pub(super) fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.write("vstream.yaml", DEFINITION);
        for (kind, name) in [("--operator", "op"), ("--account", "app"), ("--user", "user")] {
            assert_eq!(project.run(&["keys", "generate", kind, "--name", name]).0, Some(0));
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn absolute(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file that only its owner can read.
    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut options = std::fs::File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        std::io::Write::write_all(&mut file, text.as_ref()).unwrap();
    }

    fn set_mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn pipe(&self, name: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(self.path(name)).status().unwrap().success());
    }

    fn seed(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap().trim().to_owned()
    }

    /// Returns the exit code (`None` if it had to be killed) and all output.
    pub(super) fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let (exit, out, said) = self.run_apart(args);
        (exit, out + &said)
    }

    /// Returns the exit code, standard output and standard error.
    fn run_apart(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "20", crate::support::VSTREAM]).args(args).current_dir(self.0.path());
        command.env("NO_COLOR", "1").env("XDG_CONFIG_HOME", self.path("config")).stdin(std::process::Stdio::null());
        for name in ["VSTREAM_OPERATOR_FILE", "VSTREAM_OPERATOR_SEED", "VSTREAM_OPERATOR_CMD"] {
            command.env_remove(name);
        }
        let output = output(&mut command);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Runs the command in both formats, and asserts that both refuse with this code and these words. A run that hangs
    /// is killed.
    #[track_caller]
    fn refused(&self, args: &[&str], exit: i32, code: &str, words: &[&str]) {
        let (person, said) = self.run(args);
        let (script, document, _) = self.run_apart(&[args, &["--format", "json"]].concat());
        assert!(person == Some(exit) && script == Some(exit), "{args:?}: exit {person:?}, {script:?}: {said}");
        let document: Value = serde_json::from_str(&document).unwrap_or_else(|error| panic!("{error}: {document}"));
        assert_eq!(document["error"]["code"], code, "{args:?}: {document:#}");
        for word in words {
            assert!(said.contains(word), "{args:?}: without {word:?}: {said}");
        }
    }
}

/// A run that was given a named pipe used to hang forever.
#[test]
fn pipes_are_no_files() {
    let project = Project::new();
    project.pipe("pipe");
    project.pipe("folder/a.yaml");
    project.pipe("records/2026-01-01T00-00-00.000Z-apply-000000.json");
    project.pipe("config/nats/context/piped.json");
    let pipe = "is not a file, but a pipe";
    for (args, exit, code, words) in [
        (&["validate", "--definition", "pipe"][..], 2, "unreadable", pipe),
        (&["validate", "--definition", "folder"], 2, "unreadable", pipe),
        (&["plan", "--definition", "pipe"], 2, "unreadable", pipe),
        (&["keys", "inspect", "pipe"], 1, "unreadable", pipe),
        (&["sign", "pipe", "--operator", "op.nk", "--out", "x"], 1, "plan-file", pipe),
        (&["apply", "pipe"], 1, "plan-file", pipe),
        (&["apply", "--operator", "pipe"], 2, "operator-key", "pipe is not a file"),
        (&["history", "last", "--history", "records"], 1, "history-unreadable", pipe),
    ] {
        project.refused(args, exit, code, &[words]);
    }
    let (exit, said) = project.run(&["history", "--history", "records"]);
    assert!(exit.is_some() && said.contains(pipe), "{said}");
    // Tokens of an nsc store and of the operator: a pipe in place of one is an error at once.
    let info = r#"{"managed":false,"name":"O","kind":"operator","version":"1"}"#;
    for piped in
        ["stores/1/O/.nsc", "stores/2/O/O.jwt", "stores/3/O/accounts/APP/APP.jwt", "operator.jwt", "keys/operator.jwt"]
    {
        project.pipe(piped);
        project.refused(&["keys", "inspect", piped], 1, "unreadable", &[pipe]);
    }
    for store in ["stores/2/O/.nsc", "stores/3/O/.nsc"] {
        project.write(store, info);
    }
    project.write("keys/sys.creds", credentials(&project));
    for store in ["stores/1", "stores/1/O", "stores/2", "stores/2/O", "stores/3"] {
        project.write("other.yaml", DEFINITION.replace("regions:", &format!("nsc_store: {store}\nregions:")));
        let args = ["plan", "--definition", "other.yaml", "--timeout", "2s"];
        project.refused(&args, 1, "unreachable", &["no server answers"]);
    }
    for (from, access) in [
        ("credentials: keys/sys.creds", "credentials: pipe"),
        ("credentials: keys/sys.creds", "context: piped"),
        ("regions:", "tls: { ca: pipe }\nregions:"),
        ("regions:", "tls: { cert: pipe, key: pipe }\nregions:"),
    ] {
        project.write("keys/sys.creds", credentials(&project));
        project.write("other.yaml", DEFINITION.replace(from, access));
        project.refused(&["plan", "--definition", "other.yaml"], 1, "file-unreadable", &[pipe]);
    }
    project.write("other.yaml", DEFINITION.replace("credentials: keys/sys.creds", "key: pipe"));
    project.refused(&["plan", "--definition", "other.yaml"], 1, "key-unusable", &["pipe is not a file"]);
}

/// Returns a user's token, which no server trusts, with its seed.
pub(super) fn credentials(project: &Project) -> String {
    let (token, seed) = user(project);
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n\
         ------END USER NKEY SEED------\n"
    )
}

fn user(project: &Project) -> (String, String) {
    use vstream_jwt::sign::{Seed, Signer as _, issue};
    let [account, user] = ["keys/app.nk", "keys/user.nk"].map(|name| Seed::parse(&project.seed(name)).unwrap());
    let claims = serde_json::json!({ "sub": user.public_key(), "name": "u", "nats": { "type": "user", "version": 2 } });
    (issue(&claims, &account, 1_700_000_000).unwrap().as_str().to_owned(), project.seed("keys/user.nk"))
}

#[test]
fn secrets_that_others_may_read_or_write_are_refused() {
    let project = Project::new();
    let (token, seed) = user(&project);
    let context = serde_json::json!({ "user_jwt": token, "user_seed": seed }).to_string();
    project.write("config/nats/context/open.json", &context);
    project.write("keys/sys.creds", credentials(&project));
    project.write("ca.pem", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n");
    project.write("key.pem", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n");
    let context = DEFINITION.replace("credentials: keys/sys.creds", "context: open");
    let tls = DEFINITION.replace("regions:", "tls: { ca: ca.pem, cert: ca.pem, key: key.pem }\nregions:");
    for (definition, file, what) in [
        (&context, "config/nats/context/open.json", "context"),
        (&tls, "key.pem", "TLS key"),
        (&DEFINITION.to_owned(), "keys/sys.creds", "credentials"),
    ] {
        project.write("vstream.yaml", definition);
        for mode in [0o644, 0o640, 0o604, 0o620, 0o666, 0o777] {
            project.set_mode(file, mode);
            let words = [what, &format!("(mode {mode:04o})"), "chmod 600"];
            project.refused(&["plan"], 1, "credentials-readable", &words);
        }
        project.set_mode(file, 0o600);
        let (_, said) = project.run(&["plan"]);
        assert!(!said.contains("(mode"), "{said}");
    }
    // A context without a secret of its own may be readable by other users.
    let creds = serde_json::json!({ "creds": project.path("keys/sys.creds"), "user_seed": "" }).to_string();
    project.write("config/nats/context/open.json", creds);
    project.set_mode("config/nats/context/open.json", 0o644);
    project.write("vstream.yaml", &context);
    let (_, said) = project.run(&["plan", "--timeout", "2s"]);
    assert!(said.contains("no server answers"), "{said}");
}

/// Definitions are shared, and plan files and records contain their text. So no secret may be in one, not even in a
/// comment.
#[test]
fn a_secret_anywhere_in_a_definition_is_refused() {
    let project = Project::new();
    let seed = project.seed("keys/op.nk");
    let (token, _) = user(&project);
    let body = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE";
    for (line, what) in [
        (format!("# {seed}"), "a seed"),
        (format!("# the key:{seed}, keep it"), "a seed"),
        (format!("# AAAA{seed}22"), "a seed"),
        (format!("# AGE-SECRET-KEY-1{body}"), "an age identity"),
        (format!("# -----BEGIN PRIVATE KEY-----{body}"), "a private key"),
        (format!("# {token}"), "a user's token"),
        ("# nats://me:secret1234@h:4222".to_owned(), "a password"),
        ("# nats://me:se cret1234@h:4222".to_owned(), "a password"),
        ("# was me:secret1234@h:4222".to_owned(), "a password"),
        ("# pkcs11:object=op?pin-value=1234".to_owned(), "a PIN"),
    ] {
        // At the end, at the beginning, and after a value.
        for text in [
            format!("{DEFINITION}{line}\n"),
            format!("{line}\n{DEFINITION}"),
            DEFINITION.replacen('\n', &format!(" {line}\n"), 1),
        ] {
            project.write("vstream.yaml", &text);
            for args in [&["validate"][..], &["plan", "--out", "plan.json"], &["apply", "--operator", "op.nk"]] {
                let (exit, said) = project.run(args);
                assert!(exit == Some(2) && said.contains(&format!("here stands {what}")), "{args:?}: {exit:?}: {said}");
                for secret in [&seed, &token, body, "cret1234", "1234"] {
                    assert!(
                        !said.contains(secret) && !said.contains(&secret[..secret.len() / 2 + 2]),
                        "{args:?}: {said}"
                    );
                }
            }
        }
    }
    assert!(!project.path("plan.json").exists() && !project.path("history").exists());
    project.write("vstream.yaml", DEFINITION.replacen('\n', " # me@example.com, see https://example.com/@me\n", 1));
    assert_eq!(project.run(&["validate"]).0, Some(0));
}

/// Passwords with characters that seem to end a URL, in the message and in the quoted source.
#[test]
fn passwords_of_servers_are_not_shown() {
    let project = Project::new();
    let mut format = ["human", "json"].into_iter().cycle();
    for password in [
        "secret1234",
        "se/cret1234",
        "se, cret1234",
        "se' cret1234",
        "se] cret1234",
        "se cret1234",
        "s#cret1234",
        "1/cret1234",
    ] {
        for url in [format!("nats://me:{password}@h:4222"), format!("me:{password}@h"), format!("tls://{password}@h")] {
            let servers = |servers: String| DEFINITION.replace("[nats://127.0.0.1:1]", &servers);
            for text in [
                servers(format!("[\"{url}\"]")),
                servers(format!("[nats://127.0.0.1:1, \"{url}\"]")),
                servers(format!("\n      - \"{url}\"")),
                servers(format!("\n      - \"{}\"", url.replacen(' ', "\n        ", 1))),
                servers(format!("\"{url}\"")),
                // Another error on the same line.
                servers(format!("[\"{url}\"], no_such_key: 1")),
                format!("{DEFINITION}\"{url}\": 1\n"),
                format!("{DEFINITION}unknown: \"{url}\"\n"),
            ] {
                project.write("vstream.yaml", &text);
                // Each password and each form of the definition is tested with both formats.
                let (exit, said) = project.run(&["validate", "--format", format.next().unwrap()]);
                assert_eq!(exit, Some(2), "{said}");
                assert!(!said.contains("cret1234"), "{text}\n{said}");
            }
            format.next();
        }
    }
}

/// Returns the exit code of a run, its peak memory in kB, and its output.
#[cfg(target_os = "linux")]
pub(super) fn measured(project: &Project, args: &[&str]) -> (Option<i32>, u64, String) {
    let mut command = Command::new(crate::support::VSTREAM);
    command.args(args).current_dir(project.0.path()).env("NO_COLOR", "1");
    let streams = ["out", "err"].map(|name| std::fs::File::create(project.path(name)).unwrap());
    let [out, err] = streams;
    let mut child = command.stdin(std::process::Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
    let (mut most, begun) = (0, Instant::now());
    let exit = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(peak.unwrap_or(0));
        if let Some(exit) = child.try_wait().unwrap() {
            break exit.code();
        }
        if begun.elapsed() > Duration::from_secs(300) {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let said = ["out", "err"].map(|name| std::fs::read_to_string(project.path(name)).unwrap()).concat();
    crate::support::secrets::assert_shows_none(&args.join(" "), &[said.as_bytes()]);
    (exit, most, said)
}

/// 8 MB of a definition took 3.6 GB.
#[test]
#[cfg(target_os = "linux")]
fn a_hostile_definition_takes_little() {
    let project = Project::new();
    let numbered = |line: &dyn Fn(usize) -> String| {
        (0..)
            .map(line)
            .scan(0, |size, line| {
                *size += line.len();
                (*size < 7_990_000).then_some(line)
            })
            .collect::<String>()
    };
    let unknown = |number: usize| format!("u{number:06}: 1\n");
    for (name, text, words) in [
        ("duplicates", numbered(&|_| "k: 1\n".to_owned()), "more than 50000 entries"),
        ("unknown", numbered(&unknown), "more than 50000 entries"),
        ("few", (0..20_000).map(unknown).collect(), "20003 problems"),
        ("list", format!("accounts:\n{}", numbered(&|_| "- a\n".to_owned())), "more than 50000 entries"),
        ("streams", numbered(&|n| format!("s{n}: {{ a: [b, c, d, e], f: {{ g: 1 }} }}\n")), "YAML"),
        ("aliases", format!("a: &a \"{}\"\nb:\n{}", "x".repeat(100_000), "- *a\n".repeat(40_000)), "YAML"),
    ] {
        project.write("vstream.yaml", &text);
        let (exit, most, said) = measured(&project, &["validate"]);
        assert!(exit == Some(2) && said.contains(words), "{name}: {exit:?}: {said}");
        assert!(most < 200_000, "{name}: {most} kB");
    }
    let (exit, document, _) = project.run_apart(&["validate", "--format", "json"]);
    assert_eq!(exit, Some(2), "{document}");
    project.write("vstream.yaml", (0..20_000).map(unknown).collect::<String>());
    let (_, document, _) = project.run_apart(&["validate", "--format", "json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["error"]["problems"].as_array().unwrap().len(), 500);
    assert_eq!(document["error"]["more_problems"], 19_503);
}

/// Returns the files of one definition, each within the limits of one file: 200,000 keys and values in 4 KB.
fn many_files(count: usize) -> Vec<(String, String)> {
    let list = format!("[{}]", vec!["1"; 2000].join(","));
    let again = vec!["*l"; 99].join(",");
    let text = |number| format!("accounts:\n  A{number}: {{ x: &l {list}, y: [{again}] }}\n");
    (0..count).map(|number| (format!("d{number:03}.yaml"), text(number))).collect()
}

/// A folder of 40 files of 4 KB took 0.8 GB and a minute. The limits apply to a definition as a whole, however many
/// files it has.
#[test]
#[cfg(target_os = "linux")]
fn a_hostile_folder_takes_no_more_than_a_file() {
    let project = Project::new();
    many_files(40).into_iter().for_each(|(name, text)| project.write(&format!("folder/{name}"), text));
    let (exit, most, said) = measured(&project, &["validate", "--definition", "folder"]);
    assert!(
        exit == Some(2) && said.contains("d001.yaml") && said.contains("250000 keys and values"),
        "{exit:?}: {said}"
    );
    assert!(most < 200_000, "{most} kB");
    project.refused(&["validate", "--definition", "folder"], 2, "invalid-definition", &["too-large"]);
}

/// The definition in a plan file has the same limits as one in files.
#[test]
#[cfg(target_os = "linux")]
fn a_hostile_definition_in_a_plan_file_takes_little() {
    use vstream_jwt::plan::file::{File, PlanContent, PlanFile};
    let project = Project::new();
    let write = |files: Vec<(String, String)>| {
        let content = PlanContent {
            tool: "vstream-jwt 0.1.0".to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            definition: files.into_iter().map(|(name, text)| File { name, text }).collect(),
            options: vstream_jwt::plan::Options::default(),
            who: None,
            text: Vec::new(),
            changes: serde_json::json!({}),
            accounts: Vec::new(),
            signed: None,
        };
        project.write("plan.json", PlanFile::new(content).render());
    };
    let large = |count: usize| (0..count).map(|number| (format!("{number}.yaml"), "# x\n".repeat(1_000_000))).collect();
    for (files, words) in [(many_files(40), "250000 keys and values"), (large(3), "more than 8 MB")] {
        write(files);
        for args in [&["sign", "plan.json", "--operator", "op.nk", "--out", "x"][..], &["apply", "plan.json"]] {
            let (exit, most, said) = measured(&project, args);
            assert!(exit == Some(2) && said.contains(words), "{args:?}: {exit:?}: {said}");
            assert!(most < 200_000, "{args:?}: {most} kB");
        }
    }
    assert!(!project.path("x").exists());
}

/// A plan file or record of 60 MB took 3.1 GB.
#[test]
#[cfg(target_os = "linux")]
fn hostile_plan_files_and_records_take_little() {
    let project = Project::new();
    let numbers = format!("[0{}]", ",0".repeat(30_000_000));
    for (kind, code) in [("plan", "not-a-plan-file"), ("record", "not-a-record")] {
        for text in [
            format!("{{\"vstream_jwt_{kind}\":1,\"content\":{numbers}}}"),
            format!("{{\"vstream_jwt_{kind}\":1,\"content\":{{\"changes\":{numbers}}}}}"),
            format!("{{\"a\":{numbers},\"vstream_jwt_{kind}\":1}}"),
        ] {
            project.write("history/hostile.json", &text);
            let args: &[&str] = match kind {
                "plan" => &["sign", "history/hostile.json", "--operator", "op.nk", "--out", "x", "--format", "json"],
                _ => &["history", "hostile", "--format", "json"],
            };
            let (exit, most, said) = measured(&project, args);
            assert!(exit == Some(2) && said.contains(code), "{exit:?}: {said}");
            assert!(most < 250_000, "{most} kB");
        }
    }
    // A file that is too large is not even read.
    std::fs::File::create(project.path("history/hostile.json")).unwrap().set_len(1 << 40).unwrap();
    project.refused(&["apply", "history/hostile.json"], 2, "plan-file-too-large", &["128 MB"]);
    project.refused(&["history", "hostile"], 2, "record-too-large", &["128 MB"]);
}

#[test]
fn a_plan_file_with_a_secret_is_refused() {
    use vstream_jwt::plan::file::{PlanContent, PlanFile};
    let project = Project::new();
    let content = PlanContent {
        tool: "vstream-jwt 0.1.0".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        definition: Vec::new(),
        options: vstream_jwt::plan::Options::default(),
        who: None,
        text: vec![format!("a stream called {}", project.seed("keys/op.nk"))],
        changes: serde_json::json!({}),
        accounts: Vec::new(),
        signed: None,
    };
    project.write("plan.json", PlanFile::new(content).render());
    project.refused(
        &["sign", "plan.json", "--operator", "op.nk", "--out", "x"],
        1,
        "secret-in-plan",
        &["has a seed in it"],
    );
    project.refused(&["apply", "plan.json"], 1, "secret-in-plan", &["has a seed in it"]);
    assert!(!project.path("x").exists());
}

/// Finds the secret in a record as the program reads it: with escapes of JSON, and with escapes of YAML in its
/// definition.
#[test]
fn a_record_with_a_secret_is_refused() {
    use vstream_jwt::plan::record::{Outcome, Record, RecordContent, Who};
    let project = Project::new();
    let content = |said: &str| RecordContent {
        tool: "vstream-jwt 0.1.0".to_owned(),
        verb: "apply".to_owned(),
        who: Who { user: "u".to_owned(), host: "h".to_owned(), ci: [].into() },
        started: "2026-01-01T00:00:00.000Z".to_owned(),
        ended: None,
        outcome: Outcome::Failed,
        error: Some(said.to_owned()),
        system_account: vstream_jwt::model::nkey::PublicKey::from_bytes(
            vstream_jwt::model::nkey::KeyKind::Account,
            [7; 32],
        ),
        back_to: None,
        definition: Vec::new(),
        text: Vec::new(),
        changes: serde_json::json!({}),
        streams: Vec::new(),
        attempts: Vec::new(),
    };
    project.write("history/hostile.json", Record::new(content("nothing")).render());
    assert_eq!(project.run(&["history", "hostile"]).0, Some(0));
    project.write("history/hostile.json", Record::new(content(&project.seed("keys/op.nk"))).render());
    for verb in [&["history", "hostile"][..], &["rollback", "hostile", "--operator", "op.nk"]] {
        project.refused(verb, 1, "secret-in-record", &["has a seed in it"]);
    }
}
