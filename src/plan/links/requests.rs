//! Requests that a definition opens to applications (`map_requests`), and their closing.

use super::change::{Edited, is_ours};
use super::exports::exports;
use super::removal::{remove_exports, remove_imports};
use crate::desired::DesiredAccount;
use crate::desired::links::opened;
use crate::desired::regional::Seat;
use crate::model::claims::{AccountClaims, Export, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::virtual_stream::Layout;
use crate::plan::Options;
use std::collections::BTreeSet;

/// Whether what opens this request (by an export's or import's subject) goes: of a virtual stream of the definition that
/// does not open it, or of one that is pruned; of all of them, where the definition says which are open (`map_requests`
/// of the account).
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

/// Requests of all virtual streams that are open, while the definition says nothing of them: another one may have opened
/// them.
pub fn left_open(desired: &DesiredAccount<'_>, claims: &AccountClaims) -> Option<Finding> {
    if desired.seat != Seat::Application || desired.account.layout != Layout::Regional {
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
            "applications may ask for {} of any virtual stream by its name, of which this definition says nothing; another \
             one may have opened it",
            open.into_iter().collect::<Vec<_>>().join(", ")
        ),
        "If none needs it, write as `map_requests` of the account what is to be open (`[]`: nothing) and apply; other \
         definitions of the account that open requests of their own, or have object stores, are applied once more then.",
    ))
}

/// Takes away exports that open more than the definition does, when nobody imports them any more; the wider of two has
/// served until then, and what stays open gets its own.
pub(in crate::plan) fn close_exports(
    claims: &mut TrustedClaims,
    desired: &DesiredAccount<'_>,
    options: &Options,
) -> Edited {
    let goes = |export: &Export| closes(&export.subject, desired, options);
    let mut edited = remove_exports(claims, goes, reason);
    if !edited.is_empty() {
        // Its findings are known by now.
        edited.changes.append(&mut exports(claims, desired, options).changes);
    }
    edited
}

/// Takes away imports that open more than the definition does.
pub(super) fn close_imports(claims: &mut TrustedClaims, desired: &DesiredAccount<'_>, options: &Options) -> Edited {
    remove_imports(claims, |import| closes(&import.subject, desired, options), reason)
}

/// Why what opens a request, by this subject, goes.
fn reason(subject: &str) -> Option<String> {
    opened(subject).map(|(asked, _)| format!("the definition does not open {}", asked.operation()))
}
