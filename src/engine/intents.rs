//! The pushes that a run will make, which it writes to its log before the first one.

use super::error::ApplyError;
use super::push_log::Intent;
use super::session::Session;
use super::tokens::{IssueError, SignedPush};
use crate::desired::members;
use crate::model::claims::AccountClaims;
use crate::observed::Requests;
use crate::plan::{AccountPlan, Plan, claims_diff};
use crate::sign::{SignedToken, Signer, issue_account};

/// Signs the claims from which an account is edited, if they are more than the stored token. The run then undoes
/// another tool's push, but keeps its changes. The token is never pushed. Without it, the log would attribute the other
/// tool's changes to this run.
fn edited_claims(account: &AccountPlan, signer: Option<&dyn Signer>) -> Result<Option<SignedToken>, IssueError> {
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

/// Writes the pushes that a session will make to its log.
pub(super) fn begin<L: Requests>(
    session: &Session<'_, L>,
    plan: &Plan,
    tokens: &[SignedPush],
    signer: Option<&dyn Signer>,
) -> Result<(), ApplyError> {
    let Some(log) = session.log.as_ref().filter(|_| !tokens.is_empty()) else { return Ok(()) };
    let members: Vec<_> = members(session.definition).collect();
    let found = plan.accounts.iter().map(|account| edited_claims(account, signer)).collect::<Result<Vec<_>, _>>()?;
    let intents: Vec<Intent<'_>> = tokens
        .iter()
        .filter_map(|one| {
            let account = &plan.accounts[one.index];
            let push = account.pushes.iter().find(|push| push.stage == one.stage)?;
            let first = one.base == push.base;
            let found = found[one.index].as_ref().filter(|_| first).map(SignedToken::as_str);
            Some(Intent {
                account: &account.name,
                id: &one.id,
                application: &members.get(one.index)?.0.id,
                region: account.region.as_ref().map(|region| region.as_str()),
                stage: one.stage,
                reason: &push.reason,
                base: found.or(one.base.as_deref()),
                token: one.token.as_str(),
            })
        })
        .collect();
    // The definition was already turned into a desired state for the plan.
    Ok(log.begin(&intents, &session.desired().unwrap_or_default())?)
}
