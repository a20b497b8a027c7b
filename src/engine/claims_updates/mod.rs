//! Notices tokens that other tools and runs push during a run.
//!
//! A received token proves nothing by itself, because any user of the system account may publish there. If it is signed
//! by a key that both the trust anchor and a server trust, it is an edit to keep. Any other token is reported and not
//! used. A token counts as this run's own only if it equals a pushed one byte for byte.

use super::clock::now;
use crate::model::claims::{
    AccountClaims, ClaimsError, Conflict, TrustAnchor, TrustedClaims, Untrusted, spelled_as_signed,
};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::units::format_time;
use crate::observed::connection::{Connection, MessageReceiver, ReceivedMessage};
use crate::observed::jetstream::ObservedStream;
use crate::observed::{Deployment, RequestError};
use crate::plan::claims_diff;
use crate::plan::concurrent_updates::{ClaimsUpdate, Origin, is_from_before, is_pushed_again, merge_concurrent};
use crate::plan::preflight::{TOKEN_PUSHED_AGAIN, TOKEN_UNREADABLE, TOKEN_UNTRUSTED, does_some_server_trust};
use crate::resolver::push::{ALL_SUBJECTS, BY_NAME, OLD, SUBJECT, named_in};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Pushes received so far, by account.
#[derive(Debug)]
pub struct ClaimsUpdates<L> {
    // The subscriptions last as long as the connection.
    connection: L,
    log: Mutex<UpdateLog>,
}

#[derive(Debug)]
struct UpdateLog {
    messages: MessageReceiver,
    /// Keys and servers to trust. Messages that arrive before these are known wait in `messages`.
    trust_basis: Option<Arc<TrustBasis>>,
    /// Time at which the run subscribed, in seconds since 1970.
    started: u64,
    accounts: HashMap<PublicKey, AccountUpdates>,
    /// For each token that this run pushed: number of times that its push has not come back yet.
    ours: HashMap<String, usize>,
    /// Total size of all accounts' tokens from other tools and runs, in bytes.
    bytes: usize,
    /// Reports of tokens that were not used, by account.
    findings: HashMap<PublicKey, Vec<Finding>>,
}

/// The keys whose signatures count, and the servers that must trust them.
///
/// If no server trusts a key any more, the operator has revoked it, even if a local token of the operator still lists
/// it. No server applies a token by such a key.
#[derive(Debug)]
struct TrustBasis {
    anchor: TrustAnchor,
    deployment: Deployment,
}

/// The tokens of one account, and their state.
#[derive(Debug, Default)]
struct AccountUpdates {
    seen: Vec<ClaimsUpdate>,
    /// Number of tokens at the end of `seen` that had been seen before.
    repeated: usize,
    /// `true` if more tokens arrived than are kept, so that the account's claims can no longer be determined.
    overflowed: bool,
    /// `true` if a token arrived since the account was last merged.
    unmerged: bool,
    /// `true` if a token of the account was read.
    known: bool,
    /// Issue time of the token that the run began with.
    began_with: u64,
    /// The claims of the last merge, or those that this run made of them.
    expected: Option<TrustedClaims>,
    /// Changes of these claims by other tools and runs that were not shown yet, line by line.
    unreported: Vec<String>,
}

impl<L: Connection> ClaimsUpdates<L> {
    /// Subscribes to pushes.
    ///
    /// # Errors
    /// [`RequestError`]
    pub(super) async fn start(system: &L) -> Result<Self, RequestError> {
        let messages = system.listen(&ALL_SUBJECTS).await?;
        Ok(Self { connection: system.clone(), log: Mutex::new(UpdateLog::new(messages, now())) })
    }

    /// From now on, trusts the keys of `anchor` that one of these servers trusts, too.
    pub(super) fn set_trust_basis(&self, anchor: &TrustAnchor, deployment: &Deployment) {
        let trust_basis = TrustBasis { anchor: anchor.clone(), deployment: deployment.clone() };
        self.log.lock().unwrap_or_else(PoisonError::into_inner).trust_basis = Some(Arc::new(trust_basis));
    }

    /// Returns a finding if the system user may not subscribe to pushes.
    ///
    /// The server refuses the subscription before it answers a later request. The client handles the refusal in a
    /// separate task, which may run later. A caller that depends on it must ask again.
    pub(super) fn denied(&self) -> Option<Finding> {
        self.connection.denied_subscription(&[SUBJECT, BY_NAME]).map(|subject| {
            Finding::error(
                "system-permissions",
                "system account",
                format!(
                    "the system user may not subscribe to {subject}, so the run would not notice pushes of other tools"
                ),
                "Allow the system user to subscribe to it.",
            )
        })
    }

    /// Returns `true` if the system user may not subscribe to the older subject of pushes. The result is known as late
    /// as that of [`denied`](Self::denied).
    pub(super) fn misses_old_subject(&self) -> bool {
        self.connection.denied_subscription(&[OLD]).is_some()
    }

    fn pushes(&self) -> MutexGuard<'_, UpdateLog> {
        let mut pushes = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        pushes.take_in();
        pushes
    }

    /// Merges the pushes of an account, so that no change by a trusted key is lost.
    ///
    /// `stored` is the newest trusted token that servers have now, and `claims` is its content. Returns the merged
    /// claims, or `None` if they equal `claims`.
    ///
    /// # Errors
    /// Two pushes changed the same entry differently, or more tokens were pushed than are kept.
    pub(super) fn merge_concurrent(
        &self,
        stored: &str,
        claims: &TrustedClaims,
        streams: &[ObservedStream],
    ) -> Result<Option<TrustedClaims>, Vec<Unmerged>> {
        self.pushes().merge_concurrent(stored, claims, streams)
    }

    /// Notes claims that are about to be pushed, their token, and the claims from which they were made.
    pub(super) fn push(&self, claims: TrustedClaims, token: &str, origin: Option<&TrustedClaims>) {
        self.pushes().push(claims, token, origin);
    }

    /// Notes that a token is sent, whose push then comes back once.
    pub(super) fn sends(&self, token: &str) {
        self.pushes().sends(token);
    }

    /// Returns as soon as another tool or run has pushed a token of one of these accounts.
    pub(super) async fn wait_for_update(&self, accounts: &[&PublicKey]) {
        while self.updated_account(accounts.iter().copied()).is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns one of these accounts that another tool or run pushed since it was last merged.
    pub(super) fn updated_account<'a>(&self, accounts: impl IntoIterator<Item = &'a PublicKey>) -> Option<PublicKey> {
        let pushes = self.pushes();
        accounts.into_iter().find(|account| pushes.has_unmerged(account)).cloned()
    }

    /// Returns the changes of an account by other tools and runs since its first merge that were not shown yet, line by
    /// line.
    pub(super) fn take_unreported(&self, account: &PublicKey) -> Vec<String> {
        self.pushes().take_unreported(account)
    }

    /// Returns one finding for each received token of this account that is untrusted or old.
    pub(super) fn findings(&self, account: &PublicKey, name: &str) -> Vec<Finding> {
        self.pushes().findings(account, name)
    }
}

/// Most findings that are kept per account, and most accounts with findings. More findings would tell nothing new.
const KEPT: (usize, usize) = (8, 10_000);
/// Most tokens of one account that are merged: each is compared with all earlier ones.
const MOST_SEEN: usize = 128;
/// Most bytes of received tokens that are kept over all accounts: as many as may wait to be read.
const MOST_BYTES: usize = 64 << 20;

/// The finding about more pushes during a run than it keeps, of one account or of all.
pub const PUSHES_WITHOUT_END: &str = "pushes-without-end";

/// Reason why the pushes of an account cannot be merged.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unmerged {
    /// Two pushes changed the same entry differently.
    Conflict(Conflict),
    /// More tokens were pushed than are kept.
    TooMuch,
}

impl fmt::Display for Unmerged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(conflict) => conflict.fmt(f),
            Self::TooMuch => write!(
                f,
                "what was pushed after the first {MOST_SEEN} tokens of it, or {} MiB of all accounts, which is not kept",
                MOST_BYTES >> 20
            ),
        }
    }
}

impl UpdateLog {
    fn new(messages: MessageReceiver, started: u64) -> Self {
        let (accounts, ours, findings) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { messages, trust_basis: None, started, accounts, ours, bytes: 0, findings }
    }

    fn take_in(&mut self) {
        let Some(trust_basis) = self.trust_basis.clone() else { return };
        while let Some(message) = self.messages.read() {
            self.take_in_one(&message, &trust_basis);
        }
    }

    fn take_in_one(&mut self, ReceivedMessage { subject, payload }: &ReceivedMessage, trust_basis: &TrustBasis) {
        let TrustBasis { anchor, deployment } = trust_basis;
        let text = String::from_utf8_lossy(payload);
        if let Some(left) = self.ours.get_mut(&*text).filter(|left| **left > 0) {
            *left -= 1;
            return;
        }
        let token = spelled_as_signed(text.trim());
        let claims = match TrustedClaims::verify(&token, anchor) {
            Ok(claims) if does_some_server_trust(deployment, claims.issuer()) => claims,
            Ok(claims) => return self.note(claims.id(), untrusted_token(&claims, subject, "no server trusts")),
            Err(Untrusted::Stranger(claims)) => {
                return self.note(claims.id(), untrusted_token(&claims, subject, &anchor.why_not()));
            }
            Err(Untrusted::Unreadable(error)) => {
                if let Some(account) = named_in(subject, &token) {
                    self.note(&account, unreadable(&account, subject, &error));
                }
                return;
            }
        };
        let pushed = self.accounts.entry(claims.id().clone()).or_default();
        // A repetition of the newest token changes nothing.
        if pushed.seen.last().is_some_and(|last| last.token == token) {
            return;
        }
        pushed.unmerged = true;
        self.see(&token, claims, Origin::Unknown);
    }

    /// Adds a token to the seen ones. Reports an old token that was pushed again.
    fn see(&mut self, token: &str, claims: TrustedClaims, origin: Origin) {
        let pushed = self.accounts.entry(claims.id().clone()).or_default();
        let again = pushed.known && is_pushed_again(claims.issued_at(), pushed.began_with, self.started);
        let origin = if again { Origin::PushedAgain } else { origin };
        let finding = again.then(|| pushed_again(&claims, pushed.began_with));
        let account = claims.id().clone();
        let dropped = pushed.drop_repeated(token);
        self.bytes -= dropped.as_ref().map_or(0, |seen| seen.token.len());
        let repeats = dropped.is_some() || pushed.seen.iter().any(|seen| seen.token == token);
        if pushed.seen.len() < MOST_SEEN && self.bytes.saturating_add(token.len()) <= MOST_BYTES {
            self.bytes += token.len();
            pushed.repeated = if repeats { pushed.repeated + 1 } else { 0 };
            pushed.seen.push(ClaimsUpdate { token: token.to_owned(), claims, origin });
        } else {
            pushed.overflowed = true;
        }
        if let Some(finding) = finding {
            self.note(&account, finding);
        }
    }

    fn merge_concurrent(
        &mut self,
        stored: &str,
        claims: &TrustedClaims,
        streams: &[ObservedStream],
    ) -> Result<Option<TrustedClaims>, Vec<Unmerged>> {
        let account = claims.id();
        let pushed = self.accounts.entry(account.clone()).or_default();
        pushed.unmerged = false;
        let was_seen = pushed.seen.iter().any(|seen| seen.token == stored);
        if pushed.known && !was_seen {
            // The run missed a push, and accepts the token as it is.
            self.see(stored, claims.clone(), Origin::All);
        } else if !pushed.known {
            (pushed.known, pushed.began_with) = (true, claims.issued_at());
            pushed.expected = Some(claims.clone());
            // The token that is read first existed before all received ones, some of which may be old.
            let heard = std::mem::take(&mut pushed.seen);
            pushed.repeated = 0;
            self.bytes -= heard.iter().map(|seen| seen.token.len()).sum::<usize>();
            if !was_seen {
                self.bytes += stored.len();
                pushed.seen.push(ClaimsUpdate {
                    token: stored.to_owned(),
                    claims: claims.clone(),
                    origin: Origin::All,
                });
            }
            for ClaimsUpdate { token, claims, origin } in heard {
                self.see(&token, claims, origin);
            }
            if was_seen && is_from_before(claims.issued_at(), self.started) {
                self.note(account, pushed_as_it_began(claims));
            }
        }
        let pushed = self.accounts.entry(account.clone()).or_default();
        if pushed.overflowed {
            return Err(vec![Unmerged::TooMuch]);
        }
        let conflicts = |conflicts: Vec<Conflict>| conflicts.into_iter().map(Unmerged::Conflict).collect::<Vec<_>>();
        let settled = merge_concurrent(&pushed.seen, streams).map_err(conflicts)?.unwrap_or_else(|| claims.clone());
        if let Some(expected) = &pushed.expected {
            pushed.unreported.extend(claims_diff(Some(expected.value()), settled.value()));
        }
        pushed.expected = Some(settled.clone());
        let changed = !claims_diff(Some(claims.value()), settled.value()).is_empty();
        Ok(changed.then_some(settled))
    }

    fn push(&mut self, claims: TrustedClaims, token: &str, origin: Option<&TrustedClaims>) {
        let pushed = self.accounts.entry(claims.id().clone()).or_default();
        let origin = origin.map_or(Origin::All, |claims| Origin::Claims(Box::new(claims.clone())));
        pushed.expected = Some(claims.clone());
        self.bytes += token.len();
        pushed.repeated = 0;
        pushed.seen.push(ClaimsUpdate { token: token.to_owned(), claims, origin });
    }

    fn sends(&mut self, token: &str) {
        *self.ours.entry(token.to_owned()).or_default() += 1;
    }

    fn has_unmerged(&self, account: &PublicKey) -> bool {
        self.accounts.get(account).is_some_and(|pushed| pushed.unmerged)
    }

    fn take_unreported(&mut self, account: &PublicKey) -> Vec<String> {
        self.accounts.get_mut(account).map(|pushed| std::mem::take(&mut pushed.unreported)).unwrap_or_default()
    }

    fn note(&mut self, account: &PublicKey, finding: Finding) {
        if self.findings.len() >= KEPT.1 && !self.findings.contains_key(account) {
            return;
        }
        let findings = self.findings.entry(account.clone()).or_default();
        if findings.len() < KEPT.0 && !findings.contains(&finding) {
            findings.push(finding);
        }
    }

    fn findings(&self, account: &PublicKey, name: &str) -> Vec<Finding> {
        let findings = self.findings.get(account).into_iter().flatten().cloned();
        let overflowed = self.accounts.get(account).is_some_and(|pushed| pushed.overflowed);
        let findings = findings.chain(overflowed.then(too_much));
        findings.map(|finding| Finding { place: format!("account {name}"), ..finding }).collect()
    }
}

impl AccountUpdates {
    /// Drops an earlier repetition of the token if nothing new was seen since. A repeated token edits nothing, and only
    /// shows from which token a later one may have been made. Among repetitions in a row, the last one of each token
    /// suffices for that.
    fn drop_repeated(&mut self, token: &str) -> Option<ClaimsUpdate> {
        let first = self.seen.len() - self.repeated;
        let at = first + self.seen[first..].iter().position(|seen| seen.token == token)?;
        self.repeated -= 1;
        Some(self.seen.remove(at))
    }
}

fn too_much() -> Finding {
    Finding::error(
        PUSHES_WITHOUT_END,
        String::new(),
        format!(
            "during this run, more tokens of it were pushed than it can merge: {MOST_SEEN} of one account, or {} MiB \
             of all accounts. So as to lose no change, nothing is signed on top of them",
            MOST_BYTES >> 20
        ),
        "Find out which user of the system account pushes, and have it stop; then run again.",
    )
}

/// Returns the finding that the system user may not subscribe to the older subject of pushes. Earlier users were made
/// without that permission, so the finding stops no run.
pub(super) fn deaf_to_old_subject() -> Finding {
    Finding::warning(
        "system-permissions",
        "system account",
        format!(
            "the system user may not subscribe to {OLD}, on which servers take pushes too: a run would overwrite \
             pushes there unnoticed"
        ),
        "Allow the system user to subscribe to it.",
    )
}

/// Returns the finding about an untrusted token. `why` continues "signed by …, which".
fn untrusted_token(claims: &AccountClaims, subject: &str, why: &str) -> Finding {
    let (account, issuer) = (claims.id(), claims.issuer());
    Finding::warning(
        TOKEN_UNTRUSTED,
        String::new(),
        format!(
            "during this run, a token of it ({account}) was pushed on {subject}, signed by {issuer}, which {why}: \
             nothing of it was used"
        ),
        "Find out which user of the system account pushed it, and remove its permission to publish there.",
    )
}

fn unreadable(account: &PublicKey, subject: &str, error: &ClaimsError) -> Finding {
    Finding::warning(
        TOKEN_UNREADABLE,
        String::new(),
        format!(
            "during this run, a token of it ({account}) was pushed on {subject} that cannot be read: {error}. Nothing \
             of it was used"
        ),
        "Find out which user of the system account pushed it. If servers store it, `apply` replaces it.",
    )
}

/// Returns the finding about a token that was pushed as the run began. Servers may have had a newer one before.
fn pushed_as_it_began(claims: &TrustedClaims) -> Finding {
    Finding::warning(
        TOKEN_PUSHED_AGAIN,
        String::new(),
        format!(
            "as this run began, a token of it that was issued {} was pushed, and servers have it now. If they had a newer \
             one, what that changed or revoked is undone",
            format_time(claims.issued_at())
        ),
        "Find out who pushed it. If it was not meant to replace a newer one, later changes and revocations must be \
         made again.",
    )
}

fn pushed_again(claims: &TrustedClaims, began_with: u64) -> Finding {
    Finding::warning(
        TOKEN_PUSHED_AGAIN,
        String::new(),
        format!(
            "during this run, an old token of it, issued {}, was pushed again, over the one issued {}: what has \
             changed since was kept",
            format_time(claims.issued_at()),
            format_time(began_with)
        ),
        "Find out which user of the system account pushed it. If it was an edit that waited to be pushed, make it again \
         from the present token.",
    )
}

#[cfg(test)]
mod tests;
