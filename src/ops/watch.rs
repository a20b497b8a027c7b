//! Hearing what others push while a run goes on.

use crate::model::claims::{AccountClaims, Conflict};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::RequestError;
use crate::observed::jetstream::ObservedStream;
use crate::observed::link::{Heard, Link};
use crate::plan::claims_diff;
use crate::plan::overheard::{Origin, Seen, settle};
use crate::push::ALL_SUBJECTS;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// What was heard so far, by account.
#[derive(Debug)]
pub struct Watch<L> {
    // The subscriptions live as long as the connection.
    link: L,
    heard: Mutex<Pushes>,
}

#[derive(Debug)]
struct Pushes {
    messages: UnboundedReceiver<Heard>,
    seen: HashMap<PublicKey, Vec<Seen>>,
    unsettled: HashSet<PublicKey>,
    /// Accounts of which a token was read.
    known: HashSet<PublicKey>,
}

impl<L: Link> Watch<L> {
    /// Begins to hear.
    ///
    /// # Errors
    /// [`RequestError`]
    pub(super) async fn start(system: &L) -> Result<Self, RequestError> {
        let messages = system.listen(&ALL_SUBJECTS).await?;
        let heard = Pushes { messages, seen: HashMap::new(), unsettled: HashSet::new(), known: HashSet::new() };
        Ok(Self { link: system.clone(), heard: Mutex::new(heard) })
    }

    /// The finding that the system user may not hear. The server says so before it answers a later request, but in a
    /// task of its own, which may not have run yet: whoever depends on it asks again.
    pub(super) fn denied(&self) -> Option<Finding> {
        self.link.may_not_hear(&ALL_SUBJECTS).map(|subject| {
            Finding::error(
                "system-permissions",
                "system account",
                format!(
                    "the system user may not subscribe to {subject}, so that pushes of others would not be noticed"
                ),
                "Allow the system user to subscribe to it.",
            )
        })
    }

    fn pushes(&self) -> MutexGuard<'_, Pushes> {
        let mut pushes = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        pushes.take_in();
        pushes
    }

    /// What an account's claims should be, so that nobody's change is lost, where that is not what `stored`, the token that
    /// servers have now, says.
    ///
    /// # Errors
    /// What two changed in different ways.
    pub(super) fn settle(
        &self,
        stored: &str,
        claims: &AccountClaims,
        streams: &[ObservedStream],
    ) -> Result<Option<AccountClaims>, Vec<Conflict>> {
        let account = claims.id();
        let mut pushes = self.pushes();
        pushes.unsettled.remove(account);
        let Pushes { seen, known, .. } = &mut *pushes;
        let seen = seen.entry(account.clone()).or_default();
        if !seen.iter().any(|seen| seen.token == stored) {
            let read = Seen { token: stored.to_owned(), claims: claims.clone(), origin: Origin::All };
            // The first that is read was there before all that was heard; later, a push was missed, and is taken as it is.
            if known.insert(account.clone()) { seen.insert(0, read) } else { seen.push(read) }
        }
        let settled = settle(seen, streams)?;
        Ok(settled.filter(|settled| !claims_diff(Some(claims.value()), settled.value()).is_empty()))
    }

    /// Notes what is about to be pushed, and what it was made from.
    pub(super) fn push(&self, claims: AccountClaims, token: &str, origin: Option<&AccountClaims>) {
        let mut pushes = self.pushes();
        let seen = pushes.seen.entry(claims.id().clone()).or_default();
        let origin = origin.map_or(Origin::All, |claims| Origin::Claims(Box::new(claims.clone())));
        seen.push(Seen { token: token.to_owned(), claims, origin });
    }

    /// Ends when others pushed something for one of these accounts.
    pub(super) async fn hears_news(&self, accounts: &[&PublicKey]) {
        while self.news(accounts.iter().copied()).is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One of these accounts for which others pushed something since it was settled.
    pub(super) fn news<'a>(&self, accounts: impl IntoIterator<Item = &'a PublicKey>) -> Option<PublicKey> {
        let pushes = self.pushes();
        accounts.into_iter().find(|account| pushes.unsettled.contains(*account)).cloned()
    }
}

impl Pushes {
    fn take_in(&mut self) {
        while let Ok(Heard { subject: _, payload, by_us }) = self.messages.try_recv() {
            let Ok(token) = String::from_utf8(payload) else { continue };
            let Ok(claims) = AccountClaims::decode(token.trim()) else { continue };
            let (account, token) = (claims.id().clone(), token.trim().to_owned());
            let seen = self.seen.entry(account.clone()).or_default();
            // Our own push comes back too.
            if seen.last().is_some_and(|last| last.token == token) || (by_us && seen.iter().any(|s| s.token == token)) {
                continue;
            }
            seen.push(Seen { token, claims, origin: if by_us { Origin::All } else { Origin::Unknown } });
            self.unsettled.insert(account);
        }
    }
}
