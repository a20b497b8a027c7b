//! Back to how an earlier push left it: what was pushed since is undone, push by push, and everything else stays.
//!
//! Each undone push is a three-way merge: from what it made back to what it found, on top of what is there now. So what
//! others changed between two of our pushes, or since, is kept, and what both changed is refused. A stage that was
//! perhaps never pushed does no harm: what it would have changed is found unchanged.

mod changes;
mod leads;
mod stages;

use super::account::{known_clusters, lint_mappings, place_of_application, starts};
use super::claims_diff::claims_diff;
use super::links::{self, ActivationRequest};
use super::pushes::{Push, Reason, Stage, Start};
use super::record::{Content, Streamed};
use super::{AccountPlan, Options, Plan, admit, preflight, way_back};
use crate::desired::DesiredAccount;
use crate::desired::regional::Seat;
use crate::model::claims::{AccountClaims, Activation, ImportSpec, TrustedClaims, Unmergeable, Untrusted};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::topology::Topology;
use crate::observed::survey::Observed;
use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;

/// Exceptions that [`super::Options::allow`] admits.
pub(super) const ALLOWABLE: [&str; 2] = ["leads-nowhere", "record-untrusted"];

/// A record by its name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'r> {
    /// Its name.
    pub name: &'r str,
    /// What happened.
    pub content: &'r Content,
}

/// What is undone.
#[derive(Debug, Clone)]
pub struct Undo<'r> {
    /// The pushes that are undone, the newest first.
    pub pushes: Vec<Named<'r>>,
    /// The record that is gone back to; the one before the first that is undone, if there is one.
    pub target: Option<Named<'r>>,
    /// The application's accounts, with their regional ones, that it is about.
    pub applications: BTreeSet<PublicKey>,
    /// What it may do in spite of findings.
    pub options: Options,
    /// All streams that records of this deployment speak of.
    pub streams: Vec<&'r Streamed>,
}

impl<'r> Undo<'r> {
    /// Back to how the record at `place` left the accounts in it; `records` are the deployment's, the oldest first.
    pub fn back_to(records: &[Named<'r>], place: usize) -> Self {
        let target = records.get(place).copied();
        let newer = records.get(place + 1..).unwrap_or_default();
        Self::of(records, newer, target, target.map(|target| applications(target.content)).unwrap_or_default())
    }

    /// Back to before the newest record. One of a run that was to do just that and did not come to its end is gone on
    /// with: undoing it would bring back what it was to undo.
    pub fn last(records: &[Named<'r>]) -> Self {
        let begun = records.iter().rev().take_while(|record| record.content.stopped_going_back()).count();
        let (older, undone) = records.split_at(records.len().saturating_sub(begun + 1));
        let about: BTreeSet<_> = undone.iter().flat_map(|record| applications(record.content)).collect();
        let target = older.iter().rfind(|record| about.is_subset(&applications(record.content))).copied();
        Self::of(records, undone, target, about)
    }

    fn of(records: &[Named<'r>], undone: &[Named<'r>], target: Option<Named<'r>>, about: BTreeSet<PublicKey>) -> Self {
        let concerns = |record: &&Named<'_>| !about.is_disjoint(&applications(record.content));
        Self {
            pushes: undone.iter().rev().filter(concerns).copied().collect(),
            target,
            applications: about,
            options: Options::default(),
            streams: records.iter().flat_map(|record| &record.content.streams).collect(),
        }
    }

    /// The accounts that undone pushes changed, by name.
    fn accounts(&self) -> HashMap<&PublicKey, &str> {
        let tokens = self.pushes.iter().flat_map(|push| push.content.sent());
        let about = tokens.filter(|token| self.applications.contains(&token.application));
        about.map(|token| (&token.id, token.account.as_str())).collect()
    }

    /// Whether one of the undone pushes made the account.
    fn makes(&self, id: &PublicKey) -> bool {
        self.pushes.iter().flat_map(|push| push.content.sent()).any(|token| token.id == *id && token.base.is_none())
    }
}

fn applications(content: &Content) -> BTreeSet<PublicKey> {
    content.sent().map(|token| token.application.clone()).collect()
}

/// What going back does.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The pushes.
    pub plan: Plan,
    /// What comes of them.
    pub effects: Effects,
}

/// What comes of going back.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Per account of the plan, what changes in its claims, line by line.
    pub diffs: Vec<Vec<String>>,
    /// Streams that no mapping leads to any more.
    pub unused: Vec<Unused>,
    /// Accounts that undone pushes made. They stay, with their streams.
    pub left: Vec<String>,
}

/// The streams of a virtual stream that no mapping leads to any more. They keep their messages.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unused {
    /// The application's account.
    pub account: String,
    /// The virtual stream.
    pub virtual_stream: String,
    /// Their names.
    pub streams: Vec<String>,
}

/// What has to be pushed to go back. `desired` are the accounts of the definition as it is now, and `observed` what
/// there is of them. `now` in seconds since 1970.
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
    for (place, (wanted, start)) in desired.iter().zip(&starts).enumerate() {
        let found = &observed.accounts[place];
        let current = start.as_ref().and_then(Start::existing);
        let about = undo.applications.contains(&desired[place_of_application(desired, place)].id);
        if about && undo.makes(&wanted.id) && current.is_some() {
            effects.left.push(wanted.name.clone());
        }
        let mut account = AccountPlan::unchanged(wanted, current.cloned());
        let mut diff = Vec::new();
        if let (Some(start), Some(current), Some(goal)) = (start, current, &goals[place]) {
            diff = claims_diff(Some(current.value()), goal.value());
            // What a push of others took back, or lost, is pushed too.
            if !diff.is_empty() || start.merged {
                let findings = &mut plan.findings;
                findings.extend(expired(wanted, current, goal, now));
                let activations = activations(wanted, current, goal, desired, &goals, now, findings);
                account.mappings = changes::mappings(current, goal);
                account.claims = changes::claims(current, goal);
                account.pushes = pushes(wanted, start, current, goal, &activations, findings);
                findings.extend(links::exceeded(wanted, goal));
                let stored = current.mappings();
                let listeners = &found.listeners;
                findings.extend(lint_mappings(wanted, &stored, goal, &account.mappings, &clusters, listeners));
                findings.extend(leads::restored(wanted, current, goal, found, undo));
            }
        }
        plan.accounts.push(account);
        effects.diffs.push(diff);
    }
    let changes = effects.diffs.iter().any(|diff| !diff.is_empty());
    if changes {
        plan.findings.extend(leads::gone(desired, observed, &goals, undo));
    }
    let currents: Vec<Option<&AccountClaims>> =
        starts.iter().map(|start| start.as_ref().and_then(Start::existing).map(Deref::deref)).collect();
    effects.unused = leads::unused(desired, observed, &currents, &goals);
    admit(&mut plan.findings, &undo.options);
    // It would put nothing back, and judge by streams that were not read.
    plan.findings.extend(way_back::out_of_reach(desired, observed));
    plan.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Rollback { plan, effects }
}

const CONFLICT: &str = "rollback-conflict";
const BY_HAND: &str =
    "Take back one of the two by hand, with the definition or with the tool that made it; then run it again.";

/// The claims without what the undone pushes did to them.
fn goal(
    wanted: &DesiredAccount<'_>,
    current: &TrustedClaims,
    undo: &Undo<'_>,
    observed: &Observed,
    findings: &mut Vec<Finding>,
) -> Option<TrustedClaims> {
    let place = format!("account {}", wanted.name);
    let mut goal = current.clone();
    for push in &undo.pushes {
        for token in push.content.sent().rev().filter(|token| token.id == wanted.id) {
            let Some(base) = &token.base else { continue };
            let mut read = |token: &str| recorded(token, push.name, wanted, undo, observed, findings);
            let (before, pushed) = (read(base)?, read(&token.token)?);
            match goal.without(&pushed, &before) {
                Ok(without) => goal = without,
                Err(Unmergeable::Conflicts(conflicts)) => {
                    findings.extend(conflicts.into_iter().map(|conflict| {
                        let words = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
                        let message = format!(
                            "{} was changed by others after record {} changed it: from {} to {}, and by now to {}",
                            conflict.path,
                            push.name,
                            words(conflict.ours),
                            words(conflict.base),
                            words(conflict.theirs)
                        );
                        Finding::error(CONFLICT, &place, message, BY_HAND)
                    }));
                    return None;
                }
                Err(Unmergeable::Broken(error)) => {
                    findings.push(Finding::error(CONFLICT, &place, format!("the merged claims: {error}"), BY_HAND));
                    return None;
                }
            }
        }
    }
    Some(goal)
}

const DAMAGED: &str = "record-token";
const UNTRUSTED: &str = "record-untrusted";

/// The claims of a token in a record. They are signed anew with the operator's key, so a trusted key has to have signed
/// them before: a record is a file that anyone may have written. `--allow record-untrusted` vouches for another key.
fn recorded(
    token: &str,
    record: &str,
    wanted: &DesiredAccount<'_>,
    undo: &Undo<'_>,
    observed: &Observed,
    findings: &mut Vec<Finding>,
) -> Option<TrustedClaims> {
    let place = format!("account {}", wanted.name);
    let anchor = &observed.anchor;
    let claims = match TrustedClaims::verify(token, anchor) {
        Err(Untrusted::Stranger(claims)) => {
            let issuer = claims.issuer();
            let who = match preflight::does_some_server_trust(&observed.deployment, issuer) {
                true => anchor.why_not(),
                false => "no server trusts".to_owned(),
            };
            let message = format!("its token in record {record} is signed by {issuer}, which {who}");
            let next = "Find out who wrote that record. If the operator's key was replaced since, go on with --allow \
                        record-untrusted.";
            let finding = Finding::error(UNTRUSTED, &place, message, next);
            if !findings.contains(&finding) {
                findings.push(finding);
            }
            match undo.options.allows(UNTRUSTED) {
                true => TrustedClaims::verify(token, &anchor.and(issuer)),
                false => return None,
            }
        }
        read => read,
    };
    match claims {
        Ok(claims) if *claims.id() == wanted.id => Some(claims),
        _ => {
            let message = format!("a token of it in record {record} is not one that was pushed");
            let next = "Get the record from where it was written.";
            findings.push(Finding::error(DAMAGED, &place, message, next));
            None
        }
    }
}

/// The records have to be of this deployment.
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

/// Accounts of the records that this definition doesn't have.
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

/// Claims that would end an account.
fn expired(wanted: &DesiredAccount<'_>, current: &AccountClaims, goal: &AccountClaims, now: u64) -> Option<Finding> {
    let at = goal.expires().filter(|at| *at <= now && goal.expires() != current.expires())?;
    let message = format!("its token of then expired {} s ago; servers would refuse its users", now - at);
    let next = "Leave the account's expiry as it is: go back by the definition, with apply.";
    Some(Finding::error("account-expired", format!("account {}", wanted.name), message, next))
}

/// Activation tokens of imports that come back, where the one of then does not hold any more.
fn activations(
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
                let message = format!("it comes back, and its activation token by {} has expired", import.account);
                let next = "Have the exporting account issue another, import it by hand, then run it again.";
                findings.push(Finding::error("activation-expired", place, message, next));
            }
            _ => {}
        }
    }
    requests
}

/// The tokens, stage by stage.
fn pushes(
    wanted: &DesiredAccount<'_>,
    start: &Start,
    current: &TrustedClaims,
    goal: &TrustedClaims,
    activations: &[ActivationRequest],
    findings: &mut Vec<Finding>,
) -> Vec<Push> {
    let mut pushes = Vec::new();
    let mut steps = stages::between(current.value(), goal.value(), wanted.seat);
    if steps.is_empty() {
        let stage = if wanted.seat == Seat::Application { Stage::Mappings } else { Stage::RegionalImports };
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

#[cfg(test)]
mod tests;
