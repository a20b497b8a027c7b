//! Kills `apply PLANFILE` and `rollback` at any moment, under traffic. The records stay readable, and the next run
//! reaches the state that the killed one was meant to reach.

use crate::disasters::kills::Kills;
use crate::disasters::others::Others;
use crate::disasters::steps::{APPLY, DESTROY, Ran, expect, in_sync, run};
use crate::disasters::traffic::{Ledger, Traffic, arrived};
use crate::support::bench::Bench;
use crate::support::killing::{UNFINISHED, rounds};
use crate::support::{Cluster, account, client};
use async_nats::Client;
use serde_json::Value;
use std::time::{Duration, Instant};
use vstream_jwt::ops::record::list;

const ALL: [&str; 3] = ["west", "central", "east"];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_plan_file_or_rollback_left_is_finished_by_the_next_run() {
    let cluster = account().await.with_shared_layout();
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
    expect(&cluster, 0, &APPLY).await;
    let ledger = Ledger::default();
    let traffic = Traffic::start(&cluster, &ALL, &ledger).await;
    let others = Others::start(Bench::new(&cluster).await).await;
    let account = client(&cluster, "east").await;
    let mut test = Test { cluster: &cluster, account, others, kills: Kills::seeded(), takes: Duration::ZERO };

    // Measures how long an undisturbed run takes.
    std::fs::write(cluster.definition_path(), format!("{definition}      bar:\n        subjects: [bar.>]\n")).unwrap();
    let file = test.plan_file(true).await.unwrap();
    let started = Instant::now();
    expect(&cluster, 0, &["apply", file]).await;
    test.takes = started.elapsed();
    let started = Instant::now();
    expect(&cluster, 0, &["rollback", "--last", "--operator", "op.nk"]).await;
    let back = started.elapsed();

    let started = Instant::now();
    let rounds = rounds(2);
    for round in 0..rounds {
        let good = test.newest_record();
        test.carry_out(round).await;
        test.others.push().await;
        test.go_back(round, &good, back).await;
        // The next round creates its streams again.
        expect(&cluster, 0, &[&DESTROY[..], &["bar"]].concat()).await;
        traffic.advance(&ALL, 2).await;
    }
    std::fs::write(cluster.definition_path(), definition).unwrap();
    in_sync(&cluster, "at the end").await;
    traffic.stop().await;
    arrived(&cluster, &ledger, "at the end").await;
    assert_eq!(ledger.turned_away(), 0, "publishes turned away");
    eprintln!(
        "{rounds} rounds in {:.1?} (apply PLANFILE takes {:.1?}, rollback {back:.1?}): {}; {} messages, {}",
        started.elapsed(),
        test.takes,
        test.kills.says(),
        ledger.len(),
        test.others.says(),
    );
}

struct Test<'c> {
    cluster: &'c Cluster,
    account: Client,
    others: Others<'c>,
    kills: Kills,
    takes: Duration,
}

impl Test<'_> {
    /// Writes a plan file, signed or not. Returns `None` if there is nothing to do.
    async fn plan_file(&self, signed: bool) -> Option<&'static str> {
        let planned = run(self.cluster, &["plan", "--out", "p.json"]).await;
        if planned.code == 0 {
            return None;
        }
        assert_eq!(planned.code, 3, "{}", planned.text);
        if !signed {
            return Some("p.json");
        }
        expect(self.cluster, 0, &["sign", "p.json", "--operator", "op.nk", "--out", "s.json"]).await;
        Some("s.json")
    }

    /// Carries out a plan file, signed in every second round. If the run is killed, the next one finishes it, or
    /// refuses the file as stale and needs a new one.
    async fn carry_out(&mut self, round: usize) {
        let signed = round.is_multiple_of(2);
        let operator: &[&str] = if signed { &[] } else { &["--operator", "op.nk"] };
        let file = self.plan_file(signed).await.expect("there is something to do");
        let args = [&["apply", file], operator].concat();
        let time = self.kills.kill(self.cluster, &self.account, &args, self.takes).await;
        let when = format!("round {round}, apply {file} killed after {time:?}");
        self.records_are_whole(&when).await;
        let again = self.kills.next(self.cluster, &args, self.takes).await;
        if again.code != 0 {
            assert!(again.code == 1 && again.text.contains("the plan is stale"), "{when}:\n{}", again.text);
            if let Some(file) = self.plan_file(signed).await {
                let args = [&["apply", file], operator].concat();
                let ran = self.kills.next(self.cluster, &args, self.takes).await;
                assert_eq!(ran.code, 0, "{when}:\n{}", ran.text);
            }
        }
        in_sync(self.cluster, &when).await;
        self.others.are_content(&when).await;
        self.mapped(true, &when).await;
    }

    /// Rolls back with `--last` and with the record's name in turn. Another tool pushes before the next run.
    async fn go_back(&mut self, round: usize, good: &str, takes: Duration) {
        let to = if round.is_multiple_of(2) { "--last" } else { good };
        let args = ["rollback", to, "--operator", "op.nk"];
        let time = self.kills.kill(self.cluster, &self.account, &args, takes).await;
        let when = format!("round {round}, rollback {to} killed after {time:?}");
        self.records_are_whole(&when).await;
        self.others.push().await;
        // Kills it once more: the next run also finishes a rollback that was killed twice.
        if round % 4 == 2 {
            self.kills.kill(self.cluster, &self.account, &args, takes).await;
            self.records_are_whole(&when).await;
        }
        // A run that ended before the kill has already rolled back.
        if to != "--last" || self.is_mapped().await || self.was_stopped() {
            let ran = self.kills.next(self.cluster, &args, takes).await;
            assert_eq!(ran.code, 0, "{when}:\n{}", ran.text);
        }
        self.mapped(false, &when).await;
        self.others.are_content(&when).await;
    }

    /// Checks if the newest record is of a killed run.
    fn was_stopped(&self) -> bool {
        let (_, record) = list(&self.history()).unwrap().pop().unwrap();
        record.unwrap().content.ended.is_none()
    }

    async fn is_mapped(&self) -> bool {
        self.others.bench.claims().await["nats"]["mappings"].get("bar.>").is_some()
    }

    async fn mapped(&self, mapped: bool, when: &str) {
        let claims = self.others.bench.claims().await;
        let mappings = &claims["nats"]["mappings"];
        assert_eq!(mappings.get("bar.>").is_some(), mapped, "{when}: {mappings}");
        assert!(mappings.get("foo.>").is_some(), "{when}: {mappings}");
    }

    fn history(&self) -> std::path::PathBuf {
        self.cluster.folder().join("history")
    }

    fn newest_record(&self) -> String {
        list(&self.history()).unwrap().pop().unwrap().0
    }

    /// Asserts that no partial file counts as a record, and that `history` lists all.
    async fn records_are_whole(&self, when: &str) {
        let all = list(&self.history()).unwrap();
        for (name, record) in &all {
            assert!(record.is_ok(), "{when}: {name}: {record:?}");
        }
        let listed: Ran = expect(self.cluster, 0, &["history", "--format", "json"]).await;
        let listed: Value = listed.json();
        assert_eq!(listed["records"].as_array().unwrap().len(), all.len(), "{when}");
        for entry in std::fs::read_dir(self.history()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name.starts_with(UNFINISHED) || name.ends_with(".json"), "{when}: {name}");
        }
    }
}
