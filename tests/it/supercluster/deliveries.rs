//! Deliver subjects of consumers in the layout `regional`. Some are the application's own, and some are chosen to do
//! harm. The tests compare the latter with a plain account.

use crate::supercluster::regional::ask;
use crate::support::bench::Bench;
use crate::support::{client, eventually};
use async_nats::jetstream::{self, consumer::push::OrderedConfig};
use async_nats::{Client, ConnectOptions, Message, Subscriber};
use futures::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::time::Duration;

const TIME: Duration = Duration::from_secs(10);

async fn next(messages: &mut Subscriber) -> Message {
    tokio::time::timeout(TIME, messages.next()).await.expect("nothing came").unwrap()
}

/// Creates a push consumer on `foo` with this name.
async fn push_consumer(client: &Client, name: &str, deliver: &str, filter: &str) -> Value {
    let config = json!({ "durable_name": name, "deliver_subject": deliver, "filter_subject": filter, "ack_policy": "none",
        "deliver_policy": "new" });
    let body = json!({ "stream_name": "foo", "config": config });
    ask(client, &format!("$JS.API.CONSUMER.DURABLE.CREATE.foo.{name}"), body).await.unwrap()
}

async fn delete_consumer(client: &Client, name: &str) {
    let gone = ask(client, &format!("$JS.API.CONSUMER.DELETE.foo.{name}"), Value::Null).await.unwrap();
    assert_eq!(gone["success"], true, "{name}");
}

/// Tests `inbox_prefixes: [_INBOX, team.inbox, deliver]`. Deliveries below each prefix arrive, from a consumer of the
/// definition and from one that a client creates. They also reach a client with its own inbox prefix. Other deliveries
/// never arrive, and `verify` names them.
pub async fn by_prefix(bench: &Bench<'_>) {
    let east = client(bench.cluster, "east").await;
    // `apply` created the consumer `pushed` of `bar`.
    let mut pushed = east.subscribe("deliver.pushed").await.unwrap();
    let mut made = east.subscribe("deliver.made").await.unwrap();
    east.flush().await.unwrap();
    for (name, deliver) in [("made", "deliver.made"), ("astray", "elsewhere.here")] {
        let answer = push_consumer(&east, name, deliver, "foo.pushed").await;
        assert_eq!(answer["name"], name, "{answer}");
    }
    // A consumer waits until its leader knows of the listener, and only then delivers.
    for subject in ["foo.pushed", "app.bar.pushed"] {
        ask(&east, subject, json!("pushed")).await.unwrap();
    }
    assert_eq!(next(&mut made).await.payload, "\"pushed\"");
    while next(&mut pushed).await.payload != "\"pushed\"" {}

    let options = ConnectOptions::with_credentials_file(bench.cluster.credentials_path()).await.unwrap();
    let team = options.custom_inbox_prefix("team.inbox").connect(bench.cluster.urls("west")).await.unwrap();
    let bucket = jetstream::new(team.clone()).get_stream("KV_cfg").await.unwrap();
    let (deliver_subject, filter_subject) = (team.new_inbox(), "$KV.cfg.team".to_owned());
    let watch = OrderedConfig { deliver_subject, filter_subject, ..Default::default() };
    let mut watch = bucket.create_consumer(watch).await.unwrap().messages().await.unwrap();
    ask(&team, "$KV.cfg.team", json!("watched")).await.unwrap();
    let seen = tokio::time::timeout(TIME, watch.next()).await.expect("nothing was watched").unwrap().unwrap();
    assert_eq!(seen.payload, "\"watched\"");

    let ran = bench.run(&["verify"]);
    ran.ends(0);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("APP-east, stream foo, consumer astray: it delivers on elsewhere.here"), "{ran}");
    assert!(said.contains("`inbox_prefixes` of account APP") && said.contains("[deliveries-astray]"), "{ran}");
    assert!(!said.contains("deliver.") && !said.contains("team.inbox"), "{ran}");
    for name in ["made", "astray"] {
        delete_consumer(&east, name).await;
    }
}

/// Deliver subjects that a user tried, and their effects.
#[derive(Debug, PartialEq)]
pub struct Reach {
    /// Deliver subjects that got no message.
    pub silent: Vec<String>,
    /// Messages in the stream `bar` that only a delivery can have put there.
    pub stored: u64,
    /// Messages that count as acknowledged because of a delivery on the subject of an ack.
    pub acknowledged: u64,
    /// `true` if the API carried out a request that came as a delivery.
    pub requested: bool,
}

/// Creates push consumers of `foo` whose deliver subjects belong to another stream, the API, other regions, acks or
/// flow control. Subscribes to each, as servers require. Then publishes the payloads to deliver: nothing, an ack, and a
/// request that creates a consumer.
pub async fn hostile(bench: &Bench<'_>, regional: bool) -> Reach {
    let client = client(bench.cluster, "central").await;
    let number = async |subject: &str, field: &str| {
        let info = ask(&client, subject, Value::Null).await.unwrap();
        info.pointer(field).and_then(Value::as_u64).unwrap_or_else(|| panic!("{info}"))
    };
    let (bar, messages) = ("$JS.API.STREAM.INFO.bar", "/state/messages");
    let worker = json!({ "durable_name": "victim", "ack_policy": "explicit", "deliver_policy": "new" });
    let body = json!({ "stream_name": "bar", "config": worker });
    assert_eq!(ask(&client, "$JS.API.CONSUMER.DURABLE.CREATE.bar.victim", body).await.unwrap()["name"], "victim");
    let before = number(bar, messages).await;
    let ack = pending_ack(&client).await;
    let write = if regional { "bar-write-central" } else { "bar" };
    let subjects = [
        "app.bar.delivered".to_owned(),
        "$VW.central.app.bar.delivered".to_owned(),
        // For a stream that does not exist: in a plain account, some servers carry out this request.
        "$JS.API.STREAM.PURGE.gone".to_owned(),
        "$JS.API.STREAM.DELETE.gone".to_owned(),
        "$JS.API.CONSUMER.DURABLE.CREATE.bar.hop".to_owned(),
        format!("$VSM.API.CONSUMER.DURABLE.CREATE.{write}.hop"),
        format!("$VSH.API.STREAM.PURGE.{write}"),
        "$VS.central.API.STREAM.DELETE.bar".to_owned(),
        "$VS.east.API.STREAM.DELETE.bar".to_owned(),
        "VSD.central.delivered".to_owned(),
        "$JS.FC.bar.victim.x".to_owned(),
        ack,
    ];
    let mut heard = Vec::new();
    for (place, subject) in subjects.iter().enumerate() {
        heard.push(client.subscribe(subject.clone()).await.unwrap());
        let name = format!("hostile-{place}");
        let made = push_consumer(&client, &name, subject, "foo.hostile").await;
        assert_eq!(made["name"], json!(name), "{made}");
    }
    let hop = json!({ "durable_name": "hop", "ack_policy": "explicit" });
    let hop = json!({ "stream_name": write, "config": hop }).to_string();
    for payload in [String::new(), "+ACK".to_owned(), hop] {
        client.request("foo.hostile", payload.into()).await.unwrap();
    }
    // In a plain account each subject gets its messages. In other accounts, no event ends the wait.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut silent = subjects.to_vec();
    silent.retain(|_| heard.remove(0).next().now_or_never().is_none());
    let names = async |subject: String| ask(&client, &subject, Value::Null).await.unwrap()["consumers"].to_string();
    let api = if regional { "$VSH.API" } else { "$JS.API" };
    let hops =
        names("$JS.API.CONSUMER.NAMES.bar".to_owned()).await + &names(format!("{api}.CONSUMER.NAMES.{write}")).await;
    let requested =
        hops.contains("hop") || (regional && number(&format!("{api}.STREAM.INFO.{write}"), messages).await == 0);
    let reach = Reach {
        silent,
        stored: number(bar, messages).await - before - 1,
        acknowledged: 1 - number("$JS.API.CONSUMER.INFO.bar.victim", "/num_ack_pending").await,
        requested,
    };
    for place in 0..subjects.len() {
        delete_consumer(&client, &format!("hostile-{place}")).await;
    }
    ask(&client, "$JS.API.CONSUMER.DELETE.bar.victim", Value::Null).await.unwrap();
    reach
}

/// Publishes a message for `victim` and pulls it. Returns the subject of its ack.
async fn pending_ack(client: &Client) -> String {
    ask(client, "app.bar.x", json!("for the victim")).await.unwrap();
    eventually("a message for the victim", async || {
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await.unwrap();
        client.publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.bar.victim", inbox, "1".into()).await.unwrap();
        let message = tokio::time::timeout(Duration::from_secs(2), messages.next()).await.ok().flatten();
        message.and_then(|message| message.reply).map(|reply| reply.to_string())
    })
    .await
}
