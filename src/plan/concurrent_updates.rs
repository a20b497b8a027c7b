//! Merges an account's claims when other tools push during a run.
//!
//! Resolvers keep the token that was pushed last, whatever it was made from (nats-server 2.15 `server/accounts.go`). A
//! tool that reads, edits and pushes undoes every push in between. Because this run saw every push, it can reconstruct
//! the lost edits. It assumes that each token was edited from the earlier token that it differs least from, and merges
//! the edits.
//!
//! Only tokens by a trusted key get here. Even so, a user of the system account without a signing key can push an old
//! token again. A token that was signed before the run began, and before the token that the run began with, is
//! therefore no edit.

use super::claims_diff;
use super::exports_imports::is_ours as is_our_entry;
use super::mappings::is_ours;
use crate::model::claims::{Conflict, TrustedClaims, Unmergeable};
use crate::observed::jetstream::ObservedStream;
use serde_json::Value;
use std::collections::HashSet;

/// A token that an account had, in the order in which the run saw them.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimsUpdate {
    /// The token.
    pub token: String,
    /// The token's claims.
    pub claims: TrustedClaims,
    /// The origin of the token.
    pub origin: Origin,
}

/// Origin of a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// All earlier pushes. The servers had the token when the run read them, and nothing more is known.
    All,
    /// These claims. This run made the token.
    Claims(Box<TrustedClaims>),
    /// One of the earlier tokens. Another tool, or another run, made the token.
    Unknown,
    /// No edit. The token is older than the one that the run began with, and was pushed again.
    PushedAgain,
}

/// Seconds by which another signer's clock may lag.
const CLOCK_LAG_SECONDS: u64 = 5;

/// Returns `true` if a token issued at `issued` is older than the one that a run began with. Such a token is no edit of
/// the run's state. `began_with` is the time when that one was issued, and `started` the time when the run subscribed
/// to pushes.
pub fn is_pushed_again(issued: u64, began_with: u64, started: u64) -> bool {
    issued < began_with && is_from_before(issued, started)
}

/// Returns `true` if a token was issued well before a run subscribed to pushes.
pub fn is_from_before(issued: u64, started: u64) -> bool {
    issued.saturating_add(CLOCK_LAG_SECONDS) < started
}

/// Returns the claims that keep all edits. `streams` are those of the account, whose metadata shows which mappings
/// belong to virtual streams. During a run, another tool cannot remove these mappings. Their removal is rarely
/// intended, and looks the same as an edit of a token from before the run. A push that changes only entries of virtual
/// streams can remove them.
///
/// # Errors
/// The edits that conflict.
pub fn merge_concurrent(
    seen: &[ClaimsUpdate],
    streams: &[ObservedStream],
) -> Result<Option<TrustedClaims>, Vec<Conflict>> {
    let Some((first, later)) = seen.split_first() else { return Ok(None) };
    let mut state = first.claims.clone();
    for (index, next) in later.iter().enumerate() {
        let before = &seen[..=index];
        let distance = |earlier: &&ClaimsUpdate| claims_diff(Some(earlier.claims.value()), next.claims.value()).len();
        let origin = match &next.origin {
            Origin::All => {
                state = next.claims.clone();
                continue;
            }
            Origin::Claims(claims) => claims,
            Origin::PushedAgain => continue,
            // The tool that pushed an old token does not know the later ones.
            Origin::Unknown if before.iter().any(|earlier| earlier.token == next.token) => continue,
            // Among equals, the last token counts. Another tool may have read and edited an old token that was pushed
            // again, before it was replaced.
            Origin::Unknown => match before.iter().rev().min_by_key(distance) {
                Some(nearest) => &nearest.claims,
                None => continue,
            },
        };
        let merged = match TrustedClaims::merge(origin, &next.claims, &state) {
            Ok(merged) => merged,
            Err(Unmergeable::Conflicts(conflicts)) => return Err(conflicts),
            // Then the pushed token counts, as if the run had seen no earlier one.
            Err(Unmergeable::Broken(_)) => next.claims.clone(),
        };
        let by_another_tool = next.origin == Origin::Unknown && !changes_ours_alone(origin, &next.claims, streams);
        state = if by_another_tool { with_mappings_of(&state, merged, streams) } else { merged };
    }
    Ok(Some(state))
}

/// Returns `claims` with the mappings of virtual streams that only `before` has.
fn with_mappings_of(before: &TrustedClaims, claims: TrustedClaims, streams: &[ObservedStream]) -> TrustedClaims {
    let there: HashSet<String> = claims.mappings().into_iter().map(|mapping| mapping.source).collect();
    let gone = before.mappings().into_iter().filter(|mapping| !there.contains(&mapping.source));
    let gone: Vec<String> = gone.filter(|mapping| is_ours(mapping, streams)).map(|mapping| mapping.source).collect();
    if gone.is_empty() { claims } else { claims.with_mappings_of(before, &gone) }
}

/// Returns `true` if two tokens differ only in entries of virtual streams, as if a run of this program made the later
/// one. Nothing else distinguishes its tokens from those of other tools: a reply subject can be forged.
fn changes_ours_alone(before: &TrustedClaims, after: &TrustedClaims, streams: &[ObservedStream]) -> bool {
    let theirs = |claims: &TrustedClaims| {
        let mut value = claims.value().clone();
        let ours: HashSet<String> =
            claims.mappings().into_iter().filter(|m| is_ours(m, streams)).map(|m| m.source).collect();
        let Some(nats) = value["nats"].as_object_mut() else { return value };
        if let Some(mappings) = nats.get_mut("mappings").and_then(Value::as_object_mut) {
            mappings.retain(|source, _| !ours.contains(source));
            if mappings.is_empty() {
                nats.shift_remove("mappings");
            }
        }
        for list in ["exports", "imports"] {
            if let Some(entries) = nats.get_mut(list).and_then(Value::as_array_mut) {
                entries.retain(|entry| !entry["name"].as_str().is_some_and(is_our_entry));
                if entries.is_empty() {
                    nats.shift_remove(list);
                }
            }
        }
        value
    };
    claims_diff(Some(&theirs(before)), &theirs(after)).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::claims::TrustAnchor;
    use crate::model::nkey::KeyKind;
    use crate::sign::{Seed, Signer as _, issue};
    use serde_json::{Value, json};

    struct Account {
        operator: Seed,
        id: String,
    }

    impl Account {
        fn new() -> Self {
            let key = |kind| Seed::generate(kind).unwrap();
            Self { operator: key(KeyKind::Operator), id: key(KeyKind::Account).public_key().to_string() }
        }

        fn read(&self, token: &str) -> TrustedClaims {
            TrustedClaims::verify(token, &TrustAnchor::of_key(&self.operator.public_key())).unwrap()
        }

        fn seen(&self, mappings: &[&str], tags: &[&str], iat: u64, by_us: bool) -> ClaimsUpdate {
            let origin = if by_us { Origin::All } else { Origin::Unknown };
            let to = |subject: &&str| (subject.to_string(), json!([{ "subject": "x.y", "weight": 100 }]));
            let mappings: serde_json::Map<String, Value> = mappings.iter().map(to).collect();
            let claims = json!({ "sub": self.id, "name": "APP", "nats": {
                "type": "account", "version": 2, "limits": { "subs": -1 }, "mappings": mappings, "tags": tags } });
            let token = issue(&claims, &self.operator, iat).unwrap().as_str().to_owned();
            let claims = self.read(&token);
            ClaimsUpdate { token, claims, origin }
        }
    }

    fn merged_of(seen: &[ClaimsUpdate]) -> (Vec<String>, Vec<String>) {
        let claims = merge_concurrent(seen, &[]).unwrap().unwrap();
        let mut mappings: Vec<String> = claims.mappings().into_iter().map(|mapping| mapping.source).collect();
        mappings.sort();
        let mut tags: Vec<String> = claims.tags().into_iter().map(str::to_owned).collect();
        tags.sort();
        (mappings, tags)
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn what_others_pushed_on_top_counts_as_it_is() {
        let account = Account::new();
        let first = account.seen(&["a"], &[], 1, false);
        let ours = account.seen(&["a", "b"], &[], 2, true);
        let removed = account.seen(&["b"], &["t"], 3, false);
        let both = [first.clone(), ours.clone(), removed];
        assert_eq!(merged_of(&both), (strings(&["b"]), strings(&["t"])));
        assert_eq!(merged_of(&[first, ours]), (strings(&["a", "b"]), strings(&[])));
        assert_eq!(merge_concurrent(&[], &[]).unwrap(), None);
    }

    #[test]
    fn an_edit_of_an_older_token_takes_nothing_back() {
        let account = Account::new();
        let first = account.seen(&["a"], &[], 1, false);
        let ours = account.seen(&["a", "b", "c"], &[], 2, true);
        let edit = account.seen(&["a"], &["t"], 3, false);
        let all = [first.clone(), ours.clone(), edit.clone()];
        assert_eq!(merged_of(&all), (strings(&["a", "b", "c"]), strings(&["t"])));
        // The old token itself is pushed again.
        assert_eq!(merged_of(&[first.clone(), ours.clone(), first.clone()]), (strings(&["a", "b", "c"]), strings(&[])));
        // Two edits of the old token, one after the other. Between them is a token of ours that includes the first
        // edit.
        let ours = account.seen(&["a", "b", "c"], &["t"], 3, true);
        let more = account.seen(&["a"], &["t", "u"], 4, false);
        assert_eq!(merged_of(&[first, edit, ours, more]).1, strings(&["t", "u"]));
    }

    #[test]
    fn what_this_run_pushed_over_others_takes_nothing_back() {
        let account = Account::new();
        let first = account.seen(&["a"], &[], 1, false);
        let theirs = account.seen(&["a"], &["t"], 2, false);
        let mut ours = account.seen(&["a", "b"], &[], 3, true);
        assert_eq!(merged_of(&[first.clone(), theirs.clone(), ours.clone()]).1, strings(&[]));
        ours.origin = Origin::Claims(Box::new(first.claims.clone()));
        assert_eq!(merged_of(&[first, theirs, ours]), (strings(&["a", "b"]), strings(&["t"])));
    }

    #[test]
    fn mappings_of_virtual_streams_are_not_taken_away_by_others() {
        let account = Account::new();
        let config = json!({ "config": { "name": "x-write", "subjects": ["x.y"],
            "metadata": { "vstream.name": "x", "vstream.region": "y", "vstream.role": "write" } } });
        let streams = [ObservedStream::from_info(config).unwrap()];
        let seen = [account.seen(&["a"], &[], 1, false), account.seen(&[], &["t"], 2, false)];
        let claims = merge_concurrent(&seen, &streams).unwrap().unwrap();
        assert_eq!((claims.mappings().len(), claims.tags()), (1, vec!["t"]));
        assert_eq!(merged_of(&seen), (strings(&[]), strings(&["t"])));
        let by_us = [seen[0].clone(), account.seen(&[], &[], 2, true)];
        assert_eq!(merge_concurrent(&by_us, &streams).unwrap().unwrap().mappings().len(), 0);
    }

    #[test]
    fn what_two_changed_in_different_ways_is_a_conflict() {
        let account = Account::new();
        let named = |name: &str, by_us, iat| {
            let mut seen = account.seen(&["a"], &[], iat, by_us);
            let mut value = seen.claims.value().clone();
            value["nats"]["description"] = name.into();
            let token = issue(&value, &account.operator, iat).unwrap().as_str().to_owned();
            seen.claims = account.read(&token);
            seen.token = token;
            seen
        };
        let seen = [named("first", false, 1), named("ours", true, 2), named("theirs", false, 3)];
        // The token differs as much from one as from the other, and counts as an edit of the last.
        assert_eq!(merge_concurrent(&seen, &[]).unwrap().unwrap().value()["nats"]["description"], "theirs");
        let mut far = seen;
        let mut value = far[1].claims.value().clone();
        for field in ["b", "c", "d"] {
            value["nats"]["mappings"][field] = json!([{ "subject": "x.y", "weight": 100 }]);
        }
        let token = issue(&value, &account.operator, 2).unwrap().as_str().to_owned();
        far[1] = ClaimsUpdate { claims: account.read(&token), token, origin: Origin::All };
        assert!(merge_concurrent(&far, &[]).is_err());
    }
}
