//! Connects to a deployment, and reads it.

use super::claims_updates::ClaimsUpdates;
use super::clock::{Deadline, REQUEST_TIMEOUT, now};
use super::identify::{Servers, identify, imported_api};
use super::push_log::PushLog;
use super::{ConnectionError, Connector, Progress};
use crate::definition::Definition;
use crate::desired::regional::{self, AccountRole, RegionalIds};
use crate::desired::{self, DesiredAccount, DesiredError, Role, desired_with, members};
use crate::model::claims::{OperatorClaims, Trust, TrustAnchor, TrustedClaims};
use crate::model::finding::{Finding, Severity};
use crate::model::nkey::PublicKey;
use crate::model::server_version;
use crate::model::subject::SubjectFilter;
use crate::observed::connection::Connection;
use crate::observed::jetstream::{
    Api, CallError, DEFAULT_PREFIX, ObservedJetStream, ObservedStream, ReadOptions, Unknown, look_at_messages, read,
};
use crate::observed::listeners::{Listeners, subscriptions};
use crate::observed::survey::{ConcurrentUpdates, Observed, ObservedAccount};
use crate::observed::{AccountOnServer, Deployment, RequestError, Requests, User, system};
use crate::plan::own_jetstream::own_api;
use crate::plan::preflight::{ACCOUNT_EXPIRED, AccountRef, Base};
use crate::plan::{Plan, is_nowhere, preflight};
use crate::resolver::{Resolver, TokenStoreError, Unread};
use crate::sign::keyring::Keyring;
use futures::future::{join_all, try_join_all};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Reason why a deployment could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The servers' answers are not those of a deployment's system account.
    #[error("{} {}", .0.place, .0.message)]
    Refused(Box<Finding>),
    /// The system account's requests failed.
    #[error("asking the servers: {0}")]
    System(RequestError),
    /// The account server or the file with the preload failed.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
    /// The account's JetStream does not answer.
    #[error("account {account}, JetStream does not answer: {cause}{}", .missing.as_ref().map(|missing| format!("; {missing}")).unwrap_or_default())]
    JetStream {
        /// The account's name in the definition.
        account: String,
        /// The number of servers that do not answer at all, and their names, if there are any.
        missing: Option<String>,
        /// The error.
        cause: CallError,
    },
    /// The definition cannot be turned into a desired state.
    #[error(transparent)]
    Desired(#[from] DesiredError),
}

impl From<Unread> for ReadError {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Servers(error) => Self::System(error),
            Unread::Store(error) => Self::Store(error),
        }
    }
}

impl ReadError {
    /// Returns `true` if the error may be temporary: servers do not answer.
    pub fn may_heal(&self) -> bool {
        match self {
            Self::Connection(error) => error.code == "unreachable",
            Self::Refused(finding) => finding.code == "system-silent",
            Self::System(error) => matches!(error, RequestError::Timeout(_) | RequestError::Connection(_)),
            Self::JetStream { .. } => true,
            Self::Store(error) => !error.is_input,
            Self::Desired(_) => false,
        }
    }
}

/// The inputs of a verb: its definition, the keys folder, and local knowledge about the operator.
#[derive(Debug, Clone, Copy)]
pub struct VerbInputs<'d, 'k> {
    /// The definition.
    pub definition: &'d Definition,
    /// The keys folder.
    pub keys: &'k Keyring,
    /// Local knowledge about the operator whose signatures count.
    pub trust: &'k Trust,
}

/// The open connections, and the deployment as it was when they were opened.
#[derive(Debug)]
pub struct Session<'d, L> {
    /// The definition.
    pub definition: &'d Definition,
    /// Connection to the system account.
    pub system: L,
    /// The system account.
    pub system_account: PublicKey,
    /// The known regional accounts.
    pub regional: RegionalIds,
    /// The resolver from which the servers get tokens.
    pub resolver: Resolver,
    /// The servers.
    pub deployment: Deployment,
    /// The keys whose signatures count.
    pub anchor: TrustAnchor,
    /// Findings about the source of these keys.
    pub trust_findings: Vec<Finding>,
    /// Local knowledge about the operator, without the servers' answers.
    pub(super) trust: Trust,
    /// The end of the verb's time.
    pub deadline: Deadline,
    /// The log of pushes, if there is one.
    pub log: Option<Arc<dyn PushLog>>,
    /// Pushes of other tools and runs, for a run that pushes.
    pub claims_updates: Option<Arc<ClaimsUpdates<L>>>,
    connections: Vec<L>,
    reaches: Vec<Reach>,
}

/// The connection to the JetStream of a desired account.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reach {
    /// This connection reaches it under this prefix.
    Connection { connection: usize, prefix: String },
    /// The account does not exist yet.
    New,
    /// The account exists, but there is no key for it, and no import of the application's account leads to it.
    Not(String),
    /// An application's account whose claims lead to the regions' JetStream, and not to its own.
    NoOwnJetStream,
}

/// The state of each server, per desired account.
pub type Tokens = Vec<Vec<AccountOnServer>>;

/// Number of look-ups of tokens if no server answers in time, within the verb's time.
const LOOK_UPS: usize = 3;
/// Time to wait for a missing meta leader. Servers elect another one 4 to 9 s after they last heard from it, and retry
/// (nats-server 2.15 `server/raft.go`).
const ELECTION_TIMEOUT: Duration = Duration::from_secs(12);
/// Time during which "JetStream not enabled" for a just pushed account is retried.
const NOT_ENABLED_TIMEOUT: Duration = Duration::from_secs(3);

/// A session's setting for the subscription to pushes of other tools and runs.
#[derive(Debug)]
pub enum Subscription<L> {
    /// The session does not subscribe.
    Off,
    /// The session subscribes now.
    On,
    /// The session continues the subscription of an earlier session of the same run.
    Continue(Arc<ClaimsUpdates<L>>),
}

impl<'d, L: Connection> Session<'d, L> {
    /// Connects, and reads the servers and the accounts' tokens. `keys` identify regional accounts that have a key but
    /// were not pushed yet.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn open<C: Connector<Connection = L>>(
        inputs: VerbInputs<'d, '_>,
        connector: &C,
        subscription: Subscription<L>,
        deadline: Deadline,
        progress: &dyn Progress,
    ) -> Result<(Self, Tokens), ReadError> {
        progress.step("asking the servers", 0, 0);
        let VerbInputs { definition, keys, trust } = inputs;
        let resolver = Resolver::of(definition)?;
        let (system, system_account) = connector.system(deadline.at_most(REQUEST_TIMEOUT)).await?;
        let claims_updates = match subscription {
            Subscription::Off => None,
            Subscription::On => Some(Arc::new(ClaimsUpdates::start(&system).await.map_err(ReadError::System)?)),
            Subscription::Continue(claims_updates) => Some(claims_updates),
        };
        let deployment = match system::deployment(&system, deadline.at_most(REQUEST_TIMEOUT)).await {
            Ok(deployment) => deployment,
            Err(error) => {
                let finding = preflight::system_account_silent(&system_account, &error);
                return Err(ReadError::Refused(Box::new(finding)));
            }
        };
        let (anchor, trust_findings) = preflight::anchor(trust, &deployment, now()).map_err(ReadError::Refused)?;
        if let Some(finding) = trust_findings.iter().find(|finding| finding.severity == Severity::Error) {
            return Err(ReadError::Refused(Box::new(finding.clone())));
        }
        if let Some(claims_updates) = &claims_updates {
            claims_updates.set_trust_basis(&anchor, &deployment);
        }
        let mut session = Self {
            definition,
            system,
            system_account,
            regional: RegionalIds::default(),
            resolver,
            deployment,
            anchor,
            trust_findings,
            trust: trust.clone(),
            deadline,
            log: None,
            claims_updates,
            connections: Vec::new(),
            reaches: Vec::new(),
        };
        session.resolver.is_theirs(&session.system, &session.deployment, deadline.at_most(REQUEST_TIMEOUT)).await?;
        let ids: Vec<PublicKey> = definition.accounts.iter().map(|account| account.id.clone()).collect();
        let applications = session.tokens_of(&ids).await?;
        if let Some(finding) = session.claims_updates.as_ref().and_then(|claims_updates| claims_updates.denied()) {
            return Err(ReadError::Refused(Box::new(finding)));
        }
        let mut bases = Vec::with_capacity(applications.len());
        for (account, servers) in definition.accounts.iter().zip(&applications) {
            let (base, findings) = session.base(&account.name, &account.id, servers);
            match base {
                // Servers would refuse its users without a reason.
                Some(_) if findings.iter().any(|finding| finding.code == ACCOUNT_EXPIRED) => {
                    return Err(no_token(&account.name, findings));
                }
                Some(base) => bases.push(base.claims),
                None if deadline.is_over() => return Err(too_late(&account.name)),
                None => return Err(session.no_base(&account.name, findings)),
            }
        }
        let (regional, names) =
            identify(definition, &bases, keys, session.servers()).await.map_err(ReadError::System)?;
        session.regional = regional;
        session.trust_findings.extend(names);
        let regional_ids: Vec<PublicKey> = members(definition)
            .filter_map(|(account, region)| Some(session.regional.get(account, &region?.name)))
            .collect();
        let mut regional_tokens = session.tokens_of(&regional_ids).await?.into_iter();
        let mut tokens = Vec::with_capacity(applications.len() + regional_ids.len());
        let mut applications = applications.into_iter();
        for (_, region) in members(definition) {
            let next = if region.is_some() { regional_tokens.next() } else { applications.next() };
            tokens.extend(next);
        }
        session.connect(connector, &bases, &tokens).await?;
        let (ours, timeout) = (session.ids(), deadline.at_most(REQUEST_TIMEOUT));
        let others = session.resolver.bystanders(&session.system, &session.deployment, &ours, timeout).await?;
        session.trust_findings.extend(preflight::stale_preload(&others, &session.anchor));
        Ok((session, tokens))
    }

    fn servers(&self) -> Servers<'_, L> {
        Servers {
            system: &self.system,
            deployment: &self.deployment,
            resolver: &self.resolver,
            anchor: &self.anchor,
            deadline: self.deadline,
        }
    }

    /// Opens a session, and reads the inputs of a plan: the desired state and the deployment, with merged pushes of
    /// other tools.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn read_to_change<C: Connector<Connection = L>>(
        inputs: VerbInputs<'d, '_>,
        connector: &C,
        subscription: Subscription<L>,
        deadline: Deadline,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<DesiredAccount<'d>>, Observed), ReadError> {
        let (session, tokens) = Self::open(inputs, connector, subscription, deadline, progress).await?;
        progress.step("reading the streams", 0, 0);
        let desired = session.desired()?;
        let mut observed = session.observe(&desired, tokens, Reading::ToChange).await?;
        session.merge_concurrent(&mut observed);
        Ok((session, desired, observed))
    }

    /// Merges pushes of other tools since this run subscribed to them.
    fn merge_concurrent(&self, observed: &mut Observed) {
        let Some(claims_updates) = &self.claims_updates else { return };
        for (id, found) in self.ids().iter().zip(&mut observed.accounts) {
            let (Some(base), _) = self.base("", id, &found.servers) else { continue };
            found.concurrent_updates =
                match claims_updates.merge_concurrent(&base.token, &base.claims, &found.jetstream.streams) {
                    Ok(None) => ConcurrentUpdates::Nothing,
                    Ok(Some(claims)) => ConcurrentUpdates::Merged(Box::new(claims)),
                    Err(conflicts) => ConcurrentUpdates::Conflict(conflicts.iter().map(ToString::to_string).collect()),
                };
        }
    }

    /// Returns the error that there is no base token. An untrusted signer of this run comes before tokens by other
    /// signers.
    fn no_base(&self, account: &str, findings: Vec<Finding>) -> ReadError {
        let signer = self.trust.signer.as_ref().filter(|_| findings.iter().any(is_about_trust));
        match signer.and_then(|signer| preflight::signer(&self.anchor, &self.deployment, signer)) {
            Some(finding) => ReadError::Refused(Box::new(finding)),
            None => no_token(account, findings),
        }
    }
}

fn is_about_trust(finding: &Finding) -> bool {
    finding.severity == Severity::Error && finding.code == preflight::TOKEN_UNTRUSTED
}

impl<L> Session<'_, L> {
    /// Returns findings about unused pushes of these accounts during the run.
    pub fn unused_pushes(&self) -> Vec<Finding>
    where
        L: Connection,
    {
        let Some(claims_updates) = &self.claims_updates else { return Vec::new() };
        let names = members(self.definition).map(|(account, region)| match region {
            None => account.name.clone(),
            Some(region) => regional::name(account, &region.name),
        });
        self.ids().iter().zip(names).flat_map(|(id, name)| claims_updates.findings(id, &name)).collect()
    }

    /// Returns the accounts of the definition, and their regional accounts.
    pub(super) fn ids(&self) -> Vec<PublicKey> {
        let ids = members(self.definition).map(|(account, region)| match region {
            None => account.id.clone(),
            Some(region) => self.regional.get(account, &region.name),
        });
        ids.collect()
    }

    /// Returns the token from which an account's claims are edited, and findings about its copies.
    pub(crate) fn base(&self, name: &str, id: &PublicKey, servers: &[AccountOnServer]) -> (Option<Base>, Vec<Finding>) {
        preflight::base(AccountRef { name, id }, &self.anchor, &self.deployment, servers, now())
    }
}

impl<'d, L: Requests> Session<'d, L> {
    /// Returns the desired state of the definition on these servers, whose versions matter for one field.
    ///
    /// # Errors
    /// [`DesiredError`]
    pub fn desired(&self) -> Result<Vec<DesiredAccount<'d>>, DesiredError> {
        let versions = self.deployment.servers.iter().filter_map(|server| server_version::minor(&server.version));
        let options = desired::DesiredOptions { oldest_server: versions.min(), regional: self.regional.clone() };
        desired_with(self.definition, &options)
    }

    /// Connects to the accounts of the definition, and to regional accounts with a key. Reads the other regional
    /// accounts through the application's account.
    async fn connect<C: Connector<Connection = L>>(
        &mut self,
        connector: &C,
        bases: &[TrustedClaims],
        tokens: &[Vec<AccountOnServer>],
    ) -> Result<(), ReadError> {
        let (strict, timeout) = (self.is_strict(), self.deadline.at_most(REQUEST_TIMEOUT));
        let accounts = &self.definition.accounts;
        let applications =
            accounts.iter().zip(bases).map(|(account, claims)| connector.account(account, claims, strict, timeout));
        let session = &*self;
        let regional = members(self.definition).zip(tokens).map(|((account, region), servers)| async move {
            let region = region?;
            if is_nowhere(servers) {
                return Some(Ok(None));
            }
            let id = session.regional.get(account, &region.name);
            let (base, _) = session.base(&regional::name(account, &region.name), &id, servers);
            Some(match base {
                Some(base) => connector.regional(account, &region.name, &base.claims, strict, timeout).await,
                None => Ok(None),
            })
        });
        let (applications, regional) = futures::join!(try_join_all(applications), join_all(regional));
        self.connections = applications?;
        let mut application = 0;
        for (index, ((account, region), found)) in members(self.definition).zip(regional).enumerate() {
            let reach = match (region, found) {
                (None, _) | (_, None) => {
                    let connection = accounts.iter().position(|other| other.id == account.id).unwrap_or_default();
                    application = connection;
                    match own_api(&bases[connection]) {
                        Some(prefix) => Reach::Connection { connection, prefix: prefix.to_owned() },
                        None => Reach::NoOwnJetStream,
                    }
                }
                (Some(_), Some(Ok(None))) if is_nowhere(&tokens[index]) => Reach::New,
                (Some(_), Some(Ok(Some(connection)))) => {
                    self.connections.push(connection);
                    Reach::Connection { connection: self.connections.len() - 1, prefix: DEFAULT_PREFIX.to_owned() }
                }
                (Some(region), Some(result)) => {
                    match imported_api(&bases[application], region, &self.regional.get(account, &region.name)) {
                        Some(prefix) => Reach::Connection { connection: application, prefix },
                        None => Reach::Not(match result {
                            Err(error) => error.to_string(),
                            Ok(_) => format!(
                                "no key of account {} is in the keys folder, and account {} does not import from it",
                                regional::name(account, &region.name),
                                account.name
                            ),
                        }),
                    }
                }
            };
            self.reaches.push(reach);
        }
        Ok(())
    }

    /// Returns what every server now stores and has in force for the definition's accounts and their regional accounts.
    ///
    /// # Errors
    /// [`ReadError::System`]
    pub async fn tokens(&self) -> Result<Tokens, ReadError> {
        self.tokens_of(&self.ids()).await
    }

    pub(super) async fn tokens_of(&self, ids: &[PublicKey]) -> Result<Tokens, ReadError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = 0;
        loop {
            asked += 1;
            let timeout = self.deadline.at_most(REQUEST_TIMEOUT);
            match self.resolver.accounts(&self.system, &self.deployment, ids, timeout).await {
                // Busy servers answered before, and may do so again in a moment.
                Err(Unread::Servers(RequestError::Timeout(_))) if asked < LOOK_UPS && !self.deadline.is_over() => {}
                read => return Ok(read?),
            }
        }
    }

    /// Returns the connection to the JetStream of a desired account, and its API prefix there.
    pub(super) fn connection(&self, index: usize) -> Option<(&L, &str)> {
        match self.reaches.get(index)? {
            Reach::Connection { connection, prefix } => Some((self.connections.get(*connection)?, prefix)),
            Reach::New | Reach::Not(_) | Reach::NoOwnJetStream => None,
        }
    }

    /// Returns the user that changes the streams of a desired account, if known. Returns `None` for a regional account
    /// that is read through the application's account.
    pub(super) fn user(&self, index: usize) -> Option<&User> {
        let (_, region) = members(self.definition).nth(index)?;
        match self.reaches.get(index)? {
            Reach::Connection { connection, prefix } if region.is_none() || prefix == DEFAULT_PREFIX => {
                self.connections.get(*connection)?.user()
            }
            Reach::Connection { .. } | Reach::New | Reach::Not(_) | Reach::NoOwnJetStream => None,
        }
    }

    /// Returns the JetStream API of a desired account, if it can be reached.
    pub fn api(&self, index: usize) -> Option<Api<'_, L>> {
        self.connection(index).map(|(connection, prefix)| Api::with_prefix(connection, prefix))
    }

    /// From now on, reaches the JetStream of this account over `connection`.
    pub(super) fn reach_by(&mut self, index: usize, connection: L) {
        self.connections.push(connection);
        self.reaches[index] =
            Reach::Connection { connection: self.connections.len() - 1, prefix: DEFAULT_PREFIX.to_owned() };
    }

    /// From now on, reaches the application's own JetStream under this prefix.
    pub(super) fn reach_under(&mut self, index: usize, api: &str) {
        if let Some(Reach::Connection { prefix, .. }) = self.reaches.get_mut(index) {
            api.clone_into(prefix);
        }
    }

    /// Reads the accounts' streams, and returns them together with `tokens`.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn observe(
        &self,
        desired: &[DesiredAccount<'_>],
        tokens: Vec<Vec<AccountOnServer>>,
        purpose: Reading,
    ) -> Result<Observed, ReadError> {
        let read = desired.iter().enumerate().zip(tokens).map(|((index, desired), servers)| async move {
            let found = |jetstream: ObservedJetStream| ObservedAccount {
                servers,
                jetstream,
                listeners: Listeners::NotAsked,
                concurrent_updates: ConcurrentUpdates::Nothing,
                out_of_reach: self.reaches.get(index) == Some(&Reach::NoOwnJetStream),
            };
            let Some(api) = self.api(index) else {
                return Ok(found(match self.reaches.get(index) {
                    Some(Reach::Not(reason)) => unknown(desired, reason),
                    Some(Reach::NoOwnJetStream) => unknown(desired, "no mapping leads to it"),
                    _ => ObservedJetStream::default(),
                }));
            };
            let options = ReadOptions {
                consumers: &desired.consumers,
                expected_streams: desired.streams.len(),
                timeout: self.deadline.at_most(REQUEST_TIMEOUT),
                patience: self.deadline.at_most(NOT_ENABLED_TIMEOUT),
            };
            let since = Instant::now();
            let read = loop {
                match read(api, options).await {
                    Err(cause) if cause.is_transient() && since.elapsed() < self.deadline.at_most(ELECTION_TIMEOUT) => {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    result => break result,
                }
            };
            match read {
                Ok(jetstream) => Ok(found(jetstream)),
                Err(cause) if purpose == Reading::ToJudge => Ok(found(unknown(desired, &cause.to_string()))),
                Err(cause) => {
                    let missing = self.deployment.missing_text();
                    Err(ReadError::JetStream { account: desired.name.clone(), missing, cause })
                }
            }
        });
        // Waits for all of them, so that among several errors it always returns that of the first account.
        let mut accounts = join_all(read).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        attach_origins(desired, &mut accounts);
        for found in &mut accounts {
            found.jetstream.forget_former_origins();
        }
        if purpose == Reading::ToJudge {
            let mut application = 0;
            let looks = desired.iter().zip(&mut accounts).enumerate().filter_map(|(index, (desired, found))| {
                if desired.account_role == AccountRole::Application {
                    application = index;
                }
                let (api, origins) = (self.api(index)?, self.api(application)?);
                let timeout = self.deadline.at_most(REQUEST_TIMEOUT);
                Some(look_at_messages(api, origins, &mut found.jetstream, timeout))
            });
            join_all(looks).await;
        }
        Ok(Observed {
            deployment: self.deployment.clone(),
            system_account: self.system_account.clone(),
            anchor: self.anchor.clone(),
            pushed: self.trust.pushed.clone(),
            accounts,
        })
    }

    /// Reads the subscriptions to the subjects that the plan will map. Returns `false` if there are no such subjects.
    /// If the servers do not report them, this is no error, but the plan has a warning.
    pub(crate) async fn observe_listeners(
        &self,
        plan: &Plan,
        observed: &mut Observed,
        progress: &dyn Progress,
    ) -> bool {
        let about_to_be_mapped: Vec<Vec<SubjectFilter>> =
            plan.accounts.iter().map(|account| account.mappings.about_to_be_mapped().collect()).collect();
        if about_to_be_mapped.iter().all(Vec::is_empty) {
            return false;
        }
        progress.step("reading the subscribers of the subjects to be mapped", 0, 0);
        let asked = observed.accounts.iter_mut().zip(&plan.accounts).zip(&about_to_be_mapped);
        join_all(asked.filter(|(_, subjects)| !subjects.is_empty()).map(|((found, account), subjects)| async move {
            let timeout = self.deadline.at_most(REQUEST_TIMEOUT);
            let answer = subscriptions(&self.system, &self.deployment, &account.id, subjects, timeout).await;
            found.listeners = answer.map_or_else(Listeners::Unknown, Listeners::Known);
        }))
        .await;
        true
    }

    /// Returns `true` if the operator has strict signing key usage.
    pub(super) fn is_strict(&self) -> bool {
        let operators = self.deployment.servers.iter().flat_map(|s| s.varz["trusted_operators_claim"].as_array());
        operators.flatten().any(|claims| OperatorClaims::from_claims(claims).is_ok_and(|operator| operator.strict))
    }
}

/// Gives each regional account the origins that its streams source. If some of its streams do not answer, also gives it
/// the read streams of the other regions.
fn attach_origins(desired: &[DesiredAccount<'_>], accounts: &mut [ObservedAccount]) {
    let of_roles = |found: &ObservedAccount, wanted: fn(Role) -> bool| -> Vec<ObservedStream> {
        let streams = found.jetstream.streams.iter();
        streams.filter(|stream| stream.owner.as_ref().is_some_and(|o| wanted(o.role))).cloned().collect()
    };
    let mut origins = Vec::new();
    for index in 0..desired.len().min(accounts.len()) {
        if desired[index].account_role == AccountRole::Application {
            origins = of_roles(&accounts[index], Role::captures);
            continue;
        }
        let jetstream = &accounts[index].jetstream;
        let away = !jetstream.unknown_streams.is_empty()
            || jetstream.streams.iter().any(|stream| stream.offline || stream.cluster.is_leaderless());
        let others = desired.iter().zip(accounts.iter()).enumerate().filter(|(other, (wanted, _))| {
            away && *other != index
                && wanted.account_role != AccountRole::Application
                && wanted.account.id == desired[index].account.id
        });
        let siblings = others.flat_map(|(_, (_, found))| of_roles(found, Role::serves)).collect();
        accounts[index].jetstream.siblings = siblings;
        accounts[index].jetstream.origins.clone_from(&origins);
    }
}

/// Purpose of reading the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// For changes. An account that cannot be read stops the run.
    ToChange,
    /// For a verdict. An account that cannot be read is unknown. The next messages of lagging sources are read.
    ToJudge,
}

/// Returns all desired streams and consumers as unknown.
fn unknown(desired: &DesiredAccount<'_>, reason: &str) -> ObservedJetStream {
    let unknown = |name: String| Unknown { name, reason: reason.to_owned() };
    ObservedJetStream {
        unknown_streams: desired.streams.iter().map(|stream| unknown(stream.name.clone())).collect(),
        unknown_consumers: (desired.consumers.iter())
            .map(|consumer| unknown(format!("{} > {}", consumer.stream, consumer.name)))
            .collect(),
        ..ObservedJetStream::default()
    }
}

/// Returns the error that the time ended before any server reported its token of the account.
pub(super) fn too_late(account: &str) -> ReadError {
    ReadError::Refused(Box::new(Finding::error(
        "system-silent",
        format!("account {account}"),
        "the time ended before a server reported its token",
        "Give it more time with --timeout.",
    )))
}

fn no_token(account: &str, findings: Vec<Finding>) -> ReadError {
    let worst = findings.into_iter().rfind(|finding| finding.severity == Severity::Error).unwrap_or_else(|| {
        Finding::error(
            "account-unknown",
            format!("account {account}"),
            "no server has a token of it",
            "Check `id` of the account; push the account once with `nsc push` if it is new.",
        )
    });
    ReadError::Refused(Box::new(worst))
}
