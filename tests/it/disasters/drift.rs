//! Changes by hand and by other tools. `verify` names each, and `apply` repairs it or says why it may not.

use crate::disasters::steps::{APPLY, expect, in_sync, run};
use crate::disasters::traffic::{Ledger, Traffic, arrived, ask};
use crate::support::bench::Bench;
use crate::support::{Cluster, PATIENCE, client, eventually, small, system_client};
use async_nats::Client;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use vstream_jwt::dev::DevServer;
use vstream_jwt::model::claims::AccountClaims;
use vstream_jwt::observed::Server as Observed;
use vstream_jwt::sign::file::read_seed_file;
use vstream_jwt::sign::issue;

const ALL: [&str; 3] = ["west", "central", "east"];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_by_hand_is_named_and_repaired() {
    let cluster = small().await.with_shared_layout();
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
    let consumers = "        consumers:\n          worker: { ack_policy: explicit, max_deliver: 5 }\n";
    std::fs::write(cluster.definition_path(), definition + consumers).unwrap();
    let without_mappings = token_on(&cluster, &cluster.servers()[0]);
    expect(&cluster, 0, &APPLY).await;
    in_sync(&cluster, "at the start").await;
    let drift = Drift { account: client(&cluster, "west").await, ledger: Ledger::default(), cluster, without_mappings };

    drift.older_copy_pushed_everywhere().await;
    drift.source_removed().await;
    drift.consumers_deleted_and_changed().await;
    drift.subjects_changed().await;
    drift.read_stream_deleted().await;
    drift.write_stream_deleted().await;
    drift.other_token_in_one_region().await;
    drift.older_token_on_one_server().await;
    drift.what_apply_may_not_do_by_itself().await;
}

struct Drift {
    cluster: Cluster,
    account: Client,
    ledger: Ledger,
    /// Token of the account before the first `apply`.
    without_mappings: String,
}

impl Drift {
    async fn older_copy_pushed_everywhere(&self) {
        let what = "another tool pushed its older copy";
        self.push(&system_client(&self.cluster).await, 3).await;
        let servers: Vec<&str> = vec!["another tool pushed its own copy of the account"];
        self.verify_names(what, "mappings-gone", &servers).await;
        self.repaired(what).await;
    }

    async fn older_token_on_one_server(&self) {
        let what = "an older token in the folder of one server";
        let server = &self.cluster.servers()[2];
        self.cluster.kill(&server.name).await.unwrap();
        std::fs::write(self.token_path(server), &self.without_mappings).unwrap();
        self.cluster.start(&server.name).await.unwrap();
        self.cluster.wait_ready(PATIENCE).await.unwrap();
        self.verify_names(what, "stored-differently", &[&format!("{} ({}): has an older token", server.name, "east")])
            .await;
        self.repaired(what).await;
    }

    async fn other_token_in_one_region(&self) {
        let what = "another tool pushed its older copy in a region that was cut off";
        self.cluster.cut("east").await.unwrap();
        self.cluster.wait_ready(PATIENCE).await.unwrap();
        self.push(&in_east(&self.cluster).await, 1).await;
        self.cluster.heal("east").await.unwrap();
        self.cluster.wait_ready(PATIENCE).await.unwrap();
        self.verify_names(what, "mappings-gone", &["west-1 (west): has an older token", "missing: foo.>"]).await;
        self.repaired(what).await;
    }

    async fn source_removed(&self) {
        let what = "a source was removed from a read stream";
        self.publish().await;
        self.update("foo-read-east", |config| {
            config["sources"].as_array_mut().unwrap().retain(|source| source["name"] != "foo-write-west");
        })
        .await;
        self.publish().await;
        self.verify_names(what, "source-missing", &["foo-read-east", "does not source foo-write-west"]).await;
        self.repaired(what).await;
        self.arrived(what).await;
    }

    async fn consumers_deleted_and_changed(&self) {
        let what = "consumers were deleted and changed";
        self.done("$JS.API.CONSUMER.DELETE.foo-read-west.worker", &Value::Null).await;
        let info = self.done("$JS.API.CONSUMER.INFO.foo-read-east.worker", &Value::Null).await;
        let mut config = info["config"].clone();
        config["max_deliver"] = json!(7);
        let body = json!({ "stream_name": "foo-read-east", "config": config });
        self.done("$JS.API.CONSUMER.DURABLE.CREATE.foo-read-east.worker", &body).await;
        let named = [
            "stream foo-read-west, consumer worker: does not exist",
            "stream foo-read-east, consumer worker: `max_deliver` is 7, should be 5",
        ];
        self.verify_names(what, "consumer-missing", &named).await;
        self.repaired(what).await;
    }

    async fn subjects_changed(&self) {
        let what = "subjects of a write stream were changed";
        self.update("foo-write-central", |config| config["subjects"] = json!(["foo.other.>"])).await;
        let named = ["stream foo-write-central: `subjects` is [\"foo.other.>\"], should be [\"$VW.central.foo.>\"]"];
        self.verify_names(what, "config-differs", &named).await;
        self.repaired(what).await;
        self.publish().await;
        self.arrived(what).await;
    }

    async fn read_stream_deleted(&self) {
        let what = "a read stream was deleted";
        self.done("$JS.API.STREAM.DELETE.foo-read-central", &Value::Null).await;
        self.verify_names(what, "stream-missing", &["stream foo-read-central: does not exist"]).await;
        self.repaired(what).await;
        self.arrived(what).await;
    }

    async fn write_stream_deleted(&self) {
        let what = "a write stream was deleted";
        self.done("$JS.API.STREAM.DELETE.foo-write-west", &Value::Null).await;
        self.verify_names(what, "stream-missing", &["stream foo-write-west: does not exist"]).await;
        // Sources can miss messages that the stream stores before they ask for it.
        let traffic = Traffic::start(&self.cluster, &ALL, &self.ledger).await;
        let ran = run(&self.cluster, &APPLY).await;
        assert!(ran.code == 0 && ran.text.contains("[made-anew]"), "{what}: {}", ran.text);
        traffic.advance(&ALL, 10).await;
        traffic.stop().await;
        self.arrived(what).await;
        let took = in_sync(&self.cluster, what).await;
        eprintln!("{what}: in sync after {took:.1?} more");
        assert_eq!(run(&self.cluster, &["plan"]).await.code, 0, "{what}: something is left to do");
        // Some servers forget a stream that was changed less than a minute before a restart; `plan` warns of that.
        if Bench::new(&self.cluster).await.deployment().await.servers.iter().any(Observed::forgets_changed_streams) {
            tokio::time::sleep(Duration::from_secs(62)).await;
        }
        // Servers of 2.10 would empty the stream at their next start if it kept its `first_seq`.
        self.cluster.kill("west-1").await.unwrap();
        self.cluster.start("west-1").await.unwrap();
        self.cluster.wait_ready(PATIENCE).await.unwrap();
        let kept = async || {
            let info = ask(&self.account, "$JS.API.STREAM.INFO.foo-write-west", "").await?;
            (info["state"]["messages"].as_u64()? >= 10).then_some(())
        };
        eventually("the write stream keeps what it has", kept).await;
        in_sync(&self.cluster, what).await;
    }

    async fn what_apply_may_not_do_by_itself(&self) {
        let what = "our metadata was removed";
        self.update("foo-write-east", |config| config["metadata"] = json!({})).await;
        self.verify_names(what, "not-ours", &["stream foo-write-east: exists, but without our metadata"]).await;
        self.refused(what, "not-ours", "--adopt").await;
        expect(&self.cluster, 0, &[&APPLY[..], &["--adopt"]].concat()).await;
        in_sync(&self.cluster, what).await;

        let what = "a source that is not in the definition";
        self.done("$JS.API.STREAM.CREATE.other", &json!({ "name": "other", "subjects": ["other"] })).await;
        self.update("foo-read-west", |config| {
            config["sources"].as_array_mut().unwrap().push(json!({ "name": "other" }));
        })
        .await;
        self.verify_names(what, "source-extra", &["stream foo-read-west: sources other"]).await;
        self.refused(what, "removes-source", "--allow removes-source").await;
        expect(&self.cluster, 0, &[&APPLY[..], &["--allow", "removes-source"]].concat()).await;
        in_sync(&self.cluster, what).await;

        let what = "a longer max_age, with no message beyond the defined one";
        self.update("foo-write-west", |config| config["max_age"] = json!(7 * 86_400_000_000_000u64)).await;
        self.verify_names(what, "config-differs", &["stream foo-write-west: `max_age`"]).await;
        self.repaired(what).await;
        self.arrived(what).await;

        let what = "a source that was changed in what makes its identity";
        self.update("foo-read-west", |config| {
            let mut sources = config["sources"].as_array_mut().unwrap().iter_mut();
            let source = sources.find(|source| source["name"] == "foo-write-east").unwrap();
            source["subject_transforms"] = json!([{ "src": "foo.numbers", "dest": "foo.numbers" }]);
        })
        .await;
        self.verify_names(
            what,
            "source-changed",
            &["stream foo-read-west: sources foo-write-east in another way: `subject_transforms` is"],
        )
        .await;
        self.refused(what, "imports-again", "--allow imports-again").await;
    }

    async fn arrived(&self, what: &str) {
        let took = arrived(&self.cluster, &self.ledger, what).await;
        eprintln!("{what}: all {} messages everywhere after {took:.1?}", self.ledger.len());
    }

    async fn publish(&self) {
        let traffic = Traffic::start(&self.cluster, &ALL, &self.ledger).await;
        traffic.advance(&ALL, 10).await;
        traffic.stop().await;
    }

    /// Asserts that `verify` ends with 3 and names the change, in both formats.
    async fn verify_names(&self, what: &str, code: &str, named: &[&str]) {
        let ran = run(&self.cluster, &["verify"]).await;
        assert_eq!(ran.code, 3, "{what}: {}", ran.text);
        for name in named {
            assert!(ran.stdout.contains(name), "{what}: verify does not say `{name}`:\n{}", ran.text);
        }
        let ran = run(&self.cluster, &["verify", "--format", "json"]).await;
        assert_eq!(ran.code, 3, "{what}: {}", ran.text);
        assert!(codes(&ran.json()).contains(&code.to_owned()), "{what}: no {code}:\n{}", ran.text);
    }

    async fn repaired(&self, what: &str) {
        let ran = run(&self.cluster, &APPLY).await;
        assert_eq!(ran.code, 0, "{what}: apply ends {}:\n{}", ran.code, ran.text);
        let took = in_sync(&self.cluster, what).await;
        eprintln!("{what}: repaired, in sync after {took:.1?} more");
    }

    /// Asserts that `apply` changes nothing, and says why and how to make the change on purpose.
    async fn refused(&self, what: &str, code: &str, on_purpose: &str) {
        let ran = run(&self.cluster, &APPLY).await;
        assert!(ran.code == 1 && ran.text.contains(code), "{what}: {ran:?}");
        assert!(ran.text.contains(on_purpose) && ran.text.contains("nothing was changed"), "{what}: {}", ran.text);
    }

    async fn update(&self, stream: &str, edit: impl FnOnce(&mut Value)) {
        let info = self.done(&format!("$JS.API.STREAM.INFO.{stream}"), &Value::Null).await;
        let mut config = info["config"].clone();
        edit(&mut config);
        self.done(&format!("$JS.API.STREAM.UPDATE.{stream}"), &config).await;
    }

    async fn done(&self, subject: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let done = ask(&self.account, subject, &body).await;
        done.unwrap_or_else(|| panic!("{subject} {body} fails"))
    }

    /// Signs the older copy again and pushes it, as another tool would.
    async fn push(&self, system: &Client, servers: usize) {
        let copy = AccountClaims::decode(&self.without_mappings).unwrap();
        let signer = read_seed_file(&self.cluster.operator_key_path()).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let token = issue(copy.value(), &signer, now + 5).unwrap();
        let inbox = system.new_inbox();
        let mut replies = system.subscribe(inbox.clone()).await.unwrap();
        system.publish_with_reply("$SYS.REQ.CLAIMS.UPDATE", inbox, token.as_str().to_owned().into()).await.unwrap();
        for _ in 0..servers {
            let reply = tokio::time::timeout(Duration::from_secs(5), replies.next()).await.unwrap().unwrap();
            assert!(reply.payload.windows(5).any(|part| part == b"\"code"), "{reply:?}");
        }
    }

    fn token_path(&self, server: &DevServer) -> std::path::PathBuf {
        self.cluster.server_folder(server).join("jwt").join(format!("{}.jwt", self.cluster.account_id()))
    }
}

fn token_on(cluster: &Cluster, server: &DevServer) -> String {
    let path = cluster.server_folder(server).join("jwt").join(format!("{}.jwt", cluster.account_id()));
    std::fs::read_to_string(path).unwrap()
}

async fn in_east(cluster: &Cluster) -> Client {
    let options = async_nats::ConnectOptions::with_credentials_file(cluster.system_credentials_path()).await.unwrap();
    options.connect(cluster.urls("east")).await.unwrap()
}

/// Returns every `code` in the document.
fn codes(document: &Value) -> Vec<String> {
    match document {
        Value::Object(fields) => {
            let own = fields.get("code").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(codes)).collect()
        }
        Value::Array(items) => items.iter().flat_map(codes).collect(),
        _ => Vec::new(),
    }
}
