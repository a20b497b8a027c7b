//! `apply` and `destroy` killed at any moment: traffic never goes to a stream that does not exist, and the next run
//! finishes.

use crate::steps::{APPLY, DESTROY, expect, in_sync, run, spawn};
use crate::support::{Cluster, PATIENCE, client, cluster_with_shared_layout, system_client};
use crate::traffic::{Ledger, Traffic, arrived, ask};
use async_nats::Client;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vstream_jwt::desired::lease;
use vstream_jwt::dev::SuperCluster;

const ALL: [&str; 3] = ["west", "central", "east"];

/// Four runs are killed in a round; `VSTREAM_KILL_ROUNDS` makes it more.
fn rounds() -> usize {
    std::env::var("VSTREAM_KILL_ROUNDS")
        .map_or(8, |rounds| rounds.parse().expect("VSTREAM_KILL_ROUNDS is not a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_next_run_finishes() {
    let cluster = cluster_with_shared_layout().await;
    let ledger = Ledger::default();
    let traffic = Traffic::start(&cluster, &ALL, &ledger).await;
    let watch = Watch::start(&cluster).await;
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();

    // How long the verbs take when nobody kills them; more than that would hit nothing.
    let started = Instant::now();
    expect(&cluster, 0, &APPLY).await;
    let apply = started.elapsed();
    watch.removing(true);
    let started = Instant::now();
    expect(&cluster, 0, &DESTROY).await;
    let destroy = started.elapsed();

    let started = Instant::now();
    let mut test = Test { cluster, watch, random: Random::seeded(), apply, destroy, killed: 0 };
    let (mut messages, rounds) = (0, rounds());
    for round in 0..rounds {
        ledger.clear();
        test.make_all(round).await;
        traffic.advance(&ALL, 5).await;
        test.make_another(round, &definition).await;
        traffic.advance(&ALL, 5).await;

        traffic.pause(true).await;
        arrived(&test.cluster, &ledger, &format!("round {round}")).await;
        messages += ledger.len();
        assert_eq!(ledger.turned_away(), 0, "round {round}: publishes turned away after others had been taken");
        traffic.pause(false).await;
        test.take_all_away(round).await;
    }
    traffic.stop().await;
    let (looks, killed) = (test.watch.stop().await, test.killed);
    eprintln!(
        "{rounds} rounds in {:.1?}: {killed} of {} runs killed (apply takes {apply:.1?}, destroy {destroy:.1?}), \
         {messages} messages, {looks} looks at all servers",
        started.elapsed(),
        4 * rounds
    );
}

struct Test {
    cluster: Cluster,
    watch: Watch,
    random: Random,
    apply: Duration,
    destroy: Duration,
    killed: usize,
}

impl Test {
    async fn make_all(&mut self, round: usize) {
        assert_eq!(streams(&self.watch.account).await.unwrap().len(), 0, "round {round}");
        self.watch.removing(false);
        let when = self.killed_apply(round, "from nothing").await;
        self.finish(&APPLY, &when).await;
        in_sync(&self.cluster, &when).await;
    }

    /// A second virtual stream is made and taken away while the first one works.
    async fn make_another(&mut self, round: usize, definition: &str) {
        let both = format!("{definition}      bar:\n        subjects: [bar.>]\n");
        std::fs::write(self.cluster.definition_path(), both).unwrap();
        let when = self.killed_apply(round, "beside another").await;
        self.finish(&APPLY, &when).await;
        in_sync(&self.cluster, &when).await;

        self.watch.removing(true);
        let destroy = [&DESTROY[..], &["bar"]].concat();
        let when = self.killed_destroy(round, &destroy, "beside another").await;
        self.finish(&destroy, &when).await;
        std::fs::write(self.cluster.definition_path(), definition).unwrap();
        in_sync(&self.cluster, &when).await;
        self.watch.removing(false);
    }

    async fn take_all_away(&mut self, round: usize) {
        self.watch.removing(true);
        let when = self.killed_destroy(round, &DESTROY, "of all").await;
        if round % 2 == 1 {
            // Back again from wherever it stopped.
            self.watch.removing(false);
            self.finish(&APPLY, &when).await;
            in_sync(&self.cluster, &when).await;
            self.watch.removing(true);
        }
        self.finish(&DESTROY, &when).await;
    }

    async fn killed_apply(&mut self, round: usize, what: &str) -> String {
        let time = self.random.below(self.apply);
        self.killed_after(&APPLY, time).await;
        format!("round {round}, apply {what} killed after {time:?}")
    }

    async fn killed_destroy(&mut self, round: usize, args: &[&str], what: &str) -> String {
        let time = self.random.below(self.destroy);
        self.killed_after(args, time).await;
        format!("round {round}, destroy {what} killed after {time:?}")
    }

    /// Runs the verb and kills it after a time; nothing is killed when it ended before.
    async fn killed_after(&mut self, args: &[&str], time: Duration) {
        let mut child = spawn(&self.cluster, args);
        if tokio::time::timeout(time, child.wait()).await.is_err() {
            child.kill().await.unwrap();
            self.killed += 1;
            // Every tenth lease that is left behind is waited for.
            if !self.killed.is_multiple_of(10) {
                forget_lease(&self.watch.account).await;
            }
        }
    }

    /// The run after the killed one.
    async fn finish(&self, args: &[&str], when: &str) {
        self.watch.is_content(when);
        let ran = run(&self.cluster, args).await;
        assert_eq!(ran.code, 0, "{when}, then {args:?}:\n{}", ran.text);
        self.watch.is_content(when);
    }
}

/// Takes away the lease that a killed run left behind, as a person may who knows that it is dead.
pub async fn forget_lease(account: &Client) {
    for prefix in ["$VSH.API", "$JS.API"] {
        let purged = ask(account, &format!("{prefix}.STREAM.PURGE.{}", lease::STREAM), "").await;
        if purged.is_some_and(|answer| answer["success"] == true) {
            return;
        }
    }
}

/// Names of the account's streams, without that of the lease.
async fn streams(account: &Client) -> Option<BTreeSet<String>> {
    let names = ask(account, "$JS.API.STREAM.NAMES", "").await?;
    let names = names["streams"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned());
    Some(names.filter(|name| name != lease::STREAM).collect())
}

/// Virtual streams whose mapping is in force, and on which server.
async fn mapped(system: &Client, account: &str, servers: usize) -> Vec<(&'static str, String)> {
    let inbox = system.new_inbox();
    let mut replies = system.subscribe(inbox.clone()).await.unwrap();
    let body = json!({ "account": account }).to_string();
    system.publish_with_reply("$SYS.REQ.SERVER.PING.ACCOUNTZ", inbox, body.into()).await.unwrap();
    let mut mapped = Vec::new();
    for _ in 0..servers {
        let Ok(Some(reply)) = tokio::time::timeout(Duration::from_secs(1), replies.next()).await else { break };
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        let mappings = &reply["data"]["account_detail"]["mappings"];
        let names = ["foo", "bar"].into_iter().filter(|name| !mappings[format!("{name}.>")].is_null());
        mapped.extend(names.map(|name| (name, reply["server"]["name"].as_str().unwrap().to_owned())));
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
                    for (name, server) in mapped {
                        let there = streams.iter().filter(|stream| stream.starts_with(&format!("{name}-"))).count();
                        if there < 2 * ALL.len() {
                            let only = format!("{server} maps {name}, there are only {streams:?}");
                            seen.lock().unwrap().push(only);
                        }
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
pub struct Random {
    state: u64,
}

impl Random {
    pub fn seeded() -> Self {
        let named = std::env::var("VSTREAM_SEED").ok().map(|seed| seed.parse().expect("VSTREAM_SEED is not a number"));
        let state = named.unwrap_or_else(|| getrandom::u64().unwrap());
        eprintln!("VSTREAM_SEED={state}");
        Self { state }
    }

    pub fn below(&mut self, limit: Duration) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((mixed ^ (mixed >> 31)) % limit.as_micros() as u64)
    }
}
