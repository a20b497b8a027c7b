//! The lease, with which only one run at a time changes an account. The reasons are in `docs/decisions/lease.md`.
//!
//! The lease is the last message of a small stream in the application's account. To take, renew or release it, a run
//! publishes a message. The stream accepts it only if its last message is the one that the run saw. So only one of two
//! runs succeeds. The lease of a killed run expires.

use super::Progress;
use super::clock::now;
use super::session::Session;
use crate::desired::lease::{EXPIRY, LAST_SEQUENCE, Note, STREAM, SUBJECT, UNREACHABLE, config, mended};
use crate::desired::members;
use crate::desired::regional::{AccountRole, OWN_JS_API};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::Layout;
use crate::observed::connection::Connection;
use crate::observed::jetstream::{Api, ApiError, CallError, DEFAULT_PREFIX, ObservedStream, code};
use crate::observed::survey::Observed;
use crate::observed::{RequestError, Requests};
use crate::plan::own_jetstream::own_api;
use crate::plan::preflight::AccountRef;
use crate::plan::{AccountPlan, Options, Plan};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use futures::future::{join_all, try_join_all};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two renewals of a held lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(EXPIRY / 4);
/// Time between two checks of a lease that another run holds.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// Longest time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Time during which the run retries a stream that does not answer, because its servers may be electing a leader.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(12);
/// Error codes of a stream that refuses a message because another one came first.
const CAME_LATE: [u64; 2] = [code::WRONG_LAST_SEQUENCE, code::WRONG_LAST_SEQUENCE_IN_FLIGHT];
/// Reason why a run does not use a stream that this program would not make.
const OF_OTHERS: &str = "vstream-jwt did not make it";

/// The run that takes a lease, and its purpose.
#[derive(Debug, Clone)]
pub struct Holder {
    /// `user@host`
    pub who: String,
    /// The verb.
    pub verb: &'static str,
}

/// Reason why a run has no lease, or lost it.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another run holds it, and did not release it in time.
    #[error(
        "account {account} is being changed by {} with `{}` since {}; nothing was changed",
        .note.holder, .note.verb, .note.since
    )]
    Held {
        /// The account's name.
        account: String,
        /// The other run's description of itself.
        note: Box<Note>,
    },
    /// The lease's stream cannot be made or does not answer.
    #[error("{}: {}", .0.place, .0.message)]
    Unreachable(Box<Finding>),
    /// The lease was not renewed in time, or another run took it.
    #[error("the lease of account {account} was lost: {reason}")]
    Lost {
        /// The account's name.
        account: String,
        /// The reason.
        reason: String,
    },
}

/// The leases of the accounts that a run changes.
#[derive(Debug)]
pub struct Lease<L> {
    held: Vec<Held<L>>,
    /// `true` if another run held one of these leases first.
    pub waited: bool,
}

#[derive(Debug)]
struct Held<L> {
    account: String,
    stream: LeaseStream<L>,
    note: Note,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The sequence of our last message.
    seq: u64,
    renewed: Instant,
}

/// The stream with the lease of an account.
#[derive(Debug, Clone)]
struct LeaseStream<L> {
    connection: L,
    /// `true` if the account's own JetStream may be reached under [`OWN_JS_API`]. This can change while a run waits for
    /// a lease, because another run may set up or remove the layout `regional`.
    regional: bool,
}

/// The answer to a publish to the stream. It does not prove that the message is stored, because a user of the account
/// that subscribes to the subject can answer as well.
enum PublishResult {
    /// The message is stored, or another one came first.
    Answered,
    /// The stream refuses the message for another reason.
    Refused(ApiError),
    /// There is no such stream.
    NoStream,
}

/// The last message of the stream.
#[derive(Debug)]
pub(super) struct LastNote {
    seq: u64,
    note: Note,
    /// `true` if the run released the lease, or if it has expired or not begun by the clock of the message's server.
    over: bool,
}

/// Reason why the lease cannot be taken.
#[derive(Debug)]
enum LeaseFailure {
    Call(CallError),
    /// The lease's stream exists, but cannot be used for it.
    Planted {
        stream: String,
        reason: String,
    },
}

impl From<CallError> for LeaseFailure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl<L: Connection> LeaseStream<L> {
    /// Returns the API that reaches the stream, and the stream's info. Returns `None` if there is no stream yet.
    ///
    /// The usual prefix may lead to a region's JetStream. So the run uses that prefix only if the account's newest
    /// token leads it to the account's own JetStream. While servers apply a token, there may be no prefix that leads
    /// there.
    async fn find(
        &self,
        session: &Session<'_, L>,
        account: AccountRef<'_>,
    ) -> Result<(Api<'_, L>, Option<Value>), CallError> {
        let usual = Api::with_prefix(&self.connection, DEFAULT_PREFIX);
        let back = Api::with_prefix(&self.connection, OWN_JS_API);
        let (api, answer) = match self.regional {
            false => (usual, info(usual).await),
            true => match info(back).await {
                answer if !is_unmapped(&answer) => (back, answer),
                _ if is_at_home(session, account).await => (usual, info(usual).await),
                // The prefix leads there again in a moment.
                _ => return Err(RequestError::NoResponders(format!("{OWN_JS_API}.STREAM.INFO.{STREAM}")).into()),
            },
        };
        match answer {
            Err(error) if error.err_code() == Some(code::STREAM_NOT_FOUND) => Ok((api, None)),
            answer => Ok((api, Some(answer?))),
        }
    }

    /// Returns the answer under the first prefix that leads to a JetStream. Callers use it only to find an object that
    /// can exist only here, and to delete it.
    async fn by_any_prefix<'s, T, F>(&'s self, ask: impl Fn(Api<'s, L>) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let usual = Api::with_prefix(&self.connection, DEFAULT_PREFIX);
        if !self.regional {
            return ask(usual).await;
        }
        match ask(Api::with_prefix(&self.connection, OWN_JS_API)).await {
            answer if is_unmapped(&answer) => ask(usual).await,
            answer => answer,
        }
    }

    async fn publish(&self, note: &Note, last: u64) -> Result<PublishResult, CallError> {
        let payload = serde_json::to_vec(note).unwrap_or_default();
        let reply = match self.connection.publish_after(SUBJECT, last, payload, REQUEST_TIMEOUT).await {
            Err(RequestError::NoResponders(_)) => return Ok(PublishResult::NoStream),
            reply => reply?,
        };
        let value: Value = serde_json::from_slice(&reply.payload).unwrap_or_default();
        match ApiError::of(&value) {
            Some(error) if error.is_transient() => Err(CallError::Api { subject: SUBJECT.to_owned(), error }),
            Some(error) if !CAME_LATE.contains(&error.err_code) => Ok(PublishResult::Refused(error)),
            _ => Ok(PublishResult::Answered),
        }
    }
}

/// Returns `true` if nothing is mapped under [`OWN_JS_API`]: no subscription matches, or the user may not publish
/// there. If it is mapped, servers name the mapped subject in the refusal.
fn is_unmapped<T>(answer: &Result<T, CallError>) -> bool {
    match answer {
        Err(CallError::Request(RequestError::NoResponders(_))) => true,
        Err(CallError::Request(RequestError::Permission(denied))) => denied.starts_with(OWN_JS_API),
        _ => false,
    }
}

/// Returns `true` if the account's own JetStream has the usual names, according to the account's newest token.
async fn is_at_home<L: Connection>(session: &Session<'_, L>, account: AccountRef<'_>) -> bool {
    let ids = std::slice::from_ref(account.id);
    let asked = session.resolver.accounts(&session.system, &session.deployment, ids, REQUEST_TIMEOUT).await;
    let Ok(found) = asked else { return false };
    let newest = found.first().and_then(|servers| session.base(account.name, account.id, servers).0);
    newest.is_some_and(|base| own_api(&base.claims) == Some(DEFAULT_PREFIX))
}

/// Makes the stream. If another run has just made it, it has the same config.
async fn make<R: Requests>(api: Api<'_, R>, config: Map<String, Value>) -> Result<(), LeaseFailure> {
    let made = api.call(&format!("STREAM.CREATE.{STREAM}"), &Value::Object(config), REQUEST_TIMEOUT).await;
    match made {
        // Another run was faster, or the stream has the config of another version.
        Err(error) if error.err_code() == Some(code::STREAM_NAME_IN_USE) => Ok(()),
        Err(error) if error.err_code() == Some(code::SUBJECTS_OVERLAP) => match instead(api).await? {
            Some(stream) => {
                Err(LeaseFailure::Planted { stream, reason: format!("{OF_OTHERS}: it captures {SUBJECT}") })
            }
            None => Err(error.into()),
        },
        made => Ok(made.map(|_| ())?),
    }
}

/// Repairs the stream's config if it is wrong. Returns `true` if it was.
async fn mend<R: Requests>(api: Api<'_, R>, info: &Value) -> Result<bool, LeaseFailure> {
    let Some((wrong, config)) = info["config"].as_object().and_then(mended) else { return Ok(false) };
    match api.call(&format!("STREAM.UPDATE.{STREAM}"), &Value::Object(config), REQUEST_TIMEOUT).await {
        Ok(_) => Ok(true),
        // Not every verb may change the config. An expired message is still no lease.
        Err(CallError::Request(RequestError::Permission(_))) => Ok(false),
        Err(CallError::Api { error, .. }) if !error.is_transient() => Err(LeaseFailure::Planted {
            stream: STREAM.to_owned(),
            reason: format!("{OF_OTHERS}: its {} cannot be repaired: {error}", wrong.join(", ")),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Checks that the stream has sequences left for more messages.
fn check_sequences(info: &Value) -> Result<(), LeaseFailure> {
    match info["state"]["last_seq"].as_u64() {
        Some(last) if last > LAST_SEQUENCE => Err(LeaseFailure::Planted {
            stream: STREAM.to_owned(),
            reason: format!("its sequences are used up: the last is {last}"),
        }),
        _ => Ok(()),
    }
}

/// Returns the name of another stream that captures the lease's subject.
async fn instead<R: Requests>(api: Api<'_, R>) -> Result<Option<String>, CallError> {
    let listed = api.call("STREAM.LIST", &json!({ "subject": SUBJECT }), REQUEST_TIMEOUT).await?;
    Ok(listed["streams"][0]["config"]["name"].as_str().map(str::to_owned))
}

/// Returns the stream's config and state, with the time by its server's clock (`ts`).
async fn info<R: Requests>(api: Api<'_, R>) -> Result<Value, CallError> {
    api.call(&format!("STREAM.INFO.{STREAM}"), &Value::Null, REQUEST_TIMEOUT).await
}

/// Returns the last message of the stream, if there is one.
///
/// # Errors
/// [`CallError`], also if there is no such stream.
pub(super) async fn last<R: Requests>(api: Api<'_, R>) -> Result<Option<LastNote>, CallError> {
    let operation = format!("STREAM.MSG.GET.{STREAM}");
    let wanted = json!({ "last_by_subj": SUBJECT });
    let (answer, info) = futures::join!(api.call(&operation, &wanted, REQUEST_TIMEOUT), info(api));
    let answer = match answer {
        Err(error) if error.err_code() == Some(code::NO_MESSAGE) => return Ok(None),
        answer => answer?,
    };
    let malformed = |reason: &str| CallError::Malformed { subject: operation.clone(), reason: reason.to_owned() };
    let message = &answer["message"];
    let seq = message["seq"].as_u64().ok_or_else(|| malformed("it has no sequence"))?;
    let data = message["data"].as_str().and_then(|data| B64.decode(data).ok()).unwrap_or_default();
    // Any other message on the subject blocks the account until it expires.
    let stranger = || Note {
        id: String::new(),
        holder: "a message that is no lease of vstream-jwt".to_owned(),
        verb: "?".to_owned(),
        tool: String::new(),
        since: message["time"].as_str().unwrap_or_default().to_owned(),
        released: false,
    };
    let note: Note = serde_json::from_slice(&data).unwrap_or_else(|_| stranger());
    // A stream that this program did not make may keep messages longer than a lease lasts.
    let time = |value: &Value| value.as_str()?.parse::<jiff::Timestamp>().ok();
    let age = time(&info?["ts"]).zip(time(&message["time"])).map(|(now, then)| now.duration_since(then));
    // A message from the future comes from a backup of a server whose clock was ahead. It would block the account until
    // then.
    let is_now = age.is_none_or(|age| age.as_secs().unsigned_abs() < EXPIRY);
    Ok(Some(LastNote { seq, over: note.released || !is_now, note }))
}

/// Returns the holder of each account's lease, if there is one. The error is the subject on which the user may not
/// publish.
pub(crate) async fn held<L: Connection>(
    session: &Session<'_, L>,
    observed: &Observed,
) -> Vec<Result<Option<Note>, String>> {
    let accounts = observed.accounts.iter().enumerate().map(|(index, found)| async move {
        let there = found.jetstream.streams.iter().any(ObservedStream::is_lease);
        let Some(api) = session.api(index).filter(|_| there) else { return Ok(None) };
        match last(api).await {
            Ok(last) => Ok(last.filter(|last| !last.over).map(|last| last.note)),
            Err(error) => error.nothing_or_denied(),
        }
    });
    join_all(accounts).await
}

/// Takes the leases of all accounts that `plan` changes, or none. While another run has one of them, this run holds
/// none, so that two runs never wait for each other. Waits up to `patience` for other runs.
///
/// # Errors
/// [`LeaseError::Held`], [`LeaseError::Unreachable`]; then the run holds none.
pub(super) async fn take<L: Connection>(
    session: &Session<'_, L>,
    plan: &Plan,
    options: &Options,
    holder: &Holder,
    patience: Duration,
    progress: &dyn Progress,
) -> Result<Lease<L>, LeaseError> {
    let (until, mut waited, mut trouble) = (Instant::now() + patience, false, None);
    // Time spent waiting for other runs does not count towards the verb's time.
    let election = session.deadline.at_most(ELECTION_TIMEOUT);
    let mut wanted: Vec<WantedLease<L>> = Vec::new();
    for (account, index) in changed_applications(session, plan) {
        match WantedLease::new(session, account, index, holder) {
            Some(one) => wanted.push(one),
            // The user allowed it, otherwise the plan would have been refused.
            None => {
                let said = format!("going on without the lease of {}: no mapping leads to its stream", account.name);
                progress.step(&said, 0, 0);
            }
        }
    }
    loop {
        let attempts = join_all(wanted.iter().map(|wanted| attempt(session, wanted, progress))).await;
        let mut lease = Lease { held: Vec::new(), waited };
        let (mut others, mut silent) = (None, Vec::new());
        for (wanted, attempt) in wanted.iter().zip(attempts) {
            match attempt {
                Ok(TakeAttempt::Taken(seq)) => lease.held.push(wanted.held(seq)),
                Ok(TakeAttempt::Held(note)) => others = others.or(Some((&wanted.account, note))),
                Err(error) => silent.push((&wanted.account, error)),
            }
        }
        if others.is_none() && silent.is_empty() {
            return Ok(lease);
        }
        if let Some((account, note)) = others {
            lease.release(false).await;
            (waited, trouble) = (true, None);
            if Instant::now() >= until {
                return Err(LeaseError::Held { account: account.clone(), note: Box::new(note) });
            }
            let who = format!("{} with `{}` since {}", note.holder, note.verb, note.since);
            progress.step(&format!("waiting for the lease of account {account}, which is changed by {who}"), 0, 0);
        } else {
            let since = *trouble.get_or_insert_with(Instant::now);
            let patient = since.elapsed() < election;
            let passes = |trouble: &LeaseFailure| match trouble {
                // A run that removed everything deleted the stream between two checks.
                LeaseFailure::Call(error) => error.is_transient() || error.err_code() == Some(code::STREAM_NOT_FOUND),
                LeaseFailure::Planted { .. } => false,
            };
            if !(patient && silent.iter().all(|(_, trouble)| passes(trouble))) {
                if may_go_without(session, options) {
                    let names: Vec<&str> = silent.iter().map(|(account, _)| account.as_str()).collect();
                    let names = names.join(", ");
                    progress.step(&format!("going on without the lease of {names}: its stream does not answer"), 0, 0);
                    return Ok(lease);
                }
                lease.release(false).await;
                let (account, error) = &silent[0];
                return Err(LeaseError::Unreachable(Box::new(unreachable(account, error))));
            }
            lease.release(false).await;
        }
        tokio::time::sleep(LOOK_INTERVAL + jitter()).await;
    }
}

/// A lease to take.
struct WantedLease<L> {
    account: String,
    id: PublicKey,
    stream: LeaseStream<L>,
    note: Note,
}

impl<L: Connection> WantedLease<L> {
    fn new(session: &Session<'_, L>, account: &AccountPlan, index: usize, holder: &Holder) -> Option<Self> {
        let (connection, reached) = session.connection(index)?;
        let layout = members(session.definition).nth(index).map(|(account, _)| account.layout);
        // An account that is reached by the mappings back still has the layout that the definition no longer has.
        let regional = layout == Some(Layout::Regional) || reached == OWN_JS_API;
        let note = Note {
            id: random_id(),
            holder: holder.who.clone(),
            verb: holder.verb.to_owned(),
            tool: concat!("vstream-jwt ", env!("CARGO_PKG_VERSION")).to_owned(),
            since: jiff::Timestamp::from_second(i64::try_from(now()).unwrap_or(0)).unwrap_or_default().to_string(),
            released: false,
        };
        let (account, id) = (account.name.clone(), account.id.clone());
        Some(Self { account, id, stream: LeaseStream { connection: connection.clone(), regional }, note })
    }

    fn held(&self, seq: u64) -> Held<L> {
        let state = Mutex::new(State { seq, renewed: Instant::now() });
        Held { account: self.account.clone(), stream: self.stream.clone(), note: self.note.clone(), state }
    }
}

/// Returns the indexes of the application accounts that the plan changes, directly or in their regional accounts. They
/// are sorted by key.
fn changed_applications<'p, L: Requests>(session: &Session<'_, L>, plan: &'p Plan) -> Vec<(&'p AccountPlan, usize)> {
    let mut changed: Vec<(&AccountPlan, usize)> = Vec::new();
    let mut application = 0;
    for (index, ((_, region), account)) in members(session.definition).zip(&plan.accounts).enumerate() {
        if region.is_none() {
            application = index;
        }
        if !account.is_empty() && !changed.iter().any(|(_, index)| *index == application) {
            changed.push((&plan.accounts[application], application));
        }
    }
    changed.sort_by_key(|(owner, _)| &owner.id);
    changed
}

fn may_go_without<L: Requests>(session: &Session<'_, L>, options: &Options) -> bool {
    let live = session.deployment.clusters();
    let missing = session.definition.topology.regions.iter().any(|region| !live.contains(&region.cluster.as_str()));
    options.may_go_without_lease(missing)
}

/// Result of an attempt to take a lease.
#[derive(Debug)]
enum TakeAttempt {
    /// The lease is ours, by the message with this sequence.
    Taken(u64),
    /// Another run has it.
    Held(Note),
}

async fn attempt<L: Connection>(
    session: &Session<'_, L>,
    wanted: &WantedLease<L>,
    progress: &dyn Progress,
) -> Result<TakeAttempt, LeaseFailure> {
    let WantedLease { account, id, stream, note } = wanted;
    let (api, info) = stream.find(session, AccountRef { name: account, id }).await?;
    let seen = match info {
        None => {
            make(api, own_config(session, account)).await?;
            None
        }
        Some(info) => {
            check_sequences(&info)?;
            if mend(api, &info).await? {
                let said = format!("the stream {STREAM} of account {account} had a wrong config, which was repaired");
                progress.step(&said, 0, 0);
            }
            last(api).await?
        }
    };
    contend(stream, api, note, seen).await
}

/// Publishes its message after the last one that the run saw, unless that is a lease. Then reads the stored message.
async fn contend<L: Connection>(
    stream: &LeaseStream<L>,
    api: Api<'_, L>,
    note: &Note,
    seen: Option<LastNote>,
) -> Result<TakeAttempt, LeaseFailure> {
    let after = match seen {
        None => 0,
        Some(last) if last.over => last.seq,
        // An earlier attempt of ours was stored, but its answer was lost.
        Some(last) if last.note == *note => return Ok(TakeAttempt::Taken(last.seq)),
        Some(last) => return Ok(TakeAttempt::Held(last.note)),
    };
    let refused = match stream.publish(note, after).await? {
        PublishResult::Answered => None,
        PublishResult::Refused(error) => Some(error),
        // The stream was just made, and not all servers know it yet.
        PublishResult::NoStream => return Err(CallError::from(RequestError::NoResponders(SUBJECT.to_owned())).into()),
    };
    match (last(api).await?, refused) {
        (Some(last), _) if last.note == *note => Ok(TakeAttempt::Taken(last.seq)),
        (_, Some(error)) => {
            Err(LeaseFailure::Planted { stream: STREAM.to_owned(), reason: format!("it takes no lease: {error}") })
        }
        // Another run was faster.
        (Some(last), None) if !last.over => Ok(TakeAttempt::Held(last.note)),
        _ => Err(CallError::from(RequestError::Timeout(SUBJECT.to_owned())).into()),
    }
}

/// Returns the config of the stream for an account that has none yet.
fn own_config<L: Connection>(session: &Session<'_, L>, account: &str) -> Map<String, Value> {
    let desired = session.desired().unwrap_or_default();
    let own =
        desired.iter().find(|desired| desired.name == account && desired.account_role == AccountRole::Application);
    config(own)
}

fn unreachable(account: &str, trouble: &LeaseFailure) -> Finding {
    let (place, message, next) = match trouble {
        LeaseFailure::Call(CallError::Api { error, .. }) if error.err_code == code::NO_PEERS => (
            format!("account {account}, stream {STREAM}"),
            format!("the lease that keeps two runs apart cannot be stored: {error}; nothing was changed"),
            "See why no server may store it: the account's limits, the servers' storage, their `unique_tag`. Streams of the \
             definition would fail likewise."
                .to_owned(),
        ),
        LeaseFailure::Call(error) => (
            format!("account {account}, stream {STREAM}"),
            format!("the lease that keeps two runs apart cannot be taken: {error}; nothing was changed"),
            format!(
                "Check that its servers are up and that the credentials allow it (docs/permissions.md). If the servers of \
                 its region are down, and no other run changes the account now: --allow {UNREACHABLE}."
            ),
        ),
        LeaseFailure::Planted { stream, reason } => (
            format!("account {account}, stream {stream}"),
            format!("it is where the lease that keeps two runs apart has to be, and {reason}; nothing was changed"),
            "Remove it, with `nats stream rm` and the name above, as a user of the account. Then deny `$VSTREAM.>` to \
             applications (docs/permissions.md), so that none can be made again."
                .to_owned(),
        ),
    };
    Finding::error(UNREACHABLE, place, message, next)
}

/// Returns a random delay, so that two runs that collided do not collide again.
fn jitter() -> Duration {
    Duration::from_millis(u64::from(getrandom::u32().unwrap_or_default() % 300))
}

fn random_id() -> String {
    let mut bytes = [0; 12];
    // Without random numbers nothing can be signed either. Then the time distinguishes runs.
    if getrandom::fill(&mut bytes).is_err() {
        return now().to_string();
    }
    data_encoding::HEXLOWER.encode(&bytes)
}

impl<L: Connection> Lease<L> {
    /// Renews the leases until one is lost, and returns the reason. Renews each account separately, so that a stream
    /// that does not answer does not cost the others their leases.
    pub(super) async fn keep(&self) -> LeaseError {
        let keeps = self.held.iter().map(|held| async move {
            loop {
                tokio::time::sleep(RENEW_INTERVAL).await;
                if let Err(lost) = held.renew().await {
                    break Err::<Infallible, LeaseError>(lost);
                }
            }
        });
        match try_join_all(keeps).await {
            Err(lost) => lost,
            // There is nothing to renew.
            Ok(_) => std::future::pending().await,
        }
    }

    /// Renews the leases now, so that the run pushes nothing under a lease that it has just lost. Retries a stream that
    /// does not answer for as long as an election may take. After that, [`Lease::keep`] decides.
    ///
    /// # Errors
    /// [`LeaseError::Lost`].
    pub(crate) async fn look(&self) -> Result<(), LeaseError> {
        let until = Instant::now() + ELECTION_TIMEOUT;
        let looks = self.held.iter().map(|held| async move {
            while !held.renew().await? && Instant::now() < until {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            Ok(())
        });
        try_join_all(looks).await.map(|_| ())
    }

    /// Releases the leases. A lease that cannot be released expires. With `delete`, also deletes the streams.
    pub(super) async fn release(&self, delete: bool) {
        join_all(self.held.iter().map(|held| held.release(delete))).await;
    }
}

impl<L: Connection> Held<L> {
    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, seq: u64) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { seq, renewed: Instant::now() };
    }

    /// Publishes the message after `after`, and returns the message that is stored then. Returns `None` if the stream
    /// does not answer.
    async fn write(&self, after: u64) -> Option<Option<LastNote>> {
        match self.stream.publish(&self.note, after).await {
            Ok(PublishResult::Answered) => self.stream.by_any_prefix(last).await.ok(),
            Ok(PublishResult::Refused(_) | PublishResult::NoStream) | Err(_) => None,
        }
    }

    /// Renews the lease. Returns `false` if the stream does not answer.
    async fn renew(&self) -> Result<bool, LeaseError> {
        let lost = |reason: String| LeaseError::Lost { account: self.account.clone(), reason };
        let mut found = self.write(self.state().seq).await;
        if let Some(None) = found {
            // The lease expired meanwhile. If another run had taken it since, there would be a message.
            found = self.write(0).await;
        }
        let stored = match found.flatten() {
            Some(last) if last.note.id == self.note.id => Some(last.seq),
            Some(last) => return Err(lost(format!("{} has it now", last.note.holder))),
            None => None,
        };
        if let Some(seq) = stored {
            self.set(seq);
        }
        match self.state().renewed.elapsed() > 2 * Duration::from_secs(EXPIRY) {
            true => Err(lost("it could not be renewed, and has expired".to_owned())),
            false => Ok(stored.is_some()),
        }
    }

    async fn release(&self, delete: bool) {
        let note = Note { released: true, ..self.note.clone() };
        if let Ok(PublishResult::Answered) = self.stream.publish(&note, self.state().seq).await
            && let Ok(Some(last)) = self.stream.by_any_prefix(last).await
            && last.note == self.note
        {
            let _ = self.stream.publish(&note, last.seq).await;
        }
        if delete {
            let operation = &format!("STREAM.DELETE.{STREAM}");
            let _ = self
                .stream
                .by_any_prefix(|api| async move { api.call(operation, &Value::Null, REQUEST_TIMEOUT).await })
                .await;
        }
    }
}

#[cfg(test)]
mod tests;
