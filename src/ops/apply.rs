//! `apply`: makes the deployment match, in the order that keeps it safe, and looks at every server afterwards.
//!
//! Streams come before the mappings that lead to them. What is taken away goes backwards: first the mappings, then,
//! when no server has them any more, the streams. Stopped anywhere, the next run finishes.

use super::confirm::{ConfirmError, Confirmation, confirm, confirm_push};
pub use super::issue::IssueError;
use super::issue::{Issued, ToIssue, issue_all};
use super::journal::{self, JournalError};
use super::lease::{self, Holder, LeaseError};
use super::plan::{Planned, compare, plan};
use super::planfile::{self, NotAsPlanned};
use super::session::{ASK, Hearing, ReadError, Reading, Session, now, too_late};
use super::{Connector, Deadline, Tell, along, destroy::plan_destroy, regional, rollback::plan_rollback};
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::AccountOnServer;
use crate::observed::jetstream::Api;
use crate::observed::link::Link;
use crate::plan::consumers::ConsumerChange;
use crate::plan::file::Content;
use crate::plan::mappings::MappingChange;
use crate::plan::rollback::Undo;
use crate::plan::streams::StreamChange;
use crate::plan::{AccountPlan, Action, Plan, Reason, Stage, is_nowhere, preflight};
use crate::provision::{Done, Event, ItemError, Outcome, RunOptions, run};
use crate::push::{Answer, PushError, PushOutcome, push};
use crate::sign::keyring::{Keyring, KeyringError};
use crate::sign::{SignedToken, Signer};
use crate::verify::account::Verdict as Has;
use crate::verify::streams::{Checked, Verdict, streams};
use futures::future::{BoxFuture, Either, pending, select};
use serde::Serialize;
use std::collections::HashSet;
use std::time::{Duration, Instant};

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
    /// How often it was planned again, since others changed something meanwhile.
    pub planned_again: usize,
    /// Whether the streams were looked at since they were changed last, and had what there was to read.
    #[serde(skip)]
    looked: bool,
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
    /// In which stage.
    pub stage: Stage,
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
    /// Who else answered and is no server of the deployment, or not with an answer; as they call themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<String>,
}

impl Pushed {
    /// Whether every server that answered has it in force.
    pub fn is_confirmed(&self) -> bool {
        self.servers.iter().all(|server| server.verdict.is_confirmed())
    }
}

impl Applied {
    /// Whether every server that has to confirm did.
    pub fn is_confirmed(&self) -> bool {
        self.pushed.iter().all(Pushed::is_confirmed)
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
    #[error("{0}; nothing was pushed")]
    Issue(#[from] IssueError),
    /// Tokens of a signed plan file.
    #[error("{0}; nothing was pushed")]
    NotAsPlanned(#[from] NotAsPlanned),
    /// Keys of regional accounts could not be read or written.
    #[error("{0}; nothing was pushed")]
    Keys(#[from] KeyringError),
    /// A stage begins when every server confirmed the one before.
    #[error("not every server confirmed the new token of account {account}: what builds on it was not pushed")]
    StageUnconfirmed {
        /// The account.
        account: String,
        /// What was done until then.
        applied: Box<Applied>,
    },
    /// The read streams lack messages, so readers were not led to them.
    #[error("{} streams are not ready; applications were not led to them", .problems.len())]
    NotCaughtUp {
        /// What is the matter.
        problems: Vec<Checked>,
        /// Streams and consumers.
        provisioned: Vec<Provisioned>,
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
    /// Someone else pushed a token since the plan was made.
    #[error("the token of account {account} was changed by someone else since the plan was made; {}", match .pushed {
        true => "not all of the plan was done",
        false => "no token was pushed",
    })]
    ChangedMeanwhile {
        /// The definition's name for the account.
        account: String,
        /// Whether tokens were pushed before.
        pushed: bool,
    },
    /// A plan file that is not of this deployment any more.
    #[error("the plan is stale: {}; nothing was changed", .0.join("; "))]
    Stale(Vec<String>),
    /// What others changed meanwhile makes the plan take away more than was agreed to.
    #[error(
        "others changed something meanwhile, and now {0} would be taken away, which was not in the plan; nothing more was done"
    )]
    TakesAwayMore(String),
    /// The lease that keeps two runs apart.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The user, or the system, wants it to end.
    #[error("interrupted; what was done until then stays")]
    Interrupted,
    /// The push as a whole.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The record of it.
    #[error("{0}; no token was pushed")]
    Journal(#[from] JournalError),
    /// Reading back.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// How long sources may take to get in touch after their streams were made.
const SETTLE: Duration = Duration::from_secs(10);
/// How long read streams may take to catch up before readers are led to them.
const CATCH_UP: Duration = Duration::from_secs(120);

/// How often a plan is made again on top of what others push, before the run gives up.
const ROUNDS: usize = 8;

/// How a plan is carried out.
pub struct Run<'r> {
    /// Who signs.
    pub signers: Signers<'r>,
    /// Who takes the lease.
    pub holder: Holder,
    /// How long another run may take before its lease is given back; beside the deadline.
    pub patience: Duration,
    /// What is done when others changed something since the plan was made.
    pub again: Again<'r>,
    /// Ends when the run shall end early.
    pub stop: BoxFuture<'r, ()>,
}

impl<'r> Run<'r> {
    /// Plans again when others changed something, waits for other runs as long as the command does, and is not stopped.
    pub fn new(signers: Signers<'r>, holder: Holder) -> Self {
        Self { signers, holder, patience: Duration::from_secs(180), again: Again::Plan, stop: Box::pin(pending()) }
    }
}

/// How a plan is made again.
#[derive(Debug, Clone, Copy)]
pub enum Again<'r> {
    /// The definition is compared anew.
    Plan,
    /// What is to go is looked up anew.
    Destroy {
        /// With the streams.
        delete_streams: bool,
    },
    /// What was pushed is undone on top of what is there now.
    Back(&'r Undo<'r>),
    /// Not at all: this plan, or none.
    Exactly(&'r Content),
}

/// Who signs: the operator for accounts' tokens, the accounts themselves for activation tokens.
pub struct Signers<'s> {
    /// The operator's key; not needed when nothing has to be signed.
    pub operator: Option<&'s dyn Signer>,
    /// The keys folder; keys of new regional accounts are written there before anything is pushed.
    pub keys: &'s mut Keyring,
    /// A signed plan file: its tokens are pushed, and nothing is signed.
    pub signed: Option<&'s Content>,
}

/// Carries out a plan, as the only run that changes its accounts. A plan that others overtook is made again, on top of
/// what they did.
///
/// # Errors
/// [`ApplyError`]; it says whether something was written. Not every server confirming is not an error:
/// [`Applied::is_confirmed`].
pub async fn apply<'d, C: Connector>(
    session: &mut Session<'d, C::Link>,
    planned: &mut Planned<'d>,
    run: Run<'_>,
    connector: &C,
    tell: &dyn Tell,
) -> Result<Applied, ApplyError> {
    if planned.plan.is_refused() {
        return Err(ApplyError::Refused(planned.plan.findings.clone()));
    }
    let Run { mut signers, holder, patience, again, stop } = run;
    if planned.plan.is_empty() {
        let mut applied = Applied::default();
        carry_out(session, planned, &mut signers, None, connector, &mut applied, tell).await?;
        return Ok(applied);
    }
    may_sign(session, planned, &signers)?;
    let signed = sign_early(session, planned, &mut signers)?;
    let asked = Instant::now();
    let waiting = lease::take(session, &planned.plan, &planned.options, &holder, patience, tell);
    let (lease, stop) = match select(Box::pin(waiting), stop).await {
        Either::Left((lease, stop)) => (lease?, stop),
        Either::Right(_) => return Err(ApplyError::Interrupted),
    };
    session.deadline = session.deadline.extended(asked.elapsed());
    let begun = Begun { waited: lease.waited, signed };
    let work = in_rounds(session, planned, &mut signers, begun, again, connector, tell);
    let result = tokio::select! {
        result = work => result,
        lost = lease.keep() => Err(lost.into()),
        () = stop => Err(ApplyError::Interrupted),
    };
    let gone = matches!(again, Again::Destroy { .. }) && result.as_ref().is_ok_and(Applied::is_confirmed);
    lease.release(gone && nothing_stays(planned)).await;
    result
}

/// Carries out the plan; when others changed something meanwhile, plans again and goes on.
async fn in_rounds<'d, C: Connector>(
    session: &mut Session<'d, C::Link>,
    planned: &mut Planned<'d>,
    signers: &mut Signers<'_>,
    begun: Begun,
    again: Again<'_>,
    connector: &C,
    tell: &dyn Tell,
) -> Result<Applied, ApplyError> {
    let agreed = taken_away(&planned.plan);
    let Begun { waited, mut signed } = begun;
    let mut overtaken = waited || !is_as_planned(session, planned).await?;
    let mut applied = Applied::default();
    loop {
        if overtaken {
            signed = None;
            plan_again(session, planned, signers.keys, again, connector, tell).await?;
            if let Some(more) = taken_away(&planned.plan).into_iter().find(|what| !agreed.contains(what)) {
                return Err(ApplyError::TakesAwayMore(more));
            }
        }
        let exactly = matches!(again, Again::Exactly(_));
        match carry_out(session, planned, signers, signed.take(), connector, &mut applied, tell).await {
            Err(ApplyError::ChangedMeanwhile { .. }) if applied.planned_again < ROUNDS && !exactly => {
                overtaken = true;
                applied.planned_again += 1;
                // What was overtaken is pushed again.
                applied.pushed.retain(Pushed::is_confirmed);
            }
            Err(error) => return Err(error),
            Ok(()) => return Ok(applied),
        }
    }
}

/// Makes the plan anew, from what servers have now.
async fn plan_again<'d, C: Connector>(
    session: &mut Session<'d, C::Link>,
    planned: &mut Planned<'d>,
    keys: &mut Keyring,
    again: Again<'_>,
    connector: &C,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    tell.step("somebody changed something meanwhile; planning again", 0, 0);
    let (definition, deadline) = (session.definition, session.deadline);
    let hearing = session.watch.take().map_or(Hearing::On, Hearing::GoOn);
    keys.reopen()?;
    let options = planned.options.clone();
    let journal = session.journal.take();
    (*session, *planned) = match again {
        Again::Plan | Again::Exactly(_) => plan(definition, connector, keys, &options, hearing, deadline, tell).await?,
        Again::Destroy { delete_streams } => {
            plan_destroy(definition, connector, keys, delete_streams, hearing, deadline, tell).await?
        }
        Again::Back(undo) => {
            let back = plan_rollback(definition, connector, keys, undo, hearing, deadline, tell).await?;
            let (session, planned, _) = back;
            (session, planned)
        }
    };
    session.journal = journal;
    if let Again::Exactly(content) = again {
        let moved = planfile::moved(content, session, planned);
        if !moved.is_empty() {
            return Err(ApplyError::Stale(moved));
        }
    }
    match planned.plan.is_refused() {
        true => Err(ApplyError::Refused(planned.plan.findings.clone())),
        false => Ok(()),
    }
}

/// Whether the servers still have the tokens that were planned from, and nothing else was heard.
async fn is_as_planned<L: Link>(session: &Session<'_, L>, planned: &Planned<'_>) -> Result<bool, ApplyError> {
    let accounts = &planned.plan.accounts;
    if session.watch.as_ref().is_some_and(|watch| watch.news(accounts.iter().map(|account| &account.id)).is_some()) {
        return Ok(false);
    }
    let newest = |name: &str, servers: &[AccountOnServer]| {
        preflight::base(name, &session.deployment, servers, now()).0.map(|base| base.token)
    };
    let tokens = session.tokens().await?;
    let mut each = accounts.iter().zip(&planned.observed.accounts).zip(&tokens);
    Ok(each.all(|((account, found), servers)| newest(&account.name, &found.servers) == newest(&account.name, servers)))
}

/// Whether a plan takes away all streams of ours that there are.
fn nothing_stays(planned: &Planned<'_>) -> bool {
    planned.plan.accounts.iter().zip(&planned.observed.accounts).all(|(account, found)| {
        let goes = |name: &str| account.streams.changes.iter().any(|c| c.name == name && c.action == Action::Delete);
        found.jetstream.streams.iter().filter(|stream| stream.owner.is_some()).all(|stream| goes(&stream.name))
    })
}

/// All that a plan takes away, in words.
fn taken_away(plan: &Plan) -> Vec<String> {
    let accounts = plan.accounts.iter().flat_map(|account| {
        let streams = account.streams.changes.iter().filter(|change| takes_away(change));
        let streams = streams.map(|change| format!("stream {}", change.name));
        let mappings = account.mappings.changes.iter().filter(|change| change.action == Action::Delete);
        streams.chain(mappings.map(|change| format!("mapping {} of account {}", change.source, account.name)))
    });
    accounts.collect()
}

/// Whether what has to be signed can be, before anything is waited for or written.
fn may_sign<L: Link>(session: &Session<'_, L>, planned: &Planned<'_>, signers: &Signers<'_>) -> Result<(), ApplyError> {
    if !needs_signature(&planned.plan) {
        return Ok(());
    }
    let sealed = signers.signed.and_then(|file| file.signed.as_ref()).map(|signed| signed.operator.clone());
    let key = sealed.or_else(|| signers.operator.map(Signer::public_key)).ok_or(ApplyError::NoSigner)?;
    match preflight::signer(&session.deployment, &key) {
        Some(finding) => Err(ApplyError::Refused(vec![finding])),
        None => Ok(()),
    }
}

/// Whether tokens have to be signed.
fn needs_signature(plan: &Plan) -> bool {
    let key_lost = plan.findings.iter().any(|finding| finding.code == preflight::REGIONAL_KEY_MISSING);
    key_lost || plan.accounts.iter().any(|account| !account.pushes.is_empty())
}

/// Carries out a plan, once.
async fn carry_out<'d, C: Connector>(
    session: &mut Session<'d, C::Link>,
    planned: &mut Planned<'d>,
    signers: &mut Signers<'_>,
    signed: Option<Vec<Issued>>,
    connector: &C,
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    let tokens = signed.map_or_else(|| sign(session, planned, signers), Ok)?;
    let plan = &planned.plan;
    journal::begin(session, plan, &tokens, signers.operator)?;
    applied.skipped = plan.accounts.iter().flat_map(|account| account.skipped.iter().cloned()).collect();
    for stage in [Stage::RegionalExports, Stage::ApplicationLinks, Stage::RegionalImports] {
        push_stage(session, plan, &tokens, stage, applied, tell).await?;
    }
    reach_regions(session, plan, &tokens, connector).await?;
    make(session, plan, applied, tell).await?;
    let rest = Deadline::after(session.deadline.left().saturating_sub(PUSH));
    along::take_along(session, planned, rest, applied, tell).await?;
    let changes = |account: &AccountPlan| account.streams.changes.len() + account.consumers.changes.len();
    applied.looked &= plan.accounts.iter().all(|account| changes(account) == 0);
    let (unseen, skipped) = (!(applied.looked || applied.provisioned.is_empty()), applied.skipped.clone());
    let narrows = plan.accounts.iter().flat_map(|account| &account.streams.changes).any(StreamChange::narrows);
    let regional = plan.accounts.iter().any(|account| account.region.is_some());
    let maps = tokens.iter().any(|one| one.stage == Stage::Mappings);
    // Streams that an earlier run made may not have all yet.
    let leads = |change: &MappingChange| change.action == Action::Create;
    let leads = plan.accounts.iter().flat_map(|account| &account.mappings.changes).any(leads);
    let looked = if regional && maps && (unseen || (leads && !applied.looked)) {
        // Readers are about to be led to these streams: first they have to have what there is to read.
        let settle = CATCH_UP.min(session.deadline.left().saturating_sub(PUSH));
        let looked = look_at_streams(session, planned, settle, &skipped, tell).await;
        if let Ok(problems) = &looked
            && problems.iter().any(|checked| checked.verdict == Verdict::Wrong)
        {
            return Err(ApplyError::NotCaughtUp {
                problems: problems.clone(),
                provisioned: applied.provisioned.clone(),
            });
        }
        // When the push has to be made again, they have been seen.
        applied.looked = looked.is_ok();
        push_stage(session, plan, &tokens, Stage::Mappings, applied, tell).await?;
        Some(looked)
    } else {
        // Sources get in touch while the tokens are pushed. A push that was begun is seen through, whatever the streams
        // say.
        let look = unseen && !narrows;
        let (pushed, looked) =
            futures::join!(push_stage(session, plan, &tokens, Stage::Mappings, applied, tell), async {
                match look {
                    true => Some(look_at_streams(session, planned, SETTLE, &skipped, tell).await),
                    false => None,
                }
            });
        pushed?;
        looked
    };
    take_away(session, planned, applied, tell).await?;
    let gone = [Stage::RegionalImportsGone, Stage::ApplicationLinksGone, Stage::RegionalExportsGone];
    if applied.kept.is_empty() {
        for stage in gone {
            push_stage(session, plan, &tokens, stage, applied, tell).await?;
        }
    }
    let looked = match narrows {
        true => Some(look_at_streams(session, planned, SETTLE, &skipped, tell).await),
        false => looked,
    };
    match looked {
        Some(Ok(problems)) => applied.problems = problems,
        // What was done, and who confirmed it, is told all the same.
        Some(Err(error)) => applied.unread = Some(error.to_string()),
        None => {}
    }
    Ok(())
}

/// How a run begins: whether another one went before, and what was signed already.
struct Begun {
    waited: bool,
    signed: Option<Vec<Issued>>,
}

/// Signs before the lease is taken, so that what cannot be signed leaves no trace at all. Keys of new accounts are made
/// under the lease only: another run may be making them.
fn sign_early<'d, L: Link>(
    session: &mut Session<'d, L>,
    planned: &mut Planned<'d>,
    signers: &mut Signers<'_>,
) -> Result<Option<Vec<Issued>>, ApplyError> {
    let sealed = signers.signed.is_some_and(|file| file.signed.is_some());
    if sealed || planfile::without_keys(&planned.plan, signers.keys)?.is_empty() {
        return sign(session, planned, signers).map(Some);
    }
    Ok(None)
}

/// Signs before anything is written, so that what cannot be signed stops the run. Makes the keys of new regional
/// accounts.
fn sign<'d, L: Link>(
    session: &mut Session<'d, L>,
    planned: &mut Planned<'d>,
    signers: &mut Signers<'_>,
) -> Result<Vec<Issued>, ApplyError> {
    if !needs_signature(&planned.plan) {
        return Ok(Vec::new());
    }
    may_sign(session, planned, signers)?;
    let Signers { operator, keys, signed } = signers;
    if let Some(content) = signed.filter(|file| file.signed.is_some()) {
        let tokens = planfile::tokens(content, &planned.plan)?;
        return fit(session, &planned.plan, tokens);
    }
    let operator = operator.ok_or(ApplyError::NoSigner)?;
    if regional::make_keys(session, &planned.plan, keys, &mut planned.options)? {
        planned.desired = session.desired().map_err(ReadError::from)?;
        planned.plan = compare(session, &planned.desired, &planned.observed, keys, &planned.options);
        if planned.plan.is_refused() {
            return Err(ApplyError::Refused(planned.plan.findings.clone()));
        }
    }
    let accounts: Vec<ToIssue<'_>> = planned.plan.accounts.iter().map(ToIssue::from).collect();
    let tokens = issue_all(session.definition, &accounts, operator, keys)?;
    fit(session, &planned.plan, tokens)
}

/// The tokens, if servers take tokens of their size.
fn fit<L>(session: &Session<'_, L>, plan: &Plan, tokens: Vec<Issued>) -> Result<Vec<Issued>, ApplyError> {
    let large = tokens
        .iter()
        .find_map(|one| preflight::size(&plan.accounts[one.place].name, one.token.as_str().len(), &session.deployment));
    large.map_or(Ok(tokens), |finding| Err(ApplyError::Refused(vec![finding])))
}

/// Connects to the regional accounts that have streams to be made or taken away, and from now on reaches the
/// application's own JetStream by the way back, where its tokens have one.
async fn reach_regions<C: Connector>(
    session: &mut Session<'_, C::Link>,
    plan: &Plan,
    tokens: &[Issued],
    connector: &C,
) -> Result<(), ApplyError> {
    let strict = session.is_strict();
    let members: Vec<_> = regional::members(session.definition).collect();
    for (place, ((account, region), planned)) in members.into_iter().zip(&plan.accounts).enumerate() {
        let newest = tokens.iter().rfind(|one| one.place == place && one.stage < Stage::Mappings);
        let claims = newest.and_then(|one| AccountClaims::decode(one.token.as_str()).ok());
        let Some(claims) = claims.as_ref().or(planned.current.as_ref()) else { continue };
        let Some(region) = region else {
            session.reach_under(place, regional::application_api(claims));
            continue;
        };
        let changes = !(planned.streams.changes.is_empty() && planned.consumers.changes.is_empty());
        if planned.new || changes {
            let timeout = session.deadline.at_most(ASK);
            let link = connector.regional(account, &region.name, claims, strict, timeout).await;
            match link.map_err(ReadError::from)? {
                Some(link) => session.reach_by(place, link),
                None if changes => {
                    let finding = Finding::error(
                        preflight::REGIONAL_KEY_MISSING,
                        format!("account {}", planned.name),
                        "none of its keys is in the keys folder, so its streams cannot be made",
                        "Put its key back into the keys folder, then run apply again: it goes on from here.",
                    );
                    return Err(ReadError::Refused(Box::new(finding)).into());
                }
                None => {}
            }
        }
    }
    Ok(())
}

/// Makes and changes streams and consumers: of the applications' accounts first, which the regional ones' source.
async fn make<L: Link>(
    session: &Session<'_, L>,
    plan: &Plan,
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    for regional in [false, true] {
        let accounts = plan.accounts.iter().enumerate().filter(|(_, account)| account.region.is_some() == regional);
        let work: Vec<Work<'_, L>> = accounts
            .filter_map(|(place, account)| {
                let streams = account.streams.changes.iter().filter(|change| !takes_away(change));
                let streams = streams.filter_map(along::first).collect();
                // Those of streams that take history along begin where that ends.
                let waits = |consumer: &&ConsumerChange| {
                    let mut changes = account.streams.changes.iter();
                    changes.any(|change| change.name == consumer.stream && along::is_its(change))
                };
                let consumers = account.consumers.changes.iter().filter(|consumer| !waits(consumer)).cloned().collect();
                Some(Work { api: session.api(place)?, streams, consumers })
            })
            .collect();
        provision(&work, session.deadline, "making streams", applied, tell).await?;
    }
    Ok(())
}

/// What is to be done in one account.
struct Work<'s, L> {
    api: Api<'s, L>,
    streams: Vec<StreamChange>,
    consumers: Vec<ConsumerChange>,
}

/// Whether a change has to wait until no mapping leads there any more.
fn takes_away(change: &StreamChange) -> bool {
    change.action == Action::Delete || change.narrows()
}

/// Deletes streams, and lets others capture less, once no server leads anything to them any more.
async fn take_away<L: Link>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    let plan = &planned.plan;
    // Read streams go before the write streams that they source.
    let work = |regional: bool| -> Vec<Work<'_, L>> {
        let accounts = plan.accounts.iter().enumerate().filter(|(_, account)| account.region.is_some() == regional);
        let work = accounts.filter_map(|(place, account)| {
            let streams = account.streams.changes.iter().filter(|change| takes_away(change)).cloned().collect();
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
        && nothing_leads_there(session, planned, tell).await?;
    if !sure {
        applied.kept.extend(changes.iter().map(|change| change.name.clone()));
        return Ok(());
    }
    let deletes = changes.iter().any(|change| change.action == Action::Delete);
    let step = if deletes { "deleting streams" } else { "changing streams" };
    for work in &works {
        provision(work, session.deadline, step, applied, tell).await?;
    }
    Ok(())
}

/// Whether every server has the token that the plan was made from, where a deletion needs none pushed: that token has
/// no mapping to what is deleted.
async fn nothing_leads_there<L: Link>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    tell: &dyn Tell,
) -> Result<bool, ApplyError> {
    let accounts = planned
        .plan
        .accounts
        .iter()
        .zip(&planned.observed.accounts)
        .filter(|(account, _)| account.pushes.is_empty() && account.streams.changes.iter().any(takes_away));
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

async fn provision<L: Link>(
    work: &[Work<'_, L>],
    deadline: Deadline,
    step: &str,
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    let total: usize = work.iter().map(|work| work.streams.len() + work.consumers.len()).sum();
    if total == 0 {
        return Ok(());
    }
    let done = std::sync::atomic::AtomicUsize::new(0);
    tell.step(step, 0, total);
    let done = &done;
    let options = RunOptions { deadline: deadline.left(), ..RunOptions::default() };
    let busy = work.iter().filter(|work| !(work.streams.is_empty() && work.consumers.is_empty()));
    let runs = busy.map(|Work { api, streams, consumers }| {
        run(*api, streams, consumers, options, move |event| {
            if let Event::Finished(_) = event {
                let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                tell.step(step, done, total);
            }
        })
    });
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

/// Pushes the tokens of one stage, and waits until every server confirms them.
async fn push_stage<L: Link>(
    session: &Session<'_, L>,
    plan: &Plan,
    tokens: &[Issued],
    stage: Stage,
    applied: &mut Applied,
    tell: &dyn Tell,
) -> Result<(), ApplyError> {
    let issued: Vec<&Issued> = tokens.iter().filter(|one| one.stage == stage).collect();
    if issued.is_empty() {
        return Ok(());
    }
    let earlier = applied.pushed.iter().find(|pushed| !pushed.is_confirmed());
    if let (Some(pushed), 0) = (earlier, session.deployment.missing()) {
        return Err(ApplyError::StageUnconfirmed {
            account: pushed.account.clone(),
            applied: Box::new(applied.clone()),
        });
    }
    let ids: Vec<&PublicKey> = plan.accounts.iter().map(|account| &account.id).collect();
    let (mut outcomes, mut confirmations) = (Vec::new(), Vec::new());
    let mut open = issued.clone();
    // A connection that breaks may take the tokens with it: then they are pushed again, to what is still as planned.
    for attempt in 0..PUSHES {
        still_as_planned(session, plan, &open, applied).await?;
        tell.step(pushing(stage), 0, 0);
        if let Some(journal) = session.journal.as_ref().filter(|_| attempt == 0) {
            journal.pushing(stage);
        }
        if let Some(watch) = session.watch.as_ref().filter(|_| attempt == 0) {
            for one in &issued {
                // It was decoded when it was signed.
                if let Ok(claims) = AccountClaims::decode(one.token.as_str()) {
                    watch.push(claims, one.token.as_str(), plan.accounts[one.place].current.as_ref());
                }
            }
        }
        let signed: Vec<(PublicKey, &SignedToken)> = open.iter().map(|one| (one.id.clone(), &one.token)).collect();
        let answers = push(&session.system, &session.deployment, &signed, session.deadline.at_most(PUSH)).await?;
        tell.step("waiting for every server to confirm", 0, 0);
        let news = async {
            match &session.watch {
                Some(watch) => watch.hears_news(&ids).await,
                None => pending().await,
            }
        };
        let left = session.deadline.left();
        // What was overwritten meanwhile is never confirmed.
        let found = tokio::select! {
            found = confirm_push(&session.system, &session.deployment, &signed, &answers, left) => found?,
            () = news => return overtaken(session, plan, true),
        };
        outcomes.retain(|outcome: &PushOutcome| open.iter().all(|one| one.id != outcome.account));
        outcomes.extend(answers);
        confirmations.retain(|known: &Confirmation| open.iter().all(|one| one.id != known.account));
        confirmations.extend(found);
        open.retain(|one| reached_nobody(&one.id, &outcomes, &confirmations));
        if open.is_empty() || session.deadline.is_over() {
            break;
        }
    }
    let earlier = applied.pushed.len();
    for one in issued {
        let account = &plan.accounts[one.place];
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
    if let Some(journal) = &session.journal {
        journal.pushed(stage, &applied.pushed[earlier..]);
    }
    // Between the last look and the push others may have pushed too: theirs, or ours, was overwritten.
    overtaken(session, plan, true)
}

/// Fails when others pushed something that the plan does not know of.
fn overtaken<L: Link>(session: &Session<'_, L>, plan: &Plan, pushed: bool) -> Result<(), ApplyError> {
    let Some(watch) = &session.watch else { return Ok(()) };
    match watch.news(plan.accounts.iter().map(|account| &account.id)) {
        None => Ok(()),
        Some(id) => {
            let account = plan.accounts.iter().find(|account| account.id == id);
            let account = account.map(|account| account.name.clone()).unwrap_or_default();
            Err(ApplyError::ChangedMeanwhile { account, pushed })
        }
    }
}

/// Whether no server said anything to a token, and none that can be asked has it.
fn reached_nobody(id: &PublicKey, outcomes: &[PushOutcome], confirmations: &[Confirmation]) -> bool {
    let mut answers = outcomes.iter().filter(|one| one.account == *id && one.answer != Answer::Stranger);
    let mut found = confirmations.iter().filter(|one| one.account == *id);
    answers.all(|one| one.answer == Answer::NoAnswer)
        && found.clone().any(|one| !one.verdict.is_unknown())
        && found.all(|one| {
            let without = matches!(one.verdict, Has::OtherToken { newer: false, .. } | Has::NothingStored);
            without || one.verdict == Has::NoAnswer
        })
}

fn strangers(id: &PublicKey, outcomes: &[PushOutcome]) -> Vec<String> {
    let strangers = outcomes.iter().filter(|one| one.account == *id && one.answer == Answer::Stranger);
    let mut names: Vec<String> = strangers.map(|one| one.server.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// How often a token is pushed that reaches nobody.
const PUSHES: usize = 3;

fn pushing(stage: Stage) -> &'static str {
    match stage {
        Stage::RegionalExports => "pushing what regional accounts export",
        Stage::ApplicationLinks => "pushing what accounts export to their regions, and import from them",
        Stage::RegionalImports => "pushing what regional accounts import",
        Stage::Mappings => "pushing account tokens",
        Stage::RegionalImportsGone | Stage::ApplicationLinksGone | Stage::RegionalExportsGone => {
            "taking away exports and imports"
        }
    }
}

/// How long servers may take to answer a push.
const PUSH: Duration = Duration::from_secs(10);

/// The resolver has no compare-and-set: looks once more, directly before the push, whether the stored tokens are
/// still those that the plan edits.
async fn still_as_planned<L: Link>(
    session: &Session<'_, L>,
    plan: &Plan,
    issued: &[&Issued],
    applied: &Applied,
) -> Result<(), ApplyError> {
    overtaken(session, plan, !applied.pushed.is_empty())?;
    let now = now();
    let ids: Vec<PublicKey> = issued.iter().map(|one| one.id.clone()).collect();
    for (one, servers) in issued.iter().zip(session.tokens_of(&ids).await?) {
        let account = &plan.accounts[one.place].name;
        if session.deadline.is_over() {
            return Err(too_late(account).into());
        }
        let as_planned = match &one.base {
            None => is_nowhere(&servers),
            Some(token) => {
                let (base, _) = preflight::base(account, &session.deployment, &servers, now);
                base.is_some_and(|base| base.token == *token)
            }
        };
        if !as_planned {
            return Err(ApplyError::ChangedMeanwhile { account: account.clone(), pushed: !applied.pushed.is_empty() });
        }
    }
    Ok(())
}

/// Reads the streams back until they are as defined, for as long as sources may need to get in touch.
async fn look_at_streams<L: Link>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    settle: Duration,
    skipped: &[String],
    tell: &dyn Tell,
) -> Result<Vec<Checked>, ApplyError> {
    tell.step("looking at the streams", 0, 0);
    // What comes from servers that are down is not waited for.
    let settle = if session.deployment.missing() == 0 { settle } else { settle / 5 };
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
