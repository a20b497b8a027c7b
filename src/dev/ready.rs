//! Checks over the loopback monitoring ports that the servers have found each other.

use super::control::{ServerState, State};
use super::layout::{Layout, Server};
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
    server: &'a Server,
    meta: Value,
    gateways: BTreeSet<String>,
    routes: BTreeSet<String>,
}

/// Something that keeps the running servers from working together.
pub(super) struct Missing {
    /// A description.
    pub(super) what: String,
    /// Running servers that have to be restarted, because the JetStream meta group goes on without them.
    pub(super) left_out: Vec<String>,
    /// Time to wait before restarting them.
    pub(super) patience: Duration,
}

/// Time after which a server that JetStream's meta leader does not count is restarted: the leader would never count it.
/// nats-server 2.10.26 leaves one or two out at about every eighth first start of nine (measured).
const LEFT_OUT: Duration = Duration::from_secs(5);
/// Time for the election of a meta leader, which takes 4 to 9 s (nats-server 2.15 `server/raft.go`). Two servers of
/// 2.10.26 elected none in 1 of 36 first starts on a busy machine, until one was restarted (measured).
const ELECTION: Duration = Duration::from_secs(12);
/// Time for a server to catch up with the meta leader. One of 2.10.26 stayed behind for the 60 s that it was watched,
/// after its whole region had been restarted on a busy machine (measured).
const CATCH_UP: Duration = Duration::from_secs(20);

impl From<String> for Missing {
    fn from(what: String) -> Self {
        Self { what, left_out: Vec::new(), patience: LEFT_OUT }
    }
}

/// Returns what is still missing until the running servers work together; `None` when they do.
///
/// Servers of a region that is cut off are a group of their own. A JetStream meta leader is expected where more than
/// half of all servers are together. It must then see each of them as current.
pub(super) async fn missing(layout: &Layout, state: &State) -> Option<Missing> {
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
    let group = |server: &Server| state.cut.contains(&server.region).then(|| server.region.clone());
    let groups: BTreeSet<Option<String>> = running.iter().map(|server| group(server)).collect();
    groups.into_iter().find_map(|one| {
        let members: Vec<&View> = seen.iter().filter(|view| group(view.server) == one).collect();
        if let Some(what) = links_missing(&members) {
            return Some(what.into());
        }
        let what = meta_missing(layout.servers.len(), &members)?;
        let (left_out, patience) = left_out(&members);
        Some(Missing { what, left_out, patience })
    })
}

fn links_missing(members: &[&View]) -> Option<String> {
    for view in members {
        for other in members.iter().map(|other| other.server) {
            let Server { name, cluster, .. } = view.server;
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
    for view in members {
        if view.meta["leader"].as_str().unwrap_or_default().is_empty() {
            return Some(format!("server {} sees no JetStream meta leader", view.server.name));
        }
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

/// Returns running servers that the meta leader does not count, or that stay behind it. Without a leader, returns one
/// of the servers that see none.
fn left_out(members: &[&View]) -> (Vec<String>, Duration) {
    let Some(leader) = leader_of(members) else {
        let without = members.iter().rfind(|view| view.meta["leader"].as_str().unwrap_or_default().is_empty());
        return (without.map(|view| view.server.name.clone()).into_iter().collect(), ELECTION);
    };
    let current = replicas_of(leader);
    let behind = others(members, leader).filter(|name| current.get(name) != Some(&true));
    let (behind, not_counted): (Vec<String>, Vec<String>) =
        behind.map(str::to_owned).partition(|name| current.contains_key(name.as_str()));
    if not_counted.is_empty() { (behind, CATCH_UP) } else { (not_counted, LEFT_OUT) }
}

async fn view(server: &Server) -> io::Result<View<'_>> {
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
async fn get(server: &Server, path: &str) -> io::Result<Value> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.monitor_port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    Ok(serde_json::from_slice(&answer[body..])?)
}
