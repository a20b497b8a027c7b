//! Reads the facts of a running deployment for a new definition: its clusters, their client URLs, its operator and its
//! accounts.

use crate::definition::server_url;
use crate::desired::regional::serves_a_region;
use crate::model::claims::AccountClaims;
use crate::model::nkey::PublicKey;
use crate::model::topology::Tls;
use crate::observed::{RequestError, Requests, Server, system};
use crate::plan::preflight::named_by_all;
use crate::resolver::servers;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A deployment, as its servers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The context of the nats CLI that was used to reach its system account.
    pub context: String,
    /// The TLS settings of that context.
    pub tls: Option<Tls>,
    /// Clusters, sorted by name.
    pub clusters: Vec<Cluster>,
    /// The operator that all servers report to trust, if they name only one. This proves nothing.
    pub operator: Option<PublicKey>,
    /// The accounts that servers store and that have JetStream, sorted by name, without those that serve a region.
    pub accounts: Vec<(String, PublicKey)>,
    /// Servers that did not answer, and reasons why accounts were not read, one line each.
    pub lacks: Vec<String>,
}

/// A cluster of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's name, which is its gateway's name; empty for a server without either.
    pub name: String,
    /// The URLs that its servers advertise to clients.
    pub servers: Vec<String>,
    /// `true` if a server of the cluster has JetStream.
    pub has_jetstream: bool,
}

/// Reads the servers' names and stored accounts. The connection uses the context with this name and these TLS settings.
/// `reached` has its URLs, and the name of the server that it reached.
///
/// # Errors
/// [`RequestError`] if the servers do not report their identity.
pub async fn running(
    requests: &impl Requests,
    (context, tls): (&str, Option<&Tls>),
    reached: (&[String], &str),
    timeout: Duration,
) -> Result<Running, RequestError> {
    let started = Instant::now();
    let deployment = system::deployment(requests, timeout).await?;
    let system = deployment.servers.first().map(|server| server.system_account.clone()).unwrap_or_default();
    let left = timeout.saturating_sub(started.elapsed());
    let read = |token: &str| AccountClaims::decode(token).ok();
    let mut lacks: Vec<String> = deployment.missing_text().into_iter().collect();
    let stored = servers::stored_claims(requests, &deployment, left, read).await;
    let stored = stored.unwrap_or_else(|error| {
        lacks.push(format!("the accounts could not be read: {error}"));
        Vec::new()
    });
    if stored.is_empty() {
        lacks.push(
            "servers list no accounts; where their configuration has `resolver: MEMORY` or `resolver: URL(…)`, name that under \
             `resolver:`"
                .to_owned(),
        );
    }
    let mut accounts: Vec<(String, PublicKey)> = stored
        .into_iter()
        .filter(|claims| {
            claims.id().to_string() != system && claims.jetstream_limits().enabled() && !serves_a_region(claims)
        })
        .map(|claims| (claims.name().to_owned(), claims.id().clone()))
        .collect();
    accounts.sort();
    Ok(Running {
        context: context.to_owned(),
        tls: tls.cloned(),
        clusters: clusters(&deployment.servers, reached),
        operator: named_by_all(&deployment),
        accounts,
        lacks,
    })
}

/// Returns the clusters, sorted by name, with the URLs that their servers advertise. In the cluster of the connected
/// server, the URLs of the connection come first. If they are WebSocket URLs, all clusters have only these, because
/// other ports may be closed to us.
fn clusters(servers: &[Server], (urls, here): (&[String], &str)) -> Vec<Cluster> {
    let by_websocket: Vec<String> =
        urls.iter().filter(|url| url.starts_with("ws://") || url.starts_with("wss://")).cloned().collect();
    let scheme = if urls.iter().any(|url| url.starts_with("tls://")) { "tls" } else { "nats" };
    let mut found: BTreeMap<&str, Cluster> = BTreeMap::new();
    for server in servers {
        let cluster = found.entry(&server.cluster).or_insert_with(|| Cluster {
            name: server.cluster.clone(),
            servers: by_websocket.clone(),
            has_jetstream: false,
        });
        cluster.has_jetstream |= server.has_jetstream();
        if by_websocket.is_empty() {
            cluster
                .servers
                .extend(addresses(server).filter_map(|address| server_url(&format!("{scheme}://{address}")).ok()));
        }
    }
    let mut clusters: Vec<Cluster> = found.into_values().collect();
    let here = servers.iter().find(|server| server.name == here).map(|server| &*server.cluster);
    for cluster in &mut clusters {
        cluster.servers.sort();
        cluster.servers.dedup();
        if by_websocket.is_empty() && Some(&*cluster.name) == here {
            cluster.servers.retain(|url| !urls.contains(url));
            cluster.servers.splice(..0, urls.iter().cloned());
        }
    }
    clusters
}

/// Returns the addresses that a server advertises, its own and those of its cluster. If it advertises none, returns its
/// listen address.
fn addresses(server: &Server) -> impl Iterator<Item = String> {
    let told = server.varz["connect_urls"].as_array().into_iter().flatten();
    let mut addresses: Vec<String> = told.filter_map(|url| url.as_str()).map(str::to_owned).collect();
    if addresses.is_empty()
        && let (Some(host), Some(port)) = (server.varz["host"].as_str(), server.varz["port"].as_u64())
        && !["", "0.0.0.0", "::"].contains(&host)
    {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        addresses.push(format!("{host}:{port}"));
    }
    addresses.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn server(name: &str, cluster: &str, varz: serde_json::Value) -> Server {
        Server { varz, ..Server::new(name, cluster, "2.15.1") }
    }

    #[test]
    fn clusters_are_reached_as_their_servers_say() {
        let jetstream = json!({ "config": {} });
        let servers = [
            server("w1", "west", json!({ "connect_urls": ["10.0.0.1:4222", "10.0.0.2:4222"], "jetstream": jetstream })),
            server("w2", "west", json!({ "connect_urls": ["10.0.0.2:4222", "10.0.0.1:4222"], "jetstream": jetstream })),
            // The server advertises no address.
            server("e1", "edge", json!({ "host": "::1", "port": 4333 })),
            server("d1", "dark", json!({ "host": "0.0.0.0", "port": 4222, "connect_urls": ["x y:1", "u:p@h:4222"] })),
        ];
        let found = |urls: &[&str]| -> Vec<(String, Vec<String>, bool)> {
            let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
            clusters(&servers, (&urls, "w1")).into_iter().map(|c| (c.name, c.servers, c.has_jetstream)).collect()
        };
        let of = |name: &str, servers: &[&str], has_jetstream| {
            (name.to_owned(), servers.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>(), has_jetstream)
        };
        assert_eq!(
            found(&["nats://lb:4222"]),
            [
                of("dark", &[], false),
                of("edge", &["nats://[::1]:4333"], false),
                of("west", &["nats://lb:4222", "nats://10.0.0.1:4222", "nats://10.0.0.2:4222"], true),
            ]
        );
        assert_eq!(found(&["tls://10.0.0.2:4222"])[2].1, ["tls://10.0.0.2:4222", "tls://10.0.0.1:4222"]);
        assert!(found(&["wss://lb:443"]).iter().all(|(_, servers, _)| *servers == ["wss://lb:443"]));
    }
}
