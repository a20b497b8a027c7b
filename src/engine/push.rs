//! Pushes the tokens of one stage if the stored tokens are as planned, and waits until every server confirms them.

use super::Progress;
use super::confirm::{Confirmation, confirm_push, missed};
use super::error::ApplyError;
use super::report::{Applied, Pushed};
use super::session::{Session, too_late};
use super::tokens::SignedPush;
use crate::model::claims::{AccountClaims, TrustAnchor, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::connection::Connection;
use crate::plan::preflight::KEPT_DIFFERS;
use crate::plan::{Plan, Stage, is_nowhere};
use crate::resolver::NotPushed;
use crate::resolver::push::{Answer, PushOutcome};
use crate::sign::SignedToken;
use crate::verify::account::{Age, TokenState as Has};
use futures::future::pending;
use std::time::Duration;

/// Pushes the tokens of one stage, and waits until every server confirms them.
pub(super) async fn push_stage<L: Connection>(
    session: &Session<'_, L>,
    plan: &Plan,
    tokens: &[SignedPush],
    stage: Stage,
    applied: &mut Applied,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    let issued: Vec<&SignedPush> = tokens.iter().filter(|one| one.stage == stage).collect();
    if issued.is_empty() {
        return Ok(());
    }
    let earlier = applied.pushed.iter().find(|pushed| !pushed.is_confirmed());
    if let (Some(pushed), 0) = (earlier, session.deployment.missing()) {
        return Err(ApplyError::StageUnconfirmed { account: pushed.account.clone() });
    }
    let ids: Vec<&PublicKey> = plan.accounts.iter().map(|account| &account.id).collect();
    let (mut outcomes, mut confirmations) = (Vec::new(), Vec::<Confirmation>::new());
    let mut open = issued.clone();
    // A connection that breaks may lose tokens, and so may a gateway whose remote end is gone. Or another tool pushed a
    // token by an untrusted key over them. The run then pushes them again if the stored tokens are still as planned.
    for attempt in 0..PUSHES {
        still_as_planned(session, plan, &open, applied).await?;
        progress.step(pushing(stage), 0, 0);
        if let Some(log) = session.log.as_ref().filter(|_| attempt == 0) {
            log.pushing(stage);
        }
        if let Some(claims_updates) = session.claims_updates.as_ref().filter(|_| attempt == 0) {
            for one in &issued {
                // A key of the anchor signed it, as was verified when it was signed.
                if let Ok(claims) = TrustedClaims::verify(one.token.as_str(), &session.anchor) {
                    claims_updates.push(claims, one.token.as_str(), plan.accounts[one.index].current.as_ref());
                }
            }
        }
        if let Some(claims_updates) = &session.claims_updates {
            open.iter().for_each(|one| claims_updates.sends(one.token.as_str()));
        }
        let signed: Vec<(PublicKey, &SignedToken)> = open.iter().map(|one| (one.id.clone(), &one.token)).collect();
        let timeout = session.deadline.at_most(PUSH_TIMEOUT);
        let pushing = session.resolver.push(&session.system, &session.deployment, &signed, timeout);
        let answers = pushing.await.map_err(|error| not_pushed(plan, applied, error))?;
        progress.step("waiting for every server to confirm", 0, 0);
        let update = async {
            match &session.claims_updates {
                Some(claims_updates) => claims_updates.wait_for_update(&ids).await,
                None => pending().await,
            }
        };
        let left = session.deadline.left();
        // A token that was overwritten meanwhile is never confirmed.
        let found = tokio::select! {
            found = confirm_push(
                &session.resolver, &session.system, &session.deployment, &session.anchor, &signed, &answers, left
            ) => found?,
            () = update => return overtaken(session, plan, true),
        };
        outcomes.retain(|outcome: &PushOutcome| open.iter().all(|one| one.id != outcome.account));
        outcomes.extend(answers);
        for one in found {
            let same = |known: &&mut Confirmation| (&known.account, &known.server) == (&one.account, &one.server);
            match confirmations.iter_mut().find(same) {
                Some(known) => *known = one.after(Some(known)),
                None => confirmations.push(one),
            }
        }
        open.retain(|one| {
            was_missed(&one.id, &outcomes, &confirmations) || was_overwritten(&one.id, &confirmations, &session.anchor)
        });
        if open.is_empty() || session.deadline.left() < MINIMUM_RETRY_TIMEOUT {
            break;
        }
    }
    let earlier = applied.pushed.len();
    for one in issued {
        let account = &plan.accounts[one.index];
        let Some(push) = account.pushes.iter().find(|push| push.stage == stage) else { continue };
        let refused = outcomes.iter().filter(|outcome| outcome.account == account.id).filter_map(|outcome| {
            match &outcome.answer {
                Answer::Refused { code, text } => Some(format!("{}: {code} {text}", outcome.server)),
                Answer::Stored | Answer::Skipped { .. } | Answer::NoAnswer | Answer::Stranger => None,
            }
        });
        let Ok(claims) = AccountClaims::decode(one.token.as_str()) else { continue };
        applied.pushed.push(Pushed {
            account: account.name.clone(),
            id: account.id.clone(),
            stage,
            reason: push.reason.clone(),
            issued_at: claims.issued_at(),
            issuer: claims.issuer().clone(),
            servers: confirmations.iter().filter(|one| one.account == account.id).cloned().collect(),
            refused: refused.collect(),
            strangers: strangers(&account.id, &outcomes),
        });
    }
    if let Some(log) = &session.log {
        log.pushed(stage, &applied.pushed[earlier..]);
    }
    // Another tool may have pushed between the last check and the push, so that one token overwrote the other.
    overtaken(session, plan, true)
}

/// Returns the error of a failed push. If another tool changed a token outside the servers, the run plans again, as
/// after a push.
fn not_pushed(plan: &Plan, applied: &Applied, error: NotPushed) -> ApplyError {
    match error {
        NotPushed::Changed(id) => {
            let account = plan.accounts.iter().find(|account| account.id == id).map(|account| account.name.clone());
            ApplyError::ChangedMeanwhile {
                account: account.unwrap_or_else(|| id.to_string()),
                pushed: !applied.pushed.is_empty(),
            }
        }
        error => error.into(),
    }
}

/// Fails if another tool or run pushed something that the plan does not include. `pushed` is `true` if this run has
/// already pushed something.
pub(super) fn overtaken<L: Connection>(session: &Session<'_, L>, plan: &Plan, pushed: bool) -> Result<(), ApplyError> {
    let Some(claims_updates) = &session.claims_updates else { return Ok(()) };
    match claims_updates.updated_account(plan.accounts.iter().map(|account| &account.id)) {
        None => Ok(()),
        Some(id) => {
            let account = plan.accounts.iter().find(|account| account.id == id);
            let account = account.map(|account| account.name.clone()).unwrap_or_default();
            Err(ApplyError::ChangedMeanwhile { account, pushed })
        }
    }
}

/// Returns `true` if a server that answers did not acknowledge a token, and has an older one. Returns `false` if any
/// server has a newer one.
fn was_missed(id: &PublicKey, outcomes: &[PushOutcome], confirmations: &[Confirmation]) -> bool {
    let found = || confirmations.iter().filter(|one| one.account == *id);
    found().any(|one| missed(one, outcomes))
        && !found().any(|one| matches!(one.verdict, Has::OtherToken { age: Age::Newer, .. }))
}

/// Returns `true` if a server stores a token by an untrusted key, which was pushed over ours. Its only effect is that
/// the account would not load after a restart.
fn was_overwritten(id: &PublicKey, confirmations: &[Confirmation], anchor: &TrustAnchor) -> bool {
    let ours = |issuer: &str| PublicKey::parse(issuer).is_ok_and(|issuer| anchor.trusts(&issuer));
    let mut found = confirmations.iter().filter(|found| found.account == *id);
    found.any(|found| matches!(&found.verdict, Has::Untrusted { issuer } if !ours(issuer)))
}

fn strangers(id: &PublicKey, outcomes: &[PushOutcome]) -> Vec<String> {
    let strangers = outcomes.iter().filter(|one| one.account == *id && one.answer == Answer::Stranger);
    let mut names: Vec<String> = strangers.map(|one| one.server.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Most pushes of a token that does not reach all servers that answer.
const PUSHES: usize = 3;

fn pushing(stage: Stage) -> &'static str {
    match stage {
        Stage::RegionalExports => "pushing what regional accounts export",
        Stage::ApplicationExportsImports => "pushing what accounts export to their regions, and import from them",
        Stage::RegionalImports => "pushing what regional accounts import",
        Stage::Mappings => "pushing account tokens",
        Stage::RegionalImportsGone | Stage::ApplicationExportsImportsGone | Stage::RegionalExportsGone => {
            "removing exports and imports"
        }
    }
}

/// Shortest remaining time for another push.
const MINIMUM_RETRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time for servers to answer a push.
pub(super) const PUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks directly before the push that the stored tokens are still those that the plan edits, or already those to
/// push. The resolver has no compare-and-set.
async fn still_as_planned<L: Connection>(
    session: &Session<'_, L>,
    plan: &Plan,
    issued: &[&SignedPush],
    applied: &Applied,
) -> Result<(), ApplyError> {
    overtaken(session, plan, !applied.pushed.is_empty())?;
    let ids: Vec<PublicKey> = issued.iter().map(|one| one.id.clone()).collect();
    for (one, servers) in issued.iter().zip(session.tokens_of(&ids).await?) {
        let account = &plan.accounts[one.index].name;
        if session.deadline.is_over() {
            return Err(too_late(account).into());
        }
        let (newest, findings) = session.base(account, &one.id, &servers);
        // After another edit outside the servers, the run plans again, unless the plan already includes it.
        let differs = |findings: &[Finding]| findings.iter().any(|finding| finding.code == KEPT_DIFFERS);
        let edited = differs(&findings) && !differs(&plan.findings);
        let as_planned = match (&one.base, newest) {
            (_, Some(newest)) if newest.token == one.token.as_str() => true,
            (Some(base), Some(newest)) => newest.token == *base,
            (None, _) => is_nowhere(&servers),
            (Some(_), None) => false,
        };
        if edited || !as_planned {
            return Err(ApplyError::ChangedMeanwhile { account: account.clone(), pushed: !applied.pushed.is_empty() });
        }
    }
    Ok(())
}
