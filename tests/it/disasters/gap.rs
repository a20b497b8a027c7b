//! An outage that lasts longer than the write streams keep messages.

use crate::disasters::steps::{APPLY, Ran, expect, run};
use crate::disasters::traffic::{Ledger, Traffic, arrived};
use crate::support::{Cluster, PATIENCE, small};
use std::time::{Duration, Instant};

const ALL: [&str; 3] = ["west", "central", "east"];

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_max_age_is_foretold_and_its_gap_named() {
    outage("regional", "APP-west", "foo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_in_the_layout_shared() {
    outage("shared", "APP", "foo-read-west").await;
}

/// Runs the outage with this layout; `read` of `account` is the read stream in west.
async fn outage(layout: &str, account: &str, read: &str) {
    let cluster = small().await;
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
    let short = definition
        .replace("layout: regional", &format!("layout: {layout}"))
        .replace("write: { ", "write: { max_age: 10s, duplicate_window: 10s, ");
    std::fs::write(cluster.definition_path(), short).unwrap();
    expect(&cluster, 0, &APPLY).await;
    let ledger = Ledger::default();
    publish(&cluster, &ledger, &ALL).await;
    arrived(&cluster, &ledger, "before the outage").await;
    let (got, got_central) = (ledger.of("east"), ledger.of("central"));

    cluster.kill("west").await.unwrap();
    publish(&cluster, &ledger, &["central", "east"]).await;
    let (lost, lost_central) = (ledger.of("east"), ledger.of("central"));
    let foretold = format!("stream {read}: the other regions have heard nothing from this one for");
    let ran = until(&cluster, &[(4, &foretold)]).await;
    assert!(ran.text.contains("their write streams keep messages for 10 s"), "{}", ran.text);
    // All of them are dropped in east before west returns.
    tokio::time::sleep(Duration::from_secs(12)).await;

    cluster.start("west").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    let gap = format!("stream {read}: will never get messages {} – {lost} of foo-write-east", got + 1);
    // If servers do not report the last message that a source got, only the count shows the loss, once the source goes
    // on.
    let counted = format!(
        "stream {read}: {} messages of its sources never arrived here",
        lost + lost_central - got - got_central
    );
    let ran = until(&cluster, &[(3, &gap), (0, &counted)]).await;
    let code = if ran.code == 3 { "gap" } else { "messages-missing" };
    let found = run(&cluster, &["verify", "--format", "json"]).await.json();
    let accounts = found["accounts"].as_array().unwrap();
    let streams = accounts.iter().find(|one| one["account"] == account).unwrap()["streams"].as_array().unwrap();
    let west = streams.iter().find(|stream| stream["stream"] == read).unwrap();
    assert!(west["problems"].as_array().unwrap().iter().any(|problem| problem["code"] == code), "{west}");
}

async fn publish(cluster: &Cluster, ledger: &Ledger, regions: &[&str]) {
    let traffic = Traffic::start(cluster, regions, ledger).await;
    traffic.advance(regions, 10).await;
    traffic.stop().await;
}

/// Runs `verify` until it ends with one of these codes and prints the matching text.
async fn until(cluster: &Cluster, ends: &[(i32, &str)]) -> Ran {
    let started = Instant::now();
    loop {
        let ran = run(cluster, &["verify"]).await;
        if ends.iter().any(|(code, said)| ran.code == *code && ran.stdout.contains(said)) {
            return ran;
        }
        assert!(started.elapsed() < PATIENCE, "verify does not end with {ends:?}, but {}:\n{}", ran.code, ran.text);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
