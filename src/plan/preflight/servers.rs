//! Checks the servers: their system account, versions, JetStream domains, and servers that do not answer.

use super::clusters::known_clusters;
use super::names::names;
use crate::desired::Role;
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::server_version::{self, OLDEST};
use crate::model::topology::Topology;
use crate::observed::{Deployment, RequestError, Server};
use crate::plan::Action;
use crate::plan::streams::StreamChange;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Returns the finding about a system account that did not answer. `account` is the account of the credentials.
pub fn system_account_silent(account: &PublicKey, error: &RequestError) -> Finding {
    let place = "system account";
    match error {
        RequestError::NoResponders(_) => Finding::error(
            "system-account",
            place,
            format!("the system credentials are of account {account}, which is not the servers' system account"),
            "Name credentials of the system account under `system:`.",
        ),
        RequestError::Permission(subject) => Finding::error(
            "system-permissions",
            place,
            format!("the system user may not publish on {subject}"),
            "Allow the system user to publish on `$SYS.REQ.>` and to subscribe to its inbox.",
        ),
        RequestError::TwoAnswers { .. } => answers_differ(error),
        RequestError::Timeout(_) | RequestError::Connection(_) | RequestError::TooMuch(_) => Finding::error(
            "system-silent",
            place,
            format!("no server answered: {error}"),
            "Check that servers are up, or give them more time with `--timeout`.",
        ),
    }
}

/// Returns the finding about two different answers under one server's name.
pub fn answers_differ(error: &RequestError) -> Finding {
    Finding::error(
        "answers-differ",
        "system account",
        error.to_string(),
        "Find out which other user of the system account subscribes to `$SYS.REQ.>` and answers there, and remove that \
         permission; then run it again.",
    )
}

/// Refuses the system account: virtual streams belong in accounts of applications.
pub fn not_the_system_account(account: &str, id: &PublicKey, system: &PublicKey) -> Option<Finding> {
    (id == system).then(|| {
        Finding::error(
            "is-system-account",
            format!("account {account}"),
            format!("{id} is the servers' system account, which has no JetStream and is not for applications"),
            "Name the account of the applications under `id:`, with credentials of its own.",
        )
    })
}

pub(super) fn other_system_account(deployment: &Deployment, account: &PublicKey) -> Option<Finding> {
    let account = account.to_string();
    let others: Vec<&Server> = deployment.servers.iter().filter(|server| server.system_account != account).collect();
    let first = others.first()?;
    Some(Finding::error(
        "system-account",
        names(&others),
        format!("the system account is {}, the system credentials are of account {account}", first.system_account),
        "Name credentials of the system account under `system:`.",
    ))
}

pub(super) fn too_old(deployment: &Deployment) -> Option<Finding> {
    let old: Vec<&Server> = deployment
        .servers
        .iter()
        .filter(|server| server_version::minor(&server.version).is_some_and(|version| version < OLDEST))
        .collect();
    let first = old.first()?;
    Some(Finding::error(
        "server-too-old",
        names(&old),
        format!("runs nats-server {}; virtual streams need 2.10 or newer on every server", first.version),
        "Update the servers.",
    ))
}

pub(super) fn missing_servers(deployment: &Deployment) -> Option<Finding> {
    deployment.missing_text().map(|missing| {
        Finding::warning(
            "servers-missing",
            "deployment",
            format!("{missing}; nothing can be proved there"),
            "Start them, and run again. One that was removed for good, or came back, is counted as missing for up to 150 s.",
        )
    })
}

/// Warns of servers that would lose the changed streams if they were restarted too soon.
pub(in crate::plan) fn forgetful<'c>(
    mut changes: impl Iterator<Item = &'c StreamChange>,
    deployment: &Deployment,
) -> Option<Finding> {
    // A stream with a backfill is made first, and then changed.
    changes.find(|change| change.action == Action::Update || change.history.is_some())?;
    let servers = deployment.servers.iter().filter(|server| server.has_jetstream() && server.forgets_changed_streams());
    let servers: Vec<&Server> = servers.collect();
    let first = servers.first()?;
    Some(Finding::warning(
        "restart-loses-streams",
        names(&servers),
        format!(
            "nats-server {} may forget a stream that was changed less than a minute before a restart, and deletes what \
             it has of it; where all its servers are restarted, the stream is gone with its messages",
            first.version
        ),
        "Update the servers first (2.11.9, 2.12.0, and 2.12.3 or newer keep it). Otherwise do not restart any for a \
         minute after the change, and run `verify` if one did restart.",
    ))
}

/// Warns of servers on which the new home streams refuse updates by revision.
pub(in crate::plan) fn revisions_refused(
    account: &str,
    changes: &[StreamChange],
    deployment: &Deployment,
) -> Option<Finding> {
    let replicated = |config: &&Map<String, Value>| config.get("num_replicas").and_then(Value::as_u64) > Some(1);
    let made = changes.iter().filter(|change| change.action == Action::Create && change.role == Role::Home);
    let homes: Vec<(&str, &str)> = made
        .filter_map(|change| {
            let config = change.after.as_ref().filter(replicated)?;
            Some((change.virtual_stream.as_str(), config.get("placement")?["cluster"].as_str()?))
        })
        .collect();
    let old = |server: &&Server| {
        let home = homes.iter().any(|(_, cluster)| *cluster == server.cluster);
        home && server.has_jetstream() && server.compares_before_transform()
    };
    let servers: Vec<&Server> = deployment.servers.iter().filter(old).collect();
    let first = servers.first()?;
    let streams: Vec<&str> = homes.iter().map(|(stream, _)| *stream).collect();
    let kind = if streams.len() == 1 { "virtual stream" } else { "virtual streams" };
    Some(Finding::warning(
        "revisions-refused",
        format!("account {account}, {kind} {}", streams.join(", ")),
        format!(
            "{} ({}) would refuse each update of a key by its revision, and to create again what was deleted (10071); other \
             operations work",
            names(&servers),
            first.version
        ),
        "Update the servers of the home region to 2.12.8, 2.14 or newer, where applications do that.",
    ))
}

pub(super) fn domains(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    let known = known_clusters(topology);
    let mut domains: BTreeMap<Option<&str>, Vec<&Server>> = BTreeMap::new();
    for server in deployment.servers.iter().filter(|server| server.has_jetstream()) {
        if known.contains(server.cluster.as_str()) {
            domains.entry(server.domain.as_deref()).or_default().push(server);
        }
    }
    let mut findings = Vec::new();
    if domains.len() > 1 {
        let each = domains.iter().map(|(domain, servers)| match domain {
            Some(domain) => format!("{domain} on {}", names(servers)),
            None => format!("none on {}", names(servers)),
        });
        findings.push(Finding::error(
            "jetstream-domains-differ",
            "deployment",
            format!(
                "the regions' servers have different JetStream domains ({}): streams of one find none of another, so \
                 that nothing would be sourced",
                each.collect::<Vec<_>>().join("; ")
            ),
            "Give the servers of all regions one domain, or none.",
        ));
    }
    let domain = deployment.servers.iter().filter_map(|server| server.domain.as_deref()).min();
    findings.extend(domain.map(|domain| {
        Finding::warning(
            "jetstream-domain",
            format!("JetStream domain {domain}"),
            format!("clients that use the prefix `$JS.{domain}.API` do not find virtual streams; those without it do"),
            "Let clients of virtual streams connect without a domain.",
        )
    }));
    findings
}
