//! Plans a whole definition, account by account.

use super::account_plan::{skipped_consumer, skipped_stream};
use super::anew;
use super::backfill;
use super::capacity::capacity;
use super::conflicts;
use super::consumers::consumers;
use super::exports_imports::{self, Peer};
use super::listening::{Listening, listening};
use super::mappings::{MappingPlan, mapping_removal, mappings};
use super::preflight::{self, tokens};
use super::pushes::{self, PushContext, Reason, pushes};
use super::starts::{Start, index_of_application, starts};
use super::streams::{SUBJECT_REMOVED, StreamPlan, removal, streams};
use super::{AccountPlan, Options, Plan, own_jetstream};
use crate::desired::DesiredAccount;
use crate::desired::regional::{APPLICATION_TAG, AccountRole, REGION_TAG, application_tag, region_tag};
use crate::lint::{Entry, LintInput, Listener, lint};
use crate::model::claims::{AccountClaims, TrustedClaims};
use crate::model::finding::{Finding, Severity};
use crate::model::mapping::RawMapping;
use crate::model::topology::Topology;
use crate::model::virtual_stream::{Account, Layout};
use crate::observed::jetstream::ObservedJetStream;
use crate::observed::listeners::Listeners;
use crate::observed::survey::{Observed, ObservedAccount};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Deref;

/// Compares the desired state of each account with the observed one.
///
/// `desired` and `observed.accounts` are in the same order. `now` is in seconds since 1970.
pub fn plan(
    topology: &Topology,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    options: &Options,
    now: u64,
) -> Plan {
    let mut findings = preflight::deployment(topology, &observed.deployment, &observed.system_account);
    // The finding names the region once, not each of its streams.
    let without = missing_regions(topology, observed);
    let without_lease = options.may_go_without_lease(!without.is_empty());
    let clusters = known_clusters(topology, observed);
    let starts = starts(desired, observed, now, &mut findings);
    let peers: Vec<Peer<'_>> = desired
        .iter()
        .zip(&starts)
        .map(|(desired, start)| {
            let claims = start.as_ref().and_then(Start::existing);
            Peer { id: &desired.id, name: &desired.name, claims }
        })
        .collect();
    let accounts = desired.iter().enumerate().map(|(index, account)| {
        let of_application = index_of_application(desired, index);
        if observed.accounts[of_application].out_of_reach {
            return own_jetstream::account_plan(account, starts[index].as_ref());
        }
        let (account, mut skipped) = leave_out(account, &without);
        if account.account_role == AccountRole::Application && account.account.layout == Layout::Regional {
            let unseen = preflight::missing_served(topology, &observed.deployment).into_iter();
            skipped.extend(unseen.map(|(_, cluster)| format!("cluster {cluster}")));
        }
        let jetstream = &observed.accounts[of_application].jetstream;
        let application = starts[of_application].as_ref().map(|start| &start.claims);
        let context = PushContext { peers: &peers, application, options, now };
        let around = AccountContext { observed, clusters: &clusters, application: jetstream, without_lease, context };
        let (mut planned, mut found) =
            account_plan(&account, &observed.accounts[index], starts[index].as_ref(), &around);
        findings.extend(preflight::not_the_system_account(&planned.name, &planned.id, &observed.system_account));
        findings.append(&mut found);
        findings.extend(preflight::features(&account, &observed.deployment));
        findings.extend(preflight::revisions_refused(&planned.name, &planned.streams.changes, &observed.deployment));
        findings.extend(serves_another(&account, starts[index].as_ref()));
        planned.skipped = skipped;
        planned
    });
    let mut accounts: Vec<AccountPlan> = accounts.collect();
    findings.extend(anew::begin_behind(&mut accounts, desired, observed, &without, now));
    findings.extend(preflight::forgetful(
        accounts.iter().flat_map(|account| &account.streams.changes),
        &observed.deployment,
    ));
    let out_of_reach = own_jetstream::out_of_reach(desired, observed);
    if out_of_reach.is_empty() {
        findings.extend(unknown_prunes(desired, observed, options));
    }
    findings.extend(out_of_reach);
    downgrade_allowed(&mut findings, options);
    // Findings about a whole region appear once per account.
    let mut said = HashSet::new();
    findings.retain(|finding| said.insert((finding.code, finding.place.clone(), finding.message.clone())));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Plan { accounts, findings }
}

/// Facts about the deployment that an account's plan depends on.
struct AccountContext<'a> {
    observed: &'a Observed,
    clusters: &'a [&'a str],
    /// JetStream of the application's account: this account, or the one that a regional account serves.
    application: &'a ObservedJetStream,
    /// `true` if the run may go on without the lease.
    without_lease: bool,
    context: PushContext<'a>,
}

/// Refuses a regional account that is marked as another application's: a push would take over that application's
/// account.
fn serves_another(desired: &DesiredAccount<'_>, start: Option<&Start>) -> Option<Finding> {
    let claims = start.and_then(Start::existing).filter(|_| desired.account_role != AccountRole::Application)?;
    let region = desired.account_role.region()?;
    let (own, any) = (application_tag(&desired.account.id), APPLICATION_TAG);
    let tags = claims.tags();
    let refuse = |message: String, next: &str| {
        Some(Finding::error("regional-account-taken", format!("account {}", desired.name), message, next))
    };
    let own_region = region_tag(&region.name);
    let region = tags.iter().find(|tag| tag.starts_with(REGION_TAG)).filter(|tag| **tag != own_region);
    let other = tags.iter().find(|tag| tag.starts_with(any) && **tag != own).filter(|_| !tags.contains(&own.as_str()));
    match (other, region) {
        (Some(tag), _) => refuse(
            format!("it serves another application already (tag {tag}); one regional account serves one application"),
            "Name another account under `regional_accounts:`, or let the tool make one.",
        ),
        (None, Some(tag)) => refuse(
            format!("it is the account of another region (tag {tag}), whose streams are in it"),
            "Keep the region's name and its cluster together; or name another account under `regional_accounts:`.",
        ),
        (None, None) => None,
    }
}

/// Warns of names to prune that no virtual stream of these accounts has. The name is misspelled, or the virtual stream
/// was already removed.
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
            "Check the name: `plan` without --prune lists what it leaves alone. If the virtual stream was already \
             removed, leave out --prune.",
        )
    };
    unknown.map(finding).collect()
}

/// Returns the regions without a server in the deployment.
fn missing_regions<'t>(topology: &'t Topology, observed: &Observed) -> HashSet<&'t str> {
    let live = observed.deployment.clusters();
    let missing = topology.regions.iter().filter(|region| !live.contains(&region.cluster.as_str()));
    missing.map(|region| region.name.as_str()).collect()
}

/// Returns the clusters of live servers and of the definition's regions.
pub(super) fn known_clusters<'a>(topology: &'a Topology, observed: &'a Observed) -> Vec<&'a str> {
    let mut clusters = observed.deployment.clusters();
    clusters.retain(|cluster| topology.without_clients.iter().all(|without| without.as_str() != *cluster));
    clusters.extend(topology.clusters().map(|(_, cluster)| cluster.as_str()));
    clusters.sort_unstable();
    clusters.dedup();
    clusters
}

/// Removes the streams and consumers of these regions from the desired state. Returns their names as well.
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
        skipped.extend((!stays).then(|| skipped_stream(stream)));
        stays
    });
    desired.consumers.retain(|consumer| {
        let stays = !regions.contains(consumer.region.as_str());
        skipped.extend((!stays).then(|| skipped_consumer(consumer)));
        stays
    });
    (Cow::Owned(desired), skipped)
}

/// Turns errors that `--allow` admits into warnings.
pub fn downgrade_allowed(findings: &mut [Finding], options: &Options) {
    for finding in findings.iter_mut().filter(|f| f.severity == Severity::Error && options.allows(f.code)) {
        finding.severity = Severity::Warning;
    }
}

fn account_plan(
    desired: &DesiredAccount<'_>,
    found: &ObservedAccount,
    start: Option<&Start>,
    around: &AccountContext<'_>,
) -> (AccountPlan, Vec<Finding>) {
    let AccountContext { observed, clusters, application, context, without_lease } = around;
    let (name, options) = (&desired.name, context.options);
    let mut findings = Vec::new();
    let stored = start.map(|start| start.claims.mappings()).unwrap_or_default();
    let defined = desired.account.virtual_streams.iter().map(|stream| stream.name.as_str()).collect();
    let mut mappings = mappings(name, &defined, &desired.mappings, &stored, &found.jetstream.streams, options);
    let mut streams = streams(desired, &found.jetstream, options);
    backfill::plan_backfills(desired, &mut streams, &found.jetstream, application, options);
    let mut consumers = consumers(desired, &found.jetstream);

    findings.append(&mut mappings.findings);
    findings.append(&mut consumers.findings);
    if !streams.findings.iter().any(|f| f.code == SUBJECT_REMOVED && f.severity == Severity::Error) {
        findings.extend(conflicts::orphans(name, &stored, &mappings, &streams.changes));
    }
    findings.append(&mut streams.findings);

    let claims = start.map(|start| &start.claims);
    let stored_claims = claims.map(Deref::deref);
    findings.extend(backfill::lost_history(desired, &streams.changes, stored_claims, application, options));
    findings.extend(conflicts::buckets(desired, &streams.changes));
    findings.extend(conflicts::sequences(desired, &streams.changes));
    findings.extend(preflight::old_values(desired, &streams.changes, &observed.deployment));
    findings.extend(conflicts::ordinary(desired, &stored, &found.jetstream, options));
    let mut pushed = start.map(|start| pushes(desired, start, found, &mappings, context)).unwrap_or_default();
    findings.append(&mut pushed.findings);
    let claims = pushed.pushes.last().map(|push| &push.claims).or(claims).map(Deref::deref);
    findings.extend(claims.and_then(|claims| exports_imports::left_open(desired, claims)));
    let of_roles = claims.map(|claims| preflight::roles(desired, claims, &mappings.changes));
    findings.extend(of_roles.into_iter().flatten());
    let room = (Some(&observed.deployment), *without_lease);
    findings.extend(capacity(desired, &streams, &consumers, &found.jetstream, claims, room));
    // Activation tokens that are not issued yet add to the size. Signed tokens are measured again.
    let sizes = pushed.pushes.iter().map(|push| push.claims.token_size());
    findings.extend(sizes.max().and_then(|size| preflight::size(name, size, &observed.deployment)));
    if let Some(push) = pushed.pushes.last() {
        findings.extend(exports_imports::exceeded(desired, &push.claims));
        findings.extend(exports_imports::reachable(desired, &push.claims));
        findings.extend(lint_mappings(desired, &stored, &push.claims, &mappings, clusters, &found.listeners));
    }
    let account = AccountPlan {
        name: name.clone(),
        id: desired.id.clone(),
        region: desired.account_role.region().map(|region| region.name.clone()),
        new: start.is_some_and(|start| start.token.is_none()),
        current: start.map(|start| start.claims.clone()),
        mappings,
        claims: pushed.changes,
        streams,
        consumers,
        pushes: pushed.pushes,
        skipped: Vec::new(),
    };
    (account, findings)
}

/// Plans the removal of everything of a definition: its mappings, and with `delete_streams` its streams too.
///
/// `desired` holds only what the run removes, without the virtual streams that stay.
pub fn destroy(desired: &[DesiredAccount<'_>], observed: &Observed, delete_streams: bool, now: u64) -> Plan {
    let mut findings = Vec::new();
    let starts = starts(desired, observed, now, &mut findings);
    // Another tool may have dated the stored tokens wrongly. Removing our entries does not make that worse.
    downgrade_allowed(&mut findings, &Options { allow: vec!["issued-in-future".to_owned()], ..Options::default() });
    let accounts = desired.iter().zip(&observed.accounts).zip(&starts).map(|((wanted, found), start)| {
        let stored = start.as_ref().map(|start| start.claims.mappings()).unwrap_or_default();
        let names: Vec<String> = wanted.account.virtual_streams.iter().map(|s| s.name.to_string()).collect();
        let removal_from =
            |stored: &[RawMapping]| mapping_removal(&wanted.mappings, stored, &found.jetstream.streams, &names);
        let mappings = MappingPlan { changes: removal_from(&stored), ..MappingPlan::default() };
        // A server that did not answer an earlier run may still have the mappings that the run removed from the others.
        let lingers = || {
            let tokens = found.servers.iter().flat_map(tokens);
            let claims = tokens.filter_map(|token| TrustedClaims::verify(token, &observed.anchor).ok());
            claims.map(|claims| claims.mappings()).any(|stored| !removal_from(&stored).is_empty())
        };
        let all = delete_streams && nothing_stays(desired, observed, wanted.account);
        let start = start.as_ref().filter(|start| start.existing().is_some());
        let mut removed = start.map(|start| pushes::removal(wanted, start, found, &mappings, all)).unwrap_or_default();
        let changes = if delete_streams { removal(&found.jetstream, Some(&names)) } else { Vec::new() };
        // Streams go once every server confirms the newest token, also one that has a token of which nothing is known.
        let removes_streams = wanted.account_role == AccountRole::Application && !changes.is_empty();
        removed.pushes.retain(|push| push.reason == Reason::Changed || removes_streams || lingers());
        AccountPlan {
            mappings,
            claims: removed.changes,
            streams: StreamPlan { changes, ..StreamPlan::default() },
            pushes: removed.pushes,
            ..AccountPlan::unchanged(wanted, start.map(|start| start.claims.clone()))
        }
    });
    let accounts = accounts.collect();
    findings.extend(own_jetstream::out_of_reach(desired, observed));
    Plan { accounts, findings }
}

/// Returns `true` if no stream of ours stays in the application's account and its regional accounts.
fn nothing_stays(desired: &[DesiredAccount<'_>], observed: &Observed, account: &Account) -> bool {
    let goes = |name: &str| account.virtual_streams.iter().any(|stream| stream.name.as_str() == name);
    let accounts = desired.iter().zip(&observed.accounts).filter(|(wanted, _)| wanted.account.id == account.id);
    let mut owners = accounts.flat_map(|(_, found)| &found.jetstream.streams).filter_map(|s| s.owner.as_ref());
    owners.all(|owner| goes(&owner.virtual_stream))
}

/// Lints the mappings that the account would have, both ours and foreign ones.
pub(super) fn lint_mappings(
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
            known: stored.contains_key(mapping.source.as_str()),
        })
        .collect();
    let virtual_streams: Vec<&str> = desired.account.virtual_streams.iter().map(|s| s.name.as_str()).collect();
    let (listeners, unknown) = listening(&desired.name, claims, listeners);
    let listeners: Vec<Listener<'_>> = listeners.iter().map(Listening::as_listener).collect();
    let mut findings = lint(&LintInput {
        account: &desired.name,
        entries: &entries,
        clusters,
        virtual_streams: &virtual_streams,
        listeners: &listeners,
    });
    findings.extend(unknown);
    // The preflight reports this once for all accounts, as `cluster-uncovered`.
    findings.retain(|finding| !(finding.code == "cluster-not-covered" && finding.severity == Severity::Error));
    findings
}

#[cfg(test)]
mod tests;
