//! Tests the rules of the source tree: which modules a module may use, and which may print. Reads the text of `src/`.

use std::path::{Path, PathBuf};

/// The stages in order. Each may use only those before it; the last ones put the stages together.
const ORDER: [&str; 17] = [
    "model",
    "secrets",
    "definition",
    "desired",
    "observed",
    "lint",
    "plan",
    "files",
    "nsc",
    "sign",
    "provision",
    "resolver",
    "verify",
    "explain",
    "engine",
    "ops",
    "cli",
];

/// Modules without async, files, clock and environment.
const PURE: [&str; 8] = ["model", "secrets", "definition", "desired", "plan", "verify", "explain", "lint"];

const IMPURE: [&str; 12] = [
    "async fn",
    "async {",
    "async move",
    ".await",
    "tokio",
    "std::fs",
    "std::env",
    "std::process",
    "TcpStream",
    "SystemTime",
    "Instant",
    "Timestamp::now",
];

/// A file of `src/` that is not made of tests alone.
pub(super) struct Source {
    /// The path below `src/`.
    pub path: PathBuf,
    /// The module directly below `src/`.
    module: String,
    text: String,
    /// The code, without comments and test modules.
    pub code: String,
}

/// Checks if a file, by its path below `src/`, contains only tests, or is in a folder with tests.
pub(super) fn is_test(path: &Path) -> bool {
    let mut names = path.iter().filter_map(|part| Path::new(part).file_stem()?.to_str());
    names.any(|name| ["tests", "testing", "fake"].contains(&name) || name.ends_with("_tests"))
}

pub(super) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(&root).unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&below) {
                let module = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                let code = code(&text);
                sources.push(Source { path: below, module, text, code });
            }
        }
    }
    assert!(sources.len() > 50, "src/ was not found");
    sources
}

/// Returns the text without comments, up to a test module at the end of the file.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    match text.find("#[cfg(test)]\nmod tests {") {
        Some(tests) => text[..tests].to_owned(),
        None => text,
    }
}

/// Returns the modules of this crate that a file uses.
fn used(code: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.push(first_word(rest));
            continue;
        };
        let group = &group[..group.find("};").unwrap_or(group.len())];
        let mut depth = 0;
        let parts = group.split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        used.extend(parts.map(|part| first_word(part.trim_start())));
    }
    used
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|stage| *stage == module)
}

fn assert_none(rule: &str, offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn every_module_has_its_place() {
    let known = |module: &str| rank(module).is_some() || ["lib", "main", "nats", "dev"].contains(&module);
    let strangers = sources().iter().filter(|s| !known(&s.module)).map(|s| s.path.display().to_string()).collect();
    assert_none("a new module needs a place in the order of stages", strangers);
}

#[test]
fn pure_modules_have_no_async_files_clock_or_environment() {
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.module.as_str())) {
        let found = IMPURE.iter().filter(|word| source.code.contains(**word));
        offenders.extend(found.map(|word| format!("{}: {word}", source.path.display())));
    }
    assert_none("pure modules take what they need as arguments", offenders);
}

#[test]
fn stages_use_earlier_stages_only() {
    let mut offenders = Vec::new();
    for source in sources() {
        let Some(own) = rank(&source.module) else { continue };
        let later = used(&source.code).into_iter().filter(|used| rank(used).is_some_and(|used| used > own));
        offenders.extend(later.map(|used| format!("{} uses {used}", source.path.display())));
    }
    assert_none("a stage uses earlier stages only", offenders);
}

#[test]
fn only_the_command_line_picks_implementations() {
    let mut offenders = Vec::new();
    for source in sources() {
        let used = used(&source.code);
        let forbidden: &[&str] = match source.module.as_str() {
            "cli" | "main" | "lib" => &[],
            "ops" => &["cli", "nats"],
            "engine" => &["cli", "ops", "nats", "dev"],
            "nats" | "dev" => &["cli", "engine", "ops"],
            _ => &["cli", "engine", "ops", "nats", "dev"],
        };
        let found = used.into_iter().filter(|used| forbidden.contains(used));
        offenders.extend(found.map(|used| format!("{} uses {used}", source.path.display())));
    }
    assert_none("implementations are handed down by cli", offenders);
}

#[test]
fn only_nats_knows_the_client_library() {
    let sources = sources();
    let offenders = sources.iter().filter(|s| s.module != "nats" && s.code.contains("async_nats"));
    assert_none("async-nats is for src/nats alone", offenders.map(|s| s.path.display().to_string()).collect());
}

#[test]
fn the_library_does_not_print() {
    let printing =
        |code: &str| ["println!", "print!", "dbg!", "stdout()", "stderr()"].iter().any(|word| code.contains(word));
    let sources = sources();
    let offenders = sources.iter().filter(|s| !["cli", "main"].contains(&s.module.as_str()) && printing(&s.code));
    assert_none("only src/cli prints", offenders.map(|s| s.path.display().to_string()).collect());
}

/// The type of all output escapes it: in `cli` only one file prints, and its input determines its line breaks.
#[test]
fn one_file_prints_what_was_escaped() {
    let sources = sources();
    let only = |rule: &str, words: &[&str], files: &[&str]| {
        let uses = |s: &&Source| words.iter().any(|word| s.code.replace("use_stderr()", "").contains(word));
        let mut found: Vec<String> = sources.iter().filter(uses).map(|s| s.path.display().to_string()).collect();
        found.sort();
        assert_eq!(found, files, "{rule}");
    };
    let streams = ["stdout()", "stderr()", "println!", "print!", "dbg!"];
    only("standard output and error are in the hands of one file", &streams, &["cli/output.rs"]);
    only("the terminal is asked for secrets by one file", &["/dev/tty"], &["cli/prompt.rs"]);
    only("bars are drawn by one file", &["ProgressBar::", ".set_message("], &["cli/shell.rs"]);
    only(
        "texts with line breaks that were there before are documents of this program, or drawn from what was escaped",
        &["Text::of_lines(", "Text::of_ansi(", ".script("],
        &["cli/completions.rs", "cli/definition.rs", "cli/man.rs", "cli/output.rs", "cli/render.rs", "cli/usage.rs"],
    );
}

/// Only trusted claims are signed. For the fuzz targets, some functions that make trusted claims without a verified
/// token are public. So are functions that sign claims that are not an account's. Each of them has one place where it
/// may be called.
#[test]
fn claims_become_trusted_in_known_places() {
    let sources = sources();
    let only = |what: &str, calls: &dyn Fn(&str) -> bool, files: &[&str]| {
        let mut found: Vec<String> =
            sources.iter().filter(|s| calls(&s.code)).map(|s| s.path.display().to_string()).collect();
        found.sort();
        assert_eq!(found, files, "{what}");
    };
    let calls = |name: &'static str, not_after: &'static str| {
        move |code: &str| {
            code.match_indices(name).any(|(at, _)| {
                let part = code[..at].ends_with(|c: char| c.is_alphanumeric() || not_after.contains(c));
                !part && !code[..at].trim_end().ends_with("fn")
            })
        }
    };
    only(
        "what a plan file asks to sign is reviewed, and nothing else is",
        &|code| code.contains("::reviewed("),
        &["plan/file.rs"],
    );
    only(
        "the claims of a new account are made by the plan",
        &|code| code.contains("TrustedClaims::init("),
        &["plan/starts.rs"],
    );
    only(
        "trusted claims are put together from trusted claims",
        &|code| code.contains("::derived("),
        &["model/claims/trusted.rs", "plan/rollback/plan.rs"],
    );
    only(
        "claims are merged as trusted ones",
        &|code| calls("merge(", "_.:")(code) || code.contains("claims::merge("),
        &["model/claims/trusted.rs"],
    );
    only(
        "users, activations and a local deployment are not accounts of servers; all else is signed as trusted claims",
        &calls("issue(", "_."),
        &["dev/identity.rs", "sign/activation.rs", "sign/token.rs", "sign/user/mod.rs"],
    );
}

/// A path may be a pipe, or a file without end.
#[test]
fn one_file_opens_files_to_read_them() {
    let opens =
        ["fs::read(", "fs::read_to_string", "fs::{read", "File::open", "File::options", "OpenOptions", "pem_file"];
    let allowed = [
        // Opens files for all others.
        "files/read.rs",
        // Writes files: opens folders to sync their entries to disk, and its own unfinished files for their locks.
        "files/write.rs",
        // Writes to pipes and devices.
        "files/device.rs",
        // Opens the terminal.
        "cli/prompt.rs",
    ];
    let mut offenders = Vec::new();
    let mut opening = std::collections::BTreeSet::new();
    for source in sources() {
        let path = source.path.display().to_string();
        for word in opens.iter().filter(|word| source.code.contains(**word)) {
            match allowed.contains(&path.as_str()) {
                true => drop(opening.insert(path.clone())),
                false => offenders.push(format!("{path}: {word}")),
            }
        }
    }
    assert_none("files are opened for reading by src/files/read.rs", offenders);
    assert_eq!(opening.len(), allowed.len(), "exceptions that are none: {opening:?}");
}

#[test]
fn children_inherit_no_secret() {
    let sources = sources();
    let starts = |s: &&Source| s.code.contains("Command::new(") && !s.path.ends_with("sign/memory.rs");
    assert_none(
        "child processes are started by sign::memory::command",
        sources.iter().filter(starts).map(|s| s.path.display().to_string()).collect(),
    );
}

#[test]
fn next_steps_are_sentences() {
    let mut offenders = Vec::new();
    for source in sources() {
        for (at, _) in source.code.match_indices(".next(\"") {
            let text = &source.code[at + ".next(\"".len()..];
            let text = &text[..text.find("\")").unwrap_or(text.len())];
            let sentence = text.starts_with(char::is_uppercase) && text.ends_with(['.', '?']);
            if !(sentence || text.is_empty()) {
                offenders.push(format!("{}: {text}", source.path.display()));
            }
        }
    }
    assert_none("a next step is a sentence with a capital and a full stop", offenders);
}

/// The texts of the JSON Schema and of `--help` are for users.
#[test]
fn doc_comments_start_with_a_verb_or_a_noun() {
    let mut offenders = Vec::new();
    for source in sources().iter().filter(|s| s.module != "cli" && !s.path.ends_with("definition/raw.rs")) {
        let mut before = "";
        for line in source.text.lines().map(str::trim_start) {
            let opens = ["What ", "Whether ", "Who ", "How ", "Its "];
            let said = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! "));
            let goes_on = before.starts_with("///") || before.starts_with("//!");
            if said.is_some_and(|said| !goes_on && opens.iter().any(|word| said.starts_with(word))) {
                offenders.push(format!("{}: {line}", source.path.display()));
            }
            before = line;
        }
    }
    assert_none("a doc comment starts with a third-person verb or with a noun (docs/style.md)", offenders);
}

#[test]
fn uses_are_found_in_groups_too() {
    let found = used("use crate::plan::Plan;\nuse crate::{ops::{a, b}, sign};\nlet x = crate::cli::command();");
    assert_eq!(found, ["plan", "ops", "sign", "cli"]);
}

/// Every test searches the output of the command for secrets.
#[test]
fn tests_look_for_secrets_in_what_they_run() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let (mut folders, mut offenders, mut looked) = (vec![tests.clone()], Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let runs = ["Command::new(VSTREAM)", "Command::new(support::VSTREAM)", "CARGO_BIN_EXE_vstream-jwt\"))"];
            let runs = path.extension().is_some_and(|e| e == "rs") && runs.iter().any(|run| text.contains(run));
            let listens = ["output()", "Stdio::piped()"].iter().any(|how| text.contains(how));
            looked += usize::from(runs);
            if runs && listens && !text.contains("secrets") {
                offenders.push(path.strip_prefix(&tests).unwrap().display().to_string());
            }
        }
    }
    assert!(looked > 8, "tests run the command: {looked}");
    assert_none("runs of the command go through tests/it/support/secrets.rs", offenders);
}

/// `scripts/scan-secrets` searches the output of other suites by the same rules.
#[test]
fn secrets_in_files_are_named_by_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (body, signature) = ("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".repeat(2), "x".repeat(86));
    let seeds = ["SO", "SA", "SU", "SN", "SC", "SX"].map(|kind| format!("key={kind}{}\n", &body[..56]));
    let token = format!("eyJhbGciOiJlZDI1NTE5In0.eyJzdWIiOiJBIn0.{signature}");
    let shown = write("shown.log", format!("nothing\n{}token {token}\nAGE-SECRET-KEY-1X\n", seeds.concat()));
    // Public keys, claims without a signature, and text that is too short.
    let public = format!("A{}\neyJhbGciOiJlZDI1NTE5In0.eyJzdWIiOiJBIn0\nSO{}\n", &body[..55], &body[..55]);
    let clean = write("clean.log", public);
    let found = crate::support::secrets::in_files(&[clean, shown.clone()]).unwrap();
    let line = |number: usize, what: &str| format!("{}:{number}: {what}", shown.display());
    let mut expected: Vec<String> = (2..8).map(|number| line(number, "a seed")).collect();
    expected.extend([line(8, "a signed token"), line(9, "an age identity")]);
    assert_eq!(found, expected);
    assert!(
        crate::support::secrets::in_files(&[folder.path().join("none")]).is_err(),
        "what cannot be read was not looked at"
    );
}

/// Before server 2.15, a new leader restores old values. The demo makes a leader step down, but of a stream that drops
/// nothing.
#[test]
fn nothing_but_the_demo_lets_a_leader_step_down() {
    let names = |source: &Source| source.code.contains("STEPDOWN");
    let paths: Vec<String> =
        sources().iter().filter(|source| names(source)).map(|s| s.path.display().to_string()).collect();
    let known = ["desired/api.rs", "model/names.rs", "ops/demo/traffic.rs"];
    let others: Vec<&String> = paths.iter().filter(|path| !known.iter().any(|known| path.ends_with(known))).collect();
    assert!(others.is_empty() && paths.len() == known.len(), "{paths:?}");
}
