//! Waits until every server has the pushed tokens in force, and reports what each server has.

use crate::model::claims::{AccountClaims, ClaimsError, TrustAnchor};
use crate::model::nkey::PublicKey;
use crate::observed::{Deployment, Requests};
use crate::resolver::push::{Answer, PushOutcome};
use crate::resolver::{Resolver, Unread};
use crate::verify::account::{Age, Expected, TokenState, judge};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// The state of one account on one server, confirmed or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirmation {
    /// The account.
    pub account: PublicKey,
    /// The server's name.
    pub server: String,
    /// The server's cluster.
    pub cluster: String,
    /// State of the account on the server.
    #[serde(flatten)]
    pub verdict: TokenState,
}

impl Confirmation {
    /// Merges this with an earlier result for the same account and server. A confirmed state is kept if the server
    /// later does not answer.
    pub(super) fn after(self, earlier: Option<&Self>) -> Self {
        match earlier {
            Some(earlier) if earlier.verdict.is_confirmed() && self.verdict.is_unknown() => earlier.clone(),
            _ => self,
        }
    }
}

/// Reason why the state is unknown.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The servers could not be queried.
    #[error("reading the accounts back: {0}")]
    Request(#[from] Unread),
    /// A token that cannot be read.
    #[error("the token of account {account}: {cause}")]
    Claims {
        /// The account.
        account: PublicKey,
        /// The reason.
        cause: ClaimsError,
    },
}

/// Longest wait for a server that refused a token, and for a token that no server acknowledged.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time for one check: with less, servers that are about to answer would seem silent.
const MINIMUM_LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks repeatedly until every server confirms every token, until waiting cannot help any more, or until the timeout.
/// Returns the state on each server, in the order of `tokens` and of the deployment. A token counts as newer only if a
/// key of `anchor` signed it.
///
/// # Errors
/// [`ConfirmError`]
pub async fn confirm(
    resolver: &Resolver,
    requests: &impl Requests,
    deployment: &Deployment,
    anchor: &TrustAnchor,
    tokens: &[(PublicKey, impl AsRef<str>)],
    timeout: Duration,
) -> Result<Vec<Confirmation>, ConfirmError> {
    confirm_push(resolver, requests, deployment, anchor, tokens, &[], timeout).await
}

/// Waits as [`confirm`] does, directly after a push with these outcomes.
///
/// It waits only briefly for a server that refused a token, and for a token that no server acknowledged or that a
/// server missed.
///
/// # Errors
/// [`ConfirmError`]
pub async fn confirm_push(
    resolver: &Resolver,
    requests: &impl Requests,
    deployment: &Deployment,
    anchor: &TrustAnchor,
    tokens: &[(PublicKey, impl AsRef<str>)],
    outcomes: &[PushOutcome],
    timeout: Duration,
) -> Result<Vec<Confirmation>, ConfirmError> {
    let start = Instant::now();
    let deadline = start + timeout;
    let lost = |account: &PublicKey| {
        let mut answers = outcomes.iter().filter(|one| one.account == *account && one.answer != Answer::Stranger);
        !outcomes.is_empty() && answers.all(|one| one.answer == Answer::NoAnswer)
    };
    let refused = |confirmation: &Confirmation| {
        let mut answers = outcomes.iter().filter(|one| one.account == confirmation.account);
        answers.any(|one| one.server == confirmation.server && matches!(one.answer, Answer::Refused { .. }))
    };
    // A server reloads the preload at once if another tool watches the file, or otherwise long after this run.
    let waits = |one: &Confirmation| matches!(one.verdict, TokenState::NotReloaded { .. });
    let hopeless =
        |one: &Confirmation| start.elapsed() >= REFUSED_TIMEOUT && (lost(&one.account) || refused(one) || waits(one));
    // The token must be pushed again, so waiting for servers that do not answer does not help.
    let missed =
        |found: &[Confirmation]| start.elapsed() >= REFUSED_TIMEOUT && found.iter().any(|one| missed(one, outcomes));
    let expected = tokens
        .iter()
        .map(|(account, token)| match AccountClaims::decode(token.as_ref()) {
            Ok(claims) => Ok(Expected::new(token.as_ref(), &claims, anchor.clone())),
            Err(cause) => Err(ConfirmError::Claims { account: account.clone(), cause }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut found: Vec<Vec<Confirmation>> = vec![Vec::new(); tokens.len()];
    let mut open: Vec<usize> = (0..tokens.len()).collect();
    let mut pause = Duration::from_millis(20);
    while !open.is_empty() {
        let ids: Vec<PublicKey> = open.iter().map(|index| tokens[*index].0.clone()).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        let last = || Instant::now() + pause + MINIMUM_LOOK_TIMEOUT >= deadline;
        match resolver.accounts(requests, deployment, &ids, left).await {
            Ok(accounts) => {
                for (index, on_servers) in open.iter().zip(accounts) {
                    let earlier = std::mem::take(&mut found[*index]);
                    let judged = deployment.servers.iter().zip(on_servers).enumerate();
                    let judged = judged.map(|(place, (server, on_server))| {
                        let verdict = judge(server, &on_server, &expected[*index]);
                        let (server, cluster) = (on_server.server, on_server.cluster);
                        let now = Confirmation { account: tokens[*index].0.clone(), server, cluster, verdict };
                        now.after(earlier.get(place))
                    });
                    found[*index] = judged.collect();
                }
            }
            Err(error) if last() => return Err(error.into()),
            // A server that stops breaks the connection, which then switches to another server.
            Err(_) => {}
        }
        open.retain(|index| {
            let found = &found[*index];
            let may_change = |one: &Confirmation| may_still_change(&one.verdict) && !hopeless(one);
            found.is_empty() || (found.iter().any(may_change) && !missed(found))
        });
        if open.is_empty() || last() {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
    Ok(found.into_iter().flatten().collect())
}

/// Returns `true` if a push did not reach a server that answers: it did not acknowledge the push, and has an older
/// token.
pub(super) fn missed(one: &Confirmation, outcomes: &[PushOutcome]) -> bool {
    let mut answers = outcomes.iter().filter(|outcome| outcome.account == one.account && outcome.server == one.server);
    answers.any(|outcome| outcome.answer == Answer::NoAnswer)
        && matches!(
            one.verdict,
            TokenState::OtherToken { age: Age::Older | Age::Unproven, .. } | TokenState::NothingStored
        )
}

/// Returns `true` if waiting may change the verdict.
pub(crate) fn may_still_change(verdict: &TokenState) -> bool {
    match verdict {
        TokenState::Confirmed
        | TokenState::StoredNotLoaded
        | TokenState::FetchedOnUse
        // Until a user of the account connects there.
        | TokenState::CachedUnclear
        | TokenState::PreloadUnread
        | TokenState::ImportsIncomplete { .. } => false,
        TokenState::Untrusted { .. } | TokenState::Expired | TokenState::OtherToken { age: Age::Newer, .. } => false,
        TokenState::MappingsDiffer { .. }
        | TokenState::ImportsInvalid { .. }
        | TokenState::NotInForce { .. }
        | TokenState::NotReloaded { .. }
        | TokenState::OtherToken { age: Age::Older | Age::Unproven, .. }
        | TokenState::NothingStored
        | TokenState::StoredUnclear
        | TokenState::NoAnswer
        | TokenState::Failed { .. } => true,
    }
}

#[cfg(test)]
mod tests;
