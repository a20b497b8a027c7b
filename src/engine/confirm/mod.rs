//! Waiting until every server has in force what was pushed, and saying what each has.

use crate::model::claims::{AccountClaims, ClaimsError, TrustAnchor};
use crate::model::nkey::PublicKey;
use crate::observed::{Deployment, Requests};
use crate::push::{Answer, PushOutcome};
use crate::resolver::{Resolver, Unread};
use crate::verify::account::{Age, Expected, Verdict, judge};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// What one server has of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirmation {
    /// The account.
    pub account: PublicKey,
    /// Server name.
    pub server: String,
    /// Its cluster.
    pub cluster: String,
    /// What is the case there.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Confirmation {
    /// What is known after an earlier look at the same: who has said that it is so needs not say it again.
    pub(super) fn after(self, earlier: Option<&Self>) -> Self {
        match earlier {
            Some(earlier) if earlier.verdict.is_confirmed() && self.verdict.is_unknown() => earlier.clone(),
            _ => self,
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The servers could not be asked.
    #[error("reading the accounts back: {0}")]
    Request(#[from] Unread),
    /// A token that cannot be read.
    #[error("the token of account {account}: {cause}")]
    Claims {
        /// The account.
        account: PublicKey,
        /// Why.
        cause: ClaimsError,
    },
}

/// How long a server is waited for that said no, or whether a token arrives that nobody said anything to.
const BRIEFLY: Duration = Duration::from_secs(2);

/// The least time that a look takes part in: with less left, servers that are about to answer would seem to be silent.
const LOOK: Duration = Duration::from_secs(2);

/// Asks again and again until every server confirms every token, until waiting cannot help any more, or until the
/// timeout; then says how it is on each server, in the order of `tokens` and of the deployment. Newer tokens are those by
/// keys of `anchor`.
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

/// The same directly after a push with these outcomes: who refused a token is hardly waited for, nor is anybody for a
/// token that nobody answered, or that a server missed.
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
    // A server reloads the preload at once, when something watches the file, or long after this run.
    let waits = |one: &Confirmation| matches!(one.verdict, Verdict::NotReloaded { .. });
    let hopeless =
        |one: &Confirmation| start.elapsed() >= BRIEFLY && (lost(&one.account) || refused(one) || waits(one));
    // It has to be pushed again: whoever does not answer will not make that better.
    let missed = |found: &[Confirmation]| start.elapsed() >= BRIEFLY && found.iter().any(|one| missed(one, outcomes));
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
        let last = || Instant::now() + pause + LOOK >= deadline;
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
            // A server that goes away takes the connection with it, which then finds another.
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

/// Whether a push did not get to a server that can be asked: it said nothing to it, and has an older token.
pub(super) fn missed(one: &Confirmation, outcomes: &[PushOutcome]) -> bool {
    let mut answers = outcomes.iter().filter(|outcome| outcome.account == one.account && outcome.server == one.server);
    answers.any(|outcome| outcome.answer == Answer::NoAnswer)
        && matches!(one.verdict, Verdict::OtherToken { age: Age::Older | Age::Unproven, .. } | Verdict::NothingStored)
}

/// Whether waiting may change it.
pub(crate) fn may_still_change(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Confirmed
        | Verdict::StoredNotLoaded
        | Verdict::FetchedOnUse
        // Until somebody uses the account there.
        | Verdict::CachedUnclear
        | Verdict::PreloadUnread
        | Verdict::ImportsIncomplete { .. } => false,
        Verdict::Untrusted { .. } | Verdict::Expired | Verdict::OtherToken { age: Age::Newer, .. } => false,
        Verdict::MappingsDiffer { .. }
        | Verdict::ImportsInvalid { .. }
        | Verdict::NotInForce { .. }
        | Verdict::NotReloaded { .. }
        | Verdict::OtherToken { age: Age::Older | Age::Unproven, .. }
        | Verdict::NothingStored
        | Verdict::StoredUnclear
        | Verdict::NoAnswer
        | Verdict::Failed { .. } => true,
    }
}

#[cfg(test)]
mod tests;
