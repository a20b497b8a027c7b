//! Servers with a `cache` resolver, which load an account on its first use.
//!
//! A token may have imports from accounts that such a server has not loaded. Then the server fetches each account once
//! per import, and answers no requests meanwhile. With 34 imports it was silent for 34 s, and the imports did not work
//! (measured, 2.15.1: the answer waits behind the token). Nor does a push update a copy that is not in use. So before
//! the run pushes tokens, it connects as a user of each account, which makes the servers load the account. Only then do
//! servers with a `memory` resolver show which preload they have.

use super::clock::REQUEST_TIMEOUT;
use super::error::ApplyError;
use super::planned::Planned;
use super::session::{ReadError, Session};
use super::tokens::SignedPush;
use super::{Connector, Progress};
use crate::desired::members;
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::model::topology::Region;
use crate::model::virtual_stream::Account;
use crate::observed::connection::{Connection, ConnectionError};
use crate::observed::survey::Observed;
use crate::observed::{AccountOnServer, Live, Stored};
use crate::plan::{AccountPlan, Plan};
use futures::future::join_all;
use std::collections::{BTreeSet, HashSet};

/// The finding about a `cache` resolver that must load an account, but that no user reaches.
const UNREACHED: &str = "cache-unreached";

/// The accounts that servers must load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accounts {
    /// Accounts that existed before the run.
    Old,
    /// Accounts that the run made.
    New,
}

/// An account that some caches have not loaded.
struct Unloaded<'p> {
    /// The account's index in the plan.
    index: usize,
    account: &'p AccountPlan,
    /// The names of these caches.
    caches: BTreeSet<&'p str>,
    /// `true` if the run pushes tokens with imports from the account. If not, a cache may still use an old copy of it.
    imported: bool,
}

/// Returns a finding for each account that caches must load for this plan, but whose users do not reach all these
/// caches. For new accounts, it tries the users of the application's account.
pub(crate) async fn look<C: Connector<Connection = L>, L: Connection>(
    session: &Session<'_, L>,
    plan: &Plan,
    observed: &Observed,
    connector: &C,
) -> Vec<Finding> {
    let members: Vec<_> = members(session.definition).collect();
    let members = &members;
    let looks = unloaded(plan, observed).map(|Unloaded { index, account, caches, imported }| async move {
        let (application, region) = members[index];
        let of_application =
            |(other, region): &(&Account, Option<&Region>)| other.id == application.id && region.is_none();
        let (user, region) = match account.new {
            true => (&plan.accounts[members.iter().position(of_application)?], None),
            false => (account, region.map(|region| &region.name)),
        };
        let (strict, timeout) = (session.is_strict(), session.deadline.at_most(REQUEST_TIMEOUT));
        let reached = connector.load(application, region, user.current.as_deref()?, strict, timeout).await;
        unreached(&account.name, &caches, &reached, imported)
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// Makes every `cache` server that users reach load these accounts. `tokens` has the claims of the accounts that the
/// run made.
///
/// # Errors
/// [`ReadError::Refused`] if a server does not load an account, and the run pushes tokens with imports from it.
pub(super) async fn load<C: Connector>(
    session: &Session<'_, C::Connection>,
    planned: &Planned<'_>,
    tokens: &[SignedPush],
    which: Accounts,
    connector: &C,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    let members: Vec<_> = members(session.definition).collect();
    let (strict, timeout) = (session.is_strict(), session.deadline.at_most(REQUEST_TIMEOUT));
    let all = unloaded(&planned.plan, &planned.observed).chain(unread(&planned.plan, &planned.observed));
    let due: Vec<Unloaded<'_>> = all.filter(|one| one.account.new == (which == Accounts::New)).collect();
    if due.is_empty() {
        return Ok(());
    }
    progress.step("having servers load the accounts", 0, 0);
    let (members, made) = (&members, |index: usize| tokens.iter().find(|one| one.index == index));
    let loads = due.iter().map(|Unloaded { index, account, caches, imported }| async move {
        let (application, region) = members[*index];
        let claims = match which {
            Accounts::Old => account.current.as_deref().cloned(),
            Accounts::New => AccountClaims::decode(made(*index)?.token.as_str()).ok(),
        };
        let reached = connector.load(application, region.map(|region| &region.name), &claims?, strict, timeout).await;
        unreached(&account.name, caches, &reached, *imported).filter(|_| *imported)
    });
    match join_all(loads).await.into_iter().flatten().next() {
        Some(finding) => Err(ReadError::Refused(Box::new(finding)).into()),
        None => Ok(()),
    }
}

/// Returns the accounts that some caches must load: the plan pushes imports from them, or pushes their token while a
/// cache has a copy.
fn unloaded<'p>(plan: &'p Plan, observed: &'p Observed) -> impl Iterator<Item = Unloaded<'p>> {
    let pushes = plan.accounts.iter().flat_map(|account| &account.pushes);
    let imports: HashSet<&str> =
        pushes.flat_map(|push| push.claims.imports().iter().map(|import| import.account.as_str())).collect();
    plan.accounts.iter().zip(&observed.accounts).enumerate().filter_map(move |(index, (account, found))| {
        let imported = imports.contains(account.id.to_string().as_str());
        let due = |on: &&AccountOnServer| match on.stored {
            Stored::NotKept { cached } if account.new || on.live == Live::NotLoaded => {
                imported || (cached && !account.pushes.is_empty())
            }
            _ => false,
        };
        let caches: BTreeSet<&str> = found.servers.iter().filter(due).map(|on| on.server.as_str()).collect();
        (!caches.is_empty()).then_some(Unloaded { index, account, caches, imported })
    })
}

/// Returns the accounts that some servers with a `memory` resolver have not loaded.
fn unread<'p>(plan: &'p Plan, observed: &'p Observed) -> impl Iterator<Item = Unloaded<'p>> {
    plan.accounts.iter().zip(&observed.accounts).enumerate().filter_map(|(index, (account, found))| {
        let due = |on: &&AccountOnServer| {
            matches!(on.stored, Stored::Outside { token: Some(_), by_reload: true }) && on.live == Live::NotLoaded
        };
        let caches: BTreeSet<&str> = found.servers.iter().filter(due).map(|on| on.server.as_str()).collect();
        (!caches.is_empty()).then_some(Unloaded { index, account, caches, imported: false })
    })
}

/// Returns a finding about those of `caches` that did not accept a user of the account.
fn unreached(
    account: &str,
    caches: &BTreeSet<&str>,
    reached: &Result<Vec<Result<String, ConnectionError>>, ConnectionError>,
    imported: bool,
) -> Option<Finding> {
    let tried = reached.as_deref().unwrap_or_default();
    let missed: Vec<&str> =
        caches.iter().copied().filter(|name| !tried.iter().flatten().any(|on| on == name)).collect();
    if missed.is_empty() {
        return None;
    }
    let (why, next) = match (reached, tried.iter().find_map(|one| one.as_ref().err())) {
        (Err(error), _) => (error.message.clone(), error.next.clone()),
        (_, Some(error)) => (
            format!("its users did not get there by the URLs of the definition ({})", error.message),
            "See that each URL answers, and that one of them leads to each of these servers.".to_owned(),
        ),
        (_, None) => (
            "no URL of the definition leads its users there".to_owned(),
            "Add the URLs of these servers to `servers:` of their region, or give them a `full` resolver.".to_owned(),
        ),
    };
    let place = format!("account {account}");
    let missed = match missed[..] {
        [one] => format!("{one} (a `cache` resolver)"),
        _ => format!("{} (`cache` resolvers)", missed.join(", ")),
    };
    Some(match imported {
        true => Finding::error(
            UNREACHED,
            place,
            format!(
                "{missed} must load it before tokens with imports from it are pushed, or nothing is answered there for a \
                 second per import; and {why}"
            ),
            next,
        ),
        false => Finding::warning(
            UNREACHED,
            place,
            format!(
                "{missed} may have an old copy of it, which no push reaches until it is used; and {why}. It goes when the \
                 resolver's `ttl` is over"
            ),
            next,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Severity;

    #[test]
    fn what_keeps_a_user_from_a_cache_is_said() {
        let caches = BTreeSet::from(["east-1", "east-2"]);
        let error =
            || ConnectionError { code: "unreachable", message: "nats://b: refused".into(), next: "Look.".into() };
        let took = |name: &str| Ok(name.to_owned());
        assert_eq!(unreached("APP", &caches, &Ok(vec![took("east-2"), took("west-1"), took("east-1")]), true), None);
        for (reached, said, next) in [
            (Ok(vec![took("east-1")]), "east-2 (a `cache` resolver) must", "Add the URLs"),
            (Ok(vec![took("west-1")]), "east-1, east-2 (`cache` resolvers) must", "Add the URLs"),
            (Ok(vec![took("east-1"), Err(error())]), "(nats://b: refused)", "See that each URL"),
            (Err(error()), "; and nats://b: refused", "Look."),
        ] {
            let finding = unreached("APP", &caches, &reached, true).unwrap();
            assert!(finding.message.contains(said) && finding.next.starts_with(next), "{finding:?}");
            assert_eq!(finding.severity, Severity::Error);
            let old = unreached("APP", &caches, &reached, false).unwrap();
            assert!(old.severity == Severity::Warning && old.message.contains("an old copy"), "{old:?}");
        }
    }
}
