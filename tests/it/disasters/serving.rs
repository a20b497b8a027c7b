//! Clusters without storage, whose clients use a region, and subjects that are added and removed, under traffic.

use crate::disasters::kills::Kills;
use crate::disasters::steps::{APPLY, expect, in_sync};
use crate::disasters::traffic::{Ledger, Traffic, arrived, ask};
use crate::support::bench::Bench;
use crate::support::cluster::{options, up};
use crate::support::killing::rounds;
use crate::support::{Cluster, PATIENCE, client, version};
use async_nats::{Client, HeaderMap, RequestErrorKind};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vstream_jwt::dev::DevOptions;
use vstream_jwt::observed::Server;

const REGIONS: [&str; 2] = ["west", "east"];

/// Name of a cluster whose servers have no JetStream; its cluster token follows.
pub const EDGE: &str = "edge.1";
const EDGE_TOKEN: &str = "edge_1";

/// Storage of a server that has almost none.
const NO_ROOM: &str = "1KB";

/// Starts regions of one server each, and the edge.
pub async fn servers(regions: &[&str]) -> Cluster {
    with_edge(regions, None).await
}

/// Starts them with JetStream on the edge's servers, limited to `room`.
async fn with_edge(regions: &[&str], room: Option<&str>) -> Cluster {
    let regions = regions.iter().chain([&EDGE]).map(|region| (*region).to_owned()).collect();
    let cluster = up(DevOptions { regions, servers: 1, ..options() }).await;
    cluster.kill(EDGE).await.unwrap();
    for server in cluster.servers().iter().filter(|server| server.cluster == EDGE) {
        let folder = cluster.server_folder(server);
        let path = folder.join("nats-server.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("jetstream ")).collect();
        assert_eq!(without.len() + 1, text.lines().count());
        let jetstream = room.map(|room| {
            let store = folder.join("little");
            format!("jetstream {{ store_dir: {store:?}, max_memory_store: {room}, max_file_store: {room} }}")
        });
        std::fs::write(&path, [&without.join("\n"), "\n", &jetstream.unwrap_or_default()].concat()).unwrap();
    }
    cluster.start(EDGE).await.unwrap();
    all_answer(&cluster).await;
    cluster
}

/// Returns a definition in which the region `serving` serves the edge.
pub fn served(bench: &Bench<'_>, serving: &str) -> Value {
    let mut definition = bench.definition();
    let regions = definition["regions"].as_object_mut().unwrap();
    regions.remove(EDGE);
    regions[serving]["serves"] = json!([EDGE]);
    definition["accounts"]["APP"]["layout"] = json!("regional");
    definition
}

/// Waits until every server answers.
pub async fn all_answer(cluster: &Cluster) {
    let bench = Bench::new(cluster).await;
    // Servers before 2.11 count a killed server for 150 s.
    let started = Instant::now();
    while {
        let deployment = bench.deployment().await;
        deployment.servers.len() < cluster.servers().len() || deployment.missing() > 0
    } {
        assert!(started.elapsed() < 3 * PATIENCE, "not all servers answer");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

struct Test<'c> {
    cluster: &'c Cluster,
    bench: Bench<'c>,
    edge: Client,
    ledger: Ledger,
}

async fn test<'c>(cluster: &'c Cluster, ledger: &Ledger) -> Test<'c> {
    Test { cluster, bench: Bench::new(cluster).await, edge: client(cluster, EDGE).await, ledger: ledger.clone() }
}

impl Test<'_> {
    /// Writes a definition in which the region `serving` serves the edge, and `foo` has these subjects.
    fn define(&self, serving: &str, subjects: &[&str]) {
        self.define_under(&[], serving, subjects);
    }

    /// Writes the same definition, with these subject roots of the account.
    fn define_under(&self, roots: &[&str], serving: &str, subjects: &[&str]) {
        let mut definition = served(&self.bench, serving);
        let account = &mut definition["accounts"]["APP"];
        if !roots.is_empty() {
            account["subject_roots"] = json!(roots);
        }
        account["virtual_streams"] = json!({
            "foo": {
                "subjects": subjects, "consumers": { "worker": { "ack_policy": "explicit" } },
            },
        });
        for (bucket, level) in self.buckets() {
            account["virtual_streams"][bucket] = json!({ "kind": "kv", "bucket": { "history": 5 } });
            if let Some(home) = level {
                account["virtual_streams"][bucket]["consistency"] = json!("mirrored");
                account["virtual_streams"][bucket]["home"] = json!(home);
            }
        }
        self.bench.write("vstream", &definition);
    }

    /// Returns the buckets, with the home of mirrored ones. Before 2.15, buckets that are not mirrored could go back to
    /// old values.
    fn buckets(&self) -> &'static [(&'static str, Option<&'static str>)] {
        let all = &[("ref", Some("west")), ("cfg", None)];
        if version(self.cluster) >= (2, 15) { all } else { &all[..1] }
    }

    /// Uses everything as a client of the edge would, by the virtual names.
    async fn everything_works_from_the_edge(&self, serving: &str) {
        let stream = ask(&self.edge, "$JS.API.STREAM.INFO.foo", "").await.expect("no answer about the stream");
        assert_eq!(stream["cluster"]["name"], serving);
        let config = json!({ "stream_name": "foo", "config": { "durable_name": "edge", "ack_policy": "explicit" } });
        let made = ask(&self.edge, "$JS.API.CONSUMER.DURABLE.CREATE.foo.edge", &config.to_string()).await;
        assert_eq!(made.expect("no consumer")["name"], "edge");
        let started = Instant::now();
        // A pull right after its consumer was created may find no responders.
        let message = loop {
            let inbox = self.edge.new_inbox();
            let mut messages = self.edge.subscribe(inbox.clone()).await.unwrap();
            self.edge.publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.foo.edge", inbox, "1".into()).await.unwrap();
            let next = tokio::time::timeout(Duration::from_secs(2), futures::StreamExt::next(&mut messages)).await;
            if let Some(message) = next.ok().flatten().filter(|message| message.reply.is_some()) {
                // Only one region answers.
                let more = tokio::time::timeout(Duration::from_millis(300), futures::StreamExt::next(&mut messages));
                assert!(more.await.is_err(), "two answers to one pull");
                break message;
            }
            assert!(started.elapsed() < PATIENCE, "nothing can be pulled");
        };
        self.edge.request(message.reply.unwrap(), "+ACK".into()).await.unwrap();
        let info = ask(&self.edge, "$JS.API.CONSUMER.INFO.foo.edge", "").await.unwrap();
        assert_eq!(info["ack_floor"]["consumer_seq"], 1, "{info}");
        ask(&self.edge, "$JS.API.CONSUMER.DELETE.foo.edge", "").await.expect("not deleted");

        // Puts and gets as clients do. In a mirrored bucket, most clients put by the prefix that the mirror names.
        for (bucket, home) in self.buckets() {
            let puts = [format!("$KV.{bucket}.key"), format!("$VSM.API.$KV.{bucket}.key")];
            for (number, put) in puts.into_iter().take(if home.is_some() { 2 } else { 1 }).enumerate() {
                let wanted = format!("{serving}-{number}");
                let ack = ask(&self.edge, &put, &wanted).await.expect("no value is put");
                assert!(ack["seq"].is_u64(), "{put}: {ack}");
                let started = Instant::now();
                loop {
                    let get = format!("$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.key");
                    let value = self.edge.request(get, "".into()).await.unwrap();
                    if value.payload == wanted.as_bytes() {
                        break;
                    }
                    assert!(started.elapsed() < PATIENCE, "{put}: the value does not arrive: {value:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Publishes once, and counts the message if it was stored. Returns the stream that stored it, or `None`.
    async fn published(&self, from: &Client, subject: &str) -> Option<String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let text = format!("once-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let answer = from.request(subject.to_owned(), text.clone().into()).await.ok()?;
        let ack: Value = serde_json::from_slice(&answer.payload).ok()?;
        let stream = ack["stream"].as_str().map(str::to_owned)?;
        self.ledger.also(&stream, &text);
        Some(stream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_storage_uses_a_region_and_then_another() {
    let cluster = servers(&REGIONS).await;
    let ledger = Ledger::default();
    let test = test(&cluster, &ledger).await;

    // No region serves the edge, so `apply` creates nothing.
    test.define("west", &["foo.>"]);
    let served = std::fs::read_to_string(cluster.definition_path()).unwrap();
    let mut without: Value = serde_json::from_str(&served).unwrap();
    without["regions"]["west"].as_object_mut().unwrap().remove("serves");
    test.bench.write("vstream", &without);
    test.bench.says(1, &APPLY, &["cluster edge.1", "[cluster-uncovered]", "`serves`", "`clusters_without_clients`"]);
    // A cluster without clients needs no region, and every verb accepts that.
    without["clusters_without_clients"] = json!([EDGE]);
    test.bench.write("vstream", &without);
    expect(&cluster, 0, &APPLY).await;
    in_sync(&cluster, "the edge without clients").await;
    for verb in [&["plan"][..], &["status"], &["validate", "--online"], &["explain", "foo.x", "--cluster", "west"]] {
        let ran = expect(&cluster, 0, verb).await;
        assert!(!ran.text.contains("cluster-uncovered"), "{verb:?}: {}", ran.text);
    }

    // When a region serves it, the edge takes part.
    test.define("west", &["foo.>"]);
    let plan = expect(&cluster, 3, &["plan"]).await;
    for said in ["subjects: foo.> → foo.> of west, edge_1", "+ edge.1: $VW.edge_1.foo.>"] {
        assert!(plan.text.contains(said), "{said}\n{}", plan.text);
    }
    expect(&cluster, 0, &APPLY).await;
    let all = [REGIONS[0], REGIONS[1], EDGE];
    let traffic = Traffic::start_where(&cluster, &all, &ledger).await;
    traffic.advance(&all, 5).await;
    test.everything_works_from_the_edge("west").await;

    // The edge moves to another region, and back while runs are killed at any moment.
    let account = client(&cluster, "west").await;
    test.define("east", &["foo.>"]);
    let started = Instant::now();
    expect(&cluster, 0, &APPLY).await;
    let takes = started.elapsed();
    in_sync(&cluster, "after the move").await;
    expect(&cluster, 0, &["plan"]).await;
    traffic.advance(&all, 5).await;
    test.everything_works_from_the_edge("east").await;
    let mut kills = Kills::seeded();
    for round in 0..rounds(2) {
        test.define(if round.is_multiple_of(2) { "west" } else { "east" }, &["foo.>"]);
        kills.kill(&cluster, &account, &APPLY, takes).await;
        traffic.advance(&REGIONS, 2).await;
        let ran = kills.next(&cluster, &APPLY, takes).await;
        assert_eq!(ran.code, 0, "{}", ran.text);
        in_sync(&cluster, "after a killed move").await;
        traffic.advance(&all, 2).await;
    }

    // Publishes into another region by name.
    let stored = test.published(&account, "$VW.east.foo.numbers").await;
    assert_eq!(stored.as_deref(), Some("foo-write-east"));
    let serving = test.published(&account, &format!("$VW.{EDGE_TOKEN}.foo.numbers")).await;
    assert_eq!(serving, test.published(&test.edge, "foo.numbers").await);
    traffic.stop().await;
    let took = arrived(&cluster, &ledger, "after all moves").await;
    eprintln!("apply takes {takes:.1?}, all {} messages after {took:.1?}; {}", ledger.len(), kills.says());
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_come_and_go_under_traffic() {
    // A cluster with JetStream but without room is served like one without JetStream.
    let cluster = with_edge(&REGIONS, Some(NO_ROOM)).await;
    let ledger = Ledger::default();
    let test = test(&cluster, &ledger).await;
    test.define("east", &["foo.>"]);
    expect(&cluster, 0, &APPLY).await;
    let all = [REGIONS[0], REGIONS[1], EDGE];
    let traffic = Traffic::start_where(&cluster, &all, &ledger).await;
    traffic.advance(&all, 5).await;
    let west = client(test.cluster, "west").await;
    assert_eq!(test.published(&west, "bar.a.new").await, None);

    // Adds and removes subjects, and a subject root, while clients publish on them all the time. Some of the runs are
    // killed.
    let always = [Always::start(&west, "bar.a.new", &ledger), Always::start(&west, "app.a.new", &ledger)];
    let more = ["foo.>", "bar.*.new", "baz", "app.a.>"];
    test.define_under(&["app"], "east", &more);
    let plan = expect(&cluster, 3, &["plan"]).await;
    assert!(!plan.text.contains("imports-again"), "{}", plan.text);
    let mut kills = Kills::seeded();
    let mut takes = Duration::from_secs(3);
    let prune = [&APPLY[..], &["--prune", "foo"]].concat();
    for _ in 0..rounds(1) {
        test.define_under(&["app"], "east", &more);
        kills.kill(&cluster, &west, &APPLY, takes).await;
        let started = Instant::now();
        let ran = kills.next(&cluster, &APPLY, takes).await;
        assert_eq!(ran.code, 0, "{}", ran.text);
        takes = started.elapsed().min(Duration::from_secs(5));
        for always in &always {
            always.advance(3).await;
        }
        test.define("east", &["foo.>"]);
        kills.kill(&cluster, &west, &prune, takes).await;
        let ran = kills.next(&cluster, &prune, takes).await;
        assert_eq!(ran.code, 0, "{}", ran.text);
    }
    test.define("east", &more);
    expect(&cluster, 0, &APPLY).await;

    // Adds a root above an existing subject, and removes it again: every message is stored.
    always[1].advance(3).await;
    let turned_away = always[1].turned_away();
    test.define_under(&["app"], "east", &more);
    expect(&cluster, 0, &APPLY).await;
    in_sync(&cluster, "with a root").await;
    always[1].advance(3).await;
    test.define("east", &more);
    expect(&cluster, 0, &prune).await;
    in_sync(&cluster, "without the root").await;
    always[1].advance(3).await;
    assert_eq!(always[1].turned_away(), turned_away);
    for always in &always {
        always.advance(3).await;
    }
    for (from, region) in [(&west, "west"), (&test.edge, "east")] {
        for subject in ["bar.a.new", "baz"] {
            assert_eq!(test.published(from, subject).await, Some(format!("foo-write-{region}")), "{subject}");
        }
    }
    traffic.advance(&all, 5).await;

    // Subjects are removed only on request; stored messages stay.
    test.define("east", &["foo.>", "baz", "app.a.>"]);
    test.bench.says(
        1,
        &APPLY,
        &["bar.*.new is removed from its subjects", "what is stored stays", "--prune foo", "[subject-removed]"],
    );
    assert_eq!(test.published(&west, "bar.a.new").await.as_deref(), Some("foo-write-west"));
    expect(&cluster, 0, &[&APPLY[..], &["--prune", "foo"]].concat()).await;
    in_sync(&cluster, "with fewer subjects").await;
    expect(&cluster, 0, &["plan"]).await;
    assert_eq!(test.published(&west, "bar.a.new").await, None);
    let mut stored = 0;
    for always in always {
        stored += always.stop().await;
    }
    assert_eq!(test.published(&test.edge, "baz").await.as_deref(), Some("foo-write-east"));
    traffic.advance(&all, 5).await;

    // A region is lost and returns: nothing is imported again. Some servers forget a stream that was changed less than
    // a minute before a restart; `plan` warns of that.
    if test.bench.deployment().await.servers.iter().any(Server::forgets_changed_streams) {
        tokio::time::sleep(Duration::from_secs(62)).await;
    }
    traffic.pause(true).await;
    cluster.kill("west").await.unwrap();
    cluster.start("west").await.unwrap();
    all_answer(&cluster).await;
    traffic.pause(false).await;
    traffic.advance(&all, 5).await;
    traffic.stop().await;
    arrived(&cluster, &ledger, "after the subjects came and went").await;
    eprintln!("{stored} messages on what came and went; {}", kills.says());
}

/// Publishes on one subject all the time, each message until a stream acknowledges it.
struct Always {
    stop: Arc<AtomicBool>,
    stored: Arc<AtomicUsize>,
    turned_away: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Always {
    fn start(client: &Client, subject: &'static str, ledger: &Ledger) -> Self {
        let (client, ledger) = (client.clone(), ledger.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let [stored, turned_away] = [0; 2].map(|none| Arc::new(AtomicUsize::new(none)));
        let (stopped, counted, refused) = (stop.clone(), stored.clone(), turned_away.clone());
        let task = tokio::spawn(async move {
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                let text = format!("{subject}-{number}");
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", text.as_str());
                match client.request_with_headers(subject, headers, text.clone().into()).await {
                    Ok(answer) => {
                        let ack: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
                        if ack["seq"].is_u64() {
                            ledger.also("always", &text);
                            counted.fetch_add(1, Ordering::Relaxed);
                            number += 1;
                        }
                    }
                    Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { stop, stored, turned_away, task }
    }

    /// Returns the number of publishes that no stream took.
    fn turned_away(&self) -> usize {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Waits until this many more messages are stored.
    async fn advance(&self, more: usize) {
        let (goal, started) = (self.stored.load(Ordering::Relaxed) + more, Instant::now());
        while self.stored.load(Ordering::Relaxed) < goal {
            assert!(started.elapsed() < PATIENCE, "nothing is stored");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.stored.load(Ordering::Relaxed)
    }
}
