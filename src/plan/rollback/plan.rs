//! Plans a rollback.

use super::changes;
use super::effects::{Effects, Rollback};
use super::goal::{BY_HAND, CONFLICT, goal};
use super::mapping_targets;
use super::stages;
use super::undo::Undo;
use crate::desired::DesiredAccount;
use crate::desired::regional::AccountRole;
use crate::model::claims::{AccountClaims, Activation, ImportSpec, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::topology::Topology;
use crate::observed::survey::Observed;
use crate::plan::account::{known_clusters, lint_mappings};
use crate::plan::exports_imports::{self, ActivationRequest};
use crate::plan::pushes::{Push, Reason, Stage};
use crate::plan::starts::{Start, index_of_application, starts};
use crate::plan::{AccountPlan, Plan, claims_diff, downgrade_allowed, own_jetstream, preflight};
use std::ops::Deref;

/// Returns the pushes of a rollback. `desired` are the accounts of the present definition, and `observed` is their
/// state. `now` is in seconds since 1970.
pub fn rollback(
    topology: &Topology,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    undo: &Undo<'_>,
    now: u64,
) -> Rollback {
    let mut findings = preflight::deployment(topology, &observed.deployment, &observed.system_account);
    findings.extend(other_deployment(undo, observed));
    findings.extend(strangers(undo, desired));
    let starts = starts(desired, observed, now, &mut findings);
    let changed = undo.accounts();
    let goals: Vec<Option<TrustedClaims>> = desired
        .iter()
        .zip(&starts)
        .map(|(wanted, start)| {
            let current = start.as_ref().and_then(Start::existing)?;
            if !changed.contains_key(&wanted.id) || undo.makes(&wanted.id) {
                return Some(current.clone());
            }
            goal(wanted, current, undo, observed, &mut findings)
        })
        .collect();
    let clusters = known_clusters(topology, observed);
    let mut plan = Plan { accounts: Vec::new(), findings };
    let mut effects = Effects::default();
    for (index, (wanted, start)) in desired.iter().zip(&starts).enumerate() {
        let found = &observed.accounts[index];
        let current = start.as_ref().and_then(Start::existing);
        let about = undo.applications.contains(&desired[index_of_application(desired, index)].id);
        if about && undo.makes(&wanted.id) && current.is_some() {
            effects.left.push(wanted.name.clone());
        }
        let mut account = AccountPlan::unchanged(wanted, current.cloned());
        let mut diff = Vec::new();
        if let (Some(start), Some(current), Some(goal)) = (start, current, &goals[index]) {
            diff = claims_diff(Some(current.value()), goal.value());
            // A rollback also pushes again what another tool's push removed or lost.
            if !diff.is_empty() || start.merged {
                let findings = &mut plan.findings;
                findings.extend(expired(wanted, current, goal, now));
                let activations = activations(wanted, current, goal, desired, &goals, now, findings);
                account.mappings = changes::mappings(current, goal);
                account.claims = changes::claims(current, goal);
                account.pushes = pushes(wanted, start, current, goal, &activations, findings);
                findings.extend(exports_imports::exceeded(wanted, goal));
                let stored = current.mappings();
                let listeners = &found.listeners;
                findings.extend(lint_mappings(wanted, &stored, goal, &account.mappings, &clusters, listeners));
                findings.extend(mapping_targets::restored(wanted, current, goal, found, undo));
            }
        }
        plan.accounts.push(account);
        effects.diffs.push(diff);
    }
    let changes = effects.diffs.iter().any(|diff| !diff.is_empty());
    if changes {
        plan.findings.extend(mapping_targets::gone(desired, observed, &goals, undo));
    }
    let currents: Vec<Option<&AccountClaims>> =
        starts.iter().map(|start| start.as_ref().and_then(Start::existing).map(Deref::deref)).collect();
    effects.unused = mapping_targets::unused(desired, observed, &currents, &goals);
    downgrade_allowed(&mut plan.findings, &undo.options);
    // Allowing the finding would restore nothing, and the plan would rely on streams that were not read.
    plan.findings.extend(own_jetstream::out_of_reach(desired, observed));
    plan.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Rollback { plan, effects }
}

/// Refuses records of other deployments.
fn other_deployment(undo: &Undo<'_>, observed: &Observed) -> Option<Finding> {
    let all = undo.pushes.iter().chain(&undo.target);
    let other = all.into_iter().find(|record| record.content.system_account != observed.system_account)?;
    let message = format!(
        "it is of a deployment whose system account is {}; here it is {}",
        other.content.system_account, observed.system_account
    );
    let next = "Name the history folder of this deployment: --history DIR.";
    Some(Finding::error("record-of-another-deployment", format!("record {}", other.name), message, next))
}

/// Refuses accounts of the records that this definition does not have.
fn strangers(undo: &Undo<'_>, desired: &[DesiredAccount<'_>]) -> Vec<Finding> {
    let unknown = |id: &PublicKey| desired.iter().all(|wanted| wanted.id != *id);
    let mut strangers: Vec<(&PublicKey, &str)> = undo.accounts().into_iter().filter(|(id, _)| unknown(id)).collect();
    strangers.sort();
    let finding = |(id, name): (&PublicKey, &str)| {
        let message = format!("records of its pushes are to be undone, and this definition has no account {id}");
        let next = "Name the definition that it was pushed from: --definition PATH.";
        Finding::error("record-account-missing", format!("account {name}"), message, next)
    };
    strangers.into_iter().map(finding).collect()
}

/// Refuses claims that have already expired.
fn expired(wanted: &DesiredAccount<'_>, current: &AccountClaims, goal: &AccountClaims, now: u64) -> Option<Finding> {
    let at = goal.expires().filter(|at| *at <= now && goal.expires() != current.expires())?;
    let message = format!("the token to restore expired {} s ago; servers would refuse its users", now - at);
    let next = "Leave the account's expiry as it is: go back by the definition, with apply.";
    Some(Finding::error("account-expired", format!("account {}", wanted.name), message, next))
}

/// Returns the activation tokens to issue for restored imports whose recorded token is no longer valid.
pub(super) fn activations(
    wanted: &DesiredAccount<'_>,
    current: &AccountClaims,
    goal: &AccountClaims,
    desired: &[DesiredAccount<'_>],
    goals: &[Option<TrustedClaims>],
    now: u64,
    findings: &mut Vec<Finding>,
) -> Vec<ActivationRequest> {
    let mut requests = Vec::new();
    let back = goal.imports().iter().filter(|import| !current.imports().contains(import));
    for (import, token) in back.filter_map(|import| Some((import, import.token()?))) {
        let Some(spec) = ImportSpec::of(import) else { continue };
        let Ok(activation) = Activation::decode(token) else { continue };
        let exporter = desired.iter().zip(goals).find(|(exporter, _)| exporter.id == spec.account);
        match exporter {
            Some((exporter, Some(claims))) if activation.judge(claims, &wanted.id, &spec, now).is_err() => {
                requests.push(ActivationRequest {
                    exporter: spec.account.clone(),
                    exporter_name: exporter.name.clone(),
                    importer: wanted.id.clone(),
                    import: spec,
                    lifetime: wanted.account.activation_lifetime,
                });
            }
            None if activation.expires().is_some_and(|at| at <= now) => {
                let place = format!("account {}, import {}", wanted.name, import.local());
                let message = format!("its restored activation token by {} has expired", import.account);
                let next = "Have the exporting account issue another, import it by hand, then run it again.";
                findings.push(Finding::error("activation-expired", place, message, next));
            }
            _ => {}
        }
    }
    requests
}

/// Returns the tokens, stage by stage.
fn pushes(
    wanted: &DesiredAccount<'_>,
    start: &Start,
    current: &TrustedClaims,
    goal: &TrustedClaims,
    activations: &[ActivationRequest],
    findings: &mut Vec<Finding>,
) -> Vec<Push> {
    let mut pushes = Vec::new();
    let mut steps = stages::between(current.value(), goal.value(), wanted.account_role);
    if steps.is_empty() {
        let stage =
            if wanted.account_role == AccountRole::Application { Stage::Mappings } else { Stage::RegionalImports };
        steps.push((stage, goal.value().clone()));
    }
    for (stage, claims) in steps {
        let claims = match TrustedClaims::derived(claims, &[current, goal]) {
            Ok(claims) => claims,
            Err(error) => {
                let message = format!("the merged claims: {error}");
                findings.push(Finding::error(CONFLICT, format!("account {}", wanted.name), message, BY_HAND));
                continue;
            }
        };
        let has = |request: &&ActivationRequest| claims.imports().iter().any(|import| request.import.is(import));
        pushes.push(Push {
            stage,
            reason: Reason::Changed,
            activations: activations.iter().filter(has).cloned().collect(),
            claims,
            base: start.token.clone(),
            newest_iat: start.newest_iat,
        });
    }
    pushes
}
