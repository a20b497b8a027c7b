//! `apply`: makes the deployment match, in the order that keeps it safe, and looks at every server afterwards.
//!
//! Streams come before the mappings that lead to them. What is taken away goes backwards: first the mappings, then,
//! when no server has them any more, the streams. Stopped anywhere, the next run finishes.

use super::confirm::{ConfirmError, Confirmation, confirm};
use super::plan::Planned;
use super::session::{ReadError, Reading, Session, now};
use super::{Deadline, Tell};
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::Requests;
use crate::observed::jetstream::Api;
use crate::plan::consumers::ConsumerChange;
use crate::plan::streams::StreamChange;
use crate::plan::{Action, Plan, Reason, preflight};
use crate::provision::{Done, Event, ItemError, Outcome, RunOptions, run};
use crate::push::{Answer, PushError, push};
use crate::sign::{SignError, SignedToken, Signer, issue, next_iat};
use crate::verify::streams::{Checked, Verdict, streams};
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;

/// What was done, and what every server says of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Applied {
    /// Streams and consumers.
    pub provisioned: Vec<Provisioned>,
    /// Tokens.
    pub pushed: Vec<Pushed>,
    /// What the read-back of the streams has against them; empty when all is well.
    pub problems: Vec<Checked>,
    /// Why the streams could not be read back; absent when they could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Changes that had to be left out, since their region does not answer.
    pub skipped: Vec<String>,
    /// Streams that were to be deleted, or to capture less, and were kept, since not every server confirmed that their mappings are gone.
    pub kept: Vec<String>,
}

/// One stream or consumer that was made, changed or taken away.
#[derive(Debug, Clone, Serialize)]
pub struct Provisioned {
    /// `stream foo-write-west`
    pub place: String,
    /// What the plan wanted.
    pub action: Action,
    /// How it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One account's new token.
#[derive(Debug, Clone, Serialize)]
pub struct Pushed {
    /// The definition's name for the account.
    pub account: String,
    /// Its public key.
    pub id: PublicKey,
    /// Why it was pushed.
    pub reason: Reason,
    /// `iat` of the token, seconds since 1970.
    pub issued_at: u64,
    /// Its issuer.
    pub issuer: PublicKey,
    /// What each server has of it.
    pub servers: Vec<Confirmation>,
    /// Servers that refused it, with their words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

impl Applied {
    /// Whether every server that has to confirm did.
    pub fn is_confirmed(&self) -> bool {
        self.pushed.iter().all(|pushed| pushed.servers.iter().all(|server| server.verdict.is_confirmed()))
            && self.problems.iter().all(|checked| checked.verdict == Verdict::Ok)
            && self.unread.is_none()
            && self.skipped.is_empty()
            && self.kept.is_empty()
    }
}

/// Why nothing, or not all, was done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Findings stop the run; nothing was written.
    #[error("refused; nothing was changed")]
    Refused(Vec<Finding>),
    /// There is something to sign, and no key.
    #[error("there is a token to sign, and no operator key was named; nothing was changed")]
    NoSigner,
    /// Signing.
    #[error("signing the token of account {account}: {cause}; nothing was changed")]
    Sign {
        /// The definition's name for the account.
        account: String,
        /// What happened.
        cause: SignError,
    },
    /// Streams or consumers could not be made, changed or deleted.
    #[error("{failed} of {} streams and consumers are not as planned; {}", .provisioned.len(), match .pushed {
        true => "the account's new token is in force",
        false => "no token was pushed",
    })]
    Provision {
        /// How many.
        failed: usize,
        /// All of them.
        provisioned: Vec<Provisioned>,
        /// Whether tokens were pushed before: streams are deleted after that.
        pushed: bool,
    },
    /// Someone else pushed a token since the plan was made; no token was pushed.
    #[error("the token of account {account} was changed by someone else since the plan was made; no token was pushed")]
    ChangedMeanwhile {
        /// The definition's name for the account.
        account: String,
    },
    /// The push as a whole.
    #[error(transparent)]
    Push(#[from] PushError),
    /// Reading back.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// How long sources may take to get in touch after their streams were made.
const SETTLE: Duration = Duration::from_secs(10);

/// Carries out a plan.
///
/// # Errors
/// [`ApplyError`]; it says whether something was written. Not every server confirming is not an error:
/// [`Applied::is_confirmed`].
pub async fn apply<L: Requests>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    signer: Option<&dyn Signer>,
    tell: &dyn Tell,
) -> Result<Applied, ApplyError> {
    let plan = &planned.plan;
    if plan.is_refused() {
        return Err(ApplyError::Refused(plan.findings.clone()));
    }
    let tokens = sign(session, plan, signer)?;
    let mut applied = Applied::default();
    make(session, plan, &mut applied, tell).await?;
    let (made, skipped) = (!applied.provisioned.is_empty(), applied.skipped.clone());
    let narrows = plan.accounts.iter().flat_map(|account| &account.streams.changes).any(StreamChange::narrows);
    // Sources get in touch while the tokens are pushed. A push that was begun is seen through, whatever the streams say.
    let (pushed, looked) = futures::join!(push_tokens(session, plan, &tokens, &mut applied, tell), async {
        if made && !narrows { look_at_streams(session, planned, &skipped, tell).await } else { Ok(Vec::new()) }
    });
    pushed?;
    take_away(session, planned, &mut applied, tell).await?;
    let looked = if narrows { look_at_streams(session, planned, &skipped, tell).await } else { looked };
    match looked {
        Ok(problems) => applied.problems = problems,
        // What was done, and who confirmed it, is told all the same.
        Err(error) => applied.unread = Some(error.to_string()),
    }
    Ok(applied)
}

/// Signs before anything is written, so that what cannot be signed stops the run.
fn sign<L>(
    session: &Session<'_, L>,
    plan: &Plan,
    signer: Option<&dyn Signer>,
) -> Result<Vec<(PublicKey, SignedToken)>, ApplyError> {
    if plan.accounts.iter().all(|account| account.push.is_none()) {
        return Ok(Vec::new());
    }
    let signer = signer.ok_or(ApplyError::NoSigner)?;
    if let Some(finding) = preflight::signer(&session.deployment, &signer.public_key()) {
        return Err(ApplyError::Refused(vec![finding]));
    }
    let mut tokens = Vec::new();
    for account in &plan.accounts {
        let Some(push) = &account.push else { continue };
        let iat = next_iat(now(), [push.newest_iat]);
        let token = issue(push.claims.value(), signer, iat)
            .map_err(|cause| ApplyError::Sign { account: account.name.clone(), cause })?;
        if let Some(finding) = preflight::size(&account.name, token.as_str().len(), &session.deployment) {
            return Err(ApplyError::Refused(vec![finding]));
        }
        tokens.push((account.id.clone(), token));
    }
    Ok(tokens)
}

/// Makes and changes streams and consumers, of all accounts at once.
async fn make<L: Requests>(
    session: &Session<'_, L>,
    plan: &Plan,
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    let mut work: Vec<(&L, Vec<StreamChange>, Vec<ConsumerChange>)> = Vec::new();
    for (account, link) in plan.accounts.iter().zip(&session.accounts) {
        let streams = account.streams.changes.iter().filter(|change| !takes_away(change));
        work.push((link, streams.cloned().collect(), account.consumers.changes.clone()));
        applied.skipped.extend(account.skipped.iter().cloned());
    }
    provision(&work, session.deadline, "making streams", applied, tell).await
}

/// Whether a change has to wait until no mapping leads there any more.
fn takes_away(change: &StreamChange) -> bool {
    change.action == Action::Delete || change.narrows()
}

/// Deletes streams, and lets others capture less, once no server leads anything to them any more.
async fn take_away<L: Requests>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    let plan = &planned.plan;
    let deletions = |account: &crate::plan::AccountPlan| -> Vec<StreamChange> {
        account.streams.changes.iter().filter(|change| takes_away(change)).cloned().collect()
    };
    let work: Vec<(&L, Vec<StreamChange>, Vec<ConsumerChange>)> = (plan.accounts.iter().zip(&session.accounts))
        .map(|(account, link)| (link, deletions(account), Vec::new()))
        .collect();
    if work.iter().all(|(_, streams, _)| streams.is_empty()) {
        return Ok(());
    }
    let sure = session.deployment.missing() == 0
        && applied.is_confirmed()
        && nothing_leads_there(session, planned, tell).await?;
    if !sure {
        let names = work.iter().flat_map(|(_, streams, _)| streams.iter().map(|change| change.name.clone()));
        applied.kept.extend(names);
        return Ok(());
    }
    let deletes = work.iter().flat_map(|(_, streams, _)| streams).any(|change| change.action == Action::Delete);
    let step = if deletes { "deleting streams" } else { "changing streams" };
    provision(&work, session.deadline, step, applied, tell).await
}

/// Whether every server has the token that the plan was made from, where a deletion needs none pushed: that token has
/// no mapping to what is deleted.
async fn nothing_leads_there<L: Requests>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    tell: &dyn Tell,
) -> Result<bool, ApplyError> {
    let accounts = planned
        .plan
        .accounts
        .iter()
        .zip(&planned.observed.accounts)
        .filter(|(account, _)| account.push.is_none() && account.streams.changes.iter().any(takes_away));
    let tokens: Vec<(PublicKey, String)> = accounts
        .filter_map(|(account, found)| {
            let (base, _) = preflight::base(&account.name, &session.deployment, &found.servers, now());
            Some((account.id.clone(), base?.token))
        })
        .collect();
    if tokens.is_empty() {
        return Ok(true);
    }
    tell.step("asking every server whether its mappings are gone", 0, 0);
    let timeout = session.deadline.at_most(PUSH);
    let confirmations = confirm(&session.system, &session.deployment, &tokens, timeout).await?;
    Ok(confirmations.iter().all(|one| one.verdict.is_confirmed()))
}

async fn provision<L: Requests>(
    work: &[(&L, Vec<StreamChange>, Vec<ConsumerChange>)],
    deadline: Deadline,
    step: &str,
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    let total: usize = work.iter().map(|(_, streams, consumers)| streams.len() + consumers.len()).sum();
    if total == 0 {
        return Ok(());
    }
    let done = std::sync::atomic::AtomicUsize::new(0);
    tell.step(step, 0, total);
    let done = &done;
    let options = RunOptions { deadline: deadline.left(), ..RunOptions::default() };
    let runs = work.iter().filter(|(_, streams, consumers)| !(streams.is_empty() && consumers.is_empty())).map(
        |(link, streams, consumers)| {
            run(Api::new(*link), streams, consumers, options, move |event| {
                if let Event::Finished(_) = event {
                    let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                    tell.step(step, done, total);
                }
            })
        },
    );
    let outcomes = futures::future::join_all(runs).await;
    applied.provisioned.extend(outcomes.iter().flatten().map(provisioned));
    match applied.provisioned.iter().filter(|one| one.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(ApplyError::Provision {
            failed,
            provisioned: applied.provisioned.clone(),
            pushed: !applied.pushed.is_empty(),
        }),
    }
}

fn provisioned(outcome: &Outcome<'_>) -> Provisioned {
    let Outcome { item, result, requests: _ } = outcome;
    Provisioned {
        place: item.place(),
        action: item.action(),
        done: result.as_ref().ok().copied(),
        error: result.as_ref().err().map(ItemError::to_string),
    }
}

async fn push_tokens<L: Requests>(
    session: &Session<'_, L>,
    plan: &Plan,
    tokens: &[(PublicKey, SignedToken)],
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    if tokens.is_empty() {
        return Ok(());
    }
    still_as_planned(session, plan).await?;
    tell.step("pushing account tokens", 0, 0);
    let outcomes = push(&session.system, &session.deployment, tokens, session.deadline.at_most(PUSH)).await?;
    tell.step("waiting for every server to confirm", 0, 0);
    let confirmations = confirm(&session.system, &session.deployment, tokens, session.deadline.left()).await?;
    for account in &plan.accounts {
        let Some(push) = &account.push else { continue };
        let Some((_, token)) = tokens.iter().find(|(id, _)| *id == account.id) else { continue };
        let refused = outcomes.iter().filter(|outcome| outcome.account == account.id).filter_map(|outcome| {
            match &outcome.answer {
                Answer::Refused { code, text } => Some(format!("{}: {code} {text}", outcome.server)),
                Answer::Stored | Answer::Skipped { .. } | Answer::NoAnswer => None,
            }
        });
        let Ok(claims) = AccountClaims::decode(token.as_str()) else { continue };
        applied.pushed.push(Pushed {
            account: account.name.clone(),
            id: account.id.clone(),
            reason: push.reason.clone(),
            issued_at: claims.issued_at(),
            issuer: claims.issuer().clone(),
            servers: confirmations.iter().filter(|one| one.account == account.id).cloned().collect(),
            refused: refused.collect(),
        });
    }
    Ok(())
}

/// How long servers may take to answer a push.
const PUSH: Duration = Duration::from_secs(10);

/// The resolver has no compare-and-set: looks once more, directly before the push, whether the stored tokens are
/// still those that the plan edits.
async fn still_as_planned<L: Requests>(session: &Session<'_, L>, plan: &Plan) -> Result<(), ApplyError> {
    let now = now();
    for (account, servers) in plan.accounts.iter().zip(session.tokens().await?) {
        let Some(push) = &account.push else { continue };
        let (base, _) = preflight::base(&account.name, &session.deployment, &servers, now);
        if base.is_none_or(|base| base.token != push.base) {
            return Err(ApplyError::ChangedMeanwhile { account: account.name.clone() });
        }
    }
    Ok(())
}

/// Reads the streams back until they are as defined, for as long as sources may need to get in touch.
async fn look_at_streams<L: Requests>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    skipped: &[String],
    tell: &dyn Tell,
) -> Result<Vec<Checked>, ApplyError> {
    tell.step("looking at the streams", 0, 0);
    // What comes from servers that are down is not waited for.
    let settle = if session.deployment.missing() == 0 { SETTLE } else { SETTLE / 5 };
    let until = Deadline::after(session.deadline.at_most(settle));
    let left_out: HashSet<&str> = skipped.iter().filter_map(|place| place.strip_prefix("stream ")).collect();
    let mut pause = Duration::from_millis(50);
    loop {
        let observed =
            session.observe(&planned.desired, vec![Vec::new(); planned.desired.len()], Reading::ToChange).await?;
        let checked = planned.desired.iter().zip(&observed.accounts);
        let checked = checked.flat_map(|(desired, found)| streams(desired, &found.jetstream));
        let problems: Vec<Checked> = checked
            .filter(|checked| checked.verdict != Verdict::Ok && !left_out.contains(checked.stream.as_str()))
            .collect();
        if problems.is_empty() || until.is_over() {
            return Ok(problems);
        }
        tokio::time::sleep(until.at_most(pause)).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
