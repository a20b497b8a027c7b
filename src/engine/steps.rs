//! The steps of a run, each done once, in the order of [`schedule`].

use super::error::ApplyError;
use super::planned::Planned;
use super::push::{PUSH_TIMEOUT, push_stage};
use super::report::Applied;
use super::session::{ReadError, Session};
use super::signing::Signers;
use super::streams::{SETTLED, StreamPatience, look_at_streams, make, reach_regions, remove_streams};
use super::tokens::SignedPush;
use super::{Connector, Deadline, Progress, backfill, caches, intents};
use crate::plan::schedule::{Step, schedule};
use crate::plan::{AccountPlan, Action, Stage};
use crate::verify::streams::{Checked, Verdict};
use std::time::Duration;
use tokio::time::timeout;

/// Time that a push waits for sources to connect. Sources of one virtual stream take 0.3 s, those of 20 take 0.8 s
/// (measured, 2.15.1, idle).
const CONNECT_SOURCES_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for read streams to catch up before mappings lead readers to them.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(120);

/// Carries out a plan once.
pub(super) async fn carry_out<'d, C: Connector>(
    session: &mut Session<'d, C::Connection>,
    planned: &Planned<'d>,
    signers: &Signers<'_>,
    tokens: &[SignedPush],
    connector: &C,
    applied: &mut Applied,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    if !tokens.is_empty() {
        session.resolver.may_push().map_err(ReadError::from)?;
    }
    intents::begin(session, &planned.plan, tokens, signers.operator)?;
    let accounts = &planned.plan.accounts;
    applied.skipped = accounts.iter().flat_map(|account| account.skipped.iter().cloned()).collect();
    let changed = accounts.iter().flat_map(|account| &account.streams.changes);
    let narrowed = changed.filter(|change| change.narrows()).map(|change| change.name.clone()).collect();
    let mut work = Work { session, planned, tokens, connector, applied, progress, narrowed, unseen: false, seen: None };
    for step in schedule(&planned.plan) {
        work.step(step).await?;
    }
    let Work { applied, seen, .. } = work;
    applied.seen = seen.is_some();
    match seen {
        Some(Ok(problems)) => applied.problems = problems,
        // The report still has everything done, and the servers that confirmed it.
        Some(Err(error)) => applied.unread = Some(error.to_string()),
        None => {}
    }
    Ok(())
}

/// The inputs of the steps, and the facts that they find out.
struct Work<'w, 'd, C: Connector> {
    session: &'w mut Session<'d, C::Connection>,
    planned: &'w Planned<'d>,
    tokens: &'w [SignedPush],
    connector: &'w C,
    applied: &'w mut Applied,
    progress: &'w dyn Progress,
    /// Streams that will capture less. They become as planned only after the mappings change.
    narrowed: Vec<String>,
    /// `true` if streams were changed, and were not as planned when the run waited for them.
    unseen: bool,
    /// The last observation of the streams after their last change.
    seen: Option<Result<Vec<Checked>, ApplyError>>,
}

impl<C: Connector> Work<'_, '_, C> {
    async fn step(&mut self, step: Step) -> Result<(), ApplyError> {
        let Self { planned, tokens, connector, progress, .. } = *self;
        match step {
            Step::LoadAccounts => {
                caches::load(self.session, planned, tokens, caches::Accounts::Old, connector, progress).await
            }
            Step::LoadNewAccounts => {
                caches::load(self.session, planned, tokens, caches::Accounts::New, connector, progress).await
            }
            // The mappings and imports of streams that were kept must stay, too.
            Step::Push(stage) if stage > Stage::Mappings && !self.applied.kept.is_empty() => Ok(()),
            // A stage that has begun is completed, whatever the state of the streams.
            Step::Push(stage) => push_stage(self.session, &planned.plan, tokens, stage, self.applied, progress).await,
            Step::ConnectRegional => reach_regions(self.session, &planned.plan, tokens, connector).await,
            Step::EnsureStreams => make(self.session, &planned.plan, self.applied, progress).await,
            Step::Backfill => {
                let rest = Deadline::after(self.session.deadline.left().saturating_sub(PUSH_TIMEOUT));
                backfill::run_backfill(self.session, planned, rest, self.applied, progress).await
            }
            Step::AwaitStreams => self.await_streams().await,
            Step::RemoveStreams => remove_streams(self.session, planned, self.applied, progress).await,
            Step::CheckStreams => {
                if (self.unseen && self.seen.is_none()) || !self.narrowed.is_empty() {
                    let left_out = self.applied.left_out();
                    self.seen = Some(look_at_streams(self.session, planned, SETTLED, &left_out, progress).await);
                }
                Ok(())
            }
        }
    }

    /// Waits until the streams are ready for the mappings that lead to them, if that is needed.
    async fn await_streams(&mut self) -> Result<(), ApplyError> {
        let accounts = &self.planned.plan.accounts;
        let changes = |account: &AccountPlan| account.streams.changes.len() + account.consumers.changes.len();
        self.applied.streams_checked &= accounts.iter().all(|account| changes(account) == 0);
        self.unseen = !(self.applied.streams_checked || self.applied.provisioned.is_empty());
        let left_out = [&self.applied.left_out()[..], &self.narrowed[..]].concat();
        let regional = accounts.iter().any(|account| account.region.is_some());
        let maps = self.tokens.iter().any(|one| one.stage == Stage::Mappings);
        // Streams of an earlier run may not have all messages yet.
        let mut mappings = accounts.iter().flat_map(|account| &account.mappings.changes);
        let leads = mappings.any(|change| change.action == Action::Create);
        let left = self.session.deadline.left().saturating_sub(PUSH_TIMEOUT);
        if regional && maps && (self.unseen || (leads && !self.applied.streams_checked)) {
            // Mappings will lead readers to these streams, which must first have all readable messages.
            let patience = StreamPatience::of(CATCH_UP_TIMEOUT.min(left));
            let seen = look_at_streams(self.session, self.planned, patience, &left_out, self.progress).await;
            if let Ok(problems) = &seen
                && problems.iter().any(|checked| checked.verdict == Verdict::Wrong)
            {
                return Err(ApplyError::NotCaughtUp { problems: problems.clone() });
            }
            // If the stage must be pushed again, the streams have already been checked.
            self.applied.streams_checked = seen.is_ok();
            self.seen = Some(seen);
        } else if self.unseen {
            // The push waits for sources to connect, because it would interrupt them.
            let meet = CONNECT_SOURCES_TIMEOUT.min(left);
            let look = look_at_streams(self.session, self.planned, StreamPatience::of(meet), &left_out, self.progress);
            self.seen = timeout(meet, look).await.ok().filter(|seen| seen.as_ref().is_ok_and(Vec::is_empty));
        }
        Ok(())
    }
}
