//! Tests secrets typed on a terminal (`terminal.py`, beside this file, opens one).

use crate::support::secrets;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const DEFINITION: &str = "version: 1
system: { credentials: keys/sys.creds }
regions: { west: { servers: [nats://127.0.0.1:1] } }
accounts:
  APP:
    id: ACWQWT2J3OXL4KI6VIIW53EM3ZQQPSPZEBU3AKFOAP2CI3QWDIHLPW3Z
    credentials: keys/app.creds
    layout: shared
    virtual_streams: { foo: { subjects: [foo.>] } }
";

/// Runs `apply` with an encrypted operator key, and types the answer to its question.
fn typing(typed: &str) -> Value {
    typing_for("op.age", typed)
}

fn typing_for(file: &str, typed: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vstream.yaml"), DEFINITION).unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    let key = folder.path().join(file);
    std::fs::copy(root.join("tests/fixtures/age/passphrase.age"), &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new("python3");
    command.arg(root.join("tests/it/cli/terminal.py")).arg(typed).arg(folder.path());
    command.args([env!("CARGO_BIN_EXE_vstream-jwt"), "apply", "--operator", file, "-vvv"]).env("NO_COLOR", "1");
    let output = secrets::output(&mut command);
    assert!(output.status.success(), "{output:?}");
    let happened: Value = serde_json::from_slice(&output.stdout).unwrap();
    let terminal = happened["terminal"].as_str().unwrap();
    assert!(terminal.starts_with("Passphrase of file "), "the question is on the terminal: {happened}");
    assert_eq!(happened["stdout"], "", "standard output is the result");
    assert_eq!(happened["echo_at_prompt"], false);
    assert_eq!(happened["echo_after"], true, "the terminal is as it was: {happened}");
    assert!(!terminal.contains("horse"), "{happened}");
    happened
}

#[test]
fn a_passphrase_is_asked_for_on_the_terminal() {
    // The run goes on to the servers, for which it has no credentials.
    let right = typing("correct horse battery staple");
    assert!(right["terminal"].as_str().unwrap().starts_with("Passphrase of file op.age: \r\n"), "{right}");
    assert!(right["terminal"].as_str().unwrap().contains("keys/sys.creds"), "{right}");
    assert_eq!(right["exit"], 1);
}

#[test]
fn a_wrong_passphrase_is_refused_as_documented() {
    let wrong = typing("wrong horse battery staple");
    let said = "error: the operator's key file op.age cannot be opened: wrong passphrase";
    assert!(wrong["terminal"].as_str().unwrap().contains(said), "{wrong}");
    assert_eq!(wrong["exit"], 2);
}

#[test]
fn an_interrupted_question_leaves_the_terminal_as_it_was() {
    let ended = typing("ctrl-c");
    assert_eq!(ended["exit"], -2, "by SIGINT: {ended}");
    assert_eq!(ended["terminal"], "Passphrase of file op.age: \r\n");
}

/// The question names the file, whose name can be any text.
#[test]
fn a_question_shows_no_secret_and_obeys_nothing() {
    let seed = vstream_jwt::sign::Seed::generate(vstream_jwt::model::nkey::KeyKind::Operator).unwrap();
    let file = format!("{}.\u{202e}age", seed.reveal().as_str());
    let ended = typing_for(&file, "ctrl-c");
    assert_eq!(ended["terminal"], "Passphrase of file (a seed, not shown).\\u{202e}age: \r\n");
}
