//! Tests the documentation: links lead to existing pages, and every verb, flag, exit code, finding and JSON field is
//! there.

use crate::support::documented::{compare, section};
use crate::support::secrets::output;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use vstream_jwt::model::prefixes::PREFIXES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
}

/// Returns every page for users: `docs/`, `keys/` and the pages in the root.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    files(&root().join("docs"), "md", &mut pages);
    let others = ["keys/README.md", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
    pages.extend(others.map(|page| root().join(page)));
    pages.sort();
    pages
}

/// Returns the text without code blocks.
fn prose(text: &str) -> String {
    let mut code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the targets of `](…)`, `src="…"` and `href="…"`.
fn links(text: &str) -> Vec<&str> {
    let ends = [("](", ')'), ("src=\"", '"'), ("href=\"", '"')];
    let found = ends.iter().flat_map(|(start, end)| {
        text.match_indices(start).filter_map(move |(at, _)| {
            let rest = &text[at + start.len()..];
            Some(&rest[..rest.find(*end)?])
        })
    });
    found.collect()
}

/// Returns the anchors of a page's headings, in GitHub's form.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| -> String {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&prose(&text)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let good = match (target.exists(), anchor) {
                (exists, "") => exists,
                (exists, anchor) => {
                    exists && anchors(&std::fs::read_to_string(&target).unwrap()).iter().any(|a| a == anchor)
                }
            };
            if !good {
                broken.push(format!("{}: {link}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n  {}", broken.join("\n  "));
}

#[test]
fn every_page_is_reached_from_the_index() {
    let docs = root().join("docs").canonicalize().unwrap();
    let mut open = vec![docs.join("README.md")];
    open.extend(root().join("README.md").canonicalize());
    let mut seen = BTreeSet::new();
    while let Some(page) = open.pop() {
        if !seen.insert(page.clone()) {
            continue;
        }
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&prose(&text)) {
            let path = link.split('#').next().unwrap();
            if path.ends_with(".md") && !path.contains("://") {
                open.extend(page.parent().unwrap().join(path).canonicalize());
            }
        }
    }
    let mut all = Vec::new();
    files(&docs, "md", &mut all);
    let lost: Vec<_> = all.iter().filter(|page| !seen.contains(*page)).map(|page| page.display().to_string()).collect();
    assert!(lost.is_empty(), "no way from docs/README.md or README.md to:\n  {}", lost.join("\n  "));
}

/// Collects all verbs with their own arguments; common ones are left out.
fn verbs(command: &clap::Command, prefix: &str, found: &mut Vec<(String, Vec<String>)>) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let name = format!("{prefix}{}", verb.get_name());
        let own = verb.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"));
        let own = own.filter(|arg| !arg.is_hide_set()).map(|arg| match arg.get_long() {
            Some(long) => format!("--{long}"),
            None => arg.get_value_names().map_or_else(String::new, |names| names[0].to_string()),
        });
        found.push((name.clone(), own.collect()));
        verbs(verb, &format!("{name} "), found);
    }
}

#[test]
fn the_reference_has_every_verb_and_flag() {
    let text = read("docs/reference/verbs.md").replace("\\|", "|");
    let command = vstream_jwt::cli::command();
    let mut missing = Vec::new();
    let common = section(&text, "## Common options", true).unwrap();
    for arg in command.get_arguments().filter_map(clap::Arg::get_long) {
        if !common.contains(&format!("`--{arg}")) {
            missing.push(format!("common options: --{arg}"));
        }
    }
    let mut all = Vec::new();
    verbs(&command, "", &mut all);
    assert!(all.len() > 20, "the command has verbs");
    for (verb, arguments) in all {
        let heading = format!("{} {verb}", if verb.contains(' ') { "###" } else { "##" });
        let Some(section) = section(&text, &heading, false) else {
            missing.push(format!("the heading `{heading}`"));
            continue;
        };
        for argument in arguments {
            if !section.contains(&format!("`{argument}")) {
                missing.push(format!("{verb}: {argument}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/reference/verbs.md lacks\n  {}", missing.join("\n  "));
}

/// Returns the files that may have a test of this name. They are those of its module's path, in `src` if the path has
/// `tests` in it, else in `tests/it`.
fn files_of_test(path: &str) -> Vec<PathBuf> {
    let modules: Vec<&str> = path.split("::").collect();
    let modules = &modules[..modules.len() - 1];
    let of_unit = modules.contains(&"tests");
    let folder = root().join(if of_unit { "src" } else { "tests/it" });
    let below = |modules: &[&str]| folder.join(modules.iter().collect::<PathBuf>());
    let file = |modules: &[&str]| [below(modules).with_extension("rs"), below(modules).join("mod.rs")];
    let outer = modules.iter().position(|module| *module == "tests").map_or(modules, |at| &modules[..at]);
    file(modules).into_iter().chain(file(outer)).filter(|path| path.exists()).collect()
}

/// Checks if a test of this name exists, or a module of tests.
fn is_a_test(path: &str) -> bool {
    let name = path.rsplit("::").next().unwrap();
    let of_module = |path: &Path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("#[test]"));
    files_of_test(path).iter().any(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        let tests = text.match_indices(&format!("fn {name}(")).any(|(at, _)| {
            let before: Vec<&str> = text[..at].lines().rev().take(8).collect();
            before.iter().any(|line| line.trim_start().starts_with("#[test]") || line.contains("#[tokio::test"))
        });
        tests
            || text.contains(&format!("mod {name};")) && of_module(&file.with_extension("").join(format!("{name}.rs")))
    })
}

/// Every test that the threat model cites exists.
#[test]
fn the_tests_of_the_threat_model_exist() {
    let text = read("docs/threat-model.md");
    let named: BTreeSet<&str> =
        text.split('`').skip(1).step_by(2).filter(|text| text.contains("::") && *text != "tests::").collect();
    assert!(named.len() > 60, "tests were found: {}", named.len());
    let gone: Vec<&&str> = named.iter().filter(|path| !is_a_test(path)).collect();
    assert!(gone.is_empty(), "docs/threat-model.md names tests that are not there:\n  {gone:#?}");
    assert!(!is_a_test("supercluster::trust::no_such_test") && !is_a_test("no::such::tests::module"));
}

const DEFINITION: &str = "version: 1
system: { credentials: keys/sys.creds }
regions:
  west: { servers: [nats://127.0.0.1:14222] }
  east: { servers: [nats://127.0.0.1:24222] }
accounts:
  APP:
    id: AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN
    credentials: keys/app.creds
    layout: shared
    virtual_streams:
      foo:
        subjects: [foo.>]
        consumers:
          worker: { ack_policy: explicit }
";

fn folder_with_definition() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vstream.yaml"), DEFINITION).unwrap();
    folder
}

#[test]
fn the_documents_of_offline_verbs_are_as_documented() {
    let folder = folder_with_definition();
    let run = |args: &[&str]| -> Value {
        let out = output(
            Command::new(env!("CARGO_BIN_EXE_vstream-jwt"))
                .current_dir(folder.path())
                .args(args)
                .args(["--format", "json"]),
        );
        serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    };
    for (heading, args) in [
        ("## `validate`", &["validate"][..]),
        ("## `render mappings`", &["render", "mappings"]),
        ("## `render streams`", &["render", "streams"]),
        ("## `render claims`", &["render", "claims"]),
        ("## `render permissions`", &["render", "permissions"]),
        ("## `render --out`", &["render", "streams", "--out", "rendered"]),
        ("## `init`", &["init", "new"]),
        ("## `keys generate`", &["keys", "generate", "--name", "app"]),
        ("## `keys list`", &["keys", "list"]),
        ("## `keys check`", &["keys", "check"]),
        ("## `keys inspect`", &["keys", "inspect", "keys/app.nk"]),
        ("## `completions`", &["completions", "bash"]),
        ("## `man`", &["man"]),
        ("## `man --out`", &["man", "--out", "man"]),
        ("## Failures", &["validate", "--definition", "new/vstream.yaml"]),
        ("## Failures", &["validate", "--definition", "nowhere"]),
        ("## Failures", &["no-such-verb"]),
    ] {
        compare(heading, &run(args));
    }
}

/// Calls whose first text is the code of a finding or failure.
const SAYING: [&str; 13] = [
    "code: ",
    "Failure::failed(",
    "Failure::usage(",
    "Self::failed(",
    "Self::usage(",
    "failure(",
    "Exit::Usage, ",
    "Exit::Unconfirmed, ",
    "Finding::error(",
    "Finding::warning(",
    "Finding::info(",
    ".wrong(",
    ".warn(",
];

/// Checks if a source file contains only tests, or is in a folder with tests.
fn is_test(path: &Path) -> bool {
    super::structure::is_test(path.strip_prefix(root().join("src")).unwrap_or(path))
}

const MOD_TESTS: &str = "#[cfg(test)]\nmod tests {";

/// Returns the codes of findings and failures in the source, except those of definitions. These are the first texts of
/// the calls in `SAYING`, and all literals that look like a code.
fn codes() -> BTreeSet<String> {
    let mut sources = Vec::new();
    files(&root().join("src"), "rs", &mut sources);
    sources.retain(|path| !is_test(path) && !path.starts_with(root().join("src/definition")));
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase());
    let mut codes = BTreeSet::new();
    for path in sources {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split(MOD_TESTS).next().unwrap();
        let kebab = |part: &&str| part.contains('-') && part.split('-').all(word);
        codes.extend(text.split('"').skip(1).step_by(2).filter(kebab).map(str::to_owned));
        for call in SAYING {
            for (at, _) in text.match_indices(call) {
                let rest = text[at + call.len()..].trim_start();
                let first = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
                codes.extend(first.filter(|first| first.split('-').all(word)).map(str::to_owned));
            }
        }
    }
    let of_a_uri = ["module-path", "pin-source", "pin-value", "slot-id"];
    let names = ["vstream-jwt", "vstream-dev", "vstream-demo", "vstream-lease", "nats-server", "kebab-case"];
    for not_a_code in of_a_uri.into_iter().chain(names) {
        codes.remove(not_a_code);
    }
    assert!(codes.len() > 100, "codes were found: {}", codes.len());
    codes
}

#[test]
fn every_code_is_explained() {
    let text = read("docs/reference/findings.md") + &read("docs/runbooks.md");
    let missing: Vec<String> = codes().into_iter().filter(|code| !text.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "neither findings.md nor runbooks.md has\n  {}", missing.join("\n  "));
}

/// Each code has its own runbook entry, which says what to do at three in the morning. A mention is not enough.
#[test]
fn every_code_has_a_runbook_entry() {
    let text = read("docs/runbooks.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let entries: BTreeSet<&str> = rows
        .filter_map(|row| row.trim_start_matches("| ").split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let codes = codes();
    assert!(codes.contains("overlapping-sources") && codes.contains("permission-missing"), "{codes:?}");
    let missing: Vec<&String> = codes.iter().filter(|code| !entries.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "docs/runbooks.md has no entry for\n  {missing:?}");
}

/// Returns the text of all tests, except this file with its lists.
fn tests() -> String {
    let mut paths = Vec::new();
    for ending in ["rs", "sh", "py"] {
        files(&root().join("tests"), ending, &mut paths);
    }
    files(&root().join("src"), "rs", &mut paths);
    paths.retain(|path| !path.ends_with(file!()));
    let own = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let all = is_test(path) || path.starts_with(root().join("tests"));
        if all { text } else { text.split(MOD_TESTS).skip(1).collect() }
    };
    paths.iter().map(own).collect()
}

/// Codes that no test names, with the reason.
const UNNAMED: [&str; 7] = [
    // A failure on the servers of a demo, which starts only servers that work.
    "demo-traffic",
    "demo-unconfirmed",
    // Only humans see this message, and without its code.
    "format-markdown",
    // Every test machine has random numbers.
    "no-random",
    // Servers that fail between two requests of one run. The suite `disasters` kills servers at any moment, and
    // requires the next run to finish, whatever the killed one printed.
    "not-caught-up",
    "provisioning",
    "unconfirmed",
];

/// A finding or failure that no test names could disappear unnoticed.
#[test]
fn every_code_is_named_by_a_test() {
    let tests = tests();
    let named = |code: &str| {
        // `"code"`, `[code]` as in human output, `'code'` in a script.
        [('"', '"'), ('[', ']'), ('\'', '\'')]
            .iter()
            .any(|(open, close)| tests.contains(&format!("{open}{code}{close}")))
    };
    let codes = codes();
    let unnamed: BTreeSet<&str> = codes.iter().map(String::as_str).filter(|code| !named(code)).collect();
    let excepted = BTreeSet::from(UNNAMED);
    let missing: Vec<_> = unnamed.difference(&excepted).collect();
    assert!(missing.is_empty(), "no test names\n  {missing:?}");
    let needless: Vec<_> = excepted.difference(&unnamed).collect();
    assert!(needless.is_empty(), "named by a test, or gone; no exceptions any more:\n  {needless:?}");
}

#[test]
fn every_code_of_a_definition_is_explained() {
    let text = read("docs/reference/definition.md") + &read("docs/runbooks.md");
    let mut sources = Vec::new();
    files(&root().join("src/definition"), "rs", &mut sources);
    let mut missing = BTreeSet::new();
    for path in sources {
        let source = std::fs::read_to_string(path).unwrap();
        for (at, call) in ["report(\"", "Problem::new(\""].iter().flat_map(|call| source.match_indices(call)) {
            let code = source[at + call.len()..].split('"').next().unwrap();
            if !text.contains(&format!("`{code}`")) {
                missing.insert(code.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "neither definition.md nor runbooks.md has\n  {missing:?}");
}

#[test]
fn the_prefixes_are_those_of_the_code() {
    let text = read("docs/concepts.md");
    let section = text.split("## Subjects of its own").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted = PREFIXES.map(|prefix| format!("| `{}` | {} | {} |", prefix.form, prefix.account, prefix.meaning));
    assert_eq!(rows, wanted);
    for prefix in PREFIXES {
        assert!(prefix.form.starts_with(prefix.token), "{prefix:?}");
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let text = read("docs/reference/exit-codes.md");
    for code in 0..=4 {
        assert!(text.contains(&format!("\n| {code} | ")), "exit code {code}");
    }
}

#[test]
fn what_can_be_allowed_is_listed() {
    let text = read("docs/reference/verbs.md");
    let listed = section(&text, "### What can be allowed", false).unwrap();
    let out =
        output(Command::new(env!("CARGO_BIN_EXE_vstream-jwt")).current_dir(folder_with_definition().path()).args([
            "plan",
            "--allow",
            "no-such-finding",
        ]));
    let said = String::from_utf8(out.stderr).unwrap();
    let codes = said.split("Name one of ").nth(1).expect("it says what can be allowed");
    for code in codes.trim().trim_end_matches('.').split(", ") {
        assert!(listed.contains(&format!("`{code}`")), "verbs.md does not say what --allow {code} does");
    }
}

#[test]
fn permissions_are_those_of_the_code() {
    let text = read("docs/permissions.md");
    let table = vstream_jwt::nats::permissions::table();
    if std::env::var_os("VSTREAM_UPDATE").is_some() && !text.contains(&table) {
        let (before, rest) = text.split_once("<!-- table -->\n").unwrap();
        let after = rest.split_once("<!-- end -->").unwrap().1;
        let updated = format!("{before}<!-- table -->\n{table}<!-- end -->{after}");
        std::fs::write(root().join("docs/permissions.md"), updated).unwrap();
    }
    assert!(read("docs/permissions.md").contains(&table), "docs/permissions.md is out of date: VSTREAM_UPDATE=1");
}
