//! An account changes its layout: the stored messages and the positions of its consumers are backfilled. A change that
//! would lose messages is refused first.

use crate::support::bench::Bench;
use crate::support::{self, client, eventually};
use async_nats::{Client, HeaderMap, Request};
use serde_json::{Value, json};
use std::time::Duration;
use vstream_jwt::observed::Server;

const APPLY: [&str; 4] = ["apply", "--operator", "op.nk", "--yes"];
const REGIONS: [&str; 3] = ["west", "central", "east"];

/// Repeats a request until it is answered: leaders are elected again when regions restart.
async fn ask(client: &Client, subject: &str, body: Value) -> Value {
    let payload = if body.is_null() { String::new() } else { body.to_string() };
    send(client, subject, &payload, HeaderMap::new()).await
}

async fn send(client: &Client, subject: &str, payload: &str, headers: HeaderMap) -> Value {
    eventually(subject, async || {
        let request = Request::new().payload(payload.to_owned().into()).headers(headers.clone());
        let request = request.timeout(Some(Duration::from_secs(2)));
        let reply = client.send_request(subject.to_owned(), request).await.ok()?;
        serde_json::from_slice(&reply.payload).ok()
    })
    .await
}

/// Waits until the virtual stream has this many messages.
async fn readable(client: &Client, stream: &str, count: u64) -> Value {
    eventually("what was published can be read", async || {
        let info = ask(client, &format!("$JS.API.STREAM.INFO.{stream}"), Value::Null).await;
        (info["state"]["messages"] == count).then_some(info)
    })
    .await
}

async fn publish(client: &Client, subject: &str, bodies: std::ops::Range<u64>) {
    for body in bodies {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", body.to_string());
        assert!(send(client, subject, &body.to_string(), headers).await["error"].is_null());
    }
}

/// Returns the bodies of all messages of a stream.
async fn bodies(client: &Client, stream: &str) -> Vec<u64> {
    let state = ask(client, &format!("$JS.API.STREAM.INFO.{stream}"), Value::Null).await["state"].take();
    let mut bodies = Vec::new();
    for sequence in state["first_seq"].as_u64().unwrap()..=state["last_seq"].as_u64().unwrap() {
        let body = json!({ "seq": sequence }).to_string();
        let message = client.request(format!("$JS.API.DIRECT.GET.{stream}"), body.into()).await.unwrap();
        bodies.push(serde_json::from_slice(&message.payload).unwrap());
    }
    bodies
}

/// Returns the next message of a durable consumer.
async fn next(client: &Client, consumer: &str) -> async_nats::Message {
    for _ in 0..10 {
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await.unwrap();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.foo.{consumer}");
        client.publish_with_reply(subject, inbox, "1".into()).await.unwrap();
        let time = Duration::from_secs(2);
        let message = tokio::time::timeout(time, futures::StreamExt::next(&mut messages)).await;
        if let Some(message) = message.ok().flatten().filter(|message| message.reply.is_some()) {
            return message;
        }
    }
    panic!("no message for {consumer}");
}

async fn acknowledge(client: &Client, consumer: &str, count: usize) {
    for _ in 0..count {
        let message = next(client, consumer).await;
        client.request(message.reply.unwrap(), "+ACK".into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_shared_to_regional_and_back() {
    let cluster = support::small().await;
    let bench = Bench::new(&cluster).await;
    let mut shared = bench.definition();
    shared["accounts"]["APP"]["virtual_streams"]["foo"]["consumers"] = json!({ "worker": {} });
    let mut regional = shared.clone();
    regional["accounts"]["APP"].as_object_mut().unwrap().remove("layout");
    bench.write("vstream", &shared);
    bench.run(&APPLY).ends(0);

    // 600 messages from two regions. The write streams lose most of them, and two consumers have read a part.
    let (west, east) = (client(&cluster, "west").await, client(&cluster, "east").await);
    futures::join!(publish(&west, "foo.x", 0..300), publish(&east, "foo.x", 300..600));
    for region in REGIONS {
        readable(&client(&cluster, region).await, "foo", 600).await;
    }
    assert_eq!(ask(&west, "$JS.API.STREAM.PURGE.foo-write-west", json!({ "keep": 2 })).await["purged"], 298);
    assert_eq!(ask(&east, "$JS.API.STREAM.PURGE.foo-write-east", Value::Null).await["purged"], 300);
    let own = json!({ "stream_name": "foo-read-west",
        "config": { "durable_name": "own", "ack_policy": "explicit", "metadata": { "team": "a" } } });
    ask(&west, "$JS.API.CONSUMER.DURABLE.CREATE.foo-read-west.own", own).await;
    acknowledge(&west, "worker", 5).await;
    acknowledge(&west, "own", 3).await;
    let order = bodies(&west, "foo").await;

    history_comes_along(&bench, &regional, &[&west, &east], &order).await;
    and_back(&bench, &shared, &regional, &west, &east).await;
}

/// Backfills all messages, exactly once, while a client publishes. A run that has too little time continues in the next
/// one.
async fn history_comes_along(bench: &Bench<'_>, regional: &Value, clients: &[&Client; 2], order: &[u64]) {
    let [west, east] = clients;
    bench.write("vstream", regional);
    let forgetful = bench.deployment().await.servers.iter().any(Server::forgets_changed_streams);
    let plan = bench.run(&["plan"]).ends(3).to_string();
    assert!(plan.contains("takes along what foo-read-<region> has"), "{plan}");
    assert_eq!(plan.contains("[restart-loses-streams]"), forgetful, "{plan}");
    bench.says(3, &["plan", "-v"], &["the 600 messages of foo-read-west", "history-along"]);
    let publisher = (*east).clone();
    let traffic = tokio::spawn(async move { publish(&publisher, "foo.x", 600..1600).await });
    // The run may stop halfway; readers keep their positions.
    let stopped = bench.run(&[&APPLY[..], &["--timeout", "12s"]].concat());
    assert!([0, 1].contains(&stopped.code), "{stopped}");
    if stopped.code != 0 {
        bench.run(&[&APPLY[..], &["--timeout", "2m"]].concat()).ends(0);
    }
    traffic.await.unwrap();
    bench.until(0, &["verify"]).await;
    for client in [west, east] {
        assert_eq!(readable(client, "foo", 1600).await["config"]["name"], "foo");
        let mut all = bodies(client, "foo").await;
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1600), "not exactly once");
    }
    // Messages keep the order that readers saw, and consumers resume at their positions.
    assert_eq!(bodies(west, "foo").await[..600], *order);
    for (consumer, done) in [("worker", 5), ("own", 3)] {
        let body: u64 = serde_json::from_slice(&next(west, consumer).await.payload).unwrap();
        assert_eq!(body, order[done], "{consumer}");
    }
    let own = ask(west, "$JS.API.CONSUMER.INFO.foo.own", Value::Null).await;
    assert_eq!(own["config"]["metadata"]["team"], "a");
    let old = ask(east, "$VSH.API.STREAM.INFO.foo-read-east", Value::Null).await;
    assert_eq!(old["state"]["messages"], 1600);
    bench.says(0, &APPLY, &["In sync"]);
    if forgetful {
        tokio::time::sleep(Duration::from_secs(65)).await;
    }
    // A restarted region imports nothing again.
    for region in REGIONS {
        bench.cluster.kill(region).await.unwrap();
        bench.cluster.start(region).await.unwrap();
        bench.cluster.wait_ready(support::PATIENCE).await.unwrap();
    }
    publish(west, "foo.x", 1600..1601).await;
    for client in [west, east] {
        readable(client, "foo", 1601).await;
    }
}

async fn and_back(bench: &Bench<'_>, shared: &Value, regional: &Value, west: &Client, east: &Client) {
    bench.write("vstream", shared);
    // Without the mapping of `$VSH.>`, the tool cannot find the streams to return to.
    let before = bench.claims().await;
    let mut claims = before.clone();
    claims["nats"]["mappings"].as_object_mut().unwrap().remove("$VSH.>").expect("it was there");
    bench.push(&claims).await;
    bench.says(1, &APPLY, &["[way-back-missing]"]);
    bench.says(4, &[&APPLY[..], &["--allow", "way-back-missing"]].concat(), &["+ $VSH.>", "left out"]);
    assert_eq!(bench.claims().await["nats"], before["nats"], "more than the way back was changed");
    // The old read streams have kept sourcing, so nothing is lost on the way back.
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;
    assert_eq!(readable(east, "foo", 1601).await["config"]["name"], "foo-read-east");
    assert!(bench.claims().await["nats"]["mappings"]["$JS.>"].is_null());
    bench.says(0, &APPLY, &["In sync"]);

    // Without the stored messages, if the user allows it.
    let with_bar = |definition: &Value| {
        let mut definition = definition.clone();
        definition["accounts"]["APP"]["virtual_streams"]["bar"] = json!({ "subjects": ["bar.>"] });
        definition
    };
    bench.write("vstream", &with_bar(shared));
    bench.run(&APPLY).ends(0);
    publish(west, "bar.x", 0..5).await;
    readable(east, "bar", 5).await;
    ask(west, "$JS.API.STREAM.PURGE.bar-write-west", json!({ "keep": 2 })).await;
    bench.write("vstream", &with_bar(regional));
    let said = ["APP-west, stream bar", "bar-read-west of the layout `shared`, which has 5 messages", "with the 2"];
    bench.says(0, &[&APPLY[..], &["--allow", "loses-history"]].concat(), &said);
    bench.until(0, &["verify"]).await;
    assert_eq!(readable(east, "bar", 2).await["config"]["name"], "bar");
    assert_eq!(readable(east, "foo", 1601).await["config"]["name"], "foo");

    // If the account was always `regional`, the change to `shared` is refused, because it would leave messages behind.
    bench.run(&["destroy", "bar", "--operator", "op.nk", "--yes", "--delete-streams"]).ends(0);
    bench.run(&APPLY).ends(0);
    bench.write("vstream", &with_bar(shared));
    bench.expect(1, &APPLY, "loses-history", &["its layout was `regional`", "bar-read-west"]);
}
