//! Checks whether there is room for everything that a plan makes.

use super::{account, consumers, servers};
use crate::desired::regional::AccountRole;
use crate::desired::{DesiredAccount, lease};
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::observed::Deployment;
use crate::observed::jetstream::{ApiError, ObservedJetStream};
use crate::plan::consumers::ConsumerPlan;
use crate::plan::streams::StreamPlan;
use serde_json::{Map, Value};

/// Checks limits and servers before the first request that changes anything. `claims` are the account's claims after
/// the run. Their limits count, because a new account has no others. `deployment` is `None` without access to the
/// system account, and the check then leaves out the clusters. `without_lease` is `true` if the run may go on without
/// the lease, whose stream then needs no room.
pub fn capacity(
    desired: &DesiredAccount<'_>,
    streams: &StreamPlan,
    consumers: &ConsumerPlan,
    observed: &ObservedJetStream,
    claims: Option<&AccountClaims>,
    (deployment, without_lease): (Option<&Deployment>, bool),
) -> Vec<Finding> {
    let place = format!("account {}", desired.name);
    let disabled = claims.filter(|claims| !claims.jetstream_limits().enabled() && !desired.streams.is_empty());
    let reason = ApiError::of(&observed.info).map(|error| error.to_string());
    if let Some(reason) = reason.or(disabled.map(|_| "every storage limit is 0".to_owned())) {
        return vec![Finding::error(
            "jetstream-not-enabled",
            place,
            format!("the account has no JetStream ({reason}): its claims set no JetStream limits"),
            format!(
                "Give it some, for instance: `nsc edit account {} --js-disk-storage -1 --js-streams -1 --js-consumer -1`, then \
                 `nsc push -a {0}`.",
                desired.name
            ),
        )];
    }
    let info = claims.map_or_else(|| observed.info.clone(), |claims| account::with_limits(&observed.info, claims));
    let lease = lease_to_make(desired, streams, consumers, observed).filter(|_| !without_lease);
    let mut findings = account::limits(&place, (desired, observed), streams, lease.as_ref(), &info);
    findings.extend(account::consumers_tier(&place, desired, &info));
    findings.extend(consumers::limits(&place, streams, consumers, observed, &info, deployment));
    findings.extend(claims.and_then(|claims| unreachable(&place, claims)));
    if let Some(deployment) = deployment {
        findings.extend(servers::servers(desired, streams, deployment));
        findings.extend(servers::limits(streams, consumers, deployment));
    }
    findings
}

/// Refuses an account whose limits allow no connections or no subscriptions: neither this tool nor an application could
/// use it.
fn unreachable(place: &str, claims: &AccountClaims) -> Option<Finding> {
    let limits = claims.limits();
    let (what, flag) = match (limits.conn, limits.subs) {
        (0, _) => ("connections", "conns"),
        (_, 0) => ("subscriptions", "subscriptions"),
        _ => return None,
    };
    Some(Finding::error(
        "connection-limit",
        place,
        format!("its claims allow no {what}: servers would refuse every user that makes or uses its streams"),
        format!("Raise the limit, `regional_limits` or `nsc edit account --{flag} -1`. What a token leaves out is 0."),
    ))
}

/// Returns the config of the lease's stream if a run with these changes must make it. A run may change only tokens or
/// another region's account, and nothing here. Without room for the lease, the server refuses that stream before the
/// run changes anything.
fn lease_to_make(
    desired: &DesiredAccount<'_>,
    streams: &StreamPlan,
    consumers: &ConsumerPlan,
    observed: &ObservedJetStream,
) -> Option<Map<String, Value>> {
    let there = observed.stream(lease::STREAM).is_some() || observed.unknown_stream(lease::STREAM).is_some();
    let is_here = desired.account_role == AccountRole::Application && !desired.streams.is_empty();
    let changes = !(streams.changes.is_empty() && consumers.changes.is_empty());
    (is_here && changes && !there).then(|| lease::config(Some(desired)))
}
