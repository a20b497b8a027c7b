//! Signs the tokens of a plan before anything is written.

use super::error::ApplyError;
use super::planned::{Planned, compare};
use super::session::{ReadError, Session};
use super::tokens::{SignedPush, ToIssue, sign_all};
use super::{planned, regional_keys, signed_plan};
use crate::observed::connection::Connection;
use crate::plan::file::PlanContent;
use crate::plan::{Plan, preflight};
use crate::sign::Signer;
use crate::sign::keyring::Keyring;

/// The keys that sign: the operator's for accounts' tokens, the accounts' for activation tokens.
pub struct Signers<'s> {
    /// The operator's key, which is not needed if there is nothing to sign.
    pub operator: Option<&'s dyn Signer>,
    /// The keys folder. Keys of new regional accounts are written there before anything is pushed.
    pub keys: &'s mut Keyring,
    /// A signed plan file. The run pushes its tokens, and signs nothing.
    pub signed: Option<&'s PlanContent>,
}

/// Checks that everything can be signed, before the run waits or writes.
pub(super) fn may_sign<L: Connection>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    signers: &Signers<'_>,
) -> Result<(), ApplyError> {
    if !needs_signature(&planned.plan) {
        return Ok(());
    }
    let sealed = signers.signed.and_then(|file| file.signed.as_ref()).map(|signed| signed.operator.clone());
    let key = sealed.or_else(|| signers.operator.map(Signer::public_key)).ok_or(ApplyError::NoSigner)?;
    match preflight::signer(&session.anchor, &session.deployment, &key) {
        Some(finding) => Err(ApplyError::Refused(vec![finding])),
        None => Ok(()),
    }
}

/// Returns `true` if there are tokens to sign.
fn needs_signature(plan: &Plan) -> bool {
    let key_lost = plan.findings.iter().any(|finding| finding.code == preflight::REGIONAL_KEY_MISSING);
    key_lost || plan.accounts.iter().any(|account| !account.pushes.is_empty())
}

/// Signs before the lease is taken, so that a failure leaves no trace. Keys of new accounts are made only under the
/// lease, because another run may be making them.
pub(super) fn sign_early<'d, L: Connection>(
    session: &mut Session<'d, L>,
    planned: &mut Planned<'d>,
    signers: &mut Signers<'_>,
) -> Result<Option<Vec<SignedPush>>, ApplyError> {
    let sealed = signers.signed.is_some_and(|file| file.signed.is_some());
    if sealed || planned::without_keys(planned, signers.keys)?.is_empty() {
        return sign(session, planned, signers).map(Some);
    }
    Ok(None)
}

/// Signs before anything is written, so that a failure stops the run. Makes the keys of new regional accounts.
pub(super) fn sign<'d, L: Connection>(
    session: &mut Session<'d, L>,
    planned: &mut Planned<'d>,
    signers: &mut Signers<'_>,
) -> Result<Vec<SignedPush>, ApplyError> {
    if !needs_signature(&planned.plan) {
        return Ok(Vec::new());
    }
    may_sign(session, planned, signers)?;
    let Signers { operator, keys, signed } = signers;
    if let Some(content) = signed.filter(|file| file.signed.is_some()) {
        let tokens = signed_plan::tokens(content, &planned.plan)?;
        return fit(session, &planned.plan, tokens);
    }
    let operator = operator.ok_or(ApplyError::NoSigner)?;
    if regional_keys::make_keys(session, &planned.plan, keys, &mut planned.options)? {
        planned.desired = session.desired().map_err(ReadError::from)?;
        planned.plan = compare(session, &planned.desired, &planned.observed, keys, &planned.options);
        if planned.plan.is_refused() {
            return Err(ApplyError::Refused(planned.plan.findings.clone()));
        }
    }
    let accounts: Vec<ToIssue<'_>> = planned.plan.accounts.iter().map(ToIssue::from).collect();
    let tokens = sign_all(session.definition, &accounts, operator, keys)?;
    fit(session, &planned.plan, tokens)
}

/// Returns the tokens if servers accept their sizes.
fn fit<L>(session: &Session<'_, L>, plan: &Plan, tokens: Vec<SignedPush>) -> Result<Vec<SignedPush>, ApplyError> {
    let large = tokens
        .iter()
        .find_map(|one| preflight::size(&plan.accounts[one.index].name, one.token.as_str().len(), &session.deployment));
    large.map_or(Ok(tokens), |finding| Err(ApplyError::Refused(vec![finding])))
}
