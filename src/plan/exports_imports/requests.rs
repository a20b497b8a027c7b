//! Opens and closes the requests that a definition allows applications (`map_requests`).

use super::change::{ClaimsEdit, is_ours};
use super::exports::exports;
use super::removal::{remove_exports, remove_imports};
use crate::desired::DesiredAccount;
use crate::desired::exports_imports::opened;
use crate::desired::regional::AccountRole;
use crate::model::claims::{AccountClaims, Export, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::virtual_stream::Layout;
use crate::plan::Options;
use std::collections::BTreeSet;

/// Returns `true` if the export or import of this subject, which opens a request, must be removed. For a virtual stream
/// of the definition, that is so if it does not open the request. For any other virtual stream, it is so if it is
/// pruned. A request of all virtual streams is removed if the account's `map_requests` does not list it.
fn closes(subject: &str, desired: &DesiredAccount<'_>, options: &Options) -> bool {
    let account = desired.account;
    match opened(subject) {
        _ if account.layout != Layout::Regional => false,
        None => false,
        Some((asked, ">")) => account.map_requests.as_ref().is_some_and(|open| !open.contains(&asked)),
        Some((asked, name)) => match account.virtual_streams.iter().find(|stream| stream.stream_name() == name) {
            Some(stream) => !account.opens(stream, asked),
            None => ["", "KV_", "OBJ_"].iter().filter_map(|kind| name.strip_prefix(kind)).any(|n| options.prunes(n)),
        },
    }
}

/// Warns of open requests of all virtual streams that the definition does not mention. Another definition may have
/// opened them.
pub fn left_open(desired: &DesiredAccount<'_>, claims: &AccountClaims) -> Option<Finding> {
    if desired.account_role != AccountRole::Application || desired.account.layout != Layout::Regional {
        return None;
    }
    if desired.account.map_requests.is_some() {
        return None;
    }
    let ours = claims.imports().iter().filter(|import| is_ours(&import.name) && import.kind == "service");
    let of_all = ours.filter_map(|import| opened(&import.subject)).filter(|(_, stream)| *stream == ">");
    let open: BTreeSet<&str> = of_all.map(|(asked, _)| asked.operation()).collect();
    if open.is_empty() {
        return None;
    }
    Some(Finding::warning(
        "requests-left-open",
        format!("account {}", desired.name),
        format!(
            "applications may request {} of any virtual stream by its name, which this definition does not mention; \
             another definition may have opened it",
            open.into_iter().collect::<Vec<_>>().join(", ")
        ),
        "If none needs it, write as `map_requests` of the account what is to be open (`[]`: nothing) and apply; other \
         definitions of the account that open requests of their own, or have object stores, are applied once more then.",
    ))
}

/// Removes exports that allow more than the definition, once no account imports them. The wider export was in use until
/// then. The requests that stay open get exports of their own.
pub(in crate::plan) fn close_exports(
    claims: &mut TrustedClaims,
    desired: &DesiredAccount<'_>,
    options: &Options,
) -> ClaimsEdit {
    let goes = |export: &Export| closes(&export.subject, desired, options);
    let mut edited = remove_exports(claims, goes, reason);
    if !edited.is_empty() {
        // An earlier step already reported the findings.
        edited.changes.append(&mut exports(claims, desired, options).changes);
    }
    edited
}

/// Removes imports that allow more than the definition.
pub(super) fn close_imports(claims: &mut TrustedClaims, desired: &DesiredAccount<'_>, options: &Options) -> ClaimsEdit {
    remove_imports(claims, |import| closes(&import.subject, desired, options), reason)
}

/// Returns the reason for removing the export or import of this subject.
fn reason(subject: &str) -> Option<String> {
    opened(subject).map(|(asked, _)| format!("the definition does not open {}", asked.operation()))
}
