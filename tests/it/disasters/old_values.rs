//! Buckets, object stores and streams that keep the last message of a subject, through restarts and leader changes. No
//! value returns to an older one, unless the run was refused.

use crate::disasters::steps::APPLY;
use crate::disasters::traffic::ask;
use crate::support::bench::Bench;
use crate::support::{Cluster, PATIENCE, client, cluster, eventually, small, version};
use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use async_nats::{Client, HeaderMap};
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;

const REGIONS: [&str; 3] = ["west", "central", "east"];
const KEYS: usize = 20;
const OBJECTS: usize = 5;

/// The streams that have values by key, each with the prefix of its subjects.
const KEYED: [(&str, &str); 3] = [("KV_one", "$KV.one"), ("KV_five", "$KV.five"), ("last", "last")];

/// Defines buckets with a history of 1 and of 5, an object store, and a stream that keeps the last message of each
/// subject. `more` has additional settings of each.
fn define(bench: &Bench<'_>, more: &Value) {
    let mut definition = bench.definition();
    let account = &mut definition["accounts"]["APP"];
    account["layout"] = json!("regional");
    let with_more = |mut stream: Value| {
        stream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stream
    };
    let bucket = |history: u64| with_more(json!({ "kind": "kv", "bucket": { "history": history } }));
    account["virtual_streams"] = json!({
        "one": bucket(1), "five": bucket(5), "objects": with_more(json!({ "kind": "object_store" })),
        "last": with_more(json!({ "subjects": ["last.>"], "read": { "max_msgs_per_subject": 1 } })),
    });
    bench.write("vstream", &definition);
}

async fn put(client: &Client, subject: String, value: Option<&str>) {
    let mut headers = HeaderMap::new();
    if value.is_none() {
        headers.insert("KV-Operation", "DEL");
    }
    let answer =
        client.request_with_headers(subject, headers, value.unwrap_or_default().to_owned().into()).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.payload).contains("\"seq\""), "{answer:?}");
}

/// Returns the newest value of each key in each region; `None` if it was deleted.
async fn values(cluster: &Cluster, (stream, prefix): (&str, &str)) -> Vec<Vec<Option<String>>> {
    let mut all = Vec::new();
    for region in REGIONS {
        let client = client(cluster, region).await;
        let get = async |key: usize| {
            let started = Instant::now();
            loop {
                let subject = format!("$JS.API.DIRECT.GET.{stream}.{prefix}.k{key}");
                match client.request(subject, "".into()).await {
                    Ok(message) if message.status.is_none() => {
                        let deleted = message.headers.is_some_and(|headers| headers.get("KV-Operation").is_some());
                        return (!deleted).then(|| String::from_utf8_lossy(&message.payload).into_owned());
                    }
                    Ok(message) if message.status.is_some_and(|status| status.as_u16() == 404) => return None,
                    other => assert!(started.elapsed() < PATIENCE, "{region}: {other:?}"),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        all.push(join_all((0..2 * KEYS).map(get)).await);
    }
    all
}

/// Returns the content of each object in each region; `None` if it was deleted.
async fn objects(cluster: &Cluster) -> Vec<Vec<Option<String>>> {
    let mut all = Vec::new();
    for region in REGIONS {
        let store = store(&client(cluster, region).await).await;
        let mut contents = Vec::new();
        for object in 0..2 * OBJECTS {
            contents.push(match store.get(format!("o{object}")).await {
                Ok(mut found) => {
                    let mut content = String::new();
                    // An object that is being replaced may have lost its chunks.
                    found.read_to_string(&mut content).await.ok().map_or(Some("half".to_owned()), |_| Some(content))
                }
                Err(error) if error.kind() == GetErrorKind::NotFound => None,
                Err(error) => Some(error.to_string()),
            });
        }
        all.push(contents);
    }
    all
}

async fn store(client: &Client) -> ObjectStore {
    let context = async_nats::jetstream::new(client.clone());
    eventually("the object store answers", async || context.get_object_store("objects").await.ok()).await
}

/// The values and objects that were written last.
struct Newest {
    values: Vec<Option<String>>,
    objects: Vec<Option<String>>,
}

/// Writes values in west and central; east overwrites half of the keys and deletes the others. Writes so often that no
/// history still has the first values, and waits until that is true in all regions.
async fn write(cluster: &Cluster) -> Newest {
    let [west, central, east] = [0, 1, 2].map(|at| client(cluster, REGIONS[at]));
    let (west, central, east) = futures::join!(west, central, east);
    let newest: Vec<Option<String>> = (0..2 * KEYS).map(|key| (key < KEYS).then(|| "new".to_owned())).collect();
    for keyed in KEYED {
        let subject = |key: usize| format!("{}.k{key}", keyed.1);
        for key in 0..KEYS {
            put(&west, subject(key), Some("old")).await;
            put(&central, subject(key + KEYS), Some("old")).await;
        }
        let old = vec![vec![Some("old".to_owned()); 2 * KEYS]; 3];
        eventually("the first values are everywhere", async || (values(cluster, keyed).await == old).then_some(()))
            .await;
        for between in 0..5 {
            for key in 0..2 * KEYS {
                put(&east, subject(key), Some(&format!("between-{between}"))).await;
            }
        }
        for (key, value) in newest.iter().enumerate() {
            put(&east, subject(key), value.as_deref()).await;
        }
        let new = vec![newest.clone(); 3];
        eventually("the newest are everywhere", async || (values(cluster, keyed).await == new).then_some(())).await;
    }

    let (west, east) = (store(&west).await, store(&east).await);
    let put = async |store: &ObjectStore, object: usize, content: &str| {
        store.put(format!("o{object}").as_str(), &mut content.as_bytes()).await.unwrap();
    };
    for object in 0..2 * OBJECTS {
        put(&west, object, "old").await;
    }
    let old = vec![vec![Some("old".to_owned()); 2 * OBJECTS]; 3];
    eventually("the first objects are everywhere", async || (objects(cluster).await == old).then_some(())).await;
    for object in 0..OBJECTS {
        put(&east, object, "new").await;
        east.delete(format!("o{}", object + OBJECTS)).await.unwrap();
    }
    let new: Vec<_> = (0..2 * OBJECTS).map(|object| (object < OBJECTS).then(|| "new".to_owned())).collect();
    let everywhere = vec![new.clone(); 3];
    eventually("the newest objects are everywhere", async || (objects(cluster).await == everywhere).then_some(()))
        .await;
    Newest { values: newest, objects: new }
}

/// Restarts every region in turn, and waits each time until its streams are complete.
async fn restart(cluster: &Cluster, bench: &Bench<'_>) {
    for region in REGIONS {
        cluster.kill(region).await.unwrap();
        cluster.start(region).await.unwrap();
        cluster.wait_ready(PATIENCE).await.unwrap();
        bench.until(0, &["verify"]).await;
    }
    // If old values return, they come with the sources.
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// Gives a new leader to every stream behind the buckets, in the application's account and in each regional account.
async fn step_down(cluster: &Cluster, bench: &Bench<'_>) {
    let mut accounts = vec![(client(cluster, REGIONS[0]).await, "$VSH.API")];
    for region in REGIONS {
        accounts.push((bench.regional_client(region).await, "$JS.API"));
    }
    let mut moved = 0;
    for (client, api) in accounts {
        let names = ask(&client, &format!("{api}.STREAM.NAMES"), "").await.expect("no names");
        for name in names["streams"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
            let leader = async || {
                let info = ask(&client, &format!("{api}.STREAM.INFO.{name}"), "").await?;
                info["cluster"]["leader"].as_str().map(str::to_owned)
            };
            let before = eventually("there is a leader", leader).await;
            let stepped = ask(&client, &format!("{api}.STREAM.LEADER.STEPDOWN.{name}"), "").await;
            assert_eq!(stepped.expect("it does not step down")["success"], true);
            // The same server may be elected again.
            moved += usize::from(eventually("there is a leader again", leader).await != before);
        }
    }
    assert!(moved > 3, "{moved} streams have another leader");
    bench.until(0, &["verify"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// Counts the reads of keys and objects that return something other than the newest value.
async fn old_looks(cluster: &Cluster, newest: &Newest) -> usize {
    let differ = |found: Vec<Vec<Option<String>>>, newest: &[Option<String>]| {
        found.iter().flat_map(|region| region.iter().zip(newest)).filter(|(is, newest)| is != newest).count()
    };
    let mut old = differ(objects(cluster).await, &newest.objects);
    for keyed in KEYED {
        old += differ(values(cluster, keyed).await, &newest.values);
    }
    old
}

/// Number of reads.
const LOOKS: usize = 3 * 2 * (KEYED.len() * KEYS + OBJECTS);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: scripts/nightly on all servers"]
async fn no_old_value_comes_back_where_a_run_is_not_refused() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    define(&bench, &json!({}));
    let keeps = version(&cluster) >= (2, 15);
    if keeps {
        bench.run(&APPLY).ends(0);
    } else {
        let before = bench.everything().await;
        let ways = ["2.15 or newer", "`consistency: mirrored`", "--allow old-values-return", cluster.server_version()];
        bench.expect(1, &APPLY, "old-values-return", &ways);
        bench.unchanged_since(&before, "old-values-return").await;
        bench.run(&[&APPLY[..], &["--allow", "old-values-return"]].concat()).ends(0);
        bench.says(
            0,
            &["verify"],
            &["virtual streams one, five", "virtual stream objects", "virtual stream last", "[old-values-return]"],
        );
        // Nothing about the streams changes, so there is no reason to refuse.
        bench.says(0, &APPLY, &["[old-values-return]"]);
    }
    let newest = write(&cluster).await;
    restart(&cluster, &bench).await;
    let old = old_looks(&cluster, &newest).await;
    let verified = bench.until(0, &["verify", "--format", "json"]).await;
    eprintln!("{}: {old} of {} looks are old", cluster.server_version(), LOOKS);
    if keeps {
        assert_eq!(old, 0, "{verified}");
        for bucket in ["one", "five"] {
            for region in REGIONS {
                let client = client(&cluster, region).await;
                assert!(ask(&client, &format!("$JS.API.STREAM.INFO.KV_{bucket}"), "").await.is_some());
            }
        }
        assert!(!format!("{verified}").contains("old-values-return"), "{verified}");
    } else {
        // The hazard is real, and visible.
        assert_ne!(old, 0);
        let codes: Vec<String> = verified.out.split('"').map(str::to_owned).collect();
        assert!(codes.iter().any(|code| code == "values-went-back"), "{verified}");
    }
}

/// Counts the reads that return old values after restarts of all regions and a new leader for each stream.
async fn old_after_all(cluster: &Cluster, bench: &Bench<'_>) -> usize {
    bench.run(&APPLY).ends(0);
    let newest = write(cluster).await;
    restart(cluster, bench).await;
    step_down(cluster, bench).await;
    old_looks(cluster, &newest).await
}

/// The same for streams with replicas, whose leaders change.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: scripts/nightly on all servers"]
async fn no_old_value_comes_back_with_another_leader() {
    let cluster = cluster().await;
    let bench = Bench::new(&cluster).await;
    define(&bench, &json!({}));
    if version(&cluster) < (2, 15) {
        bench.expect(1, &APPLY, "old-values-return", &[cluster.server_version()]);
        return;
    }
    assert_eq!(old_after_all(&cluster, &bench).await, 0);
    bench.says(0, &["verify"], &["In sync"]);
}

/// A mirror resumes where it stopped, on every version.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: scripts/nightly on all servers"]
async fn no_old_value_comes_back_in_mirrors() {
    let cluster = cluster().await;
    let bench = Bench::new(&cluster).await;
    define(&bench, &json!({ "consistency": "mirrored", "home": "west" }));
    let old = old_after_all(&cluster, &bench).await;
    eprintln!("{}, mirrored: {old} of {} looks are old", cluster.server_version(), LOOKS);
    assert_eq!(old, 0);
}
