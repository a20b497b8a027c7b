//! Tests definitions through the binary: refused definitions, their messages, and the documentation of both.

use crate::support::secrets::output;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ID: &str = "AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN";

fn definition() -> String {
    format!(
        "version: 1
system: {{ credentials: keys/sys.creds }}
regions:
  west: {{ servers: [nats://127.0.0.1:14222] }}
  east: {{ servers: [nats://127.0.0.1:24222] }}
accounts:
  APP:
    id: {ID}
    credentials: keys/app.creds
    layout: shared
    virtual_streams:
      foo:
        subjects: [foo.>]
"
    )
}

fn run(folder: &Path, args: &[&str]) -> Output {
    output(Command::new(env!("CARGO_BIN_EXE_vstream-jwt")).current_dir(folder).args(args))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn folder_with(definition: impl AsRef<[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vstream.yaml"), definition).unwrap();
    folder
}

/// Runs `validate` in both formats. Asserts exit code 2, and that the output is only the error, with all words.
#[track_caller]
fn refused(folder: &Path, args: &[&str], words: &[&str]) {
    let human = run(folder, &[&["validate"], args].concat());
    let stderr = text(&human.stderr);
    assert_eq!(human.status.code(), Some(2), "{stderr}");
    assert!(human.stdout.is_empty(), "{}", text(&human.stdout));
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in\n{stderr}");
    }
    assert!(!stderr.contains('\x1b'), "colours without a terminal");
    let json = run(folder, &[&["validate", "--format", "json"], args].concat());
    assert_eq!(json.status.code(), Some(2));
    assert!(json.stderr.is_empty(), "{}", text(&json.stderr));
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(document["error"]["exit"], 2);
    assert!(document["error"]["message"].is_string());
}

/// Does the same for one problem in `vstream.yaml`.
#[track_caller]
fn bad(definition: &str, code: &str, place: &str, words: &[&str]) {
    let folder = folder_with(definition);
    let place_in_file = format!("vstream.yaml:{place}");
    refused(folder.path(), &[], &[&[&*format!("error[{code}]"), &*place_in_file], words].concat());
    let json = run(folder.path(), &["validate", "--format", "json"]);
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    let problem = &document["error"]["problems"][0];
    assert_eq!(problem["code"], code);
    assert_eq!(format!("{}:{}", problem["line"], problem["column"]), place);
}

#[test]
fn each_refusal_names_place_cause_and_next_step() {
    let good = definition();
    let stream = |line: &str| format!("{good}        {line}\n");
    let subjects = |subjects: &str| good.replace("[foo.>]", subjects);
    bad(&stream("map_reqeusts: []"), "unknown-key", "14:9", &["did you mean `map_requests`?"]);
    bad(&stream("subjects: [a]"), "duplicate-key", "14:9", &["given twice", "first given here"]);
    bad(&stream("write: { max_msgs: one }"), "wrong-type", "14:28", &["expected a number from -1", "`one`"]);
    bad(&subjects("['']"), "bad-subject", "13:20", &["is empty", "foo.>"]);
    bad(&subjects("[foo.>.x]"), "bad-subject", "13:20", &["only be the last token", "use `*`"]);
    bad(&stream("region_token: 1"), "gone-key", "14:9", &["there is no key `region_token` any more", "remove it"]);
    bad(&subjects("[foo.>]\n      b: { subjects: [foo.a] }"), "overlapping-subjects", "14:23", &["the other subject"]);
    bad(
        &good.replace("nats://127.0.0.1:24222", ""),
        "no-servers",
        "5:20",
        &["`east` has no servers", "nats://host:4222"],
    );
    bad(&good.replace("east: {", "east: { cluster: west,"), "cluster-twice", "5:20", &["name each cluster once"]);
    let regional = good.replace("layout: shared", "layout: regional");
    let serves = |serves: &str| regional.replace("24222] }", &format!("24222], serves: {serves} }}"));
    bad(&serves("[edge, edge]"), "cluster-twice", "5:61", &["`edge`"]);
    bad(&serves("[west]"), "cluster-twice", "5:55", &["`west`"]);
    bad(&serves("[dc1.prod, dc1_prod]"), "clusters-alike", "5:65", &["`dc1_prod`"]);
    bad(&good.replace("24222] }", "24222], serves: [edge] }"), "conflict", "10:13", &["serves other clusters"]);
    let mirrored =
        |more: &str| regional.replace("[foo.>]\n", &format!("[foo.>]\n        consistency: mirrored\n{more}"));
    bad(&mirrored(""), "missing-key", "14:22", &["home"]);
    bad(&mirrored("        home: wset\n"), "unknown-region", "15:15", &["`wset`"]);
    let bucket = "      foo:\n        kind: kv\n        consistency: mirrored\n        home: west\n";
    bad(&good.replace("      foo:\n        subjects: [foo.>]\n", bucket), "conflict", "12:7", &["layout: regional"]);
    bad(&subjects("[$VW.west.foo.>]"), "reserved-subject", "13:20", &["$VW"]);
    bad(
        &subjects("[foo.>]\n      foo-read-west: { subjects: [b] }"),
        "name-collision",
        "14:7",
        &["called like a real one", "rename"],
    );
    bad(&stream("write: { sources: [] }"), "refused-field", "14:18", &["the tool sets it", "remove `sources`"]);
    bad(&stream("write: { max_age: 1 day }"), "wrong-value", "14:27", &["`24h`"]);
    bad(
        &stream("consistency: mirrored\n        home: west"),
        "conflict",
        "12:7",
        &["is mirrored", "choose `layout: regional`"],
    );
    bad(
        &good.replace("        subjects: [foo.>]", "        kind: kv"),
        "conflict",
        "12:7",
        &["is a bucket", "choose `layout: regional`"],
    );
    bad(&good.replace(ID, &ID[..50]), "bad-key", "8:9", &["wrong length", "public key"]);
    bad("a: [1", "yaml", "1:4", &["not valid YAML"]);
    bad("", "empty", "1:1", &["vstream-jwt init"]);
}

#[test]
fn files_that_are_no_definitions() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &[], &["no definition at vstream.yaml", "vstream-jwt init"]);
    refused(folder.path(), &["--definition", "."], &["no *.yaml", ".yaml"]);
    refused(folder_with(" ".repeat(10_000_000)).path(), &[], &["too large", "8 MB"]);
    refused(folder_with(b"version: 1\n# caf\xe9\n").path(), &[], &["vstream.yaml:2:6", "UTF-8"]);
}

#[test]
fn a_folder_is_one_definition() {
    let folder = folder_with(definition());
    let other = "accounts:\n  APP:\n    virtual_streams:\n      bar: { subjects: [bar.>] }\n";
    std::fs::write(folder.path().join("bar.yaml"), other).unwrap();
    std::fs::write(folder.path().join("notes.yml"), "not: [a definition").unwrap();
    let output = run(folder.path(), &["validate", "--definition", ".", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["valid"], true);
    assert_eq!(document["files"], serde_json::json!(["./bar.yaml", "./vstream.yaml"]));
    assert_eq!(document["accounts"][0]["virtual_streams"].as_array().unwrap().len(), 2);

    std::fs::write(folder.path().join("baz.yaml"), other).unwrap();
    refused(folder.path(), &["--definition", "."], &["`bar` is given twice", "./bar.yaml:4:7", "./baz.yaml:4:7"]);
}

#[test]
fn validate_says_what_it_amounts_to() {
    let folder = folder_with(definition());
    let output = run(folder.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    assert_eq!(
        text(&output.stdout),
        "vstream.yaml: valid
2 regions: west, east
account APP: 1 virtual stream, in each region 2 real streams and 0 consumers; an outage of up to 24h loses nothing
"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut init = Command::new(env!("CARGO_BIN_EXE_vstream-jwt"));
    let output = crate::support::secrets::output(init.current_dir(folder.path()).arg("init").stdout(full));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output cannot be written"), "{output:?}");
}

#[test]
fn init_writes_a_definition_that_lacks_only_what_is_to_be_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["init", "new/project"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let project = folder.path().join("new/project");
    assert!(text(&output.stdout).contains("validate --definition new/project/vstream.yaml"));
    for file in ["vstream.yaml", "keys/README.md", "keys/.gitignore"] {
        assert!(project.join(file).is_file(), "{file}");
    }
    refused(&project, &[], &["error[bad-key]", "placeholder", "public key"]);
    let path = project.join("vstream.yaml");
    let filled = std::fs::read_to_string(&path).unwrap().replace("A...", ID);
    std::fs::write(&path, &filled).unwrap();
    assert_eq!(run(&project, &["validate"]).status.code(), Some(0));

    let again = run(&project, &["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("exists already") && again.stdout.is_empty());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), filled);
}

/// Compares a generated file with its expected content; `VSTREAM_UPDATE=1` writes it.
#[track_caller]
fn up_to_date(path: &str, expected: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("VSTREAM_UPDATE").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is out of date: VSTREAM_UPDATE=1 cargo test --test it cli::", path.display());
}

#[test]
fn the_json_schema_is_up_to_date() {
    let schema = serde_json::to_string_pretty(&vstream_jwt::definition::json_schema()).unwrap();
    up_to_date("docs/reference/vstream.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_reference_is_up_to_date_and_its_example_valid() {
    let path = "docs/reference/definition.md";
    let found = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let mark = "--test it cli::`. -->\n";
    let written = &found[..found.find(mark).unwrap() + mark.len()];
    up_to_date(path, &format!("{written}\n{}", vstream_jwt::definition::reference()));
    let example = found.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let output = run(folder_with(example).path(), &["validate"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn no_virtual_stream_is_called_like_a_token_of_the_api() {
    for name in vstream_jwt::desired::api::reserved_names() {
        assert!(vstream_jwt::model::names::API_TOKENS.contains(name), "{name}");
    }
}

#[test]
fn markdown_is_for_plans_alone() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["validate", "--format", "markdown"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty() && text(&output.stderr).contains("--format markdown is for `plan` alone"));
}

#[test]
fn the_command_line_wins_over_the_environment_and_an_empty_variable_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |env: &[(&str, &str)], args: &[&str]| {
        let mut sign = Command::new(env!("CARGO_BIN_EXE_vstream-jwt"));
        sign.current_dir(folder.path())
            .args(["sign", "p.json", "--out", "s.json"])
            .args(args)
            .envs(env.iter().copied());
        let output = output(&mut sign);
        (output.status.code(), text(&output.stderr))
    };
    for value in ["", "exit 9"] {
        let (code, said) =
            plan(&[("VSTREAM_OPERATOR_CMD", value), ("VSTREAM_OPERATOR_IDENTITY", "")], &["--operator", "op.nk"]);
        // The run reads the plan file first.
        assert!(code == Some(1) && said.contains("p.json"), "{said}");
    }
    let (code, said) = plan(&[], &["--operator", "op.nk", "--operator-cmd", "exit 9"]);
    assert!(code == Some(2) && said.contains("cannot be used with"), "{said}");
}
