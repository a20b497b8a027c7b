//! The local super-cluster itself.

use crate::support::{client, cluster, eventually, options, up, vstream_json};
use futures::StreamExt as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vstream_jwt::dev::{STRETCH, ServerState, SuperCluster};

/// Whether what is published in one region arrives in another.
async fn reaches(cluster: &SuperCluster, from: &str, to: &str) -> bool {
    let (publisher, subscriber) = (client(cluster, from).await, client(cluster, to).await);
    let mut messages = subscriber.subscribe("probe").await.unwrap();
    subscriber.flush().await.unwrap();
    for _ in 0..10 {
        publisher.publish("probe", "".into()).await.unwrap();
        publisher.flush().await.unwrap();
        if tokio::time::timeout(Duration::from_millis(100), messages.next()).await.is_ok() {
            return true;
        }
    }
    false
}

async fn until_reaches(cluster: &SuperCluster, from: &str, to: &str) {
    eventually(&format!("{from} reaches {to}"), || async { reaches(cluster, from, to).await.then_some(()) }).await;
}

/// What a server's monitoring port says.
async fn monitor(port: u16, path: &str) -> serde_json::Value {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn running(cluster: &SuperCluster) -> usize {
    let status = cluster.status().await;
    status.servers.iter().filter(|server| matches!(server.state, ServerState::Running { .. })).count()
}

#[tokio::test]
async fn three_by_three_lives_through_kill_cut_and_healing() {
    let cluster = cluster().await;
    assert_eq!(running(&cluster).await, 9);
    let folder = cluster.folder().display().to_string();
    let (code, status) = vstream_json(&cluster, &["dev", "status", "--folder", &folder]);
    assert_eq!((code, status["servers"].as_array().unwrap().len()), (0, 9));

    cluster.kill("west").await.unwrap();
    cluster.kill("east-1").await.unwrap();
    assert_eq!(running(&cluster).await, 5);
    cluster.start("west").await.unwrap();
    cluster.start("east-1").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    until_reaches(&cluster, "west", "east").await;

    cluster.cut("east").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    assert_eq!(cluster.status().await.cut, ["east"]);
    assert_eq!(running(&cluster).await, 9);
    for (from, to) in [("east", "west"), ("west", "east"), ("central", "east")] {
        assert!(!reaches(&cluster, from, to).await, "{from} reaches {to} across the cut");
    }
    assert!(reaches(&cluster, "east", "east").await);
    until_reaches(&cluster, "west", "central").await;

    cluster.heal("east").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    for (from, to) in [("east", "west"), ("west", "east"), ("central", "east")] {
        until_reaches(&cluster, from, to).await;
    }
    assert!(cluster.kill("nowhere").await.unwrap_err().to_string().contains("no region or server `nowhere`"));
}

#[tokio::test]
async fn stretch_cluster_shares_the_fate_of_its_regions_and_tls_is_mutual() {
    let options = vstream_jwt::dev::Options { stretch: true, tls: true, servers: 1, ..options() };
    let cluster = up(options).await;
    assert_eq!(cluster.urls(STRETCH).len(), 3);
    until_reaches(&cluster, "west", STRETCH).await;

    let stranger = async_nats::ConnectOptions::with_credentials_file(cluster.credentials_path()).await.unwrap();
    let stranger = stranger.add_root_certificates(cluster.tls_folder().unwrap().join("ca.pem"));
    stranger.connect(cluster.all_urls()).await.unwrap_err();

    cluster.cut("west").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    let stretch = cluster.servers().iter().filter(|server| server.cluster == STRETCH);
    let peers: Vec<(String, u64)> = futures::future::join_all(stretch.map(async |server| {
        let routes = monitor(server.monitor_port, "/routez").await;
        let others: std::collections::BTreeSet<&str> =
            routes["routes"].as_array().into_iter().flatten().filter_map(|r| r["remote_name"].as_str()).collect();
        (server.name.clone(), others.len() as u64)
    }))
    .await;
    assert_eq!(peers, [("stretch-west".into(), 0), ("stretch-central".into(), 1), ("stretch-east".into(), 1)]);
    assert!(!reaches(&cluster, "west", "east").await);
    until_reaches(&cluster, "east", "central").await;

    cluster.heal("west").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    cluster.kill("west").await.unwrap();
    assert_eq!(running(&cluster).await, 4);
}
