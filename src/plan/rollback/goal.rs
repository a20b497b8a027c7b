//! The claims to which a rollback returns an account.

use super::undo::Undo;
use crate::desired::DesiredAccount;
use crate::model::claims::{TrustedClaims, Unmergeable, Untrusted};
use crate::model::finding::Finding;
use crate::observed::survey::Observed;
use crate::plan::preflight;

pub(super) const CONFLICT: &str = "rollback-conflict";
pub(super) const BY_HAND: &str =
    "Undo one of the two changes by hand, with the definition or with the tool that made it; then run it again.";

const DAMAGED: &str = "record-token";
const UNTRUSTED: &str = "record-untrusted";

/// Returns the claims without the changes of the undone pushes.
pub(super) fn goal(
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
                            "{} was changed by another tool after record {} changed it: from {} to {}, and now to {}",
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

/// Returns the claims of a token in a record. The rollback signs them again, so a trusted key must have signed them:
/// anyone can write a record file. With `--allow record-untrusted`, the user vouches for another key.
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
            let next = "Get the record from the machine that wrote it.";
            findings.push(Finding::error(DAMAGED, &place, message, next));
            None
        }
    }
}
