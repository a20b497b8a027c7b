//! A server, or a region, goes down in each step of the first push of the layout `regional`. Everything that worked
//! before keeps working, and the next run finishes.

use crate::disasters::steps::{APPLY, DESTROY, expect, in_sync, run, spawn};
use crate::disasters::traffic::{Ledger, Traffic, arrived};
use crate::support::killing::thorough;
use crate::support::{Cluster, PATIENCE, client, cluster, eventually, small};
use async_nats::{Client, Request};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const ALL: [&str; 3] = ["west", "central", "east"];
const STAGES: [&str; 4] = [
    "pushing what regional accounts export",
    "pushing what accounts export to their regions",
    "pushing what regional accounts import",
    "pushing account tokens",
];
/// Time for which an application may have to retry. Servers that renew imports briefly refuse requests.
const MOMENT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_down_in_a_stage_stops_no_application() {
    down(cluster().await, "east-1").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: scripts/nightly"]
async fn nor_does_a_region() {
    down(small().await, "east").await;
}

/// Tests every second stage; a thorough run tests each.
async fn down(cluster: Cluster, target: &str) {
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
    let beside = definition.replace("layout: regional", "layout: regional\n    exclusive: false");
    assert_ne!(beside, definition);
    std::fs::write(cluster.definition_path(), beside).unwrap();
    let central = client(&cluster, "central").await;
    let stream = json!({ "name": "own", "subjects": ["own.>"], "num_replicas": cluster.servers().len() / ALL.len(),
        "placement": { "cluster": "central" } });
    asked(&central, "$JS.API.STREAM.CREATE.own", &stream.to_string()).await;
    let consumer = json!({ "stream_name": "own", "config": { "durable_name": "reader", "ack_policy": "explicit" } });
    asked(&central, "$JS.API.CONSUMER.DURABLE.CREATE.own.reader", &consumer.to_string()).await;
    let application = Application::start(central);
    let thorough = thorough();
    for (round, stage) in STAGES.iter().enumerate().filter(|(round, _)| thorough || round % 2 == 1) {
        let when = format!("{target} down at `{stage}`");
        let code = killed_at(&cluster, stage, target).await;
        cluster.start(target).await.unwrap();
        cluster.wait_ready(PATIENCE).await.unwrap();
        finished(&cluster, &when).await;
        eprintln!("{when}: ended {code}, and the next run finished");
        if round == 0 || round == STAGES.len() - 1 {
            let ledger = Ledger::default();
            let traffic = Traffic::start(&cluster, &ALL, &ledger).await;
            traffic.advance(&ALL, 10).await;
            traffic.stop().await;
            arrived(&cluster, &ledger, &when).await;
        }
        expect(&cluster, 0, &DESTROY).await;
    }
    let (messages, longest) = application.stop().await;
    eprintln!("the application published and read {messages} messages, and tried for {longest:.1?} at most");
    assert!(messages > 100 && longest < MOMENT, "{messages} messages, {longest:?}");
}

/// Runs `apply`, and kills the server or region when the run gets to the stage.
async fn killed_at(cluster: &Cluster, stage: &str, target: &str) -> i32 {
    let mut child = spawn(cluster, &[&APPLY[..], &["--yes", "--timeout", "20s"]].concat());
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (mut text, mut down) = (String::new(), false);
    while let Some(line) = lines.next_line().await.unwrap() {
        if !down && line.contains(stage) {
            cluster.kill(target).await.unwrap();
            down = true;
        }
        text += &line;
        text.push('\n');
    }
    let code = child.wait().await.unwrap().code().unwrap();
    assert!(down, "it never came to `{stage}`:\n{text}");
    assert!([0, 1, 4].contains(&code), "it ended {code}:\n{text}");
    code
}

/// Runs `apply` until everything is done and confirmed.
async fn finished(cluster: &Cluster, when: &str) {
    let started = Instant::now();
    loop {
        let ran = run(cluster, &[&APPLY[..], &["--yes"]].concat()).await;
        if ran.code == 0 {
            break;
        }
        assert!(started.elapsed() < 2 * PATIENCE, "{when}: apply ends {}:\n{}", ran.code, ran.text);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    in_sync(cluster, when).await;
}

async fn asked(client: &Client, subject: &str, body: &str) {
    eventually(subject, async || crate::disasters::traffic::ask(client, subject, body).await.map(drop)).await;
}

/// A client that publishes to, and reads from, an ordinary stream of the account.
struct Application {
    stop: Arc<AtomicBool>,
    work: tokio::task::JoinHandle<(usize, Duration)>,
}

impl Application {
    fn start(client: Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = tokio::spawn(async move {
            let (mut messages, mut longest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let started = Instant::now();
                while !once(&client).await {
                    assert!(started.elapsed() < PATIENCE, "the application does not get on any more");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                longest = longest.max(started.elapsed());
                messages += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (messages, longest)
        });
        Self { stop, work }
    }

    async fn stop(self) -> (usize, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.work.await.unwrap()
    }
}

/// Publishes a message, reads one and acknowledges it.
async fn once(client: &Client) -> bool {
    let request = |body: &'static str| Request::new().payload(body.into()).timeout(Some(Duration::from_secs(2)));
    let Ok(published) = client.send_request("own.x", request("1")).await else { return false };
    if !String::from_utf8_lossy(&published.payload).contains("\"stream\":\"own\"") {
        return false;
    }
    let inbox = client.new_inbox();
    let Ok(mut messages) = client.subscribe(inbox.clone()).await else { return false };
    let pull = client.publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.own.reader", inbox, "1".into()).await;
    let next = tokio::time::timeout(Duration::from_secs(2), futures::StreamExt::next(&mut messages)).await;
    let Some(reply) = next.ok().flatten().and_then(|message| message.reply).filter(|_| pull.is_ok()) else {
        return false;
    };
    client.send_request(reply, request("+ACK")).await.is_ok()
}
