//! Compares the store's copy of an account with the servers' newest token.

use super::store::{Store, folder_name};
use crate::desired::regional::JETSTREAM;
use crate::model::claims::AccountClaims;
use crate::model::nkey::PublicKey;
use crate::model::prefixes::{OWN_JS_PREFIX, REGION_PREFIX};
use crate::plan::claims_diff;
use serde_json::Value;

/// The result of comparing the store's copy of an account with the servers' token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// The same token.
    Same,
    /// The copy is older or missing, and can be replaced.
    Stale,
    /// The copy is newer than the servers' token: the user edited it, but did not push it.
    Newer {
        /// The changes that a push of the copy would make on the servers.
        diff: Vec<String>,
        /// `true` if those changes remove entries that virtual streams need.
        removes_needed: bool,
    },
    /// The copy is older than the servers' token, and has entries that the servers' token lacks. Either the user edited
    /// the copy without pushing it, or another tool has changed the account since. The tokens do not show which.
    Differs {
        /// The differences of the copy.
        diff: Vec<String>,
    },
    /// Another account has its name in the store.
    NameTaken {
        /// The other account, as far as it can be read.
        by: String,
    },
}

/// Compares an account's copies with `servers`, the newest token that the servers trust. `servers` is `None` for an
/// account that does not exist yet. No user edits `regional` accounts, so an older copy of one can always be replaced.
pub fn judge(
    store: &Store,
    id: &PublicKey,
    name: &str,
    regional: bool,
    servers: Option<(&str, &AccountClaims)>,
) -> Copy {
    let mut copies = store.copies(id).peekable();
    if copies.peek().is_none() {
        let name = servers.map_or(name, |(_, claims)| claims.name());
        return match store.named(&folder_name(name, id)) {
            Some(other) => Copy::NameTaken {
                by: match &other.claims {
                    Ok(claims) => format!("account {}", claims.id()),
                    Err(error) => format!("a token that cannot be read ({error})"),
                },
            },
            None => Copy::Stale,
        };
    }
    let Some((token, claims)) = servers else { return Copy::Same };
    let mut worst = Copy::Same;
    for copy in copies.filter(|copy| copy.token != token.trim()) {
        let Ok(stored) = &copy.claims else { continue };
        let diff = claims_diff(Some(claims.value()), stored.value());
        // A copy that was only signed again counts as older.
        if stored.issued_at() >= claims.issued_at() && !diff.is_empty() {
            let shared = |claims: &AccountClaims| ours_only(claims.value());
            let removes_needed =
                claims_diff(Some(&shared(claims)), &shared(stored)).iter().any(|line| !line.starts_with('+'));
            return Copy::Newer { diff, removes_needed };
        }
        if worst == Copy::Same {
            worst = Copy::Stale;
        }
        let diff = claims_diff(Some(&others_only(claims.value())), &others_only(stored.value()));
        let diff: Vec<String> = diff.into_iter().filter(|line| !line.starts_with('-')).collect();
        if !regional && !diff.is_empty() {
            worst = Copy::Differs { diff };
        }
    }
    worst
}

/// Returns the claims without the entries that virtual streams need. If these are missing or outdated in an older copy,
/// the user did not edit them.
fn others_only(claims: &Value) -> Value {
    split(claims, false)
}

/// Returns the claims with only those entries.
fn ours_only(claims: &Value) -> Value {
    let nats = split(claims, true)["nats"].take();
    let kept = ["mappings", "exports", "imports"].map(|field| (field.to_owned(), nats[field].clone()));
    serde_json::json!({ "nats": kept.into_iter().filter(|(_, value)| !value.is_null()).collect::<serde_json::Map<_, _>>() })
}

fn split(claims: &Value, ours: bool) -> Value {
    let mut claims = claims.clone();
    let Some(nats) = claims["nats"].as_object_mut() else { return claims };
    if let Some(mappings) = nats.get_mut("mappings").and_then(Value::as_object_mut) {
        mappings.retain(|source, to| is_our_mapping(source, to) == ours);
        // A token without mappings has no such field.
        if mappings.is_empty() {
            nats.shift_remove("mappings");
        }
    }
    for field in ["exports", "imports"] {
        if let Some(entries) = nats.get_mut(field).and_then(Value::as_array_mut) {
            entries.retain(|entry| is_our_entry(entry) == ours);
            if entries.is_empty() {
                nats.shift_remove(field);
            }
        }
    }
    claims
}

/// Checks whether a mapping is one of this tool's. Then every destination is for one cluster, or the source belongs to
/// JetStream or to the mappings back to it.
fn is_our_mapping(source: &str, to: &Value) -> bool {
    let to = to.as_array().map(Vec::as_slice).unwrap_or_default();
    let to_clusters = !to.is_empty() && to.iter().all(|to| to["cluster"].as_str().is_some_and(|c| !c.is_empty()));
    let first = source.split('.').next().unwrap_or_default();
    to_clusters || [REGION_PREFIX, OWN_JS_PREFIX, JETSTREAM].contains(&first)
}

/// Checks whether an export or import connects an account and its regional accounts, by the names that
/// [`crate::desired`] gives.
fn is_our_entry(entry: &Value) -> bool {
    entry["name"].as_str().is_some_and(|name| name.starts_with("vstream "))
}
