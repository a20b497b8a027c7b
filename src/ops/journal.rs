//! What is written down of pushes: before the first, so that a run that is killed leaves it too, and as they go on.

use super::apply::{ApplyError, Pushed};
use super::issue::{IssueError, Issued};
use super::regional::members;
use super::session::Session;
use crate::desired::DesiredAccount;
use crate::model::claims::AccountClaims;
use crate::model::nkey::PublicKey;
use crate::observed::Requests;
use crate::plan::{AccountPlan, Plan, Reason, Stage, claims_diff};
use crate::sign::{SignedToken, Signer, issue_account};
use std::path::PathBuf;

/// Where a run writes down what it pushes.
pub trait Journal: std::fmt::Debug + Send + Sync {
    /// What is about to be pushed, in the order of the stages, and what the definition asks for. Comes again when a plan
    /// was made again.
    ///
    /// # Errors
    /// [`JournalError`], which stops the run: nothing is pushed that is not written down.
    fn begin(&self, intents: &[Intent<'_>], desired: &[DesiredAccount<'_>]) -> Result<(), JournalError>;

    /// The tokens of this stage are about to be sent. All that is needed to go back is written down already, so that a
    /// failure from here on does not stop the run half-way.
    fn pushing(&self, stage: Stage);

    /// The servers were asked about the tokens of this stage.
    fn pushed(&self, stage: Stage, pushed: &[Pushed]);
}

/// A token that is about to be pushed.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The definition's name for the account.
    pub account: &'a str,
    /// The account.
    pub id: &'a PublicKey,
    /// The application's account that it is, or serves.
    pub application: &'a PublicKey,
    /// The region that it serves, for a regional account.
    pub region: Option<&'a str>,
    /// When it is pushed.
    pub stage: Stage,
    /// Why.
    pub reason: &'a Reason,
    /// The token that it replaces: the stored one, with what is kept of a push of others that was overtaken, or ours of an
    /// earlier stage; none for a new account.
    pub base: Option<&'a str>,
    /// The token.
    pub token: &'a str,
}

/// Why nothing could be written down.
#[derive(Debug, thiserror::Error)]
#[error("the record of this push cannot be written: {path}: {cause}", path = path.display())]
pub struct JournalError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub cause: std::io::Error,
}

/// What an account was edited from, signed, where that is more than the stored token: a push of others was overtaken, and
/// what it changed is kept. It is never pushed; without it, their changes would count as ours.
fn found(account: &AccountPlan, signer: Option<&dyn Signer>) -> Result<Option<SignedToken>, IssueError> {
    let (Some(push), Some(current), Some(signer)) = (account.pushes.first(), &account.current, signer) else {
        return Ok(None);
    };
    let stored = push.base.as_deref().and_then(|token| AccountClaims::decode(token).ok());
    match stored {
        Some(stored) if !claims_diff(Some(stored.value()), current.value()).is_empty() => {
            let token = issue_account(current, signer, stored.issued_at());
            token.map(Some).map_err(|cause| IssueError::Sign { account: account.name.clone(), cause })
        }
        _ => Ok(None),
    }
}

/// Writes down what a session is about to push.
pub(super) fn begin<L: Requests>(
    session: &Session<'_, L>,
    plan: &Plan,
    tokens: &[Issued],
    signer: Option<&dyn Signer>,
) -> Result<(), ApplyError> {
    let Some(journal) = session.journal.as_ref().filter(|_| !tokens.is_empty()) else { return Ok(()) };
    let members: Vec<_> = members(session.definition).collect();
    let found = plan.accounts.iter().map(|account| found(account, signer)).collect::<Result<Vec<_>, _>>()?;
    let intents: Vec<Intent<'_>> = tokens
        .iter()
        .filter_map(|one| {
            let account = &plan.accounts[one.place];
            let push = account.pushes.iter().find(|push| push.stage == one.stage)?;
            let first = one.base == push.base;
            let found = found[one.place].as_ref().filter(|_| first).map(SignedToken::as_str);
            Some(Intent {
                account: &account.name,
                id: &one.id,
                application: &members.get(one.place)?.0.id,
                region: account.region.as_ref().map(|region| region.as_str()),
                stage: one.stage,
                reason: &push.reason,
                base: found.or(one.base.as_deref()),
                token: one.token.as_str(),
            })
        })
        .collect();
    // The definition was made real before, or there would be no plan.
    Ok(journal.begin(&intents, &session.desired().unwrap_or_default())?)
}
