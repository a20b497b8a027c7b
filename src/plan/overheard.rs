//! What an account's claims should be when others pushed while a run went on.
//!
//! Resolvers keep the last token that was pushed, whatever it was made from (nats-server 2.15 `server/accounts.go`). A
//! tool that reads, edits and pushes takes back what was pushed in between. Whoever heard all of it can put it together
//! again: each token is taken for an edit of the one that it differs least from, and the edits are merged.

use super::claims_diff;
use super::mappings::is_ours;
use crate::model::claims::{AccountClaims, Conflict, merge};
use crate::model::mapping::RawMapping;
use crate::observed::jetstream::ObservedStream;
use std::collections::HashSet;

/// A token that an account had, in the order in which they were seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The token.
    pub token: String,
    /// Its claims.
    pub claims: AccountClaims,
    /// What it was made from.
    pub origin: Origin,
}

/// What a token was made from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Everything that was pushed before: another run of this program made it, or nothing more is known.
    All,
    /// These claims: this run made it.
    Claims(Box<AccountClaims>),
    /// One of the tokens before: another tool made it.
    Unknown,
}

/// The claims that keep what everyone changed. `streams` are those of the account, whose metadata says which mappings are
/// of virtual streams: these another tool does not take away while a run goes on, since that is rarely meant, and looks the
/// same as an edit of a token from before the run.
///
/// # Errors
/// What two changed in different ways.
pub fn settle(seen: &[Seen], streams: &[ObservedStream]) -> Result<Option<AccountClaims>, Vec<Conflict>> {
    let Some((first, later)) = seen.split_first() else { return Ok(None) };
    let mut state = first.claims.clone();
    for (index, next) in later.iter().enumerate() {
        let before = &seen[..=index];
        let distance = |earlier: &&Seen| claims_diff(Some(earlier.claims.value()), next.claims.value()).len();
        let origin = match &next.origin {
            Origin::All => {
                state = next.claims.clone();
                continue;
            }
            Origin::Claims(claims) => claims,
            // A token that was there before is pushed once more by who does not know of the later ones.
            Origin::Unknown if before.iter().any(|earlier| earlier.token == next.token) => continue,
            // Of several, the last.
            Origin::Unknown => match before.iter().rev().min_by_key(distance) {
                Some(nearest) => &nearest.claims,
                None => continue,
            },
        };
        let merged = merge(origin.value(), next.claims.value(), state.value())?;
        // Merged claims that are none: then what was pushed counts, as if nobody had heard anything before.
        let merged = AccountClaims::unsigned(merged).unwrap_or_else(|_| next.claims.clone());
        state = match next.origin {
            Origin::Unknown => with_mappings_of(&state, merged, streams),
            Origin::All | Origin::Claims(_) => merged,
        };
    }
    Ok(Some(state))
}

/// `claims`, with the mappings of virtual streams that `before` has and they lack.
fn with_mappings_of(before: &AccountClaims, claims: AccountClaims, streams: &[ObservedStream]) -> AccountClaims {
    let there: HashSet<String> = claims.mappings().into_iter().map(|mapping| mapping.source).collect();
    let gone = before.mappings().into_iter().filter(|mapping| !there.contains(&mapping.source));
    let gone: Vec<RawMapping> = gone.filter(|mapping| is_ours(mapping, streams)).collect();
    if gone.is_empty() {
        return claims;
    }
    let mut value = claims.value().clone();
    for mapping in gone {
        let entry = before.value()["nats"]["mappings"][&mapping.source].clone();
        value["nats"]["mappings"][&mapping.source] = entry;
    }
    AccountClaims::unsigned(value).unwrap_or(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
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

        fn seen(&self, mappings: &[&str], tags: &[&str], iat: u64, by_us: bool) -> Seen {
            let origin = if by_us { Origin::All } else { Origin::Unknown };
            let to = |subject: &&str| (subject.to_string(), json!([{ "subject": "x.y", "weight": 100 }]));
            let mappings: serde_json::Map<String, Value> = mappings.iter().map(to).collect();
            let claims = json!({ "sub": self.id, "name": "APP", "nats": {
                "type": "account", "version": 2, "limits": { "subs": -1 }, "mappings": mappings, "tags": tags } });
            let token = issue(&claims, &self.operator, iat).unwrap().as_str().to_owned();
            let claims = AccountClaims::decode(&token).unwrap();
            Seen { token, claims, origin }
        }
    }

    fn settled(seen: &[Seen]) -> (Vec<String>, Vec<String>) {
        let claims = settle(seen, &[]).unwrap().unwrap();
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
        assert_eq!(settled(&both), (strings(&["b"]), strings(&["t"])));
        assert_eq!(settled(&[first, ours]), (strings(&["a", "b"]), strings(&[])));
        assert_eq!(settle(&[], &[]).unwrap(), None);
    }

    #[test]
    fn an_edit_of_an_older_token_takes_nothing_back() {
        let account = Account::new();
        let first = account.seen(&["a"], &[], 1, false);
        let ours = account.seen(&["a", "b", "c"], &[], 2, true);
        let edit = account.seen(&["a"], &["t"], 3, false);
        let all = [first.clone(), ours.clone(), edit.clone()];
        assert_eq!(settled(&all), (strings(&["a", "b", "c"]), strings(&["t"])));
        // The old token itself, once more.
        assert_eq!(settled(&[first.clone(), ours.clone(), first.clone()]), (strings(&["a", "b", "c"]), strings(&[])));
        // Two edits of it, one after the other, and in between one of ours, which knows of the first.
        let ours = account.seen(&["a", "b", "c"], &["t"], 3, true);
        let more = account.seen(&["a"], &["t", "u"], 4, false);
        assert_eq!(settled(&[first, edit, ours, more]).1, strings(&["t", "u"]));
    }

    #[test]
    fn what_this_run_pushed_over_others_takes_nothing_back() {
        let account = Account::new();
        let first = account.seen(&["a"], &[], 1, false);
        let theirs = account.seen(&["a"], &["t"], 2, false);
        let mut ours = account.seen(&["a", "b"], &[], 3, true);
        assert_eq!(settled(&[first.clone(), theirs.clone(), ours.clone()]).1, strings(&[]));
        ours.origin = Origin::Claims(Box::new(first.claims.clone()));
        assert_eq!(settled(&[first, theirs, ours]), (strings(&["a", "b"]), strings(&["t"])));
    }

    #[test]
    fn mappings_of_virtual_streams_are_not_taken_away_by_others() {
        let account = Account::new();
        let config = json!({ "config": { "name": "x-write", "subjects": ["x.y"],
            "metadata": { "vstream.name": "x", "vstream.region": "y", "vstream.role": "write" } } });
        let streams = [ObservedStream::from_info(config).unwrap()];
        let seen = [account.seen(&["a"], &[], 1, false), account.seen(&[], &["t"], 2, false)];
        let claims = settle(&seen, &streams).unwrap().unwrap();
        assert_eq!((claims.mappings().len(), claims.tags()), (1, vec!["t"]));
        assert_eq!(settled(&seen), (strings(&[]), strings(&["t"])));
        let by_us = [seen[0].clone(), account.seen(&[], &[], 2, true)];
        assert_eq!(settle(&by_us, &streams).unwrap().unwrap().mappings().len(), 0);
    }

    #[test]
    fn what_two_changed_in_different_ways_is_a_conflict() {
        let account = Account::new();
        let named = |name: &str, by_us, iat| {
            let mut seen = account.seen(&["a"], &[], iat, by_us);
            let mut value = seen.claims.value().clone();
            value["nats"]["description"] = name.into();
            let token = issue(&value, &account.operator, iat).unwrap().as_str().to_owned();
            seen.claims = AccountClaims::decode(&token).unwrap();
            seen.token = token;
            seen
        };
        let seen = [named("first", false, 1), named("ours", true, 2), named("theirs", false, 3)];
        // As near to one as to the other: it is taken for an edit of the last.
        assert_eq!(settle(&seen, &[]).unwrap().unwrap().value()["nats"]["description"], "theirs");
        let mut far = seen;
        let mut value = far[1].claims.value().clone();
        for field in ["b", "c", "d"] {
            value["nats"]["mappings"][field] = json!([{ "subject": "x.y", "weight": 100 }]);
        }
        let token = issue(&value, &account.operator, 2).unwrap().as_str().to_owned();
        far[1] = Seen { claims: AccountClaims::decode(&token).unwrap(), token, origin: Origin::All };
        assert!(settle(&far, &[]).is_err());
    }
}
