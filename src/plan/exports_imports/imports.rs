//! Adds and corrects imports, and requests their activation tokens.

use super::change::{ActivationRequest, ClaimChange, ClaimPart, ClaimsEdit, Peer, is_ours};
use super::exports::nested;
use super::removal::remove_imports;
use super::requests::close_imports;
use crate::desired::DesiredAccount;
use crate::desired::regional::AccountRole;
use crate::model::claims::{Activation, ExportKind, Import, ImportSpec, TrustedClaims, covers};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::prefixes::{REGION_PREFIX, is_below, region_prefix};
use crate::plan::{Action, Options};

/// Adds and corrects imports, and removes those that the definition no longer allows. Requests activation tokens where
/// there is no valid one. `now` is in seconds since 1970.
pub(in crate::plan) fn imports(
    claims: &mut TrustedClaims,
    desired: &DesiredAccount<'_>,
    peers: &[Peer<'_>],
    options: &Options,
    now: u64,
) -> ClaimsEdit {
    let mut edited = close_imports(claims, desired, options);
    edited.append(of_other_clusters(claims, desired));
    let lifetime = desired.account.activation_lifetime;
    for wanted in &desired.imports {
        let Some(wanted) = &make_room(claims, wanted, &desired.name, options, &mut edited) else { continue };
        // One wider import may cover several wanted imports.
        if edited.activations.iter().any(|request| request.import == *wanted) {
            continue;
        }
        let peer = peers.iter().find(|peer| *peer.id == wanted.account);
        let name = peer.map_or_else(|| wanted.account.to_string(), |peer| peer.name.to_owned());
        let local = wanted.local();
        let found = claims.imports().iter().find(|import| is_same(import, wanted));
        let action = if found.is_some() { Action::Update } else { Action::Create };
        let fault = match found.map(|import| import.token()) {
            None => None,
            Some(None) => Some("it has no activation token".to_owned()),
            Some(Some(token)) => {
                token_fault(token, peer.and_then(|peer| peer.claims), claims.id(), wanted, lifetime, now)
            }
        };
        let changed = claims.set_import(wanted, None);
        if changed {
            edited.changes.push(ClaimChange {
                action,
                what: ClaimPart::Import,
                name: local.to_owned(),
                account: Some(name.clone()),
                why: None,
            });
        }
        if action == Action::Create || fault.is_some() {
            edited.activations.push(ActivationRequest {
                exporter: wanted.account.clone(),
                exporter_name: name.clone(),
                importer: claims.id().clone(),
                import: wanted.clone(),
                lifetime,
            });
        }
        if let Some(why) = fault {
            edited.changes.push(ClaimChange {
                action: Action::Update,
                what: ClaimPart::Activation,
                name: local.to_owned(),
                account: Some(name),
                why: Some(why),
            });
        }
    }
    edited
}

/// Removes service imports that overlap a wanted import, because servers would refuse both. Returns the import that the
/// account should have, which may be a wider existing one. Returns `None` if foreign imports conflict.
fn make_room(
    claims: &mut TrustedClaims,
    wanted: &ImportSpec,
    account: &str,
    options: &Options,
    edited: &mut ClaimsEdit,
) -> Option<ImportSpec> {
    if wanted.kind == ExportKind::Stream || claims.imports().iter().any(|import| is_same(import, wanted)) {
        return Some(wanted.clone());
    }
    let local = wanted.local();
    let near = claims.imports().iter().filter(|import| import.kind == "service" && nested(import.local(), local));
    let (ours, others): (Vec<Import>, Vec<Import>) = near.cloned().partition(|import| is_ours(&import.name));
    let wider = |import: &&Import| import.account == wanted.account.to_string() && covers(import.local(), local);
    if let Some(wider) = ours.iter().find(wider) {
        return ImportSpec::of(wider);
    }
    let (same, others): (Vec<Import>, Vec<Import>) = others.into_iter().partition(|import| import.local() == local);
    let taken = same.first().filter(|_| !options.adopt);
    if let Some(foreign) = taken.or(others.first()) {
        let (message, next) = match taken {
            Some(_) => ("on that subject already", "or take its place with --adopt."),
            None => {
                ("on subjects that overlap it, so that requests would not go to one of them", "or import elsewhere.")
            }
        };
        edited.findings.push(Finding::error(
            "foreign-import",
            format!("account {account}, import {local}"),
            format!(
                "the account has an import {message}: {} ({}), service {} of account {}",
                foreign.local(),
                foreign.name,
                foreign.subject,
                foreign.account
            ),
            format!("Remove that import, {next}"),
        ));
        // With `adopt` the import is still listed, for `claim_drift`.
        if !options.adopt {
            return None;
        }
    }
    // The wanted import replaces one from another account, and narrower ones of ours.
    for import in same.iter().chain(&ours) {
        claims.remove_import(import);
        edited.note(Action::Delete, ClaimPart::Import, import.local());
    }
    Some(wanted.clone())
}

/// Removes a regional account's imports for clusters that no longer use its region. Otherwise two regions would answer
/// their pull requests.
fn of_other_clusters(claims: &mut TrustedClaims, desired: &DesiredAccount<'_>) -> ClaimsEdit {
    let AccountRole::Regional(region) = desired.account_role else { return ClaimsEdit::default() };
    let application = desired.account.id.to_string();
    let uses = |import: &Import| region.clusters().any(|cluster| is_below(&import.subject, &region_prefix(cluster)));
    let clusters =
        |import: &Import| is_below(&import.subject, REGION_PREFIX) && import.account == application && !uses(import);
    let why = |_: &str| Some("clients of that cluster do not use this region".to_owned());
    remove_imports(claims, clusters, why)
}

fn is_same(import: &Import, wanted: &ImportSpec) -> bool {
    import.kind == wanted.kind.as_str()
        && import.subject == wanted.subject
        && import.local() == wanted.local()
        && import.account == wanted.account.to_string()
}

/// Returns the reason why an activation token must be issued anew, if there is one.
fn token_fault(
    token: &str,
    exporter: Option<&TrustedClaims>,
    importer: &PublicKey,
    import: &ImportSpec,
    lifetime: Option<u64>,
    now: u64,
) -> Option<String> {
    let activation = match Activation::decode(token) {
        Ok(activation) => activation,
        Err(error) => return Some(error.to_string()),
    };
    let Some(exporter) = exporter else { return Some("the exporting account is new".to_owned()) };
    if let Err(fault) = activation.judge(exporter, importer, import, now) {
        return Some(fault.to_string());
    }
    match (activation.expires(), lifetime) {
        (None, None) => None,
        (None, Some(_)) => Some("it never expires, and `activation_lifetime` says otherwise".to_owned()),
        (Some(_), None) => Some("it expires, and the definition has no `activation_lifetime`".to_owned()),
        // A token is renewed when a third of its lifetime is left, so that weekly runs suffice for tokens of one month.
        (Some(at), Some(lifetime)) => {
            let left = at.saturating_sub(now);
            (left < lifetime / 3).then(|| format!("it expires in {}", days(left)))
        }
    }
}

fn days(seconds: u64) -> String {
    match seconds {
        s if s < 7200 => format!("{} min", s / 60),
        s if s < 2 * 86_400 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}
