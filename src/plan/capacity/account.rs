//! Checks whether an account's limits leave room for a plan's streams.

use crate::desired::{DesiredAccount, lease};
use crate::model::claims::{AccountClaims, JetStreamLimits, JetStreamTier};
use crate::model::finding::Finding;
use crate::observed::jetstream::ObservedJetStream;
use crate::plan::Action;
use crate::plan::streams::StreamPlan;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};

/// Returns the reply of `$JS.API.INFO` with the limits that the claims set (nats-server 2.15 `server/accounts.go`,
/// `updateAccountClaimsWithRefresh`).
pub(super) fn with_limits(info: &Value, claims: &AccountClaims) -> Value {
    let limits = |tier: &JetStreamTier| {
        let JetStreamTier { mem_storage, disk_storage, streams, consumer, .. } = tier;
        let positive = |limit: i64| if limit > 0 { limit } else { -1 };
        json!({
            "max_memory": mem_storage, "max_storage": disk_storage, "max_streams": streams, "max_consumers": consumer,
            "max_ack_pending": positive(tier.max_ack_pending),
            "memory_max_stream_bytes": positive(tier.mem_max_stream_bytes),
            "storage_max_stream_bytes": positive(tier.disk_max_stream_bytes),
            "max_bytes_required": tier.max_bytes_required,
        })
    };
    let JetStreamLimits { global, tiers } = claims.jetstream_limits();
    let mut info = if info.is_object() { info.clone() } else { json!({}) };
    if tiers.is_empty() {
        info["limits"] = limits(global);
    } else {
        let used = info["tiers"].take();
        info["tiers"] = json!({});
        for (name, tier) in tiers {
            info["tiers"][name] = used[name].as_object().map_or_else(|| json!({}), |used| json!(used));
            info["tiers"][name]["limits"] = limits(tier);
        }
    }
    info
}

/// Resources that the changes add in one tier.
#[derive(Default)]
struct Need {
    streams: i64,
    file: i64,
    memory: i64,
    unlimited: Option<String>,
    first_file: Option<String>,
    first_memory: Option<String>,
    largest_file: (i64, String),
    largest_memory: (i64, String),
}

pub(super) fn is_tiered(info: &Value) -> bool {
    info["tiers"].as_object().is_some_and(|tiers| !tiers.is_empty())
}

pub(super) fn limits(
    place: &str,
    (desired, observed): (&DesiredAccount<'_>, &ObservedJetStream),
    streams: &StreamPlan,
    lease: Option<&Map<String, Value>>,
    info: &Value,
) -> Vec<Finding> {
    let tiered = is_tiered(info);
    let mut needs: BTreeMap<u64, Need> = BTreeMap::new();
    // Unchanged streams need their tier, too: without it servers refuse messages that clients publish.
    let changed: HashSet<&str> = streams.changes.iter().map(|change| &*change.name).collect();
    let ours = desired.streams.iter().map(|stream| &*stream.name).chain([lease::STREAM]);
    for stream in ours.filter(|name| tiered && !changed.contains(name)).filter_map(|name| observed.stream(name)) {
        needs.entry(replicas(&stream.config)).or_default();
    }
    let made = streams.changes.iter().filter(|change| change.action != Action::Delete);
    let made = made.filter_map(|change| Some((&*change.name, change.before.as_ref(), change.after.as_ref()?)));
    for (name, before, config) in made.chain(lease.map(|config| (lease::STREAM, None, config))) {
        let replicas = replicas(config);
        let need = needs.entry(if tiered { replicas } else { 0 }).or_default();
        let bytes = |config: &Map<String, Value>| config.get("max_bytes").and_then(Value::as_i64).unwrap_or(-1).max(0);
        // Limits without tiers count every replica (nats-server 2.15 server/jetstream.go, accountReservation).
        let factor = |replicas: u64| if tiered { 1 } else { i64::try_from(replicas).unwrap_or(i64::MAX) };
        let (mut reserved, mut created) = (0, 1);
        if let Some(old) = before {
            reserved = bytes(old).saturating_mul(factor(self::replicas(old)));
            created = i64::from(tiered && self::replicas(old) != replicas);
        }
        need.streams += created;
        let own = bytes(config);
        let added = own.saturating_mul(factor(replicas)).saturating_sub(reserved).max(0);
        let (sum, largest, first) = match config.get("storage").and_then(Value::as_str) {
            Some("memory") => (&mut need.memory, &mut need.largest_memory, &mut need.first_memory),
            _ => (&mut need.file, &mut need.largest_file, &mut need.first_file),
        };
        first.get_or_insert_with(|| name.to_owned());
        *sum = sum.saturating_add(added);
        if own > largest.0 {
            *largest = (own, name.to_owned());
        }
        if own == 0 {
            need.unlimited.get_or_insert_with(|| name.to_owned());
        }
    }
    let mut findings: Vec<Finding> =
        needs.iter().flat_map(|(replicas, need)| tier(place, *replicas, need, info, tiered)).collect();
    findings.extend(nearly_full(place, info, tiered));
    findings
}

/// Checks for limits that apply to consumers outside the definition: those of sources and mirrors, and applications'
/// consumers that are not durable. All of them have one replica, regardless of the stream's replicas (nats-server 2.15
/// `consumer.go`, `setConsumerConfigDefaults`; `stream.go`, `setupSourceConsumer`; measured: 10120).
pub(super) fn consumers_tier(place: &str, desired: &DesiredAccount<'_>, info: &Value) -> Option<Finding> {
    if !is_tiered(info) || !info["tiers"]["R1"].is_null() || desired.streams.is_empty() {
        return None;
    }
    let have: Vec<&str> = info["tiers"].as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    let lacks = format!("the account has no tier R1 (it has {})", have.join(", "));
    let next = format!(
        "Add it: `nsc edit account {} --js-tier 1 --js-disk-storage -1 --js-streams -1 --js-consumer -1`, and push it.",
        desired.account.name
    );
    Some(if desired.streams.iter().any(|stream| stream.role.captures()) {
        let what = "the consumers by which regions copy have one replica, and servers refuse them";
        Finding::error("tier-missing", place, format!("{lacks}: {what}, so nothing would be copied"), next)
    } else {
        let what =
            "servers refuse applications' consumers that are not durable, such as ordered ones and watchers of keys";
        Finding::warning("tier-missing", place, format!("{lacks}: {what}"), next)
    })
}

/// Compares the account's usage with its limits: servers refuse what is published to a full account, and its sources
/// stop.
fn nearly_full(place: &str, info: &Value, tiered: bool) -> Vec<Finding> {
    let tiers = info["tiers"].as_object().into_iter().flatten().filter(|_| tiered);
    let mut usages: Vec<(String, &Value)> = tiers.map(|(name, tier)| (format!("{place}, tier {name}"), tier)).collect();
    if !tiered {
        usages.push((place.to_owned(), info));
    }
    let checks = [("file", "max_storage", "storage"), ("memory", "max_memory", "memory")];
    let full = usages.iter().flat_map(|usage| checks.map(|check| (usage, check)));
    full.filter_map(|((which, usage), (what, limit, used))| {
        let most = usage["limits"][limit].as_i64().filter(|most| *most > 0)?;
        let used = usage[used].as_i64().unwrap_or(0);
        (used / 9 >= most / 10).then(|| {
            Finding::warning(
                "storage-nearly-full",
                which,
                format!("{used} of {most} bytes of {what} storage are used: when it is full, servers refuse messages, and read streams stop"),
                "Raise the account's limit, or let streams keep less (`max_age`, `max_bytes`).",
            )
        })
    })
    .collect()
}

pub(super) fn replicas(config: &Map<String, Value>) -> u64 {
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
    for (what, key, created) in
        [("file", "max_storage", &need.first_file), ("memory", "max_memory", &need.first_memory)]
    {
        if let (0, Some(stream)) = (limit(key), created) {
            findings.push(Finding::error(
                "storage-limit",
                &which,
                format!("the account has no {what} storage at all: stream {stream} would refuse every message"),
                "Raise the account's limit, or choose the other `storage`.",
            ));
        }
    }
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
    // A limit of 0 or less means no limit (nats-server 2.15 server/jetstream_cluster.go, jsClusteredStreamRequest).
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
