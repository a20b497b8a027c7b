//! One run: carries out a plan in an order that keeps the deployment working, and checks every server afterwards.
//!
//! Streams come before the mappings that lead to them. Removal goes backwards: first the mappings, then the streams,
//! once no server has those mappings any more. If a run is stopped at any point, the next one finishes.

use super::error::{ApplyError, Stopped};
use super::lease::{self, Holder, Lease};
use super::planned::{Planned, Planner};
use super::push::overtaken;
use super::report::{Applied, Merged};
use super::session::{ReadError, Session, Subscription, VerbInputs};
pub use super::signing::Signers;
use super::signing::{may_sign, sign, sign_early};
use super::steps::carry_out;
use super::streams::{check_sources, confirm_newest, may_reach_regions};
use super::tokens::SignedPush;
use super::{Connector, Progress};
use crate::model::nkey::PublicKey;
use crate::observed::AccountOnServer;
use crate::observed::connection::Connection;
use crate::plan::{AccountPlan, Action, Plan};
use crate::sign::keyring::Keyring;
use futures::future::{BoxFuture, Either, pending, select};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Most plans of a run after pushes by other tools, before it gives up.
const ROUNDS: usize = 8;

/// Time that an interrupted run waits for a lease that it is taking, so that it can release it.
const RETURN_LEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The inputs of a run that carries out a plan.
pub struct Run<'r, P> {
    /// The planner of the plan. It plans again if another tool or run changes something.
    pub planner: P,
    /// The keys that sign.
    pub signers: Signers<'r>,
    /// The description of the run for the lease.
    pub holder: Holder,
    /// Time to wait for another run to release its lease. Does not count towards the deadline.
    pub patience: Duration,
    /// Asks the user to sign on top of pushes by other tools since the plan, before anything is signed. Returns `true`
    /// if the user agrees.
    pub agree: &'r (dyn Fn(&[Merged]) -> bool + Sync),
    /// A future that completes when the run must end early.
    pub stop: BoxFuture<'r, ()>,
}

impl<'r, P: Planner> Run<'r, P> {
    /// Returns a run that plans again after changes by another tool, and agrees to them. It waits for other runs as
    /// long as the command does, and is never stopped.
    pub fn new(planner: P, signers: Signers<'r>, holder: Holder) -> Self {
        let patience = Duration::from_secs(180);
        Self { planner, signers, holder, patience, agree: &|_| true, stop: Box::pin(pending()) }
    }
}

/// Carries out a plan, as the only run that changes its accounts. If another tool's push makes the plan outdated, the
/// run plans again on top of that push.
///
/// # Errors
/// [`Stopped`], whose report has everything done until then. Unconfirmed tokens are not an error: see
/// [`Applied::is_confirmed`].
pub async fn execute<'d, C: Connector>(
    session: &mut Session<'d, C::Connection>,
    planned: &mut Planned<'d>,
    run: Run<'_, impl Planner>,
    connector: &C,
    progress: &dyn Progress,
) -> Result<Applied, Stopped> {
    if planned.plan.is_refused() {
        return Err(ApplyError::Refused(planned.plan.findings.clone()).into());
    }
    let Run { planner, mut signers, holder, patience, agree, stop } = run;
    if planned.plan.is_empty() {
        let looking = look_only(session, planned, &mut signers, &planner, connector, progress);
        return match select(Box::pin(looking), stop).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Err(ApplyError::Interrupted.into()),
        };
    }
    may_sign(session, planned, &signers)?;
    if planned.plan.accounts.iter().any(|account| !account.pushes.is_empty()) {
        session.resolver.may_push().map_err(ReadError::from)?;
    }
    may_reach_regions(session, &planned.plan, connector)?;
    let merged = agree_to_merged(session, planned, agree, false)?;
    let signed = sign_early(session, planned, &mut signers)?;
    let asked = Instant::now();
    let waiting = lease::take(session, &planned.plan, &planned.options, &holder, patience, progress);
    let (lease, stop) = match select(Box::pin(waiting), stop).await {
        Either::Left((lease, stop)) => (lease?, stop),
        Either::Right(((), taking)) => {
            // A lease that was stored but not released would keep other runs waiting until it expires.
            if let Ok(Ok(lease)) = timeout(RETURN_LEASE_TIMEOUT, taking).await {
                lease.release(false).await;
            }
            return Err(ApplyError::Interrupted.into());
        }
    };
    session.deadline = session.deadline.extended(asked.elapsed());
    let lease = Arc::new(lease);
    // In a separate task, because the user or an external signer may take time to sign, which blocks this task.
    let mut keeper = tokio::spawn({
        let lease = lease.clone();
        async move { lease.keep().await }
    });
    let mut applied = Applied { merged, ..Applied::default() };
    let leased = LeasedRun { lease: &lease, signed, agree, applied: &mut applied };
    let work = in_rounds(session, planned, &mut signers, leased, &planner, connector, progress);
    let result: Result<(), ApplyError> = tokio::select! {
        result = work => result,
        Ok(lost) = &mut keeper => Err(lost.into()),
        () = stop => Err(ApplyError::Interrupted),
    };
    keeper.abort();
    applied.unused_pushes = session.unused_pushes();
    let gone = planner.removes_all() && result.is_ok() && applied.is_confirmed();
    lease.release(gone && nothing_stays(planned)).await;
    match result {
        Ok(()) => Ok(applied),
        Err(cause) => Err(Stopped { report: Box::new(applied), cause: Box::new(cause) }),
    }
}

/// Checks a deployment that needs no changes. If another tool pushes something meanwhile, plans again.
///
/// # Errors
/// [`Stopped`], also if the new plan has changes, because this run has neither a lease nor the user's consent.
async fn look_only<'d, C: Connector>(
    session: &mut Session<'d, C::Connection>,
    planned: &mut Planned<'d>,
    signers: &mut Signers<'_>,
    planner: &impl Planner,
    connector: &C,
    progress: &dyn Progress,
) -> Result<Applied, Stopped> {
    let mut applied = Applied::default();
    loop {
        let tokens = sign(session, planned, signers)?;
        match round(session, planned, signers, &tokens, connector, &mut applied, progress).await {
            Ok(()) => {
                check_preload(session, planned, &mut applied).await?;
                applied.unused_pushes = session.unused_pushes();
                return Ok(applied);
            }
            Err(error) if !may_plan_again(&error, &applied, planner) => return Err(error.into()),
            Err(overtaken) => {
                applied.start_over();
                plan_again(session, planned, signers.keys, planner, connector, progress).await?;
                if !planned.plan.is_empty() {
                    return Err(overtaken.into());
                }
            }
        }
    }
}

/// Carries out the plan. If another tool changes something meanwhile, plans again and continues.
async fn in_rounds<'d, C: Connector>(
    session: &mut Session<'d, C::Connection>,
    planned: &mut Planned<'d>,
    signers: &mut Signers<'_>,
    leased: LeasedRun<'_, C::Connection>,
    planner: &impl Planner,
    connector: &C,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    let agreed = removals(&planned.plan);
    let LeasedRun { lease, mut signed, agree, applied } = leased;
    let mut must_plan = lease.waited || !is_as_planned(session, planned).await?;
    // If the server refuses the subscription, it has done so by now.
    if let Some(finding) = session.claims_updates.as_ref().and_then(|claims_updates| claims_updates.denied()) {
        return Err(ApplyError::Refused(vec![finding]));
    }
    let unread = out_of_reach(planned);
    loop {
        if must_plan {
            signed = None;
            plan_again(session, planned, signers.keys, planner, connector, progress).await?;
            // The run has no lease of an account that was out of reach.
            let turned =
                |account: &&AccountPlan| unread.contains(&account.id) != out_of_reach(planned).contains(&account.id);
            if let Some(account) = planned.plan.accounts.iter().find(turned) {
                let (account, pushed) = (account.name.clone(), !applied.pushed.is_empty());
                return Err(ApplyError::ChangedMeanwhile { account, pushed });
            }
            let pushed = !applied.pushed.is_empty();
            applied.merged.extend(agree_to_merged(session, planned, agree, pushed)?);
            if let Some(more) = removals(&planned.plan).into_iter().find(|what| !agreed.contains(what)) {
                return Err(ApplyError::RemovesMore(more));
            }
        }
        let tokens = match signed.take() {
            Some(tokens) => tokens,
            None => {
                let tokens = sign(session, planned, signers)?;
                // The user may have taken time to sign.
                lease.look().await?;
                tokens
            }
        };
        match round(session, planned, signers, &tokens, connector, applied, progress).await {
            Ok(()) => {
                // The report is complete even if this fails.
                if let Err(error) = check_preload(session, planned, applied).await {
                    applied.unread = Some(error.to_string());
                }
                return Ok(());
            }
            Err(error) if !may_plan_again(&error, applied, planner) => return Err(error),
            Err(_) => {
                must_plan = true;
                applied.start_over();
            }
        }
    }
}

/// Returns `true` if the plan may be made again after this error.
fn may_plan_again(error: &ApplyError, applied: &Applied, planner: &impl Planner) -> bool {
    matches!(error, ApplyError::ChangedMeanwhile { .. }) && applied.planned_again < ROUNDS && planner.plans_again()
}

/// Carries out the plan once, and checks every source. Fails if another tool pushed something meanwhile.
async fn round<'d, C: Connector>(
    session: &mut Session<'d, C::Connection>,
    planned: &Planned<'d>,
    signers: &Signers<'_>,
    tokens: &[SignedPush],
    connector: &C,
    applied: &mut Applied,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    carry_out(session, planned, signers, tokens, connector, applied, progress).await?;
    check_sources(session, planned, applied, progress).await;
    // Waiting for sources may have taken most of a minute.
    overtaken(session, &planned.plan, !applied.pushed.is_empty())
}

/// Plans again, from the servers' present state.
async fn plan_again<'d, C: Connector>(
    session: &mut Session<'d, C::Connection>,
    planned: &mut Planned<'d>,
    keys: &mut Keyring,
    planner: &impl Planner,
    connector: &C,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    progress.step("another tool or run changed something; planning again", 0, 0);
    let (definition, deadline, trust) = (session.definition, session.deadline, session.trust.clone());
    // Both stay with this session. If planning fails, the run still reports the tokens that it received and pushed
    // until then.
    let subscription = session.claims_updates.clone().map_or(Subscription::On, Subscription::Continue);
    keys.reopen()?;
    let inputs = VerbInputs { definition, keys, trust: &trust };
    let options = planned.options.clone();
    let log = session.log.clone();
    (*session, *planned) = planner.plan(inputs, connector, &options, subscription, deadline, progress).await?;
    session.log = log;
    let moved = planner.recheck(session, planned);
    if !moved.is_empty() {
        return Err(ApplyError::Stale(moved));
    }
    match planned.plan.is_refused() {
        true => Err(ApplyError::Refused(planned.plan.findings.clone())),
        false => Ok(()),
    }
}

/// Asks the user to agree to merged pushes of other tools that were not shown yet. `pushed` is `true` if the run has
/// already pushed something. The time that the user takes does not count against the deadline.
fn agree_to_merged<L: Connection>(
    session: &mut Session<'_, L>,
    planned: &Planned<'_>,
    agree: &(dyn Fn(&[Merged]) -> bool + Sync),
    pushed: bool,
) -> Result<Vec<Merged>, ApplyError> {
    let Some(claims_updates) = &session.claims_updates else { return Ok(Vec::new()) };
    let merged = planned.plan.accounts.iter().map(|account| Merged {
        account: account.name.clone(),
        id: account.id.clone(),
        changes: claims_updates.take_unreported(&account.id),
    });
    let merged: Vec<Merged> = merged.filter(|merged| !merged.changes.is_empty()).collect();
    if merged.is_empty() {
        return Ok(merged);
    }
    let asked = Instant::now();
    if !agree(&merged) {
        return Err(ApplyError::NotAgreed { pushed });
    }
    session.deadline = session.deadline.extended(asked.elapsed());
    Ok(merged)
}

/// Returns `true` if the servers still have the tokens from which the plan was made, and no other tool pushed.
async fn is_as_planned<L: Connection>(session: &Session<'_, L>, planned: &Planned<'_>) -> Result<bool, ApplyError> {
    let accounts = &planned.plan.accounts;
    if session.claims_updates.as_ref().is_some_and(|claims_updates| {
        claims_updates.updated_account(accounts.iter().map(|account| &account.id)).is_some()
    }) {
        return Ok(false);
    }
    let newest = |account: &AccountPlan, servers: &[AccountOnServer]| {
        session.base(&account.name, &account.id, servers).0.map(|base| base.token)
    };
    let tokens = session.tokens().await?;
    let mut each = accounts.iter().zip(&planned.observed.accounts).zip(&tokens);
    Ok(each.all(|((account, found), servers)| newest(account, &found.servers) == newest(account, servers)))
}

/// Checks the result of an earlier run, if there is nothing to do.
///
/// # Errors
/// [`Stopped`]
pub async fn look<L: Connection>(session: &Session<'_, L>, planned: &Planned<'_>) -> Result<Applied, Stopped> {
    let mut applied = Applied::default();
    check_preload(session, planned, &mut applied).await?;
    Ok(applied)
}

/// Reports the file with the preload, and the servers that have not reloaded it. Covers accounts whose tokens in it
/// stay.
async fn check_preload<L: Connection>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let Some(file) = session.resolver.to_reload() else { return Ok(()) };
    applied.preload = Some(file.to_owned());
    let stays = |account: &&AccountPlan| applied.pushed.iter().all(|pushed| pushed.id != account.id);
    let accounts = planned.plan.accounts.iter().zip(&planned.observed.accounts).filter(|(account, _)| stays(account));
    let found = confirm_newest(session, accounts).await?;
    applied.not_reloaded = found.into_iter().filter(|one| !one.verdict.is_confirmed()).collect();
    Ok(())
}

/// Returns `true` if a plan deletes all streams of ours.
fn nothing_stays(planned: &Planned<'_>) -> bool {
    planned.plan.accounts.iter().zip(&planned.observed.accounts).all(|(account, found)| {
        let goes = |name: &str| account.streams.changes.iter().any(|c| c.name == name && c.action == Action::Delete);
        found.jetstream.streams.iter().filter(|stream| stream.owner.is_some()).all(|stream| goes(&stream.name))
    })
}

/// Returns the accounts whose own JetStream no mapping leads to.
fn out_of_reach(planned: &Planned<'_>) -> Vec<PublicKey> {
    let accounts = planned.plan.accounts.iter().zip(&planned.observed.accounts);
    accounts.filter(|(_, found)| found.out_of_reach).map(|(account, _)| account.id.clone()).collect()
}

/// Returns a line for each stream and mapping that a plan removes.
fn removals(plan: &Plan) -> Vec<String> {
    let accounts = plan.accounts.iter().flat_map(|account| {
        let streams = account.streams.changes.iter().filter(|change| change.removes());
        let streams = streams.map(|change| format!("stream {}", change.name));
        let mappings = account.mappings.changes.iter().filter(|change| change.action == Action::Delete);
        streams.chain(mappings.map(|change| format!("mapping {} of account {}", change.source, account.name)))
    });
    accounts.collect()
}

/// The start of a run: its lease, already signed tokens, consent to pushes by other tools, and its report.
struct LeasedRun<'r, L> {
    lease: &'r Lease<L>,
    signed: Option<Vec<SignedPush>>,
    agree: &'r (dyn Fn(&[Merged]) -> bool + Sync),
    applied: &'r mut Applied,
}
