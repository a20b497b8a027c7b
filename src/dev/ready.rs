//! Checks over the loopback monitoring ports that the servers have connected to each other.

use super::control::{ServerState, State};
use super::layout::{DevLayout, DevServer};
use futures::future::join_all;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A server's report on itself.
struct View<'a> {
    server: &'a DevServer,
    meta: Value,
    gateways: BTreeSet<String>,
    routes: BTreeSet<String>,
}

/// A problem that keeps the running servers from working together.
pub(super) struct Missing {
    /// A description.
    pub(super) what: String,
    /// Running servers that must be restarted, because the JetStream meta group works without them.
    pub(super) left_out: Vec<String>,
    /// Time to wait before these are restarted.
    pub(super) patience: Duration,
}

/// Time after which a server is restarted that JetStream's meta leader does not count. Otherwise the leader would never
/// count it. nats-server 2.10.26 omits one or two servers in about every eighth first start of nine (measured).
const LEFT_OUT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the election of a meta leader, which takes 4 to 9 s (nats-server 2.15 `server/raft.go`). Two servers of
/// 2.10.26 elected none in 1 of 36 first starts on a busy machine, until one was restarted (measured).
const ELECTION_TIMEOUT: Duration = Duration::from_secs(12);
/// Time for a server to catch up with the meta leader. One of 2.10.26 stayed behind for the 60 s that it was watched,
/// after its whole region had been restarted on a busy machine (measured).
const CATCH_UP: Duration = Duration::from_secs(20);

impl From<String> for Missing {
    fn from(what: String) -> Self {
        Self { what, left_out: Vec::new(), patience: LEFT_OUT_TIMEOUT }
    }
}

/// Returns what still keeps the running servers from working together. Returns `None` if nothing does.
///
/// Servers of a region that is cut off are a separate group. The group with more than half of all servers must have a
/// JetStream meta leader, which sees each of them as current.
pub(super) async fn missing(layout: &DevLayout, state: &State, restarts: usize) -> Option<Missing> {
    let mut running = Vec::new();
    for (server, (_, server_state)) in layout.servers.iter().zip(&state.servers) {
        match server_state {
            ServerState::Running { .. } => running.push(server),
            ServerState::Down => {}
            ServerState::Ended { why } => return Some(format!("server {} ended ({why})", server.name).into()),
        }
    }
    let views = join_all(running.iter().map(|server| view(server))).await;
    let mut seen = Vec::new();
    for (server, view) in running.iter().zip(views) {
        match view {
            Ok(view) => seen.push(view),
            Err(error) => return Some(format!("server {} does not answer ({error})", server.name).into()),
        }
    }
    let group = |server: &DevServer| state.cut.contains(&server.region).then(|| server.region.clone());
    let groups: BTreeSet<Option<String>> = running.iter().map(|server| group(server)).collect();
    groups.into_iter().find_map(|one| {
        let members: Vec<&View> = seen.iter().filter(|view| group(view.server) == one).collect();
        if let Some(what) = links_missing(&members) {
            return Some(what.into());
        }
        let what = meta_missing(layout.servers.len(), &members)?;
        let (left_out, patience) = left_out(&members, restarts);
        Some(Missing { what, left_out, patience })
    })
}

fn links_missing(members: &[&View]) -> Option<String> {
    for view in members {
        for other in members.iter().map(|other| other.server) {
            let DevServer { name, cluster, .. } = view.server;
            if other.cluster != *cluster && !view.gateways.contains(&other.cluster) {
                return Some(format!("server {name} has no gateway to cluster {}", other.cluster));
            }
            if other.cluster == *cluster && other.name != *name && !view.routes.contains(&other.name) {
                return Some(format!("server {name} has no route to {}", other.name));
            }
        }
    }
    None
}

fn meta_missing(servers: usize, members: &[&View]) -> Option<String> {
    if members.len() * 2 <= servers {
        return None;
    }
    if let Some(view) = members.iter().find(|view| sees_no_leader(view)) {
        let elsewhere = leader_of(members).map(|leader| format!(", which is {}", leader.server.name));
        let elsewhere = elsewhere.unwrap_or_default();
        return Some(format!("server {} sees no JetStream meta leader{elsewhere}", view.server.name));
    }
    let Some(leader) = leader_of(members) else { return Some("no server leads the JetStream meta group".to_owned()) };
    // Only the leader's count is reliable: followers of 2.12.8 reported 2 permanently after all three had been
    // restarted (measured).
    if leader.meta["cluster_size"].as_u64() != Some(servers as u64) {
        return Some(format!("the JetStream meta leader {} does not know all servers", leader.server.name));
    }
    let current = replicas_of(leader);
    let behind = others(members, leader).find(|name| current.get(name) != Some(&true));
    behind.map(|name| format!("the JetStream meta leader does not see {name} as current"))
}

fn leader_of<'v>(members: &[&'v View<'v>]) -> Option<&'v View<'v>> {
    members.iter().copied().find(|view| view.meta["leader"] == view.server.name.as_str())
}

fn others<'v>(members: &'v [&View<'v>], leader: &'v View<'v>) -> impl Iterator<Item = &'v str> {
    members.iter().map(|view| view.server.name.as_str()).filter(|name| *name != leader.server.name)
}

/// Returns the servers that the meta leader counts, and whether each is current.
fn replicas_of<'v>(leader: &'v View<'v>) -> BTreeMap<&'v str, bool> {
    let replicas = leader.meta["replicas"].as_array().into_iter().flatten();
    replicas.filter_map(|replica| Some((replica["name"].as_str()?, replica["current"] == true))).collect()
}

/// Returns running servers that the meta leader does not count, that stay behind it, or that see no leader although
/// there is one. Without a leader, returns one of the servers, another one after each restart.
fn left_out(members: &[&View], restarts: usize) -> (Vec<String>, Duration) {
    let names = |views: Vec<&View>| views.into_iter().map(|view| view.server.name.clone()).collect::<Vec<String>>();
    let Some(leader) = leader_of(members) else {
        let turn = members.iter().rev().cycle().nth(restarts);
        return (names(turn.copied().into_iter().collect()), ELECTION_TIMEOUT);
    };
    let current = replicas_of(leader);
    let (counted, not_counted): (Vec<&View>, Vec<&View>) = members
        .iter()
        .copied()
        .filter(|view| view.server.name != leader.server.name)
        .partition(|view| current.contains_key(view.server.name.as_str()));
    if !not_counted.is_empty() {
        return (names(not_counted), LEFT_OUT_TIMEOUT);
    }
    let is_behind = |view: &&View| current.get(view.server.name.as_str()) != Some(&true) || sees_no_leader(view);
    (names(counted.into_iter().filter(is_behind).collect()), CATCH_UP)
}

fn sees_no_leader(view: &View) -> bool {
    view.meta["leader"].as_str().unwrap_or_default().is_empty()
}

async fn view(server: &DevServer) -> io::Result<View<'_>> {
    let asked = async {
        let (jetstream, gateways, routes) =
            tokio::try_join!(get(server, "/jsz"), get(server, "/gatewayz"), get(server, "/routez"))?;
        let names = |value: &Value| value.as_str().map(str::to_owned);
        let outbound = gateways["outbound_gateways"].as_object();
        Ok(View {
            server,
            meta: jetstream["meta_cluster"].clone(),
            gateways: outbound.map(|gateways| gateways.keys().cloned().collect()).unwrap_or_default(),
            routes: routes["routes"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|r| names(&r["remote_name"]))
                .collect(),
        })
    };
    tokio::time::timeout(Duration::from_secs(2), asked).await?
}

/// Sends a GET request by HTTP/1.0, because its answers are never chunked.
async fn get(server: &DevServer, path: &str) -> io::Result<Value> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.monitor_port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    Ok(serde_json::from_slice(&answer[body..])?)
}
