//! `apply` and `destroy` of the layout `regional`, killed at any moment: the next run finishes, the accounts are the same,
//! and what is published afterwards is in every region exactly once.

use crate::killed::{Random, forget_lease};
use crate::steps::{APPLY, DESTROY, expect, in_sync, spawn};
use crate::support::{Cluster, client, cluster};
use crate::traffic::{Ledger, Traffic, arrived};
use std::time::{Duration, Instant};

const ALL: [&str; 3] = ["west", "central", "east"];
const ROUNDS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn the_stages_of_the_layout_regional_go_on_where_they_stood() {
    let cluster = cluster().await;
    let mut random = Random::seeded();
    let started = Instant::now();
    expect(&cluster, 0, &APPLY).await;
    let takes = started.elapsed();
    let keys = keys(&cluster);
    assert_eq!(keys.len(), 3, "{keys:?}");
    expect(&cluster, 0, &DESTROY).await;
    let (mut killed, mut messages) = (0, 0);
    for round in 0..ROUNDS {
        killed += usize::from(kill(&cluster, &APPLY, random.below(takes)).await);
        expect(&cluster, 0, &APPLY).await;
        let when = format!("round {round}");
        in_sync(&cluster, &when).await;
        let ledger = Ledger::default();
        let traffic = Traffic::start(&cluster, &ALL, &ledger).await;
        traffic.advance(&ALL, 10).await;
        traffic.stop().await;
        arrived(&cluster, &ledger, &when).await;
        messages += ledger.len();
        killed += usize::from(kill(&cluster, &DESTROY, random.below(takes)).await);
        expect(&cluster, 0, &DESTROY).await;
    }
    assert_eq!(self::keys(&cluster), keys, "keys were made again");
    eprintln!("{killed} of {} runs killed (apply takes {takes:.1?}), {messages} messages", 2 * ROUNDS);
}

/// Runs the verb and kills it after a time; `false` when it ended before.
async fn kill(cluster: &Cluster, args: &[&str], after: Duration) -> bool {
    let mut child = spawn(cluster, args);
    let late = tokio::time::timeout(after, child.wait()).await.is_err();
    if late {
        child.kill().await.unwrap();
        forget_lease(&client(cluster, "central").await).await;
    }
    late
}

/// The keys of the regional accounts.
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
