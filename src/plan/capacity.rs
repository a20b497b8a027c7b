//! Whether an account and its clusters have room for what a plan makes.

use super::Action;
use super::consumers::ConsumerPlan;
use super::streams::StreamPlan;
use crate::desired::{DesiredAccount, DesiredStream};
use crate::model::finding::Finding;
use crate::observed::Deployment;
use crate::observed::jetstream::{ApiError, ObservedJetStream};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// Checks limits and servers before the first request that changes something. `deployment` may be `None` (no access
/// to the system account): the clusters are not looked at then.
pub fn capacity(
    desired: &DesiredAccount<'_>,
    streams: &StreamPlan,
    consumers: &ConsumerPlan,
    observed: &ObservedJetStream,
    deployment: Option<&Deployment>,
) -> Vec<Finding> {
    let place = format!("account {}", desired.name);
    if let Some(error) = ApiError::of(&observed.info) {
        return vec![Finding::error(
            "jetstream-not-enabled",
            place,
            format!("the account has no JetStream ({error}): its claims set no JetStream limits"),
            format!(
                "Give it some, for instance: `nsc edit account {} --js-tier 3 --js-disk-storage -1 --js-streams -1 \
                 --js-consumer -1`, then `nsc push -a {0}`.",
                desired.name
            ),
        )];
    }
    let mut findings = limits(&place, streams, consumers, observed);
    if let Some(deployment) = deployment {
        findings.extend(servers(desired, streams, deployment));
    }
    findings
}

/// What creating adds to one tier.
#[derive(Default)]
struct Need {
    streams: i64,
    file: i64,
    memory: i64,
    unlimited: Option<String>,
    largest_file: (i64, String),
    largest_memory: (i64, String),
}

fn limits(place: &str, streams: &StreamPlan, consumers: &ConsumerPlan, observed: &ObservedJetStream) -> Vec<Finding> {
    let tiered = observed.info["tiers"].as_object().is_some_and(|tiers| !tiers.is_empty());
    let mut needs: BTreeMap<u64, Need> = BTreeMap::new();
    for change in streams.changes.iter().filter(|c| c.action != Action::Delete) {
        let Some(config) = &change.after else { continue };
        let replicas = replicas(config);
        let need = needs.entry(if tiered { replicas } else { 0 }).or_default();
        let bytes = |config: &Map<String, Value>| config.get("max_bytes").and_then(Value::as_i64).unwrap_or(-1).max(0);
        // Limits without tiers count every replica (nats-server 2.15 server/jetstream.go, accountReservation).
        let factor = |replicas: u64| if tiered { 1 } else { i64::try_from(replicas).unwrap_or(i64::MAX) };
        let (mut before, mut created) = (0, 1);
        if let Some(old) = &change.before {
            before = bytes(old).saturating_mul(factor(self::replicas(old)));
            created = i64::from(tiered && self::replicas(old) != replicas);
        }
        need.streams += created;
        let own = bytes(config);
        let added = own.saturating_mul(factor(replicas)).saturating_sub(before).max(0);
        let (sum, largest) = match config.get("storage").and_then(Value::as_str) {
            Some("memory") => (&mut need.memory, &mut need.largest_memory),
            _ => (&mut need.file, &mut need.largest_file),
        };
        *sum = sum.saturating_add(added);
        if own > largest.0 {
            *largest = (own, change.name.clone());
        }
        if own == 0 {
            need.unlimited.get_or_insert_with(|| change.name.clone());
        }
    }
    let mut findings: Vec<Finding> =
        needs.iter().flat_map(|(replicas, need)| tier(place, *replicas, need, &observed.info, tiered)).collect();
    findings.extend(consumer_limits(place, streams, consumers, observed, tiered));
    findings
}

/// The account's limit on consumers holds for each stream (nats-server 2.15 server/jetstream_cluster.go,
/// jsClusteredConsumerRequest).
fn consumer_limits(
    place: &str,
    streams: &StreamPlan,
    consumers: &ConsumerPlan,
    observed: &ObservedJetStream,
    tiered: bool,
) -> Vec<Finding> {
    let mut more: BTreeMap<&str, u64> = BTreeMap::new();
    for change in consumers.changes.iter().filter(|c| c.action == Action::Create) {
        *more.entry(&change.stream).or_default() += 1;
    }
    let over = more.into_iter().filter_map(|(stream, more)| {
        let found = observed.stream(stream);
        let planned = streams.changes.iter().find(|c| c.name == stream).and_then(|c| c.after.as_ref());
        let replicas = planned.or(found.map(|s| &s.config)).map_or(1, replicas);
        let usage = if tiered { &observed.info["tiers"][format!("R{replicas}")] } else { &observed.info };
        let limit = usage["limits"]["max_consumers"].as_u64().filter(|n| *n > 0)?;
        let used = found.map_or(0, |s| s.state.consumers);
        (used + more > limit).then(|| {
            Finding::error(
                "consumer-limit",
                format!("{place}, stream {stream}"),
                format!("no room for consumers: {more} more are needed, {used} of {limit} per stream are used"),
                "Raise the account's limit on consumers, or define fewer.",
            )
        })
    });
    over.collect()
}

fn replicas(config: &Map<String, Value>) -> u64 {
    config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1).max(1)
}

fn tier(place: &str, replicas: u64, need: &Need, info: &Value, tiered: bool) -> Vec<Finding> {
    let name = format!("R{replicas}");
    let usage = if tiered { &info["tiers"][name.as_str()] } else { info };
    let which = if tiered { format!("{place}, tier {name}") } else { place.to_owned() };
    if tiered && usage.is_null() {
        let have: Vec<&str> = info["tiers"].as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
        return vec![Finding::error(
            "tier-missing",
            place,
            format!("the account has no tier {name} (it has {}): servers refuse R{replicas} streams", have.join(", ")),
            format!("Add the tier to the account (`nsc edit account --js-tier {replicas} …`), or set `num_replicas`."),
        )];
    }
    let limit = |key: &str| usage["limits"][key].as_i64().unwrap_or(-1);
    let now = |key: &str| usage[key].as_i64().unwrap_or(0);
    let mut findings = Vec::new();
    let mut room = |what: &str, code: &'static str, limit: i64, used: i64, more: i64, unlimited: bool| {
        if !unlimited && more > 0 && used.saturating_add(more) > limit {
            findings.push(Finding::error(
                code,
                &which,
                format!("no room for {what}: {more} more are needed, {used} of {limit} are used"),
                "Raise the account's limit, or define less.",
            ));
        }
    };
    // A limit of 0 or less means none (nats-server 2.15 server/jetstream_cluster.go, jsClusteredStreamRequest).
    let most = limit("max_streams");
    room("streams", "stream-limit", most, now("streams"), need.streams, most <= 0);
    for (what, key, reserved, used, more) in [
        ("file storage (bytes)", "max_storage", "reserved_storage", "storage", need.file),
        ("memory storage (bytes)", "max_memory", "reserved_memory", "memory", need.memory),
    ] {
        let most = limit(key);
        room(what, "storage-limit", most, now(reserved).max(now(used)), more, most < 0);
    }
    for (key, (bytes, stream)) in
        [("storage_max_stream_bytes", &need.largest_file), ("memory_max_stream_bytes", &need.largest_memory)]
    {
        let most = limit(key);
        if most > 0 && *bytes > most {
            findings.push(Finding::error(
                "stream-too-large",
                &which,
                format!("stream {stream} may grow to {bytes} bytes, and the account allows {most} per stream"),
                "Lower `max_bytes` in the definition, or raise the account's limit.",
            ));
        }
    }
    if usage["limits"]["max_bytes_required"].as_bool() == Some(true)
        && let Some(stream) = &need.unlimited
    {
        findings.push(Finding::error(
            "max-bytes-required",
            &which,
            format!("the account requires `max_bytes` on every stream, and stream {stream} has none"),
            "Set `max_bytes` under `write` and `read`.",
        ));
    }
    findings
}

/// Whether each cluster has as many JetStream servers, with the tags, as its streams have replicas.
fn servers(desired: &DesiredAccount<'_>, plan: &StreamPlan, deployment: &Deployment) -> Vec<Finding> {
    let streams: HashMap<&str, &DesiredStream<'_>> = desired.streams.iter().map(|s| (s.name.as_str(), s)).collect();
    let mut seen: BTreeMap<(String, Vec<String>), (u64, &str)> = BTreeMap::new();
    for change in plan.changes.iter().filter(|c| c.action == Action::Create) {
        let Some(config) = &change.after else { continue };
        let Some(stream) = streams.get(change.name.as_str()) else { continue };
        let tags = config.get("placement").and_then(|p| p["tags"].as_array());
        let tags = tags.into_iter().flatten().filter_map(|t| t.as_str().map(str::to_lowercase)).collect();
        let entry = seen.entry((stream.cluster.to_string(), tags)).or_insert((0, &change.name));
        if replicas(config) > entry.0 {
            *entry = (replicas(config), &change.name);
        }
    }
    let mut findings = Vec::new();
    for ((cluster, tags), (replicas, stream)) in seen {
        let able = deployment.servers.iter().filter(|server| {
            let of_server = |tag: &String| {
                let own = server.varz["tags"].as_array().into_iter().flatten();
                own.filter_map(Value::as_str).any(|t| t.eq_ignore_ascii_case(tag))
            };
            server.cluster == cluster && server.varz["jetstream"]["config"].is_object() && tags.iter().all(of_server)
        });
        let able = able.count() as u64;
        if able < replicas {
            let tagged = if tags.is_empty() { String::new() } else { format!(" and tags {}", tags.join(", ")) };
            findings.push(Finding::error(
                "too-few-servers",
                format!("cluster {cluster}"),
                format!(
                    "{able} servers with JetStream{tagged} answered, and stream {stream} has {replicas} replicas: \
                     servers answer \"no suitable peers for placement\""
                ),
                "Bring up more servers in the cluster, or set `num_replicas`.",
            ));
        }
    }
    findings
}
