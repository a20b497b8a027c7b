//! `apply` and `destroy` killed at any moment: traffic never goes to a stream that does not exist, and the next run
//! finishes.

use crate::steps::{APPLY, DESTROY, expect, in_sync, spawn};
use crate::support::{PATIENCE, client, cluster, system_client};
use crate::traffic::{Ledger, Traffic, arrived, ask};
use async_nats::Client;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vstream_jwt::dev::SuperCluster;

const ALL: [&str; 3] = ["west", "central", "east"];
const ROUNDS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_next_run_finishes() {
    let cluster = cluster().await;
    let mut random = Random::seeded();
    let ledger = Ledger::default();
    let traffic = Traffic::start(&cluster, &ALL, &ledger).await;
    let watch = Watch::start(&cluster).await;

    // How long the verbs take when nobody kills them; more than that would hit nothing.
    let started = Instant::now();
    expect(&cluster, 0, &APPLY).await;
    let apply = started.elapsed();
    watch.removing(true);
    let started = Instant::now();
    expect(&cluster, 0, &DESTROY).await;
    let destroy = started.elapsed();
    let mut messages = 0;

    for round in 0..ROUNDS {
        assert_eq!(streams(&watch.account).await.unwrap().len(), 0, "round {round}");
        ledger.clear();
        watch.removing(false);
        let after = killed_after(&cluster, &APPLY, random.below(apply)).await;
        let when = format!("round {round}, apply killed after {after:?}");
        watch.is_content(&when);
        expect(&cluster, 0, &APPLY).await;
        in_sync(&cluster, &when).await;
        traffic.advance(&ALL, 5).await;
        traffic.pause(true).await;
        arrived(&cluster, &ledger, &when).await;
        messages += ledger.len();
        traffic.pause(false).await;
        watch.is_content(&when);
        assert_eq!(ledger.turned_away(), 0, "{when}: publishes were turned away after others had been taken");

        watch.removing(true);
        let after = killed_after(&cluster, &DESTROY, random.below(destroy)).await;
        let when = format!("round {round}, destroy killed after {after:?}");
        watch.is_content(&when);
        if round % 2 == 1 {
            // Back again from wherever it stopped.
            watch.removing(false);
            expect(&cluster, 0, &APPLY).await;
            in_sync(&cluster, &when).await;
            watch.is_content(&when);
            watch.removing(true);
        }
        expect(&cluster, 0, &DESTROY).await;
        watch.is_content(&when);
    }
    traffic.stop().await;
    let looks = watch.stop().await;
    eprintln!(
        "{ROUNDS} rounds of an apply ({apply:.1?}) and a destroy ({destroy:.1?}), each killed, in {:.1?}; {messages} \
         messages, {looks} looks at all servers",
        random.started.elapsed()
    );
}

/// Runs the verb and kills it after a time; nothing is killed when it ended before.
async fn killed_after(cluster: &SuperCluster, args: &[&str], time: Duration) -> Duration {
    let mut child = spawn(cluster, args);
    if tokio::time::timeout(time, child.wait()).await.is_err() {
        child.kill().await.unwrap();
    }
    time
}

/// Names of the account's streams.
async fn streams(account: &Client) -> Option<BTreeSet<String>> {
    let names = ask(account, "$JS.API.STREAM.NAMES", "").await?;
    Some(names["streams"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect())
}

/// Servers on which the virtual stream's mapping is in force.
async fn mapped(system: &Client, account: &str, servers: usize) -> Vec<String> {
    let inbox = system.new_inbox();
    let mut replies = system.subscribe(inbox.clone()).await.unwrap();
    let body = json!({ "account": account }).to_string();
    system.publish_with_reply("$SYS.REQ.SERVER.PING.ACCOUNTZ", inbox, body.into()).await.unwrap();
    let mut mapped = Vec::new();
    for _ in 0..servers {
        let Ok(Some(reply)) = tokio::time::timeout(Duration::from_secs(1), replies.next()).await else { break };
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        if !reply["data"]["account_detail"]["mappings"]["foo.>"].is_null() {
            mapped.push(reply["server"]["name"].as_str().unwrap().to_owned());
        }
    }
    mapped
}

/// Looks at all servers all the time: where a mapping is in force, all streams have to be there.
struct Watch {
    account: Client,
    removing: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    seen: Arc<std::sync::Mutex<Vec<String>>>,
    looking: tokio::task::JoinHandle<()>,
}

impl Watch {
    async fn start(cluster: &SuperCluster) -> Self {
        let (account, system) = (client(cluster, "east").await, system_client(cluster).await);
        let (id, servers) = (cluster.account_id().to_owned(), cluster.servers().len());
        let (removing, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (looks, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
        let looking = {
            let (account, removing, stop, looks, seen) =
                (account.clone(), removing.clone(), stop.clone(), looks.clone(), seen.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // What comes second can only have become better since: mappings go first, and come last.
                    let is_removing = removing.load(Ordering::SeqCst);
                    let (mapped, streams) = if is_removing {
                        let streams = streams(&account).await;
                        (mapped(&system, &id, servers).await, streams)
                    } else {
                        (mapped(&system, &id, servers).await, streams(&account).await)
                    };
                    let Some(streams) = streams.filter(|_| removing.load(Ordering::SeqCst) == is_removing) else {
                        continue;
                    };
                    if !mapped.is_empty() && streams.len() < 6 {
                        seen.lock().unwrap().push(format!("{mapped:?} map to streams, there are only {streams:?}"));
                    }
                    looks.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        };
        Self { account, removing, stop, looks, seen, looking }
    }

    fn removing(&self, removing: bool) {
        self.removing.store(removing, Ordering::SeqCst);
    }

    fn is_content(&self, when: &str) {
        let seen = self.seen.lock().unwrap();
        assert!(seen.is_empty(), "{when}: {seen:#?}");
    }

    /// How often it looked.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, self.looking).await.unwrap().unwrap();
        self.looks.load(Ordering::Relaxed)
    }
}

/// SplitMix64, so that a run can be repeated by its seed.
struct Random {
    state: u64,
    started: Instant,
}

impl Random {
    fn seeded() -> Self {
        let named = std::env::var("VSTREAM_SEED").ok().map(|seed| seed.parse().expect("VSTREAM_SEED is not a number"));
        let state = named.unwrap_or_else(|| getrandom::u64().unwrap());
        eprintln!("VSTREAM_SEED={state}");
        Self { state, started: Instant::now() }
    }

    fn below(&mut self, limit: Duration) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((mixed ^ (mixed >> 31)) % limit.as_micros() as u64)
    }
}
