//! The whole workflow on the command line: define, plan, apply, use, verify, change, destroy.

use crate::support::{self, Cluster, client, eventually, vstream, vstream_json};
use serde_json::{Value, json};
use std::process::Output;

fn exit(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn request(client: &async_nats::Client, subject: &str, body: Value) -> Value {
    let payload = if body.is_null() { String::new() } else { body.to_string() };
    let reply = client.request(subject.to_owned(), payload.into()).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

/// Replaces the virtual streams of the definition that `dev` wrote.
fn define(cluster: &Cluster, virtual_streams: &str) {
    let path = cluster.definition_path();
    let text = std::fs::read_to_string(&path).unwrap();
    let head = text.split("    virtual_streams:").next().unwrap();
    std::fs::write(&path, format!("{head}    virtual_streams:\n{virtual_streams}")).unwrap();
}

const FOO: &str = "      foo:\n        subjects: [foo.>]\n";
const FOO_AND_ORDERS: &str = "      foo:\n        subjects: [foo.>]\n      orders:\n        subjects: [orders.*.new]\n        \
                              consumers:\n          worker: { ack_policy: explicit }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_becomes_real_is_proved_changed_and_taken_away() {
    let cluster = support::account().await.with_shared_layout();
    define(&cluster, FOO);

    // Nothing exists yet.
    let plan = vstream(&cluster, &["plan"]);
    assert_eq!(exit(&plan), 3, "{}", stderr(&plan));
    assert!(stdout(&plan).contains("+ foo.>  →  $VW.<cluster>.foo.>  (west, central, east)"), "{}", stdout(&plan));
    let verify = vstream(&cluster, &["verify"]);
    assert_eq!(exit(&verify), 3);
    let missing = |line: &str| line.contains("stream foo-write-west") && line.contains("does not exist");
    assert!(stdout(&verify).lines().any(missing), "{}", stdout(&verify));

    // Without a key, `apply` changes nothing.
    let apply = vstream(&cluster, &["apply"]);
    assert_eq!(exit(&apply), 2);
    assert!(stderr(&apply).contains("no operator key was named; nothing was changed"), "{}", stderr(&apply));
    assert_eq!(exit(&vstream(&cluster, &["plan"])), 3);

    let (code, applied) = vstream_json(&cluster, &["apply", "--operator", "op.nk"]);
    assert_eq!((code, &applied["confirmed"]), (0, &json!(true)), "{applied:#}");
    assert_eq!(applied["applied"]["pushed"][0]["servers"].as_array().unwrap().len(), 9);
    assert_eq!(exit(&vstream(&cluster, &["verify"])), 0);
    assert_eq!(exit(&vstream(&cluster, &["plan"])), 0);

    // If there is nothing to change, `apply` pushes nothing.
    let (code, again) = vstream_json(&cluster, &["apply"]);
    assert_eq!((code, &again["applied"]["pushed"]), (0, &json!([])));

    // Each region publishes on the virtual subject, and reads all messages by the virtual name.
    for region in ["west", "central", "east"] {
        let client = client(&cluster, region).await;
        let ack = request(&client, "foo.x", json!(region)).await;
        assert_eq!(ack["stream"], format!("foo-write-{region}"));
    }
    for region in ["west", "central", "east"] {
        let client = client(&cluster, region).await;
        eventually("three messages in each region", async || {
            let info = request(&client, "$JS.API.STREAM.INFO.foo", Value::Null).await;
            assert_eq!(info["config"]["name"], format!("foo-read-{region}"));
            (info["state"]["messages"] == 3).then_some(())
        })
        .await;
        let last = request(&client, "$JS.API.STREAM.MSG.GET.foo", json!({ "last_by_subj": "foo.x" })).await;
        assert_eq!(last["message"]["subject"], "foo.x", "{last}");
    }
    let (code, status) = vstream_json(&cluster, &["status"]);
    assert_eq!((code, &status["verdict"]), (0, &json!("ok")), "{status:#}");

    // Adds another virtual stream, which leaves the first one unchanged.
    define(&cluster, FOO_AND_ORDERS);
    let apply = vstream(&cluster, &["apply", "--operator", "op.nk"]);
    assert_eq!(exit(&apply), 0, "{}", stderr(&apply));
    let east = client(&cluster, "east").await;
    let ack = request(&east, "orders.eu.new", json!(1)).await;
    assert_eq!(ack["stream"], "orders-write-east");
    let west = client(&cluster, "west").await;
    eventually("the order in west", async || {
        let info = request(&west, "$JS.API.CONSUMER.INFO.orders.worker", Value::Null).await;
        (info["num_pending"] == 1).then_some(())
    })
    .await;

    // A virtual stream that was removed from the definition is reported, and stays until `--prune` names it.
    define(&cluster, FOO);
    let (code, plan) = vstream_json(&cluster, &["plan"]);
    assert_eq!((code, &plan["changes"]), (0, &json!(false)));
    let left = plan["accounts"][0]["left_alone"].as_array().unwrap();
    assert!(left.iter().all(|report| report["virtual_stream"] == "orders") && !left.is_empty(), "{left:#?}");
    let (code, plan) = vstream_json(&cluster, &["plan", "--prune", "ordres"]);
    assert_eq!((code, &plan["findings"][0]["code"]), (0, &json!("nothing-to-prune")), "a misspelt name is said");
    let planned = vstream(&cluster, &["plan", "--prune", "orders", "--delete-streams"]);
    let next = "apply --prune orders --delete-streams --operator FILE`.";
    assert!(String::from_utf8_lossy(&planned.stdout).contains(next), "the next step has the same options");
    let prune = ["apply", "--operator", "op.nk", "--prune", "orders", "--delete-streams"];
    let pruned = vstream(&cluster, &prune);
    assert_eq!(exit(&pruned), 0, "{}", stderr(&pruned));
    let info = request(&east, "$JS.API.STREAM.INFO.orders-write-east", Value::Null).await;
    assert_eq!(info["error"]["err_code"], 10059, "{info}");

    // `destroy` removes mappings first, and streams only on request.
    assert_eq!(exit(&vstream(&cluster, &["destroy", "--operator", "op.nk"])), 2);
    let destroyed = vstream(&cluster, &["destroy", "--operator", "op.nk", "--yes"]);
    assert_eq!(exit(&destroyed), 0, "{}", stderr(&destroyed));
    let info = request(&west, "$JS.API.STREAM.INFO.foo-read-west", Value::Null).await;
    assert_eq!(info["state"]["messages"], 3, "{info}");
    let info = request(&west, "$JS.API.STREAM.INFO.foo", Value::Null).await;
    assert_eq!(info["error"]["err_code"], 10059, "the virtual name is gone: {info}");
    let deleted = vstream(&cluster, &["destroy", "--operator", "op.nk", "--yes", "--delete-streams"]);
    assert_eq!(exit(&deleted), 0, "{}", stderr(&deleted));
    let info = request(&west, "$JS.API.STREAM.INFO.foo-read-west", Value::Null).await;
    assert_eq!(info["error"]["err_code"], 10059, "{info}");
}
