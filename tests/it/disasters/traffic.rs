//! Publishers in all regions, a ledger of acknowledged messages, and readers of all of them by the virtual name.

use crate::support::killing::thorough;
use crate::support::{Cluster, PATIENCE, client};
use async_nats::{Client, HeaderMap, Request, RequestErrorKind};
use futures::stream::{self, StreamExt as _};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::task::JoinHandle;

/// Time until a region must have everything: sources look for a lost origin after 30 s, then at growing intervals.
const ARRIVAL: Duration = Duration::from_secs(150);

/// Acknowledged messages, by region.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    acknowledged: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    numbers: Arc<AtomicUsize>,
    turned_away: Arc<AtomicUsize>,
}

impl Ledger {
    pub fn len(&self) -> usize {
        self.acknowledged.lock().unwrap().values().map(Vec::len).sum()
    }

    pub fn of(&self, region: &str) -> usize {
        self.acknowledged.lock().unwrap().get(region).map_or(0, Vec::len)
    }

    /// Adds a message with this text that another publisher got acknowledged.
    pub fn also(&self, region: &str, text: &str) {
        self.acknowledged.lock().unwrap().entry(region.to_owned()).or_default().push(text.to_owned());
    }

    /// Forgets everything, because the streams were deleted.
    pub fn clear(&self) {
        self.acknowledged.lock().unwrap().clear();
        self.turned_away.store(0, Ordering::Relaxed);
    }

    /// Returns the number of publishes that no stream took, in regions where an earlier message was stored.
    pub fn turned_away(&self) -> usize {
        self.turned_away.load(Ordering::Relaxed)
    }

    fn ids(&self) -> BTreeMap<String, usize> {
        self.acknowledged.lock().unwrap().values().flatten().map(|id| (id.clone(), 0)).collect()
    }
}

/// Publishers in regions, until they are stopped.
pub struct Traffic {
    ledger: Ledger,
    stop: Arc<AtomicBool>,
    /// Held by a publisher while one of its messages is in flight.
    going: Arc<RwLock<()>>,
    paused: Mutex<Option<OwnedRwLockWriteGuard<()>>>,
    publishers: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts one publisher in each region, with one message in flight at a time. So the state of the last message is
    /// never unknown. The publisher sends it again with the same `Nats-Msg-Id`, in the same region, until it is
    /// acknowledged.
    pub async fn start(cluster: &Cluster, regions: &[&str], ledger: &Ledger) -> Self {
        Self::begin(cluster, regions, ledger, true).await
    }

    /// Starts publishers in clusters that regions serve, where any write stream may take a message.
    pub async fn start_where(cluster: &Cluster, clusters: &[&str], ledger: &Ledger) -> Self {
        Self::begin(cluster, clusters, ledger, false).await
    }

    async fn begin(cluster: &Cluster, regions: &[&str], ledger: &Ledger, own_stream: bool) -> Self {
        let (stop, going) = (Arc::new(AtomicBool::new(false)), Arc::new(RwLock::new(())));
        let mut publishers = Vec::new();
        for region in regions {
            let publisher = Publisher {
                client: client(cluster, region).await,
                region: (*region).to_owned(),
                own_stream,
                ledger: ledger.clone(),
                stop: stop.clone(),
                going: going.clone(),
            };
            publishers.push(tokio::spawn(publisher.run()));
        }
        Self { ledger: ledger.clone(), stop, going, paused: Mutex::new(None), publishers }
    }

    /// Pauses after the messages in flight, or resumes.
    pub async fn pause(&self, paused: bool) {
        let guard = if paused { Some(self.going.clone().write_owned().await) } else { None };
        *self.paused.lock().unwrap() = guard;
    }

    /// Waits until this many more messages of each region are acknowledged.
    pub async fn advance(&self, regions: &[&str], more: usize) {
        let goals: Vec<usize> = regions.iter().map(|region| self.ledger.of(region) + more).collect();
        let started = Instant::now();
        while regions.iter().zip(&goals).any(|(region, goal)| self.ledger.of(region) < *goal) {
            assert!(started.elapsed() < PATIENCE, "{regions:?}: publishers do not get on; wanted {goals:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops after each publisher has finished its message.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for publisher in self.publishers {
            tokio::time::timeout(PATIENCE, publisher).await.expect("a last message is not acknowledged").unwrap();
        }
    }
}

struct Publisher {
    client: Client,
    region: String,
    /// `true` if the write stream of its own region must take its messages.
    own_stream: bool,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
    going: Arc<RwLock<()>>,
}

impl Publisher {
    async fn run(self) {
        // Limits the number of messages, because the test reads each one in every region.
        let pause = Duration::from_millis(if thorough() { 20 } else { 60 });
        while !self.stop.load(Ordering::Relaxed) {
            let id = format!("{}-{}", self.region, self.ledger.numbers.fetch_add(1, Ordering::Relaxed));
            let under_way = self.going.read().await;
            self.publish_until_acknowledged(&id).await;
            drop(under_way);
            tokio::time::sleep(pause).await;
        }
    }

    async fn publish_until_acknowledged(&self, id: &str) {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        loop {
            let request = Request::new().headers(headers.clone()).payload(id.to_owned().into());
            let request = request.timeout(Some(Duration::from_secs(2)));
            match self.client.send_request("foo.numbers", request).await {
                Ok(reply) => {
                    let ack: Value = serde_json::from_slice(&reply.payload).unwrap();
                    if ack["error"].is_null() {
                        let own = format!("foo-write-{}", self.region);
                        assert!(!self.own_stream || ack["stream"] == own, "{id}: {ack}");
                        let mut acknowledged = self.ledger.acknowledged.lock().unwrap();
                        acknowledged.entry(self.region.clone()).or_default().push(id.to_owned());
                        return;
                    }
                }
                // Where no stream takes messages, the last one is never acknowledged.
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                    if self.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if self.ledger.of(&self.region) > 0 {
                        self.ledger.turned_away.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits until every region has all acknowledged messages under the virtual name. Then reads them: each exactly once,
/// and no other. Returns how long they took to arrive.
pub async fn arrived(cluster: &Cluster, ledger: &Ledger, when: &str) -> Duration {
    let regions: Vec<&str> = cluster.regions().iter().map(String::as_str).collect();
    arrived_in(cluster, &regions, ledger, when).await
}

/// Does the same in these clusters.
pub async fn arrived_in(cluster: &Cluster, all: &[&str], ledger: &Ledger, when: &str) -> Duration {
    let started = Instant::now();
    let expected = ledger.len();
    let mut regions = all.to_vec();
    let mut seen: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    while !regions.is_empty() {
        let mut behind = Vec::new();
        for region in regions {
            let messages = stored(&client(cluster, region).await).await;
            seen.insert(region, messages);
            if messages.is_none_or(|messages| (messages as usize) < expected) {
                behind.push(region);
            }
        }
        regions = behind;
        assert!(started.elapsed() < ARRIVAL, "{when}: not {expected} messages everywhere, but {seen:?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let took = started.elapsed();
    for region in all {
        let mut counts = ledger.ids();
        for id in read(&client(cluster, region).await).await {
            *counts.entry(id).or_default() += 1;
        }
        let wrong: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).take(20).collect();
        assert!(wrong.is_empty(), "{when}, reading in {region}: not exactly once: {wrong:?}");
        assert_eq!(counts.len(), expected, "{when}, reading in {region}: messages nobody acknowledged");
    }
    took
}

/// Returns the number of messages in the stream, by the virtual name.
pub async fn stored(client: &Client) -> Option<u64> {
    ask(client, "$JS.API.STREAM.INFO.foo", "").await?["state"]["messages"].as_u64()
}

/// Returns the payloads of all messages by the virtual name, by a direct get of each.
pub async fn read(client: &Client) -> Vec<String> {
    let info = ask(client, "$JS.API.STREAM.INFO.foo", "").await.expect("the stream does not answer");
    let range = info["state"]["first_seq"].as_u64().unwrap()..=info["state"]["last_seq"].as_u64().unwrap();
    let got = stream::iter(range).map(|sequence| async move {
        let started = Instant::now();
        loop {
            let body = format!("{{\"seq\":{sequence}}}");
            match client.request("$JS.API.DIRECT.GET.foo", body.into()).await {
                Ok(message) if message.status.is_none() => {
                    return String::from_utf8(message.payload.to_vec()).unwrap();
                }
                // A replica may lag a little.
                other => assert!(started.elapsed() < PATIENCE, "message {sequence} cannot be got: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    got.buffer_unordered(64).collect().await
}

/// Sends a JetStream request. Returns `None` if there is no responder, or if the answer is an error.
pub async fn ask(client: &Client, subject: &str, body: &str) -> Option<Value> {
    let request = Request::new().payload(body.to_owned().into()).timeout(Some(Duration::from_secs(2)));
    let reply = client.send_request(subject.to_owned(), request).await.ok()?;
    let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
    reply["error"].is_null().then_some(reply)
}
