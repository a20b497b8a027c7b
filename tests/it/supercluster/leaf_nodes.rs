//! Clients behind leaf nodes: their messages, their requests, and streams of a leaf node that source virtual ones.

use crate::support::bench::Bench;
use crate::support::{self, Cluster, PATIENCE, eventually};
use async_nats::Client;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use vstream_jwt::dev::nats_server;

const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];
/// The region whose servers accept leaf nodes.
const REGION: &str = "west";

/// Returns a port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A separate server, which ends with the test.
struct Leaf {
    process: Child,
    url: String,
}

impl Leaf {
    /// Starts it with these additional lines of configuration.
    fn start(cluster: &Cluster, folder: &Path, hub: u16, account: &str, lines: &str) -> Self {
        let (file, port) = (folder.join("leaf.conf"), port());
        let credentials = cluster.credentials_path();
        let remote =
            format!("{{ url: \"nats-leaf://127.0.0.1:{hub}\", credentials: {:?}{account} }}", credentials.display());
        let text = format!(
            "server_name: leaf\nlisten: \"127.0.0.1:{port}\"\nleafnodes {{ remotes: [ {remote} ] }}\n{lines}\n"
        );
        std::fs::write(&file, text).unwrap();
        let binary: PathBuf = nats_server(None, Some(cluster.server_version())).unwrap();
        let log = std::fs::File::create(folder.join("leaf.log")).unwrap();
        let process = Command::new(binary).arg("-c").arg(&file).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        Self { process, url: format!("nats://127.0.0.1:{port}") }
    }

    async fn client(&self) -> Client {
        eventually("the leaf node", async || async_nats::connect(&self.url).await.ok()).await
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts three regions of one server each, all in this JetStream domain. The server of [`REGION`] has a port for leaf
/// nodes.
async fn with_leaf_nodes(domain: Option<&str>) -> (Cluster, u16) {
    let (cluster, port) = (support::small().await, port());
    for server in cluster.servers() {
        cluster.kill(&server.region).await.unwrap();
        let file = cluster.server_folder(server).join("nats-server.conf");
        let mut config = std::fs::read_to_string(&file).unwrap();
        if let Some(domain) = domain {
            config = config.replace("max_file_store", &format!("domain: {domain}, max_file_store"));
        }
        if server.region == REGION {
            config.push_str(&format!("\nleafnodes {{ listen: \"127.0.0.1:{port}\" }}\n"));
        }
        std::fs::write(&file, config).unwrap();
    }
    for server in cluster.servers() {
        cluster.start(&server.region).await.unwrap();
    }
    cluster.wait_ready(PATIENCE).await.unwrap();
    (cluster, port)
}

async fn ask(client: &Client, subject: &str, body: Value) -> Option<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.request(subject.to_owned(), body.into()).await.ok()?;
    Some(serde_json::from_slice(&answer.payload).unwrap())
}

/// Returns what `explain` says about requests from behind a leaf node.
fn asks(bench: &Bench<'_>, subject: &str) -> Value {
    let ran = bench.run(&["explain", subject, "--cluster", REGION, "--format", "json"]);
    ran.ends(0).document()[0]["leaf_node"].clone()
}

/// Publishes through the leaf node, and reads there with a consumer made as `explain` says. Then a stream of the leaf
/// node copies messages that are published in another region.
async fn publishes_reads_and_copies(cluster: &Cluster, bench: &Bench<'_>, leaf: &Leaf, stream: &str, source: Value) {
    let client = leaf.client().await;
    let stored = eventually("the leaf node's connection", async || ask(&client, "foo.leaf", json!("x")).await).await;
    assert_eq!(stored["stream"], "foo-write-west", "{stored}");

    // The leaf node's own JetStream answers by the usual name.
    let own = ask(&client, "$JS.API.STREAM.INFO.foo", Value::Null).await.unwrap();
    assert_eq!(own["error"]["description"], "stream not found", "{own}");
    let info = asks(bench, "$JS.API.STREAM.INFO.foo")["asks"].as_str().unwrap().to_owned();
    eventually("what was published", async || {
        let info = ask(&client, &info, Value::Null).await.unwrap();
        (info["config"]["name"] == stream && info["state"]["messages"] == 1).then_some(())
    })
    .await;
    let prefix = info.strip_suffix(&format!("STREAM.INFO.{stream}")).unwrap();
    let worker = json!({ "stream_name": stream, "config": { "durable_name": "worker", "ack_policy": "explicit" } });
    let made = ask(&client, &format!("{prefix}CONSUMER.CREATE.{stream}.worker"), worker).await.unwrap();
    assert_eq!(made["config"]["durable_name"], "worker", "{made}");
    let next = format!("{prefix}CONSUMER.MSG.NEXT.{stream}.worker");
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.unwrap();
    client.publish_with_reply(next, inbox, "".into()).await.unwrap();
    let message = tokio::time::timeout(PATIENCE, messages.next()).await.expect("no message").unwrap();
    assert_eq!((&message.subject[..], &message.payload[..]), ("foo.leaf", &b"\"x\""[..]));
    client.publish(message.reply.unwrap(), "+ACK".into()).await.unwrap();
    let consumer = format!("{prefix}CONSUMER.INFO.{stream}.worker");
    eventually("the acknowledgement", async || {
        (ask(&client, &consumer, Value::Null).await?["ack_floor"]["consumer_seq"] == 1).then_some(())
    })
    .await;

    let here = json!({ "name": "here", "storage": "file", "sources": [source] });
    let made = ask(&client, "$JS.API.STREAM.CREATE.here", here).await.unwrap();
    assert!(made["error"].is_null(), "{made}");
    let east = support::client(cluster, "east").await;
    for number in 0..500 {
        let stored = ask(&east, "foo.east", json!(number)).await.unwrap();
        assert_eq!(stored["stream"], "foo-write-east", "{stored}");
    }
    eventually("all messages in the leaf node's stream", async || {
        let state = ask(&client, "$JS.API.STREAM.INFO.here", Value::Null).await?["state"].clone();
        (state["messages"] == 501).then_some(())
    })
    .await;
}

fn own_jetstream(folder: &Path) -> String {
    format!("jetstream {{ store_dir: {:?}, domain: leaf }}", folder.join("jetstream").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn regional_streams_are_read_by_another_prefix() {
    let (cluster, port) = with_leaf_nodes(None).await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["layout"] = json!("regional");
    bench.write("vstream", &definition);
    bench.run(&APPLY).ends(0);
    let folder = tempfile::tempdir().unwrap();
    let leaf = Leaf::start(&cluster, folder.path(), port, "", &own_jetstream(folder.path()));
    let source = json!({ "name": "foo", "external": { "api": "$VS.west.API", "deliver": "_INBOX.leaf" } });
    publishes_reads_and_copies(&cluster, &bench, &leaf, "foo", source).await;
    let said = ["leaf node", "clients behind one ask on $VS.west.API.STREAM.INFO.foo"];
    bench.says(0, &["explain", "$JS.API.STREAM.INFO.foo", "--cluster", REGION], &said);
    drop(leaf);

    // A leaf node of the same operator, which has the account's token. None of the token's mappings is for its clients.
    let claims = |id: &str| {
        let folder = cluster.server_folder(&cluster.servers()[0]).join("jwt");
        std::fs::read_to_string(folder.join(format!("{id}.jwt"))).unwrap()
    };
    let [system, app] = [cluster.system_account_id(), cluster.account_id()];
    let operator = cluster.folder().join("operator.jwt");
    let lines = format!(
        "operator: {:?}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{ {system}: {}\n{app}: {} }}",
        operator.display(),
        claims(system),
        claims(app)
    );
    let folder = tempfile::tempdir().unwrap();
    let leaf = Leaf::start(&cluster, folder.path(), port, &format!(", account: {app}"), &lines);
    let client = eventually("the leaf node", async || {
        let options = async_nats::ConnectOptions::with_credentials_file(cluster.credentials_path()).await.unwrap();
        options.connect(&leaf.url).await.ok()
    })
    .await;
    let stored = eventually("the leaf node's connection", async || ask(&client, "foo.leaf", json!("y")).await).await;
    assert_eq!(stored["stream"], "foo-write-west", "{stored}");
    assert_eq!(ask(&client, "$JS.API.STREAM.INFO.foo", Value::Null).await, None, "somebody answers");
    let info = ask(&client, "$VS.west.API.STREAM.INFO.foo", Value::Null).await.unwrap();
    assert_eq!(info["config"]["name"], "foo", "{info}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_streams_are_read_by_a_domain_and_their_real_name() {
    let (cluster, port) = with_leaf_nodes(Some("HUB")).await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &bench.definition());
    bench.run(&APPLY).ends(0);
    let folder = tempfile::tempdir().unwrap();
    let leaf = Leaf::start(&cluster, folder.path(), port, "", &own_jetstream(folder.path()));
    let source = json!({ "name": "foo-read-west", "external": { "api": "$JS.HUB.API" } });
    publishes_reads_and_copies(&cluster, &bench, &leaf, "foo-read-west", source).await;
}
