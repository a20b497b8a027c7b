//! Checks whether there are enough servers with JetStream, the tags and the storage that a plan's streams need.

use super::account::replicas;
use crate::desired::{DesiredAccount, DesiredStream};
use crate::model::finding::Finding;
use crate::observed::{Deployment, Server};
use crate::plan::Action;
use crate::plan::consumers::ConsumerPlan;
use crate::plan::streams::StreamPlan;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Resources that the new streams of one cluster with the same tags and storage need.
#[derive(Default)]
struct Need<'a> {
    replicas: u64,
    /// The stream with the most replicas.
    stream: &'a str,
    /// The largest `max_bytes` of a stream, the stream, and its replicas.
    largest: (u64, &'a str, u64),
    /// Sum of `max_bytes` over all replicas of all streams.
    bytes: u64,
}

/// Checks that each cluster has at least as many JetStream servers with the tags and the room as its streams have
/// replicas.
///
/// A server has room for a stream if its storage that is neither reserved nor used holds `max_bytes` (nats-server 2.15
/// `server/jetstream_cluster.go`, `selectPeerGroup`).
pub(super) fn servers(desired: &DesiredAccount<'_>, plan: &StreamPlan, deployment: &Deployment) -> Vec<Finding> {
    let streams: HashMap<&str, &DesiredStream<'_>> = desired.streams.iter().map(|s| (s.name.as_str(), s)).collect();
    let mut needs: BTreeMap<(String, Vec<String>, &str), Need<'_>> = BTreeMap::new();
    for change in plan.changes.iter().filter(|c| c.action == Action::Create) {
        let Some(config) = &change.after else { continue };
        let Some(stream) = streams.get(change.name.as_str()) else { continue };
        let tags = config.get("placement").and_then(|p| p["tags"].as_array());
        let tags = tags.into_iter().flatten().filter_map(|t| t.as_str().map(str::to_lowercase)).collect();
        let storage = if config.get("storage").is_some_and(|s| s == "memory") { "memory" } else { "file" };
        let bytes = config.get("max_bytes").and_then(Value::as_u64).unwrap_or(0);
        let need = needs.entry((stream.cluster.to_string(), tags, storage)).or_default();
        if replicas(config) > need.replicas {
            (need.replicas, need.stream) = (replicas(config), &change.name);
        }
        if bytes > need.largest.0 {
            need.largest = (bytes, &change.name, replicas(config));
        }
        need.bytes = need.bytes.saturating_add(bytes.saturating_mul(replicas(config)));
    }
    let mut findings = Vec::new();
    for ((cluster, tags, storage), need) in needs {
        let able: Vec<&Server> = deployment
            .servers
            .iter()
            .filter(|server| {
                let of_server = |tag: &String| {
                    let own = server.varz["tags"].as_array().into_iter().flatten();
                    own.filter_map(Value::as_str).any(|t| t.eq_ignore_ascii_case(tag))
                };
                server.cluster == cluster && server.has_jetstream() && tags.iter().all(of_server)
            })
            .collect();
        let Need { replicas, stream, largest, bytes } = need;
        let tagged = if tags.is_empty() { String::new() } else { format!(" and tags {}", tags.join(", ")) };
        if let Some((prefix, places)) = apart(&able, &tags)
            && places < replicas
            && able.len() as u64 >= replicas
        {
            findings.push(Finding::error(
                "too-few-servers",
                format!("cluster {cluster}"),
                format!(
                    "its servers keep replicas apart by `unique_tag: {prefix:?}`, those with JetStream{tagged} have {places} \
                     different tags of that kind, and stream {stream} has {replicas} replicas: servers answer \"no suitable \
                     peers for placement\""
                ),
                format!("Tag servers with {replicas} different `{prefix}…`, or set `num_replicas`."),
            ));
            continue;
        }
        if (able.len() as u64) < replicas {
            findings.push(Finding::error(
                "too-few-servers",
                format!("cluster {cluster}"),
                format!(
                    "{} servers with JetStream{tagged} answered, and stream {stream} has {replicas} replicas: servers \
                     answer \"no suitable peers for placement\"",
                    able.len()
                ),
                "Bring up more servers in the cluster, or set `num_replicas`.",
            ));
            continue;
        }
        let room: Vec<u64> = able.iter().map(|server| room(server, storage)).collect();
        let roomy = room.iter().filter(|room| **room >= largest.0).count() as u64;
        let all = room.iter().copied().fold(0, u64::saturating_add);
        let (most, name, replicas) = largest;
        let message = if roomy < replicas {
            format!(
                "{roomy} servers have {storage} storage for the {most} bytes that stream {name} reserves, and it has \
                 {replicas} replicas"
            )
        } else if bytes > all {
            format!(
                "the new streams reserve {bytes} bytes of {storage} storage with all replicas, and servers have {all} left"
            )
        } else {
            continue;
        };
        findings.push(Finding::error(
            "server-storage",
            format!("cluster {cluster}"),
            format!("{message}: servers answer \"no suitable peers for placement, insufficient storage\""),
            "Give the servers more storage (`max_file_store`, `max_memory_store`), or lower `max_bytes`.",
        ));
    }
    findings
}

/// Returns the prefix of the tags by which servers keep replicas apart, and the number of different tags. Returns
/// `None` if there is no such prefix, or if the placement itself names a tag with it. A server without such a tag gets
/// no replica (nats-server 2.15 `server/jetstream_cluster.go`, `selectPeerGroup`).
fn apart<'s>(able: &[&'s Server], tags: &[String]) -> Option<(&'s str, u64)> {
    let prefixes = able.iter().filter_map(|server| server.varz["jetstream"]["config"]["unique_tag"].as_str());
    let prefix = prefixes.into_iter().find(|prefix| !prefix.is_empty())?;
    let is_of_kind = |tag: &str| tag.to_lowercase().starts_with(&prefix.to_lowercase());
    if tags.iter().any(|tag| is_of_kind(tag)) {
        return None;
    }
    let own = able.iter().flat_map(|server| server.varz["tags"].as_array()).flatten().filter_map(Value::as_str);
    let places: BTreeSet<String> = own.filter(|tag| is_of_kind(tag)).map(str::to_lowercase).collect();
    Some((prefix, places.len() as u64))
}

/// Returns the storage that a server has left, in bytes. Subtracts its reserved or its used storage, whichever is
/// larger. The result is `u64::MAX` or close to it for a server that reports no limit.
fn room(server: &Server, storage: &str) -> u64 {
    let jetstream = &server.varz["jetstream"];
    let (most, reserved, used) = match storage {
        "memory" => ("max_memory", "reserved_memory", "memory"),
        _ => ("max_storage", "reserved_storage", "storage"),
    };
    let taken = |field: &str| jetstream["stats"][field].as_u64().unwrap_or(0);
    let most = jetstream["config"][most].as_u64().unwrap_or(u64::MAX);
    most.saturating_sub(taken(reserved).max(taken(used)))
}

/// Checks settings of streams and consumers against the servers' own limits (`jetstream { limits }`), because any
/// server with JetStream may have to carry out a request. Warns of servers that have reached their limit of replicated
/// assets. Servers before 2.11 do not report their limits, and refuse the request instead (`monitor.go`,
/// `JetStreamVarz`).
pub(super) fn limits(streams: &StreamPlan, consumers: &ConsumerPlan, deployment: &Deployment) -> Vec<Finding> {
    let of_streams = streams.changes.iter().filter_map(|c| Some((format!("stream {}", c.name), c.after.as_ref()?)));
    let of_consumers =
        consumers.changes.iter().map(|c| (format!("consumer {} of stream {}", c.name, c.stream), &c.after));
    let of_streams: Vec<(String, &Map<String, Value>)> = of_streams.collect();
    let of_consumers: Vec<(String, &Map<String, Value>)> = of_consumers.collect();
    let settings = [
        (&of_streams, "duplicate_window", "max_duplicate_window"),
        (&of_consumers, "max_ack_pending", "max_ack_pending"),
        (&of_consumers, "max_batch", "max_request_batch"),
    ];
    let limit =
        |server: &Server, name: &str| server.varz["jetstream"]["limits"][name].as_i64().filter(|limit| *limit > 0);
    let mut findings = Vec::new();
    for (changes, field, name) in settings {
        let mut above = changes.iter().filter_map(|(place, config)| {
            let wanted = config.get(field).and_then(Value::as_i64)?;
            let server = deployment.servers.iter().find(|s| limit(s, name).is_some_and(|limit| wanted > limit))?;
            Some((place, wanted, server))
        });
        let Some((place, wanted, server)) = above.next() else { continue };
        let more = match above.count() {
            0 => String::new(),
            more => format!(", as for {more} others"),
        };
        findings.push(Finding::error(
            "server-limit",
            format!("server {}", server.name),
            format!(
                "its `jetstream` limits allow a `{field}` of {}, and {place} has {wanted}{more}: it refuses the request",
                limit(server, name).unwrap_or_default()
            ),
            format!("Lower `{field}` in the definition, or raise the limit in the server's configuration."),
        ));
    }
    let replicated = streams.changes.iter().filter(|c| c.action == Action::Create);
    if replicated.filter_map(|c| c.after.as_ref()).any(|config| replicas(config) > 1) {
        findings.extend(deployment.servers.iter().filter_map(|server| {
            let most = limit(server, "max_ha_assets")?;
            let has = server.varz["jetstream"]["stats"]["ha_assets"].as_i64().filter(|has| *has >= most)?;
            Some(Finding::warning(
                "server-full",
                format!("server {}", server.name),
                format!("it has {has} replicated streams and consumers, and its limit is {most}: it accepts no more"),
                "Raise `max_ha_assets` in the server's configuration, or add servers to the cluster.",
            ))
        }));
    }
    findings
}
