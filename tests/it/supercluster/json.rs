//! Compares the JSON output of verbs with its documentation, on a small super-cluster.

use crate::support::documented::compare;
use crate::support::{Cluster, options, up, vstream, vstream_json};
use vstream_jwt::dev::DevOptions;

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_of_verbs_that_ask_servers_are_as_documented() {
    let cluster = up(DevOptions { regions: vec!["west".to_owned(), "east".to_owned()], servers: 1, ..options() }).await;
    let definition = cluster.definition_path();
    let mut text = std::fs::read_to_string(&definition).unwrap();
    text += "        consumers: { worker: { ack_policy: explicit } }\n";
    std::fs::write(&definition, text).unwrap();

    let check = |heading: &str, exit: i32, args: &[&str]| {
        let (code, document) = vstream_json(&cluster, args);
        assert_eq!(code, exit, "{args:?}: {document:#}");
        compare(heading, &document);
    };
    check("## `validate --online`", 0, &["validate", "--online"]);
    check("## `plan`", 3, &["plan"]);
    aloud(&cluster);
    check("## `plan`", 3, &["plan"]);
    check("## Failures", 2, &["apply"]);
    check("## `keys generate`", 0, &["keys", "generate", "--operator", "--name", "stranger"]);
    check("## Failures", 1, &["apply", "--operator", "stranger.nk"]);
    check("## `apply`", 0, &["apply", "--operator", "op.nk"]);
    check("## `verify`", 0, &["verify"]);
    check("## `history`", 0, &["history"]);
    check("## `history RECORD`", 0, &["history", "last"]);
    check("## `rollback`", 0, &["rollback", "--last", "--operator", "op.nk"]);
    check("## `apply`", 0, &["apply", "--operator", "op.nk"]);
    check("## `rollback`", 0, &["rollback", "last", "--operator", "op.nk"]);
    check("## `verify`", 0, &["status"]);
    check("## `explain`", 0, &["explain", "foo.x", "--cluster", "west"]);
    check("## `dev status`", 0, &["dev", "status", "--folder", "."]);
    check("## `apply`", 0, &["destroy", "--operator", "op.nk", "--yes", "--delete-streams"]);
    check("## `history RECORD OTHER`", 0, &["history", "last~1", "last"]);
    check("## Failures", 1, &["rollback", "--last", "--operator", "op.nk"]);
    check("## Failures", 2, &["rollback", "nothing", "--operator", "op.nk"]);
    check("## `dev status`", 0, &["dev", "kill", "east", "--folder", "."]);
}

/// Runs every verb that handles keys or tokens with the most verbose output, which is searched for secrets
/// (`support/secrets.rs`).
fn aloud(cluster: &Cluster) {
    let operator = ["--operator", "op.nk"];
    let talks = |code: i32, args: &[&str]| {
        let output = vstream(cluster, &[args, &["-vvv"]].concat());
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        text.len()
    };
    let with_operator = |code: i32, args: &[&str]| talks(code, &[args, &operator].concat());
    talks(0, &["init", "new"]);
    talks(0, &["validate", "--online"]);
    for what in ["mappings", "streams", "claims", "permissions"] {
        talks(0, &["render", what]);
    }
    talks(0, &["keys", "generate", "--operator", "--name", "loud"]);
    talks(0, &["keys", "generate", "--regional"]);
    talks(0, &["keys", "list"]);
    talks(0, &["keys", "check"]);
    talks(0, &["keys", "inspect", "keys/op.nk"]);
    talks(0, &["keys", "inspect", "keys/app.creds"]);
    talks(3, &["plan", "--out", "p.json"]);
    with_operator(0, &["sign", "p.json", "--out", "s.json"]);
    talks(0, &["keys", "inspect", "operator.jwt"]);
    talks(0, &["apply", "s.json"]);
    with_operator(1, &["apply", "p.json"]);
    with_operator(0, &["apply"]);
    talks(0, &["verify", "--wait", "1m"]);
    talks(0, &["status"]);
    talks(0, &["explain", "foo.x", "--cluster", "west", "--user", "keys/app.creds"]);
    talks(0, &["history"]);
    talks(0, &["history", "last"]);
    with_operator(0, &["rollback", "--last"]);
    with_operator(0, &["apply"]);
    with_operator(0, &["destroy", "--yes", "--delete-streams"]);
    // Seeds and tokens in the wrong places.
    let seed = std::fs::read_to_string(cluster.keys_folder().join("op.nk")).unwrap();
    talks(2, &["apply", "--operator", seed.trim()]);
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
    std::fs::write(cluster.folder().join("seed.yaml"), format!("{definition}\nseed: {seed}")).unwrap();
    talks(2, &["validate", "--definition", "seed.yaml"]);
}
