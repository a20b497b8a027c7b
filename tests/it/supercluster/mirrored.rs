//! `consistency: mirrored` on the command line, and its use by applications. Buckets, object stores and streams have
//! one home stream, and work by the virtual names in every region.

use crate::supercluster::regional::{APPLY, ask};
use crate::support::bench::Bench;
use crate::support::{self, client, eventually};
use async_nats::Client;
use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self, consumer};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

const REGIONS: [&str; 3] = ["west", "central", "east"];

fn mirrored(bench: &Bench<'_>) -> Value {
    let mut definition = bench.definition();
    let app = &mut definition["accounts"]["APP"];
    app.as_object_mut().unwrap().remove("layout");
    app["virtual_streams"] = json!({
        "foo": {
            "subjects": ["foo.>"], "consistency": "mirrored", "home": "central", "read": { "max_msgs": 1000 },
            "consumers": { "worker": { "ack_policy": "explicit" } },
        },
        "bar": { "subjects": ["bar.>"] },
        "cfg": { "kind": "kv", "consistency": "mirrored", "home": "west", "bucket": { "history": 5 } },
        "files": { "kind": "object_store", "consistency": "mirrored", "home": "east" },
    });
    definition
}

#[tokio::test(flavor = "multi_thread")]
async fn one_home_stream_serves_all_regions() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await.replicated();
    let definition = mirrored(&bench);
    bench.write("vstream", &definition);
    let compares = support::version(&cluster) >= (2, 12);
    bench.says(
        3,
        &["plan"],
        &[
            "$VSM.API.$KV.>  →  $VW.<cluster>.$KV.>",
            "KV_cfg  R3, home of all regions, captures $KV.cfg.>, keeps everything",
            "foo-home  R3, home of all regions, captures foo.>",
            "foo  R3, mirrors foo-home",
            "KV_cfg  R3, mirrors KV_cfg",
        ],
    );
    let plan = bench.run(&["plan"]).to_string();
    assert!(!plan.contains("kv-regions-differ"), "{plan}");
    assert_eq!(plan.contains("[revisions-refused]"), !compares, "{plan}");
    bench.run(&APPLY).ends(0);
    bench.run(&["verify"]).ends(0);
    bench.says(0, &APPLY, &["In sync: nothing to do, nothing was pushed"]);

    let clients = [client(&cluster, "west").await, client(&cluster, "central").await, client(&cluster, "east").await];
    buckets(&clients, compares).await;
    streams(&clients).await;
    object_stores(&clients).await;
    bench.until(0, &["verify"]).await;
    bench.says(0, &["plan"], &[]);
    let status = bench.run(&["status"]).ends(0).to_string();
    assert!(status.contains("No region is behind."), "{status}");

    levels_do_not_change(&bench, &definition).await;
    homes_are_made_anew(&bench, &clients).await;
    bench.run(&["destroy", "--operator", "op.nk", "--yes", "--delete-streams"]).ends(0);
    assert_eq!(bench.stream_names().await, Vec::<String>::new());
}

/// Tests mirrored streams beside ordinary ones. The home region is down for a while, and another region becomes the
/// home.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: scripts/nightly on all servers"]
async fn homes_are_lost_and_move() {
    let cluster = support::small().await;
    let bench = Bench::new(&cluster).await.replicated();
    bench.make_stream(json!({ "name": "own", "subjects": ["own.>"], "num_replicas": 1 })).await;
    let mut definition = mirrored(&bench);
    definition["accounts"]["APP"]["exclusive"] = json!(false);
    bench.write("vstream", &definition);
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;
    let clients = [client(&cluster, "west").await, client(&cluster, "central").await, client(&cluster, "east").await];
    assert_eq!(ask(&clients[2], "own.x", json!(1)).await.unwrap()["stream"], "own");
    object_stores(&clients).await;
    let mut stores = Vec::new();
    for client in &clients {
        stores.push(jetstream::new(client.clone()).get_key_value("cfg").await.unwrap());
    }
    stores[2].put("a", "1".into()).await.unwrap();
    for store in &stores {
        reads(store, "a", Some("1")).await;
    }

    // Without the home of `cfg`, the other regions can read it. Streams with another home keep working.
    cluster.kill("west").await.unwrap();
    for store in &stores[1..] {
        reads(store, "a", Some("1")).await;
    }
    assert!(stores[1].put("a", "2".into()).await.is_err());
    eventually("foo goes on", async || {
        ask(&clients[1], "foo.x", json!(1)).await.filter(|ack| ack["stream"] == "foo-home")
    })
    .await;
    bench.run(&["verify"]).ends(4);
    cluster.start("west").await.unwrap();
    cluster.wait_ready(support::PATIENCE).await.unwrap();
    let revision = eventually("the home is back", async || stores[1].put("a", "3".into()).await.ok()).await;
    for store in &stores {
        assert_eq!(reads(store, "a", Some("3")).await, revision);
    }
    bench.until(0, &["verify"]).await;

    // A new home gets the stored messages too.
    definition["accounts"]["APP"]["virtual_streams"]["cfg"]["home"] = json!("east");
    bench.write("vstream", &definition);
    bench.expect(1, &APPLY, "moves-stream", &["stream KV_cfg"]);
    bench.run(&[&APPLY[..], &["--allow", "moves-stream"]].concat());
    bench.until(0, &["verify"]).await;
    let home = ask(&clients[0], "$VSH.API.STREAM.INFO.KV_cfg", Value::Null).await.unwrap();
    assert_eq!(home["cluster"]["name"], "east", "{home}");
    let next = eventually("the new home stores", async || stores[0].put("a", "4".into()).await.ok()).await;
    assert!(next > revision);
    for store in &stores {
        assert_eq!(reads(store, "a", Some("4")).await, next);
    }

    // With a removed stream, the account's imports from itself are removed too.
    definition["accounts"]["APP"]["virtual_streams"].as_object_mut().unwrap().remove("files");
    bench.write("vstream", &definition);
    bench.run(&[&APPLY[..], &["--prune", "files", "--delete-streams"]].concat()).ends(0);
    let claims = bench.claims().await;
    let exports = claims["nats"]["exports"].as_array().unwrap();
    assert!(exports.iter().all(|export| !export["subject"].as_str().unwrap().contains("OBJ_files")), "{exports:?}");
    bench.until(0, &["verify"]).await;
    bench.says(0, &APPLY, &["In sync"]);
}

/// Waits until a region's mirror has this value: a read right after a write may return an older one.
async fn reads(kv: &Store, key: &str, value: Option<&str>) -> u64 {
    eventually(&format!("{key} is {value:?}"), async || {
        let entry = kv.entry(key).await.unwrap();
        let found = entry.as_ref().filter(|entry| entry.operation == Operation::Put).map(|entry| entry.value.clone());
        let revision = entry.map_or(0, |entry| entry.revision);
        (found.as_deref() == value.map(str::as_bytes)).then_some(revision)
    })
    .await
}

async fn buckets(clients: &[Client; 3], compares: bool) {
    let mut stores = Vec::new();
    for client in clients {
        stores.push(jetstream::new(client.clone()).get_key_value("cfg").await.unwrap());
    }
    let [west, central, east] = &stores[..] else { panic!() };
    let mut watch = east.watch_all().await.unwrap();

    // A key that one region created cannot be created by another. An update requires the revision, which is the same
    // everywhere.
    let first = west.create("a", "1".into()).await.unwrap();
    for store in [central, east] {
        let again = store.create("a", "2".into()).await.unwrap_err();
        assert_eq!(again.kind(), CreateErrorKind::AlreadyExists, "{again}");
        assert_eq!(reads(store, "a", Some("1")).await, first);
    }
    let second = match compares {
        true => east.update("a", "2".into(), first).await.unwrap(),
        false => east.put("a", "2".into()).await.unwrap(),
    };
    let stale = central.update("a", "3".into(), first).await.unwrap_err();
    assert_eq!(stale.kind(), UpdateErrorKind::WrongLastRevision, "{stale}");
    assert_eq!(reads(central, "a", Some("2")).await, second);
    for (store, value) in [(west, "3"), (central, "4"), (east, "5")] {
        store.put("b", value.into()).await.unwrap();
    }
    for store in &stores {
        reads(store, "b", Some("5")).await;
        let history: Vec<_> = store.history("b").await.unwrap().try_collect().await.unwrap();
        assert_eq!(history.iter().map(|entry| entry.value.to_vec()).collect::<Vec<_>>(), [b"3", b"4", b"5"]);
        let mut keys: Vec<String> = store.keys().await.unwrap().try_collect().await.unwrap();
        keys.sort();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(store.status().await.unwrap().history(), 5);
    }
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let entry = tokio::time::timeout(support::PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
        seen.push(String::from_utf8(entry.value.to_vec()).unwrap());
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"]);

    // A key that is deleted or purged in one region is gone in all.
    central.delete("a").await.unwrap();
    east.purge("b").await.unwrap();
    for store in &stores {
        reads(store, "a", None).await;
        reads(store, "b", None).await;
        let history: Vec<_> = store.history("b").await.unwrap().try_collect().await.unwrap();
        assert_eq!(history.iter().map(|entry| entry.operation).collect::<Vec<_>>(), [Operation::Purge]);
    }
    // A deleted key can be created again: clients compare with the revision of the deletion.
    if compares {
        west.create("a", "6".into()).await.unwrap();
    }

    // If three clients create one key at once, exactly one wins.
    for number in 0..20 {
        let key = format!("lock.{number}");
        let create = |store: &'static str, kv: Store| {
            let key = key.clone();
            async move { kv.create(key, store.into()).await.is_ok() }
        };
        let won = futures::join!(
            create("west", west.clone()),
            create("central", central.clone()),
            create("east", east.clone())
        );
        assert_eq!([won.0, won.1, won.2].iter().filter(|won| **won).count(), 1, "{key}: {won:?}");
    }
    // Puts a value by the plain subject from another region, and reads it by its revision. The answers are the same as
    // from a bucket of one cluster.
    let ack = ask(&clients[2], "$KV.cfg.c", json!(1)).await.unwrap();
    assert_eq!(ack["stream"], "KV_cfg");
    let revision = ack["seq"].as_u64().unwrap();
    for store in &stores {
        assert_eq!(reads(store, "c", Some("1")).await, revision);
        // Another replica of the mirror may answer, which has the value a little later.
        let by_revision = async || store.entry_for_revision("c", revision).await.unwrap();
        assert_eq!(eventually("the value by its revision", by_revision).await.value, "1");
    }
}

async fn streams(clients: &[Client; 3]) {
    for (client, region) in clients.iter().zip(REGIONS) {
        let js = jetstream::new(client.clone());
        for number in 0..5 {
            let ack = js.publish(format!("foo.{region}"), number.to_string().into()).await.unwrap().await.unwrap();
            assert_eq!(ack.stream, "foo-home");
        }
        let publish = |id: &'static str| {
            let message = jetstream::message::PublishMessage::build().message_id(id).payload("once".into());
            js.send_publish(format!("foo.{region}"), message)
        };
        // The window for duplicates belongs to the home stream, and so to all regions.
        assert_eq!(publish("one").await.unwrap().await.unwrap().duplicate, region != "west");
    }
    let mut orders = Vec::new();
    for (client, region) in clients.iter().zip(REGIONS) {
        let stream = eventually("16 messages in each region", async || {
            let stream = jetstream::new(client.clone()).get_stream("foo").await.unwrap();
            (stream.cached_info().state.messages == 16).then_some(stream)
        })
        .await;
        assert_eq!(stream.cached_info().cluster.as_ref().unwrap().name.as_deref(), Some(region));
        let consumer = stream.get_consumer::<consumer::pull::Config>("worker").await.unwrap();
        let mut messages = consumer.fetch().max_messages(16).messages().await.unwrap();
        let mut order = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.unwrap();
            let info = message.info().unwrap();
            order.push((info.stream_sequence, message.subject.to_string(), message.payload.to_vec()));
            message.double_ack().await.unwrap();
        }
        orders.push(order);
        // Consumers that applications create, by the virtual name.
        let config = consumer::pull::OrderedConfig::default();
        let mut ordered = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
        assert_eq!(ordered.next().await.unwrap().unwrap().info().unwrap().stream_sequence, 1);
        assert_eq!(stream.direct_get(1).await.unwrap().subject.as_str(), "foo.west");
        assert_eq!(stream.get_raw_message(16).await.unwrap().sequence, 16);
    }
    assert_eq!(orders[0].len(), 16);
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
}

async fn object_stores(clients: &[Client; 3]) {
    let mut stores = Vec::new();
    for client in clients {
        stores.push(jetstream::new(client.clone()).get_object_store("files").await.unwrap());
    }
    for (number, store) in stores.iter().enumerate() {
        let name = format!("object-{number}");
        for content in [vec![1; 300_000], vec![2; 200_000]] {
            store.put(name.as_str(), &mut content.as_slice()).await.unwrap();
            for other in &stores {
                eventually("the object in each region", async || {
                    let mut reading = other.get(&name).await.ok()?;
                    let mut found = Vec::new();
                    reading.read_to_end(&mut found).await.ok()?;
                    (found == content).then_some(())
                })
                .await;
            }
        }
    }
    stores[0].delete("object-2").await.unwrap();
    for store in &stores {
        eventually("deleted everywhere", async || {
            let listed: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
            (listed.len() == 2).then_some(())
        })
        .await;
    }
    // Clients purge the home stream: it has the newest chunks of two objects, and none of the third.
    let home = ask(&clients[0], "$VSH.API.STREAM.INFO.OBJ_files", json!({ "subjects_filter": ">" })).await.unwrap();
    let chunks = home["state"]["subjects"].as_object().unwrap().iter().filter(|(subject, _)| subject.contains(".C."));
    assert_eq!(chunks.map(|(_, count)| count.as_u64().unwrap()).collect::<Vec<_>>(), [2, 2], "{home}");
}

/// The home stream is deleted. Messages that are published into the one that `apply` creates reach every region. A home
/// stream created by hand begins before the messages that mirrors have, and `verify` reports that. A mirror that is
/// created again follows it.
async fn homes_are_made_anew(bench: &Bench<'_>, clients: &[Client; 3]) {
    let (before, made) = (16, "foo-home");
    let config = ask(&clients[0], "$VSH.API.STREAM.INFO.foo-home", Value::Null).await.unwrap()["config"].clone();
    bench.delete_home(&clients[0], made).await;
    let publisher = tokio::spawn(publish(clients[2].clone(), 20));
    bench.says(0, &APPLY, &["[made-anew]", "foo-home", "at sequence 17"]);
    assert_eq!(publisher.await.unwrap(), (17..37).collect::<Vec<_>>());
    for client in clients {
        stored(client, before + 20).await;
    }
    bench.until(0, &["verify"]).await;
    bench.says(0, &["plan"], &[]);

    bench.delete_home(&clients[0], made).await;
    let created = ask(&clients[0], "$VSH.API.STREAM.CREATE.foo-home", without_first(config)).await.unwrap();
    assert!(created.get("error").is_none(), "{created}");
    assert_eq!(publish(clients[0].clone(), 1).await, [1]);
    let verified = bench.until(3, &["verify"]).await.to_string();
    let ahead = "is at sequence 36, and its origin foo-home only at 1";
    assert_eq!(verified.matches(ahead).count(), 3, "{verified}");
    for region in REGIONS {
        let regional = bench.regional_client(region).await;
        let deleted = ask(&regional, "$JS.API.STREAM.DELETE.foo", Value::Null).await.unwrap();
        assert_eq!(deleted["success"], true, "{deleted}");
    }
    bench.run(&APPLY).ends(0);
    for client in clients {
        stored(client, 1).await;
    }
    bench.until(0, &["verify"]).await;
}

fn without_first(mut config: Value) -> Value {
    config.as_object_mut().unwrap().remove("first_seq");
    config
}

/// Publishes until this many messages are acknowledged, and returns their sequences.
async fn publish(client: Client, count: usize) -> Vec<u64> {
    let mut sequences = Vec::new();
    while sequences.len() < count {
        let ack = ask(&client, "foo.anew", json!(sequences.len())).await;
        match ack.and_then(|ack| ack["seq"].as_u64()) {
            Some(sequence) => sequences.push(sequence),
            None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
    sequences
}

async fn stored(client: &Client, messages: u64) {
    eventually("all messages in the region", async || {
        let info = ask(client, "$JS.API.STREAM.INFO.foo", Value::Null).await?;
        (info["state"]["messages"] == messages).then_some(())
    })
    .await;
}

/// A stream cannot change its consistency level.
async fn levels_do_not_change(bench: &Bench<'_>, definition: &Value) {
    let mut changed = definition.clone();
    let streams = &mut changed["accounts"]["APP"]["virtual_streams"];
    streams["bar"] = json!({ "subjects": ["bar.>"], "consistency": "mirrored", "home": "east" });
    streams["cfg"] = json!({ "kind": "kv" });
    bench.write("vstream", &changed);
    let before = bench.everything().await;
    let said = ["virtual stream bar", "virtual stream cfg", "made for `consistency: mirrored`"];
    bench.expect(1, &APPLY, "consistency-changed", &said);
    bench.unchanged_since(&before, "another level").await;
    bench.write("vstream", definition);
}
