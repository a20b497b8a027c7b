//! Adds and corrects exports.

use super::change::{ClaimPart, ClaimsEdit, is_ours};
use crate::desired::DesiredAccount;
use crate::model::claims::{Export, TrustedClaims, covers};
use crate::model::finding::Finding;
use crate::plan::{Action, Options};

/// Adds and corrects exports. A wider export replaces narrower ones of ours.
pub(in crate::plan) fn exports(
    claims: &mut TrustedClaims,
    desired: &DesiredAccount<'_>,
    options: &Options,
) -> ClaimsEdit {
    let mut edited = ClaimsEdit::default();
    let place = |subject: &str| format!("account {}, export {subject}", desired.name);
    for wanted in &desired.exports {
        let kind = wanted.kind.as_str();
        let near = claims.exports().iter().filter(|e| e.kind == kind && nested(&e.subject, &wanted.subject));
        let (same, near): (Vec<Export>, Vec<Export>) = near.cloned().partition(|e| e.subject == wanted.subject);
        let (ours, others): (Vec<Export>, Vec<Export>) = near.into_iter().partition(|export| is_ours(&export.name));
        if same.is_empty() && ours.iter().any(|export| covers(&export.subject, &wanted.subject)) {
            continue;
        }
        let taken = same.iter().find(|export| !is_ours(&export.name) && !options.adopt);
        if let Some(foreign) = taken.or(others.first()) {
            let (message, next) = match taken {
                Some(_) => ("it already, and not for this definition", "or take it over with --adopt."),
                None => ("what overlaps it, and servers refuse a token with both", "or let it export other subjects."),
            };
            edited.findings.push(Finding::error(
                "foreign-export",
                place(&wanted.subject),
                format!("the account exports {message}: {kind} {} ({})", foreign.subject, foreign.name),
                format!("Remove that export, {next}"),
            ));
            if !options.adopt {
                continue;
            }
        }
        // The wanted export replaces narrower ones of ours.
        for export in ours {
            claims.remove_export(wanted.kind, &export.subject);
            edited.note(Action::Delete, ClaimPart::Export, export.subject);
        }
        let action = if same.is_empty() { Action::Create } else { Action::Update };
        if claims.set_export(wanted) {
            edited.note(action, ClaimPart::Export, &wanted.subject);
        }
    }
    edited
}

/// Returns `true` if one of two subjects is within the other.
pub(super) fn nested(one: &str, other: &str) -> bool {
    covers(one, other) || covers(other, one)
}
