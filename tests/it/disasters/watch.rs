//! Watches all servers while runs of the command are killed.

use crate::disasters::traffic::ask;
use crate::support::killing::thorough;
use crate::support::{Cluster, PATIENCE, client, system_client};
use async_nats::Client;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use vstream_jwt::desired::lease;

const ALL: [&str; 3] = ["west", "central", "east"];

/// Returns the names of the account's streams, except that of the lease.
pub async fn streams(account: &Client) -> Option<BTreeSet<String>> {
    let names = ask(account, "$JS.API.STREAM.NAMES", "").await?;
    let names = names["streams"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned());
    Some(names.filter(|name| name != lease::STREAM).collect())
}

/// Returns the virtual streams whose mapping is in force, each with the server.
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

/// Watches all servers: where a mapping is in force, all of its streams must exist.
pub struct Watch {
    removing: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    seen: Arc<std::sync::Mutex<Vec<String>>>,
    looking: tokio::task::JoinHandle<()>,
}

impl Watch {
    pub async fn start(cluster: &Cluster) -> Self {
        let (account, system) = (client(cluster, "east").await, system_client(cluster).await);
        let (id, servers) = (cluster.account_id().to_owned(), cluster.servers().len());
        // Without pauses, this would take more processor time than everything else on two cores. The state that a
        // killed run leaves lasts for at least 300 ms.
        let pause = Duration::from_millis(if thorough() { 10 } else { 100 });
        let (removing, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (looks, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
        let looking = {
            let (removing, stop, looks, seen) = (removing.clone(), stop.clone(), looks.clone(), seen.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // The second read can only see a better state: runs remove mappings first, and add them last.
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
                    tokio::time::sleep(pause).await;
                }
            })
        };
        Self { removing, stop, looks, seen, looking }
    }

    pub fn removing(&self, removing: bool) {
        self.removing.store(removing, Ordering::SeqCst);
    }

    pub fn is_content(&self, when: &str) {
        let seen = self.seen.lock().unwrap();
        assert!(seen.is_empty(), "{when}: {seen:#?}");
    }

    /// Stops, and returns the number of reads.
    pub async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, self.looking).await.unwrap().unwrap();
        self.looks.load(Ordering::Relaxed)
    }
}
