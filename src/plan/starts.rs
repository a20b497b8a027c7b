//! Chooses the claims from which each account's edits start.

use super::exports_imports;
use super::preflight::{AccountRef, Base, observed_base, tokens};
use crate::desired::DesiredAccount;
use crate::desired::regional::AccountRole;
use crate::model::claims::TrustedClaims;
use crate::model::finding::Finding;
use crate::observed::survey::{ConcurrentUpdates, Observed};
use crate::observed::{AccountOnServer, Stored};

/// The claims from which an account's edits start.
#[derive(Debug, Clone)]
pub(super) struct Start {
    /// The stored token; `None` for a new account.
    pub token: Option<String>,
    pub claims: TrustedClaims,
    pub newest_iat: u64,
    /// `true` if `claims` has more than the token. Then they are pushed even if there is nothing to edit.
    pub merged: bool,
}

impl Start {
    /// Starts from the stored token, with merged claims that keep the other tools' edits that it lost.
    pub fn merged(base: Base, claims: &TrustedClaims) -> Self {
        Self { claims: claims.clone(), merged: true, ..Self::from(base) }
    }

    /// Starts from the initial claims of an account that no server has.
    pub fn initial(claims: TrustedClaims) -> Self {
        Self { token: None, claims, newest_iat: 0, merged: false }
    }

    /// Returns the claims, unless the account is yet to be made.
    pub fn existing(&self) -> Option<&TrustedClaims> {
        self.token.as_ref().map(|_| &self.claims)
    }
}

impl From<Base> for Start {
    fn from(Base { token, claims, newest_iat }: Base) -> Self {
        Self { token: Some(token), claims, newest_iat, merged: false }
    }
}

/// Returns the claims from which each account's edits start.
pub(super) fn starts(
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    now: u64,
    findings: &mut Vec<Finding>,
) -> Vec<Option<Start>> {
    let mut starts: Vec<Option<Start>> = Vec::with_capacity(desired.len());
    for (index, (wanted, found)) in desired.iter().zip(&observed.accounts).enumerate() {
        let application = starts.get(index_of_application(desired, index)).and_then(Option::as_ref);
        let start = match (wanted.account_role, application.map(|start| &start.claims)) {
            (AccountRole::Regional(_), Some(application)) if is_nowhere(&found.servers) => {
                let nats = exports_imports::initial_claims(wanted, application);
                TrustedClaims::init(&wanted.id, &wanted.name, nats).ok().map(Start::initial)
            }
            _ => {
                let account = AccountRef { name: &wanted.name, id: &wanted.id };
                let (base, mut odd) = observed_base(account, observed, &found.servers, now);
                findings.append(&mut odd);
                match &found.concurrent_updates {
                    ConcurrentUpdates::Nothing => base.map(Start::from),
                    ConcurrentUpdates::Merged(claims) => base.map(|base| Start::merged(base, claims)),
                    ConcurrentUpdates::Conflict(conflicts) => {
                        findings.push(overtaken(&wanted.name, conflicts));
                        base.map(Start::from)
                    }
                }
            }
        };
        starts.push(start);
    }
    starts
}

/// Returns the finding about another tool's push of an older token, if both it and this run changed the same claims.
fn overtaken(account: &str, conflicts: &[String]) -> Finding {
    Finding::error(
        "pushes-conflict",
        format!("account {account}"),
        format!(
            "during this run, another tool pushed a token of it that was made from an older one than this run pushed, \
             and both changed: {}",
            conflicts.join("; ")
        ),
        "Find out who pushed, agree on what it should be, and run again.",
    )
}

/// Returns the index of the application's account that the account at `index` belongs to.
pub(super) fn index_of_application(desired: &[DesiredAccount<'_>], index: usize) -> usize {
    desired[..=index].iter().rposition(|account| account.account_role == AccountRole::Application).unwrap_or(index)
}

/// Returns `true` if no server that stores tokens and answered has one of the account. An unused copy that only a cache
/// has is from a removed account. A cache without a copy proves nothing.
pub fn is_nowhere(servers: &[AccountOnServer]) -> bool {
    let none = |on: &AccountOnServer| matches!(on.stored, Stored::Nothing | Stored::Outside { token: None, .. });
    let nothing = |on: &AccountOnServer| (none(on) || on.is_cache()) && tokens(on).is_empty();
    servers.iter().any(none) && servers.iter().all(|on| nothing(on) || on.stored == Stored::NoAnswer)
}
