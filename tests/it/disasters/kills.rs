//! Kills runs of the command. Counts the kills of each verb, and measures how long the next run waits for an abandoned
//! lease.

use crate::disasters::steps::{Ran, run, spawn};
use crate::disasters::traffic::ask;
use crate::support::Cluster;
use crate::support::killing::Random;
use async_nats::Client;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vstream_jwt::desired::lease::{self, EXPIRY, Note};

/// The prefixes under which an account may reach its own JetStream.
const PREFIXES: [&str; 2] = ["$VSH.API", "$JS.API"];

pub struct Kills {
    random: Random,
    /// Numbers by verb: runs, killed runs, and killed runs that left their lease behind.
    verbs: BTreeMap<String, [usize; 3]>,
    left: usize,
    /// Duration of each run that found an abandoned lease.
    waits: Vec<Duration>,
    /// `true` if the next run has to wait for an abandoned lease.
    waiting: bool,
}

impl Kills {
    pub fn seeded() -> Self {
        let (verbs, waits) = (BTreeMap::new(), Vec::new());
        Self { random: Random::seeded(), verbs, left: 0, waits, waiting: false }
    }

    /// Runs the verb, and kills it at any moment of the time that it `takes`, unless it ended before. Returns that
    /// moment.
    pub async fn kill(&mut self, cluster: &Cluster, account: &Client, args: &[&str], takes: Duration) -> Duration {
        let time = self.random.below(takes);
        let counts = self.verbs.entry(args[0].to_owned()).or_default();
        counts[0] += 1;
        let mut child = spawn(cluster, args);
        if tokio::time::timeout(time, child.wait()).await.is_err() {
            child.start_kill().unwrap();
            // The run may have ended by itself just now.
            let killed = child.wait().await.unwrap().code().is_none();
            counts[1] += usize::from(killed);
            if killed && lease_left(account).await {
                counts[2] += 1;
                self.left += 1;
                // The next run waits for every tenth one.
                self.waiting = self.left % 10 == 5;
                if !self.waiting {
                    forget_lease(account).await;
                }
            }
        }
        time
    }

    /// Runs the next verb. An abandoned lease delays it by no more than its expiry.
    pub async fn next(&mut self, cluster: &Cluster, args: &[&str], takes: Duration) -> Ran {
        let started = Instant::now();
        let ran = run(cluster, args).await;
        // A run that is refused as stale never gets to the lease.
        if ran.code != 1 && std::mem::take(&mut self.waiting) {
            let took = started.elapsed();
            self.waits.push(took);
            // Sources that missed their origin retry after 40 s, which is not time spent on the lease.
            let sources = ran.text.contains("to try the sources of");
            let sources = Duration::from_secs(if sources { 50 } else { 0 });
            let most = Duration::from_secs(EXPIRY) + sources + 4 * takes + Duration::from_secs(5);
            assert!(
                took < most,
                "{args:?} took {took:?} after a lease was left behind; usually {takes:?}\n{}",
                ran.text
            );
        }
        ran
    }

    /// Returns a summary as text.
    pub fn says(&self) -> String {
        let verbs = self.verbs.iter().map(|(verb, [runs, killed, left])| {
            format!("{killed} of {runs} runs of {verb} killed ({left} left their lease behind)")
        });
        let longest = self.waits.iter().max().copied().unwrap_or_default();
        format!(
            "{}; {} runs waited for a lease left behind (it expires after {EXPIRY} s), the longest took {longest:.1?}",
            verbs.collect::<Vec<_>>().join(", "),
            self.waits.len()
        )
    }
}

/// Checks if the account's lease still seems to be held.
async fn lease_left(account: &Client) -> bool {
    for prefix in PREFIXES {
        let body = format!("{{\"last_by_subj\":\"{}\"}}", lease::SUBJECT);
        let last = ask(account, &format!("{prefix}.STREAM.MSG.GET.{}", lease::STREAM), &body).await;
        let Some(data) = last.as_ref().and_then(|last| last["message"]["data"].as_str()) else { continue };
        let note: Note = serde_json::from_slice(&B64.decode(data).unwrap()).unwrap();
        return !note.released;
    }
    false
}

/// Removes the lease of a killed run, as a user may who knows that the run is dead.
async fn forget_lease(account: &Client) {
    for prefix in PREFIXES {
        let purged = ask(account, &format!("{prefix}.STREAM.PURGE.{}", lease::STREAM), "").await;
        if purged.is_some_and(|answer| answer["success"] == true) {
            return;
        }
    }
}
