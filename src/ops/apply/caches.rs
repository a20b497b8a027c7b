//! Servers with a `cache` resolver, which load an account when somebody uses it.
//!
//! A token with imports from accounts that such a server has not loaded makes it fetch each of them, once per import, while
//! nothing else reaches it: 34 imports took 34 s, in which it answered nothing, and did not hold (measured, 2.15.1: the
//! answer waits behind the token). And a push does not reach a copy that is not in use. So accounts are loaded there before
//! tokens are pushed, by connecting as a user.

use super::ApplyError;
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::model::virtual_stream::Layout;
use crate::observed::{Live, Stored};
use crate::ops::issue::Issued;
use crate::ops::plan::Planned;
use crate::ops::session::{ASK, ReadError, Session};
use crate::ops::{Connector, Tell, regional};
use std::collections::BTreeSet;

/// The accounts to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accounts {
    /// Those that are there before the run.
    Old,
    /// Those that it has made.
    New,
}

/// Has every `cache` server load these accounts of the plan.
///
/// # Errors
/// [`ReadError::Refused`] when the layout needs that, and no URL of the definition leads to one of them.
pub(super) async fn load<C: Connector>(
    session: &Session<'_, C::Link>,
    planned: &Planned<'_>,
    tokens: &[Issued],
    which: Accounts,
    connector: &C,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    let caches = caches(planned);
    if caches.is_empty() || tokens.is_empty() {
        return Ok(());
    }
    let strict = session.is_strict();
    let members: Vec<_> = regional::members(session.definition).collect();
    let accounts = planned.plan.accounts.iter().zip(&planned.observed.accounts).enumerate();
    for (place, (account, found)) in accounts.filter(|(_, (account, _))| account.new == (which == Accounts::New)) {
        let Some((application, region)) = members.get(place).copied() else { continue };
        let is_loaded = found.servers.iter().all(|on| on.live != Live::NotLoaded);
        // By the application's account it is seen early whether these servers can be reached.
        if which == Accounts::Old && region.is_some() && is_loaded {
            continue;
        }
        let pushed = || tokens.iter().find(|one| one.place == place);
        let claims = match which {
            Accounts::Old => account.current.as_deref().cloned(),
            Accounts::New => pushed().and_then(|one| AccountClaims::decode(one.token.as_str()).ok()),
        };
        let Some(claims) = claims else { continue };
        tell.step("having servers load the accounts", 0, 0);
        let timeout = session.deadline.at_most(ASK);
        let region = region.map(|region| &region.name);
        let reached = connector.load(application, region, &claims, strict, timeout).await.map_err(ReadError::from)?;
        let missed: Vec<&str> = caches.iter().copied().filter(|name| !reached.contains(*name)).collect();
        if application.layout == Layout::Regional && !missed.is_empty() {
            return Err(ReadError::Refused(Box::new(unreached(&account.name, &missed))).into());
        }
    }
    Ok(())
}

/// The names of the servers whose resolver is a `cache`.
fn caches<'p>(planned: &'p Planned<'_>) -> BTreeSet<&'p str> {
    let servers = planned.observed.accounts.iter().flat_map(|found| &found.servers);
    let caches = servers.filter(|on| matches!(on.stored, Stored::NotKept { .. }));
    caches.map(|on| on.server.as_str()).collect()
}

fn unreached(account: &str, servers: &[&str]) -> Finding {
    Finding::error(
        "cache-unreached",
        format!("account {account}"),
        format!(
            "no URL of the definition leads its user to {}, whose resolver is a `cache`: it has to load the account before \
             tokens with imports from it are pushed, or it answers nothing for a second per import",
            servers.join(", ")
        ),
        "Add the URLs of these servers to `servers:` of their region, or give them a `full` resolver.",
    )
}
