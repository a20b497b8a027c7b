//! The plan of one account, put together, and of a whole definition.

use super::capacity::capacity;
use super::conflicts;
use super::consumers::{ConsumerPlan, consumers};
use super::listening::{Listening, listening};
use super::mappings::{MappingPlan, mapping_removal, mappings};
use super::preflight::{self, Base, tokens};
use super::streams::{StreamPlan, removal, streams};
use super::{Action, Options, Report};
use crate::desired::DesiredAccount;
use crate::lint::{Entry, LintInput, Listener, lint};
use crate::model::claims::AccountClaims;
use crate::model::finding::{Finding, Severity};
use crate::model::mapping::{Mapping, RawMapping};
use crate::model::nkey::PublicKey;
use crate::model::topology::Topology;
use crate::observed::listeners::Listeners;
use crate::observed::survey::{Observed, ObservedAccount};
use crate::observed::{AccountOnServer, Live, Stored};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// What has to be done to a deployment, and what stands in the way.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Per account, in the order of the definition.
    pub accounts: Vec<AccountPlan>,
    /// What was found; errors stop the run.
    pub findings: Vec<Finding>,
}

/// What has to be done to one account.
#[derive(Debug, Clone)]
pub struct AccountPlan {
    /// The definition's name for it.
    pub name: String,
    /// Its public key.
    pub id: PublicKey,
    /// Changes of its claims.
    pub mappings: MappingPlan,
    /// Changes of its streams.
    pub streams: StreamPlan,
    /// Changes of its consumers.
    pub consumers: ConsumerPlan,
    /// The token that has to be signed and pushed, if one has.
    pub push: Option<Push>,
    /// Streams and consumers of regions that do not answer, left out since the run is allowed to.
    pub skipped: Vec<String>,
}

/// A token to be signed and pushed.
#[derive(Debug, Clone)]
pub struct Push {
    /// Why.
    pub reason: Reason,
    /// The claims to sign.
    pub claims: AccountClaims,
    /// The stored token that they were edited from.
    pub base: String,
    /// The largest `iat` (seconds) that any server stores.
    pub newest_iat: u64,
}

/// Why a token is pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Mappings change.
    Mappings,
    /// These servers hold another token than the newest, or none.
    Repair(Vec<String>),
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.accounts.iter().all(AccountPlan::is_empty)
    }

    /// Whether something stops the run.
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// What was seen and is left alone.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.accounts.iter().flat_map(|account| account.mappings.reports.iter().chain(&account.streams.reports))
    }
}

impl AccountPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.push.is_none() && self.streams.changes.is_empty() && self.consumers.changes.is_empty()
    }
}

/// Compares what is desired with what was observed, account by account.
///
/// `desired` and `observed.accounts` are in the same order. `now` in seconds since 1970.
pub fn plan(
    topology: &Topology,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    options: &Options,
    now: u64,
) -> Plan {
    let mut findings = preflight::deployment(topology, &observed.deployment, &observed.system_account);
    // Said once for the region, not for each of its streams.
    let without = missing_regions(topology, observed);
    let clusters = known_clusters(topology, observed);
    let accounts = desired.iter().zip(&observed.accounts).map(|(desired, found)| {
        let (desired, skipped) = leave_out(desired, &without);
        let (mut account, mut found) = account_plan(&desired, found, observed, &clusters, options, now);
        findings.extend(preflight::not_the_system_account(&account.name, &account.id, &observed.system_account));
        findings.append(&mut found);
        account.skipped = skipped;
        account
    });
    let accounts = accounts.collect();
    findings.extend(unknown_prunes(desired, observed, options));
    admit(&mut findings, options);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Plan { accounts, findings }
}

/// Names to prune that no virtual stream of these accounts has: misspelt, or gone already.
fn unknown_prunes(desired: &[DesiredAccount<'_>], observed: &Observed, options: &Options) -> Vec<Finding> {
    let defined = desired.iter().flat_map(|account| &account.account.virtual_streams);
    let streams = observed.accounts.iter().flat_map(|account| &account.jetstream.streams);
    let owners = streams.filter_map(|stream| stream.owner.as_ref());
    let known: HashSet<&str> =
        (defined.map(|stream| stream.name.as_str())).chain(owners.map(|owner| owner.virtual_stream.as_str())).collect();
    let unknown = options.prune.iter().filter(|name| !known.contains(name.as_str()));
    let finding = |name: &String| {
        Finding::warning(
            "nothing-to-prune",
            format!("--prune {name}"),
            "nothing in the definition's accounts was made for a virtual stream of this name",
            "Check the name: `plan` without --prune lists what it leaves alone. If that is gone already, all is well.",
        )
    };
    unknown.map(finding).collect()
}

/// Regions that no server of the deployment belongs to.
fn missing_regions<'t>(topology: &'t Topology, observed: &Observed) -> HashSet<&'t str> {
    let live = observed.deployment.clusters();
    let missing = topology.regions.iter().filter(|region| !live.contains(&region.cluster.as_str()));
    missing.map(|region| region.name.as_str()).collect()
}

/// The clusters of live servers and of the definition's regions.
fn known_clusters<'a>(topology: &'a Topology, observed: &'a Observed) -> Vec<&'a str> {
    let mut clusters = observed.deployment.clusters();
    clusters.extend(topology.regions.iter().map(|region| region.cluster.as_str()));
    clusters.sort_unstable();
    clusters.dedup();
    clusters
}

/// What is desired but for these regions' streams and consumers, and the places of those.
fn leave_out<'a, 'd>(
    desired: &'a DesiredAccount<'d>,
    regions: &HashSet<&str>,
) -> (Cow<'a, DesiredAccount<'d>>, Vec<String>) {
    let mut skipped = Vec::new();
    if regions.is_empty() {
        return (Cow::Borrowed(desired), skipped);
    }
    let mut desired = desired.clone();
    desired.streams.retain(|stream| {
        let stays = !regions.contains(stream.region.as_str());
        skipped.extend((!stays).then(|| format!("stream {}", stream.name)));
        stays
    });
    desired.consumers.retain(|consumer| {
        let stays = !regions.contains(consumer.region.as_str());
        skipped.extend((!stays).then(|| format!("consumer {} of stream {}", consumer.name, consumer.stream)));
        stays
    });
    (Cow::Owned(desired), skipped)
}

/// Turns errors that `--allow` admits into warnings.
fn admit(findings: &mut [Finding], options: &Options) {
    for finding in findings.iter_mut().filter(|f| f.severity == Severity::Error && options.allows(f.code)) {
        finding.severity = Severity::Warning;
    }
}

fn account_plan(
    desired: &DesiredAccount<'_>,
    found: &ObservedAccount,
    observed: &Observed,
    clusters: &[&str],
    options: &Options,
    now: u64,
) -> (AccountPlan, Vec<Finding>) {
    let name = &desired.account.name;
    let (base, mut findings) = preflight::base(name, &observed.deployment, &found.servers, now);
    let stored = base.as_ref().map(|base| base.claims.mappings()).unwrap_or_default();
    let defined = desired.account.virtual_streams.iter().map(|stream| stream.name.as_str()).collect();
    let mut mappings = mappings(name, &defined, &desired.mappings, &stored, &found.jetstream.streams, options);
    let mut streams = streams(desired, &found.jetstream, options);
    let mut consumers = consumers(desired, &found.jetstream, options);

    findings.append(&mut mappings.findings);
    findings.append(&mut streams.findings);
    findings.append(&mut consumers.findings);
    findings.extend(conflicts::orphans(name, &stored, &mappings, &streams.changes));
    findings.extend(capacity(desired, &streams, &consumers, &found.jetstream, Some(&observed.deployment)));

    let push = base.and_then(|base| push(base, found, |claims| edit(claims, &mappings, desired)));
    if let Some(push) = &push {
        findings.extend(lint_mappings(desired, &stored, &push.claims, &mappings, clusters, &found.listeners));
    }
    let account = AccountPlan {
        name: name.clone(),
        id: desired.account.id.clone(),
        mappings,
        streams,
        consumers,
        push,
        skipped: Vec::new(),
    };
    (account, findings)
}

/// Takes away everything of a definition: its mappings, and with `delete_streams` its streams too.
///
/// `desired` is what goes: of a definition with the virtual streams left out that stay.
pub fn destroy(desired: &[DesiredAccount<'_>], observed: &Observed, delete_streams: bool, now: u64) -> Plan {
    let mut findings = Vec::new();
    let accounts = desired.iter().zip(&observed.accounts).map(|(desired, found)| {
        let (base, mut odd) = preflight::base(&desired.account.name, &observed.deployment, &found.servers, now);
        findings.append(&mut odd);
        let stored = base.as_ref().map(|base| base.claims.mappings()).unwrap_or_default();
        let names: Vec<String> = desired.account.virtual_streams.iter().map(|s| s.name.to_string()).collect();
        let removal_from =
            |stored: &[RawMapping]| mapping_removal(&desired.mappings, stored, &found.jetstream.streams, &names);
        let mappings = MappingPlan { changes: removal_from(&stored), ..MappingPlan::default() };
        // A server that was away may still have the mappings that an earlier run took from the others.
        let lingers = || {
            let claims = found.servers.iter().flat_map(tokens).filter_map(|token| AccountClaims::decode(token).ok());
            claims.map(|claims| claims.mappings()).any(|stored| !removal_from(&stored).is_empty())
        };
        let push = base
            .and_then(|base| push(base, found, |claims| edit(claims, &mappings, desired)))
            .filter(|push| push.reason == Reason::Mappings || lingers());
        let changes = if delete_streams { removal(&found.jetstream, Some(&names)) } else { Vec::new() };
        AccountPlan {
            name: desired.account.name.clone(),
            id: desired.account.id.clone(),
            mappings,
            streams: StreamPlan { changes, ..StreamPlan::default() },
            consumers: ConsumerPlan::default(),
            push,
            skipped: Vec::new(),
        }
    });
    let accounts = accounts.collect();
    Plan { accounts, findings }
}

/// Edits the claims; `true` when something changed.
fn edit(claims: &mut AccountClaims, plan: &MappingPlan, desired: &DesiredAccount<'_>) -> bool {
    let wanted: HashMap<&str, &Mapping> = desired.mappings.iter().map(|m| (m.source.as_str(), m)).collect();
    let mut changed = false;
    for change in &plan.changes {
        changed |= match (change.action, wanted.get(change.source.as_str())) {
            (Action::Delete, _) => claims.remove_mapping(&change.source),
            (_, Some(mapping)) => claims.set_mapping(mapping),
            (_, None) => false,
        };
    }
    changed
}

/// The push that an account needs: its claims changed, or servers that do not hold the newest token.
fn push(base: Base, found: &ObservedAccount, edit: impl FnOnce(&mut AccountClaims) -> bool) -> Option<Push> {
    let Base { token, mut claims, newest_iat } = base;
    let reason = if edit(&mut claims) {
        Reason::Mappings
    } else {
        let behind: Vec<String> =
            found.servers.iter().filter(|server| is_behind(server, &token)).map(|s| s.server.clone()).collect();
        if behind.is_empty() {
            return None;
        }
        Reason::Repair(behind)
    };
    Some(Push { reason, claims, base: token, newest_iat })
}

/// Whether a server stores or uses another token than the newest.
fn is_behind(server: &AccountOnServer, newest: &str) -> bool {
    let stored = match &server.stored {
        Stored::Token(stored) => stored.trim() != newest,
        Stored::Nothing | Stored::Unclear(_) => true,
        Stored::NoAnswer => false,
    };
    let live = match &server.live {
        Live::Loaded(detail) => detail["jwt"].as_str().is_some_and(|live| live.trim() != newest),
        Live::NotLoaded | Live::NoAnswer | Live::Failed(_) => false,
    };
    stored || live
}

/// Lints the account's mappings as they would be, ours and others'.
fn lint_mappings(
    desired: &DesiredAccount<'_>,
    stored: &[RawMapping],
    claims: &AccountClaims,
    plan: &MappingPlan,
    clusters: &[&str],
    listeners: &Listeners,
) -> Vec<Finding> {
    let entries = claims.mappings();
    let stored: HashMap<&str, &RawMapping> = stored.iter().map(|mapping| (mapping.source.as_str(), mapping)).collect();
    let entries: Vec<Entry<'_>> = entries
        .iter()
        .map(|mapping| Entry {
            source: &mapping.source,
            destinations: &mapping.destinations,
            ours: plan.ours.contains(&mapping.source),
            in_force: stored.get(mapping.source.as_str()) == Some(&mapping),
        })
        .collect();
    let virtual_streams: Vec<&str> = desired.account.virtual_streams.iter().map(|s| s.name.as_str()).collect();
    let (listeners, unknown) = listening(&desired.account.name, claims, listeners);
    let listeners: Vec<Listener<'_>> = listeners.iter().map(Listening::as_listener).collect();
    let mut findings = lint(&LintInput {
        account: &desired.account.name,
        entries: &entries,
        clusters,
        virtual_streams: &virtual_streams,
        listeners: &listeners,
    });
    findings.extend(unknown);
    // Said once for all accounts: preflight's `cluster-uncovered`.
    findings.retain(|finding| !(finding.code == "cluster-not-covered" && finding.severity == Severity::Error));
    findings
}
