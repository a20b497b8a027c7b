//! Kills `apply` and `destroy` at any moment. Traffic never goes to a missing stream, the claims of other tools stay,
//! and the next run finishes.

use crate::disasters::kills::Kills;
use crate::disasters::others::Others;
use crate::disasters::steps::{APPLY, DESTROY, expect, in_sync};
use crate::disasters::traffic::{Ledger, Traffic, arrived};
use crate::disasters::watch::{Watch, streams};
use crate::support::bench::Bench;
use crate::support::cluster::deletion;
use crate::support::killing::rounds;
use crate::support::{Cluster, account, client};
use async_nats::Client;
use serde_json::Value;
use std::time::{Duration, Instant};
use vstream_jwt::sign::Signer as _;

const ALL: [&str; 3] = ["west", "central", "east"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_next_run_finishes() {
    let cluster = account().await.with_shared_layout();
    let watch = Watch::start(&cluster).await;
    killed(&cluster, Some(watch), rounds(2)).await;
}

/// Each run makes keys, and pushes the tokens of four accounts in four stages.
#[tokio::test(flavor = "multi_thread")]
async fn so_are_the_stages_of_the_layout_regional() {
    let cluster = account().await;
    killed(&cluster, None, rounds(1)).await;
}

/// Kills four runs in each round: `apply` from nothing, `apply` beside another virtual stream, and `destroy`.
async fn killed(cluster: &Cluster, watch: Option<Watch>, rounds: usize) {
    let ledger = Ledger::default();
    let traffic = Traffic::start(cluster, &ALL, &ledger).await;
    let others = Others::start(Bench::new(cluster).await).await;
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();

    // Measures how long the verbs take; a later kill would hit nothing.
    let started = Instant::now();
    expect(cluster, 0, &APPLY).await;
    let apply = started.elapsed();
    watch.iter().for_each(|watch| watch.removing(true));
    let started = Instant::now();
    expect(cluster, 0, &DESTROY).await;
    let destroy = started.elapsed();

    let started = Instant::now();
    let account = client(cluster, "east").await;
    let kills = Kills::seeded();
    let mut test = Test { cluster, account, watch, others, kills, apply, destroy, keys: keys(cluster) };
    let mut messages = 0;
    for round in 0..rounds {
        ledger.clear();
        test.make_all(round).await;
        traffic.advance(&ALL, 5).await;
        test.make_another(round, &definition).await;
        traffic.advance(&ALL, 5).await;

        traffic.pause(true).await;
        arrived(cluster, &ledger, &format!("round {round}")).await;
        messages += ledger.len();
        assert_eq!(ledger.turned_away(), 0, "round {round}: publishes turned away after others had been taken");
        traffic.pause(false).await;
        test.take_all_away(round).await;
    }
    traffic.stop().await;
    let looks = match test.watch {
        Some(watch) => format!(", {} looks at all servers", watch.stop().await),
        None => String::new(),
    };
    eprintln!(
        "{rounds} rounds in {:.1?} (apply takes {apply:.1?}, destroy {destroy:.1?}): {}; \
         {messages} messages, {}{looks}",
        started.elapsed(),
        test.kills.says(),
        test.others.says(),
    );
}

struct Test<'c> {
    cluster: &'c Cluster,
    account: Client,
    watch: Option<Watch>,
    others: Others<'c>,
    kills: Kills,
    apply: Duration,
    destroy: Duration,
    /// Keys of the regional accounts.
    keys: Vec<(String, Vec<u8>)>,
}

impl Test<'_> {
    async fn make_all(&mut self, round: usize) {
        assert_eq!(streams(&self.account).await.unwrap().len(), 0, "round {round}");
        // Makes the regional accounts again in every second round, with their keys.
        if !self.keys.is_empty() && round.is_multiple_of(2) {
            self.forget_regional_accounts().await;
        }
        self.removing(false);
        let when = self.killed_apply(round, "from nothing").await;
        let (made, before) = (keys(self.cluster), self.keys.len());
        self.others.push().await;
        self.finish(&APPLY, &when).await;
        self.is_in_sync(&when).await;
        self.keys = keys(self.cluster);
        assert!(self.keys.len() == before && made.iter().all(|key| self.keys.contains(key)), "{when}: keys made again");
    }

    /// Creates and removes a second virtual stream while the first one works.
    async fn make_another(&mut self, round: usize, definition: &str) {
        let both = format!("{definition}      bar:\n        subjects: [bar.>]\n");
        std::fs::write(self.cluster.definition_path(), both).unwrap();
        let when = self.killed_apply(round, "beside another").await;
        self.others.push().await;
        self.finish(&APPLY, &when).await;
        self.is_in_sync(&when).await;

        self.removing(true);
        let destroy = [&DESTROY[..], &["bar"]].concat();
        let when = self.killed_destroy(round, &destroy, "beside another").await;
        self.finish(&destroy, &when).await;
        std::fs::write(self.cluster.definition_path(), definition).unwrap();
        self.is_in_sync(&when).await;
        self.removing(false);
        assert_eq!(keys(self.cluster), self.keys, "{when}: keys made again");
    }

    async fn take_all_away(&mut self, round: usize) {
        self.removing(true);
        let when = self.killed_destroy(round, &DESTROY, "of all").await;
        if round % 2 == 1 {
            // Creates the rest again, wherever the run stopped.
            self.removing(false);
            self.finish(&APPLY, &when).await;
            self.is_in_sync(&when).await;
            self.removing(true);
        }
        self.others.push().await;
        self.finish(&DESTROY, &when).await;
        self.others.are_content(&when).await;
    }

    async fn killed_apply(&mut self, round: usize, what: &str) -> String {
        let time = self.kills.kill(self.cluster, &self.account, &APPLY, self.apply).await;
        format!("round {round}, apply {what} killed after {time:?}")
    }

    async fn killed_destroy(&mut self, round: usize, args: &[&str], what: &str) -> String {
        let time = self.kills.kill(self.cluster, &self.account, args, self.destroy).await;
        format!("round {round}, destroy {what} killed after {time:?}")
    }

    /// Runs the verb after the killed run.
    async fn finish(&mut self, args: &[&str], when: &str) {
        self.is_content(when);
        let ran = self.kills.next(self.cluster, args, self.apply.max(self.destroy)).await;
        assert_eq!(ran.code, 0, "{when}, then {args:?}:\n{}", ran.text);
        self.is_content(when);
    }

    async fn is_in_sync(&self, when: &str) {
        in_sync(self.cluster, when).await;
        self.others.are_content(when).await;
    }

    fn removing(&self, removing: bool) {
        self.watch.iter().for_each(|watch| watch.removing(removing));
    }

    fn is_content(&self, when: &str) {
        self.watch.iter().for_each(|watch| watch.is_content(when));
    }

    /// Deletes the regional accounts and their keys, so that a run finds none of them. No user should do that.
    async fn forget_regional_accounts(&self) {
        let operator = self.others.bench.key("op.nk");
        let accounts: Vec<String> = self.keys.iter().map(|(_, seed)| public(seed)).collect();
        for (name, _) in &self.keys {
            std::fs::remove_file(self.cluster.keys_folder().join(name)).unwrap();
        }
        let system = crate::support::system_client(self.cluster).await;
        let request = deletion(&accounts, &operator);
        let answer = system.request("$SYS.REQ.CLAIMS.DELETE", request.into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["error"].is_null(), "{answer}");
        // The other servers delete them at the same time.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn public(seed: &[u8]) -> String {
    let text = std::str::from_utf8(seed).unwrap().trim();
    vstream_jwt::sign::Seed::parse(text).unwrap().public_key().to_string()
}

/// Returns the keys of the regional accounts.
fn keys(cluster: &Cluster) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(cluster.keys_folder()).unwrap().map(|file| file.unwrap().path());
    let named = |path: std::path::PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        (name.starts_with("APP-") && name.ends_with(".nk")).then(|| (name, std::fs::read(&path).unwrap()))
    };
    let mut keys: Vec<_> = files.filter_map(named).collect();
    keys.sort();
    keys
}
