//! Checks of an account's exports and imports.

use super::change::{ClaimChange, Peer};
use super::exports::exports;
use super::imports::imports;
use super::requests::close_exports;
use crate::desired::DesiredAccount;
use crate::model::claims::{AccountClaims, TrustedClaims};
use crate::model::finding::Finding;
use crate::plan::Options;

/// Returns the changes that an account's exports and imports still need. These include requests to close, and
/// activation tokens that are not valid.
pub fn claim_drift(
    desired: &DesiredAccount<'_>,
    claims: &TrustedClaims,
    peers: &[Peer<'_>],
    now: u64,
) -> Vec<ClaimChange> {
    let mut claims = claims.clone();
    let adopt = Options { adopt: true, ..Options::default() };
    let mut edited = exports(&mut claims, desired, &adopt);
    edited.append(imports(&mut claims, desired, peers, &adopt, now));
    edited.append(close_exports(&mut claims, desired, &adopt));
    edited.changes
}

/// Refuses exports and imports that exceed the limits of an account's claims.
pub(in crate::plan) fn exceeded(desired: &DesiredAccount<'_>, claims: &AccountClaims) -> Vec<Finding> {
    let limits = claims.limits();
    let mut findings = Vec::new();
    let place = format!("account {}", desired.name);
    for (what, flag, count, limit) in [
        ("imports", "imports", claims.imports().len(), limits.imports),
        ("exports", "exports", claims.exports().len(), limits.exports),
    ] {
        let over = limit >= 0 && i64::try_from(count).unwrap_or(i64::MAX) > limit;
        if over {
            findings.push(Finding::error(
                "link-limit",
                &place,
                format!("it would have {count} {what}, and its claims allow {limit}: servers would refuse the rest"),
                format!("Raise the limit: `nsc edit account {} --{flag} -1`, then push it.", desired.name),
            ));
        }
    }
    if !limits.wildcards && !desired.exports.is_empty() {
        findings.push(Finding::error(
            "wildcard-exports",
            place,
            "its claims forbid exports with wildcards, which the layout `regional` needs",
            format!("Allow them: `nsc edit account {} --wildcard-exports`, then push it.", desired.name),
        ));
    }
    findings
}
