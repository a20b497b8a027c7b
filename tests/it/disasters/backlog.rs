//! A returning region finds far more messages than flow control lets through at once. Flow control needs each import
//! between the accounts: without one of them, copying would stop after some 2 MB. A part of the backlog comes from a
//! cluster that another region serves.

use crate::disasters::serving::{EDGE, all_answer, served, servers};
use crate::disasters::steps::{APPLY, expect, in_sync};
use crate::disasters::traffic::{ask, stored};
use crate::support::bench::Bench;
use crate::support::killing::thorough;
use crate::support::{Cluster, PATIENCE, client, eventually};
use async_nats::{Client, HeaderMap, Request};
use futures::stream::{self, StreamExt as _};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ALL: [&str; 3] = ["west", "central", "east"];
/// Number of messages of 1 KB each: several times what would get through, and many more in scripts/nightly.
fn backlog() -> usize {
    if thorough() { 60_000 } else { 15_000 }
}

/// Number of messages that the region had before, and that it gets after it is back.
const SOME: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_waits_for_a_region_and_arrives_exactly_once() {
    let backlog = backlog();
    let cluster = servers(&ALL).await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &served(&bench, "central"));
    expect(&cluster, 0, &APPLY).await;
    for region in ALL {
        publish(&cluster, region, 0..SOME).await;
    }
    cluster.kill("west").await.unwrap();
    let started = Instant::now();
    publish(&cluster, "central", SOME..backlog / 4).await;
    publish(&cluster, EDGE, 0..backlog / 4).await;
    publish(&cluster, "east", SOME..backlog / 2 + 2 * SOME).await;
    let published = started.elapsed();
    cluster.start("west").await.unwrap();
    all_answer(&cluster).await;
    let started = Instant::now();
    publish(&cluster, "west", SOME..2 * SOME).await;
    let expected = backlog + 4 * SOME;
    for region in [&ALL[..], &[EDGE]].concat() {
        let client = client(&cluster, region).await;
        while stored(&client).await.is_none_or(|messages| (messages as usize) < expected) {
            assert!(started.elapsed() < 3 * PATIENCE, "{region} has {:?} of {expected}", stored(&client).await);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let arrived = started.elapsed();
        let counts = read(&client, expected).await;
        let wrong: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).take(10).collect();
        assert!(wrong.is_empty() && counts.len() == expected, "{region}: {} messages, {wrong:?}", counts.len());
        eprintln!("{region}: {expected} messages {arrived:.1?} after the restart (published in {published:.1?})");
    }
    in_sync(&cluster, "a backlog").await;
}

/// Publishes messages of 1 KB, each until the stream acknowledges it.
async fn publish(cluster: &Cluster, region: &str, numbers: std::ops::Range<usize>) {
    let client = client(cluster, region).await;
    let publish = |number: usize| {
        let (client, id) = (client.clone(), format!("{region}-{number}"));
        async move {
            eventually("a message is acknowledged", async || {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", id.as_str());
                let request = Request::new().headers(headers).payload(vec![b'x'; 1024].into());
                let request = request.timeout(Some(Duration::from_secs(5)));
                let reply = client.send_request("foo.numbers", request).await.ok()?;
                String::from_utf8_lossy(&reply.payload).contains("\"seq\"").then_some(())
            })
            .await;
        }
    };
    stream::iter(numbers).map(publish).buffer_unordered(256).collect::<Vec<()>>().await;
}

/// Counts how often the virtual name delivers each message.
async fn read(client: &Client, expected: usize) -> BTreeMap<String, usize> {
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.unwrap();
    let config = json!({ "deliver_subject": inbox, "ack_policy": "none", "headers_only": true, "num_replicas": 1,
        "mem_storage": true, "inactive_threshold": 60_000_000_000_u64 });
    let body = json!({ "stream_name": "foo", "config": config }).to_string();
    ask(client, "$JS.API.CONSUMER.CREATE.foo", &body).await.expect("no consumer");
    let mut counts = BTreeMap::new();
    for _ in 0..expected {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await;
        let message =
            message.unwrap_or_else(|_| panic!("{} of {expected} messages can be read", counts.len())).unwrap();
        let id = message.headers.as_ref().and_then(|headers| headers.get("Nats-Msg-Id")).expect("no id");
        *counts.entry(id.to_string()).or_default() += 1;
    }
    counts
}
