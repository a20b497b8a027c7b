//! Checks whether an account's limits leave room for a plan's consumers.

use super::account::{self, is_tiered};
use crate::model::finding::Finding;
use crate::observed::Deployment;
use crate::observed::jetstream::ObservedJetStream;
use crate::plan::Action;
use crate::plan::consumers::{ConsumerChange, ConsumerPlan};
use crate::plan::streams::StreamPlan;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const CODE: &str = "consumer-limit";

/// Checks the limits on consumers. The account's limit applies per stream, by the tier of the consumers' own replicas.
/// The stream's own limit applies to all its consumers. Servers before 2.15.1 also count consumers of other tiers.
/// Servers never count the consumers of sources and mirrors (nats-server 2.10 – 2.15 `server/jetstream_cluster.go`,
/// `jsClusteredConsumerRequest`; measured, 2.15.1, 2.10.26).
pub(super) fn limits(
    place: &str,
    streams: &StreamPlan,
    consumers: &ConsumerPlan,
    observed: &ObservedJetStream,
    info: &Value,
    deployment: Option<&Deployment>,
) -> Vec<Finding> {
    let by_tier = is_tiered(info)
        && deployment.is_some_and(|deployment| deployment.servers.iter().all(|on| on.counts_consumers_by_tier()));
    let config = |stream: &str| {
        let planned = streams.changes.iter().find(|c| c.name == stream).and_then(|c| c.after.as_ref());
        planned.or_else(|| observed.stream(stream).map(|found| &found.config))
    };
    let tier = |consumer: &Map<String, Value>, stream: &str| {
        let replicas = consumer_replicas(consumer, config(stream));
        (replicas, if is_tiered(info) { &info["tiers"][format!("R{replicas}")] } else { info })
    };
    let positive = |limit: &Value| limit.as_u64().filter(|limit| *limit > 0);
    let mut findings = Vec::new();
    let mut added: BTreeMap<&str, Vec<&ConsumerChange>> = BTreeMap::new();
    for change in &consumers.changes {
        let (which, (replicas, tier)) = (
            format!("{place}, consumer {} of stream {}", change.name, change.stream),
            tier(&change.after, &change.stream),
        );
        let most = positive(&tier["limits"]["max_ack_pending"]);
        let wanted = change.after.get("max_ack_pending").and_then(Value::as_u64);
        if let (Some(most), Some(wanted)) = (most, wanted)
            && wanted > most
        {
            findings.push(Finding::error(
                "ack-pending-limit",
                which,
                format!(
                    "its `max_ack_pending` is {wanted}, and the account allows {most}: servers refuse the consumer"
                ),
                "Lower it in the definition, or raise the account's limit.",
            ));
        // Other checks already report the streams' tiers and R1.
        } else if tier.is_null() && replicas > 1 && replicas != config(&change.stream).map_or(1, account::replicas) {
            findings.push(Finding::error(
                "tier-missing",
                which,
                format!("it has R{replicas}, and the account has no tier R{replicas}: servers refuse it"),
                format!(
                    "Add the tier to the account (`nsc edit account --js-tier {replicas} …`), or set `num_replicas`."
                ),
            ));
        }
        if change.action == Action::Create {
            added.entry(&change.stream).or_default().push(change);
        }
    }
    for (stream, added) in added {
        let found = observed.consumers.iter().filter(|consumer| consumer.stream == stream);
        let mut of_tier: BTreeMap<u64, u64> = BTreeMap::new();
        for consumer in found {
            *of_tier.entry(consumer_replicas(&consumer.config, config(stream))).or_default() += 1;
        }
        let used = observed.stream(stream).map_or(0, |found| found.state.consumers);
        let of_stream = config(stream).and_then(|config| positive(config.get("max_consumers")?));
        // For consumers outside the definition, only their number is known.
        let known: u64 = of_tier.values().sum();
        let others = used.saturating_sub(known);
        let (mut refused, mut unsure) = (None, None);
        for (total, change) in (used..).zip(&added) {
            let (replicas, tier) = tier(&change.after, stream);
            let same = of_tier.entry(replicas).or_default();
            let counted = if by_tier { *same } else { total };
            *same += 1;
            if let Some(most) = positive(&tier["limits"]["max_consumers"]).filter(|most| counted >= *most) {
                let what = if by_tier { format!("per stream of tier R{replicas}") } else { "per stream".to_owned() };
                refused = refused.or(Some((format!("{counted} of {most} {what} are used"), "the account's limit")));
            } else if let Some(most) = of_stream.filter(|most| total >= *most) {
                refused = refused.or(Some((format!("{total} of {most} are used"), "`max_consumers` of the stream")));
            }
            let most = positive(&tier["limits"]["max_consumers"]).filter(|most| by_tier && counted + others >= *most);
            unsure = unsure.or(most.map(|most| (replicas, most)));
        }
        if let Some((used, limit)) = refused {
            findings.push(Finding::error(
                CODE,
                format!("{place}, stream {stream}"),
                format!("no room for consumers: {} more are needed, and {used} by then", added.len()),
                format!("Raise {limit} on consumers, or define fewer."),
            ));
        } else if let Some((replicas, most)) = unsure {
            findings.push(Finding::warning(
                CODE,
                format!("{place}, stream {stream}"),
                format!(
                    "applications have {others} consumers there, and the account allows {most} per stream of tier R{replicas}: \
                     if theirs are of that tier, servers refuse more"
                ),
                "Raise the account's limit on consumers, or see what theirs are: `nats consumer report`.",
            ));
        }
    }
    findings
}

/// Returns the number of replicas that servers give a consumer. A durable that sets none gets as many as its stream; no
/// consumer gets more (nats-server 2.15 `server/consumer.go`, `replicas`).
fn consumer_replicas(consumer: &Map<String, Value>, stream: Option<&Map<String, Value>>) -> u64 {
    let of_stream = stream.map_or(1, account::replicas);
    let own = consumer.get("num_replicas").and_then(Value::as_u64).filter(|own| *own > 0);
    own.map_or(of_stream, |own| own.min(of_stream))
}
