//! Makes streams and consumers before mappings lead to them, checks them, and deletes them once no mapping leads there.

use super::clock::REQUEST_TIMEOUT;
use super::confirm::{ConfirmError, Confirmation, confirm};
use super::error::ApplyError;
use super::planned::Planned;
use super::push::PUSH_TIMEOUT;
use super::report::{Applied, Provisioned, PushedTokens};
use super::session::{ReadError, Reading, Session};
use super::tokens::SignedPush;
use super::{Connector, Deadline, Progress, backfill};
use crate::desired::DesiredAccount;
use crate::desired::members;
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::connection::Connection;
use crate::observed::jetstream::Api;
use crate::observed::survey::ObservedAccount;
use crate::plan::consumers::ConsumerChange;
use crate::plan::own_jetstream::own_api;
use crate::plan::streams::StreamChange;
use crate::plan::{AccountPlan, Action, Plan, Stage, preflight};
use crate::provision::{Event, ItemError, ItemOutcome, RunOptions, run};
use crate::verify::flow::Flow;
use crate::verify::streams::{Checked, Verdict, streams};
use std::time::Duration;
use tokio::time::Instant;

/// Connects to the regional accounts whose streams the plan makes or deletes. Also switches to the mappings back to the
/// application's own JetStream, if the application's tokens have them.
pub(super) async fn reach_regions<C: Connector>(
    session: &mut Session<'_, C::Connection>,
    plan: &Plan,
    tokens: &[SignedPush],
    connector: &C,
) -> Result<(), ApplyError> {
    let strict = session.is_strict();
    let members: Vec<_> = members(session.definition).collect();
    for (index, ((account, region), planned)) in members.into_iter().zip(&plan.accounts).enumerate() {
        let newest = tokens.iter().rfind(|one| one.index == index && one.stage < Stage::Mappings);
        let claims = newest.and_then(|one| AccountClaims::decode(one.token.as_str()).ok());
        let Some(claims) = claims.as_ref().or(planned.current.as_deref()) else { continue };
        let Some(region) = region else {
            if let Some(api) = own_api(claims) {
                session.reach_under(index, api);
            }
            continue;
        };
        let changes = !(planned.streams.changes.is_empty() && planned.consumers.changes.is_empty());
        if planned.new || changes {
            let timeout = session.deadline.at_most(REQUEST_TIMEOUT);
            let connection = connector.regional(account, &region.name, claims, strict, timeout).await;
            match connection.map_err(ReadError::from)? {
                Some(connection) => session.reach_by(index, connection),
                None if changes => {
                    let finding = Finding::error(
                        preflight::REGIONAL_KEY_MISSING,
                        format!("account {}", planned.name),
                        "no key in the keys folder makes users of it that servers take, so its streams cannot be made",
                        "Put its signing key back into the keys folder, then run apply again: it continues from here.",
                    );
                    return Err(ReadError::Refused(Box::new(finding)).into());
                }
                None => {}
            }
        }
    }
    Ok(())
}

/// Checks that the run can get users of all regional accounts in which it makes something. Some problems show only
/// after the first push.
pub(super) fn may_reach_regions<C: Connector>(
    session: &Session<'_, C::Connection>,
    plan: &Plan,
    connector: &C,
) -> Result<(), ApplyError> {
    for ((account, region), planned) in members(session.definition).zip(&plan.accounts) {
        let Some(region) = region else { continue };
        if !(planned.streams.changes.is_empty() && planned.consumers.changes.is_empty()) {
            connector.may_reach(account, &region.name).map_err(ReadError::from)?;
        }
    }
    Ok(())
}

/// Makes and changes streams and consumers. Those of the applications' accounts come first, because streams of regional
/// accounts source them.
pub(super) async fn make<L: Connection>(
    session: &Session<'_, L>,
    plan: &Plan,
    applied: &mut Applied,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    for regional in [false, true] {
        let accounts = plan.accounts.iter().enumerate().filter(|(_, account)| account.region.is_some() == regional);
        let work: Vec<Work<'_, L>> = accounts
            .filter_map(|(place, account)| {
                let streams = account.streams.changes.iter().filter(|change| !change.removes());
                let streams = streams.filter_map(backfill::initial_change).collect();
                // Consumers of streams that take over history begin at its end.
                let waits = |consumer: &&ConsumerChange| {
                    let mut changes = account.streams.changes.iter();
                    changes.any(|change| change.name == consumer.stream && backfill::needs_backfill(change))
                };
                let consumers = account.consumers.changes.iter().filter(|consumer| !waits(consumer)).cloned().collect();
                Some(Work { api: session.api(place)?, streams, consumers })
            })
            .collect();
        provision(&work, session.deadline, "making streams", applied, progress).await?;
    }
    Ok(())
}

/// The changes to make in one account.
struct Work<'s, L> {
    api: Api<'s, L>,
    streams: Vec<StreamChange>,
    consumers: Vec<ConsumerChange>,
}

/// Deletes and narrows streams, once no server has a mapping to them any more.
pub(super) async fn remove_streams<L: Connection>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    applied: &mut Applied,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    let plan = &planned.plan;
    // Read streams are deleted before the write streams that they source.
    let work = |regional: bool| -> Vec<Work<'_, L>> {
        let accounts = plan.accounts.iter().enumerate().filter(|(_, account)| account.region.is_some() == regional);
        let work = accounts.filter_map(|(place, account)| {
            let streams = account.streams.changes.iter().filter(|change| change.removes()).cloned().collect();
            Some(Work { api: session.api(place)?, streams, consumers: Vec::new() })
        });
        work.filter(|work| !work.streams.is_empty()).collect()
    };
    let works = [work(true), work(false)];
    let changes: Vec<&StreamChange> = works.iter().flatten().flat_map(|work| &work.streams).collect();
    if changes.is_empty() {
        return Ok(());
    }
    let sure = session.deployment.missing() == 0
        && applied.is_confirmed()
        && nothing_leads_there(session, planned, progress).await?;
    if !sure {
        applied.kept.extend(changes.iter().map(|change| change.name.clone()));
        return Ok(());
    }
    let deletes = changes.iter().any(|change| change.action == Action::Delete);
    let step = if deletes { "deleting streams" } else { "changing streams" };
    for work in &works {
        provision(work, session.deadline, step, applied, progress).await?;
    }
    Ok(())
}

/// Returns `true` if every server has the tokens that the plan was made from, for accounts whose mappings led to the
/// streams, and that this run pushed no token of yet. Those tokens have no mapping to the streams.
async fn nothing_leads_there<L: Connection>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    progress: &dyn Progress,
) -> Result<bool, ApplyError> {
    // The mappings to the streams of regional accounts are the application's. Its account comes first.
    let mut owners: Vec<(&AccountPlan, &ObservedAccount, bool)> = Vec::new();
    for (account, found) in planned.plan.accounts.iter().zip(&planned.observed.accounts) {
        if account.region.is_none() {
            owners.push((account, found, false));
        }
        if let Some((_, _, removes)) = owners.last_mut() {
            *removes |= account.streams.changes.iter().any(StreamChange::removes);
        }
    }
    owners.retain(|(account, _, removes)| *removes && account.pushes.iter().all(|push| push.stage > Stage::Mappings));
    if !owners.is_empty() {
        progress.step("asking every server whether its mappings are gone", 0, 0);
    }
    let owners = owners.into_iter().map(|(account, found, _)| (account, found));
    Ok(confirm_newest(session, owners).await?.iter().all(|one| one.verdict.is_confirmed()))
}

/// Reads the newest tokens of these accounts on every server, and confirms them.
pub(super) async fn confirm_newest<'p, L: Connection>(
    session: &Session<'_, L>,
    accounts: impl Iterator<Item = (&'p AccountPlan, &'p ObservedAccount)>,
) -> Result<Vec<Confirmation>, ConfirmError> {
    let newest = accounts.filter_map(|(account, found)| {
        let (base, _) = session.base(&account.name, &account.id, &found.servers);
        Some((account.id.clone(), base?.token))
    });
    let newest: Vec<(PublicKey, String)> = newest.collect();
    let Session { resolver, system, deployment, anchor, deadline, .. } = session;
    confirm(resolver, system, deployment, anchor, &newest, deadline.at_most(PUSH_TIMEOUT)).await
}

async fn provision<L: Connection>(
    work: &[Work<'_, L>],
    deadline: Deadline,
    step: &str,
    applied: &mut Applied,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    let total: usize = work.iter().map(|work| work.streams.len() + work.consumers.len()).sum();
    if total == 0 {
        return Ok(());
    }
    let done = std::sync::atomic::AtomicUsize::new(0);
    progress.step(step, 0, total);
    let done = &done;
    let options = RunOptions { deadline: deadline.left(), ..RunOptions::default() };
    let busy = work.iter().filter(|work| !(work.streams.is_empty() && work.consumers.is_empty()));
    let runs = busy.map(|Work { api, streams, consumers }| {
        run(*api, streams, consumers, options, move |event| {
            if let Event::Finished(_) = event {
                let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                progress.step(step, done, total);
            }
        })
    });
    let outcomes = futures::future::join_all(runs).await;
    applied.provisioned.extend(outcomes.iter().flatten().map(provisioned));
    match applied.provisioned.iter().filter(|one| one.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(ApplyError::Provision {
            failed,
            total: applied.provisioned.len(),
            pushed: PushedTokens::of(&applied.pushed),
        }),
    }
}

fn provisioned(outcome: &ItemOutcome<'_>) -> Provisioned {
    let ItemOutcome { item, result, requests: _ } = outcome;
    Provisioned {
        place: item.place(),
        action: item.action(),
        done: result.as_ref().ok().copied(),
        error: result.as_ref().err().map(ItemError::to_string),
    }
}

/// Time limits for checking streams until they are as planned.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamPatience {
    /// The limit for any problem.
    any: Duration,
    /// The limit if the only problems are sources that servers will retry by themselves.
    sources: Duration,
}

impl StreamPatience {
    pub fn of(time: Duration) -> Self {
        Self { any: time, sources: time }
    }
}

/// Time limits after everything is done.
///
/// If a source's first request gets no answer, the server retries it after 40 s: it waits 30 s for the answer, and 10 s
/// more (nats-server 2.15 `stream.go`, `trySetupSourceConsumer`). A request that coincides with a push is lost, because
/// the account's JetStream API is missing for a moment while a server applies a new token (`accounts.go`,
/// `updateAccountClaimsWithRefresh`).
pub(super) const SETTLED: StreamPatience = StreamPatience { any: USUAL_TIMEOUT, sources: Duration::from_secs(50) };

/// Time after which the run tells the user what it waits for.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the first check. Sources connect no sooner than 0.1 – 0.2 s after their stream was made
/// (`setupSourceConsumer`). A request for the list of streams takes 4 s if not all servers know the new streams yet
/// (measured, 2.15.1: in 6 of 120 runs of `apply` with 60 new streams; in none of 120 after this pause).
const FIRST_LOOK_DELAY: Duration = Duration::from_millis(150);
/// Pause between two checks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Pause between two checks after a while.
const LATER_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Time for the last check: a list of streams takes 4 s if a stream does not answer.
const LAST_LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the streams back until they are as defined, or until the time limit. Ignores the streams in `left_out`.
pub(super) async fn look_at_streams<L: Connection>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    patience: StreamPatience,
    left_out: &[String],
    progress: &dyn Progress,
) -> Result<Vec<Checked>, ApplyError> {
    progress.step("looking at the streams", 0, 0);
    // The run does not wait for messages from servers that are down.
    let StreamPatience { any, sources } = match session.deployment.missing() {
        0 => patience,
        _ => StreamPatience::of(patience.any / 5),
    };
    let most = session.deadline.left().saturating_sub(LAST_LOOK_TIMEOUT);
    let (until, until_sources) = (Deadline::after(any.min(most)), Deadline::after(sources.min(most)));
    tokio::time::sleep(until.at_most(FIRST_LOOK_DELAY)).await;
    let (begun, mut told) = (Instant::now(), false);
    let (mut earlier, mut flow) = (None, Flow::default());
    loop {
        let nothing = vec![Vec::new(); planned.desired.len()];
        let observed = match (session.observe(&planned.desired, nothing, Reading::ToChange).await, earlier) {
            (Ok(observed), _) => observed,
            (Err(_), Some(problems)) => return Ok(problems),
            (Err(error), None) => return Err(error.into()),
        };
        let checked = planned.desired.iter().zip(&observed.accounts);
        let checked = checked.flat_map(|(desired, found)| streams(desired, &found.jetstream));
        let counts = |checked: &Checked| checked.verdict != Verdict::Ok && !left_out.contains(&checked.stream);
        let mut problems: Vec<Checked> = checked.filter(counts).collect();
        let flowing = planned.desired.iter().zip(&observed.accounts);
        let stopped = flowing.flat_map(|(desired, found)| flow.look(desired, &found.jetstream));
        let stopped: Vec<Checked> = stopped.filter(counts).collect();
        if problems.is_empty() {
            problems = stopped;
        }
        let waits = problems.iter().all(Checked::waits_for_sources);
        let end = if waits { until_sources } else { until };
        if problems.is_empty() || end.is_over() {
            return Ok(problems);
        }
        let late = begun.elapsed() > USUAL_TIMEOUT;
        if late && waits && !told {
            let names: Vec<&str> = problems.iter().map(|checked| checked.stream.as_str()).collect();
            progress.step(&format!("waiting for servers to try the sources of {} again", first_of(&names)), 0, 0);
            told = true;
        }
        earlier = Some(problems);
        tokio::time::sleep(end.at_most(if late { LATER_LOOK_INTERVAL } else { LOOK_INTERVAL })).await;
    }
}

/// Checks that every source flows, if the run has not checked the streams. The data read for the plan mostly suffices.
pub(super) async fn check_sources<L: Connection>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    applied: &mut Applied,
    progress: &dyn Progress,
) {
    let flows = |(desired, found): (&DesiredAccount<'_>, &ObservedAccount)| {
        let as_defined = streams(desired, &found.jetstream).iter().all(|checked| checked.verdict == Verdict::Ok);
        as_defined && Flow::default().look(desired, &found.jetstream).is_empty()
    };
    // `destroy` and `rollback` expect no streams.
    if planned.desired.is_empty() {
        return;
    }
    // A push can make a source lose its request.
    let untouched = applied.pushed.is_empty() && applied.provisioned.is_empty();
    if applied.seen || (untouched && planned.desired.iter().zip(&planned.observed.accounts).all(flows)) {
        return;
    }
    match look_at_streams(session, planned, SETTLED, &applied.left_out(), progress).await {
        Ok(problems) => applied.problems = problems,
        Err(error) => applied.unread = Some(error.to_string()),
    }
}

fn first_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    }
}
