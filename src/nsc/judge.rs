//! The store's copy of an account against the servers' newest token.

use super::store::{Store, folder_name};
use crate::desired::regional::JETSTREAM;
use crate::model::claims::AccountClaims;
use crate::model::nkey::PublicKey;
use crate::model::prefixes::{BACK, NEAR};
use crate::plan::claims_diff;
use serde_json::Value;

/// How the store's copy of an account compares with what the servers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// The same token.
    Same,
    /// An older one, or none: it can be replaced.
    Behind,
    /// It was edited, and that was not pushed: it is newer than the servers' token.
    Newer {
        /// What pushing it would change on the servers.
        diff: Vec<String>,
        /// Whether that takes away what virtual streams need.
        takes_away: bool,
    },
    /// Older than the servers' token, and it says what theirs does not: edited and not pushed, or changed since by
    /// somebody else. Which of them cannot be told.
    Differs {
        /// What it says otherwise.
        diff: Vec<String>,
    },
    /// Another account has its name there.
    NameTaken {
        /// The other account, as far as it can be read.
        by: String,
    },
}

/// Compares. `servers`: the newest token that the servers trust, none when the account is yet to be made. `regional`
/// accounts are nobody's to edit: what is older there is behind.
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
            None => Copy::Behind,
        };
    }
    let Some((token, claims)) = servers else { return Copy::Same };
    let mut worst = Copy::Same;
    for copy in copies.filter(|copy| copy.token != token.trim()) {
        let Ok(stored) = &copy.claims else { continue };
        let diff = claims_diff(Some(claims.value()), stored.value());
        // Signed anew with nothing changed is as good as older.
        if stored.issued_at() >= claims.issued_at() && !diff.is_empty() {
            let shared = |claims: &AccountClaims| ours_only(claims.value());
            let takes_away =
                claims_diff(Some(&shared(claims)), &shared(stored)).iter().any(|line| !line.starts_with('+'));
            return Copy::Newer { diff, takes_away };
        }
        if worst == Copy::Same {
            worst = Copy::Behind;
        }
        let diff = claims_diff(Some(&others_only(claims.value())), &others_only(stored.value()));
        let diff: Vec<String> = diff.into_iter().filter(|line| !line.starts_with('-')).collect();
        if !regional && !diff.is_empty() {
            worst = Copy::Differs { diff };
        }
    }
    worst
}

/// Claims without the entries that virtual streams bring about: their absence from an older copy, and old forms of them,
/// are nobody's edit.
fn others_only(claims: &Value) -> Value {
    split(claims, false)
}

/// Claims with nothing but those entries.
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
        if let Some(links) = nats.get_mut(field).and_then(Value::as_array_mut) {
            links.retain(|link| is_our_link(link) == ours);
            if links.is_empty() {
                nats.shift_remove(field);
            }
        }
    }
    claims
}

/// What leads to regions: every destination is for one cluster, or the source is of JetStream or of the way back.
fn is_our_mapping(source: &str, to: &Value) -> bool {
    let to = to.as_array().map(Vec::as_slice).unwrap_or_default();
    let to_clusters = !to.is_empty() && to.iter().all(|to| to["cluster"].as_str().is_some_and(|c| !c.is_empty()));
    let first = source.split('.').next().unwrap_or_default();
    to_clusters || [NEAR, BACK, JETSTREAM].contains(&first)
}

/// Exports and imports between an account and its regional accounts, as [`crate::desired`] names them.
fn is_our_link(link: &Value) -> bool {
    link["name"].as_str().is_some_and(|name| name.starts_with("vstream "))
}
