//! What verbs print for scripts, against its documentation, on a small super-cluster.

use super::documented::compare;
use super::support::{options, up, vstream_json};
use vstream_jwt::dev::Options;

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_of_verbs_that_ask_servers_are_as_documented() {
    let cluster = up(Options { regions: vec!["west".to_owned(), "east".to_owned()], servers: 1, ..options() }).await;
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
    check("## `dev status`", 0, &["dev", "status", "--folder", "."]);
    check("## `apply`", 0, &["destroy", "--operator", "op.nk", "--yes", "--delete-streams"]);
    check("## `history RECORD OTHER`", 0, &["history", "last~1", "last"]);
    check("## Failures", 1, &["rollback", "--last", "--operator", "op.nk"]);
    check("## Failures", 2, &["rollback", "nothing", "--operator", "op.nk"]);
    check("## `dev status`", 0, &["dev", "kill", "east", "--folder", "."]);
}
