//! Regions die, come back, and lose sight of each other, while everywhere someone publishes.

use crate::disasters::steps::{APPLY, expect, in_sync};
use crate::disasters::traffic::{Ledger, Traffic, arrived, stored};
use crate::support::{Cluster, PATIENCE, client, cluster};
use std::time::Instant;

const ALL: [&str; 3] = ["west", "central", "east"];

/// What every publisher gets acknowledged between two blows.
const SOME: usize = 40;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: .ci/run on the oldest servers, scripts/nightly on all"]
async fn every_acknowledged_message_is_in_every_region_exactly_once() {
    disasters(cluster().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: scripts/nightly"]
async fn so_it_is_in_the_layout_shared() {
    disasters(cluster().await.with_shared_layout()).await;
}

async fn disasters(cluster: Cluster) {
    let ledger = Ledger::default();
    expect(&cluster, 0, &APPLY).await;
    eprintln!("nats-server {}", cluster.server_version());

    disaster(&cluster, &ledger, "one region killed and restarted", async |traffic: &Traffic| {
        kill(&cluster, &["west"]).await;
        traffic.advance(&["central", "east"], SOME).await;
        start(&cluster, &["west"]).await;
    })
    .await;

    disaster(&cluster, &ledger, "two regions killed and restarted", async |traffic: &Traffic| {
        kill(&cluster, &["west", "central"]).await;
        traffic.advance(&["east"], SOME).await;
        start(&cluster, &["west", "central"]).await;
    })
    .await;

    disaster(&cluster, &ledger, "two regions killed, the third while they return", async |traffic: &Traffic| {
        kill(&cluster, &["central", "east"]).await;
        traffic.advance(&["west"], SOME).await;
        kill(&cluster, &["west"]).await;
        start(&cluster, &["central", "east"]).await;
        traffic.advance(&["central", "east"], SOME).await;
        start(&cluster, &["west"]).await;
    })
    .await;

    disaster(&cluster, &ledger, "split brain and healing", async |traffic: &Traffic| {
        let (west, east) = (client(&cluster, "west").await, client(&cluster, "east").await);
        cluster.cut("east").await.unwrap();
        cluster.wait_ready(PATIENCE).await.unwrap();
        traffic.advance(&ALL, SOME).await;
        // Each side has what the other has not.
        let (in_west, in_east) = (stored(&west).await.unwrap(), stored(&east).await.unwrap());
        let all = ledger.len() as u64;
        assert!(in_west < all && in_east < all, "{in_west} messages in west, {in_east} in east, of {all}");
        cluster.heal("east").await.unwrap();
        cluster.wait_ready(PATIENCE).await.unwrap();
    })
    .await;
}

/// Publishes before, through and after the disaster, then reads everything in every region.
async fn disaster(cluster: &Cluster, ledger: &Ledger, what: &str, happens: impl AsyncFnOnce(&Traffic)) {
    let started = Instant::now();
    let before = ledger.len();
    let traffic = Traffic::start(cluster, &ALL, ledger).await;
    traffic.advance(&ALL, SOME).await;
    happens(&traffic).await;
    traffic.advance(&ALL, SOME).await;
    traffic.stop().await;
    let over = started.elapsed();
    let arrival = arrived(cluster, ledger, what).await;
    let sync = in_sync(cluster, what).await;
    eprintln!(
        "{what}: {} messages, {} in all; {over:.1?} of trouble, all arrived after {arrival:.1?} more, in sync after \
         {sync:.1?} more",
        ledger.len() - before,
        ledger.len()
    );
}

async fn kill(cluster: &Cluster, regions: &[&str]) {
    for region in regions {
        cluster.kill(region).await.unwrap();
    }
}

async fn start(cluster: &Cluster, regions: &[&str]) {
    for region in regions {
        cluster.start(region).await.unwrap();
    }
    // A meta leader of 2.10.26 may take a returned server for behind until there is something to agree on. What counts is
    // that the messages arrive.
    if let Err(error) = cluster.wait_ready(PATIENCE).await {
        eprintln!("{error}; going on");
    }
}
