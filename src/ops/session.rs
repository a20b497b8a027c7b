//! Connections to a deployment, and reading it.

use super::{Connector, Deadline, LinkError, Tell};
use crate::definition::Definition;
use crate::desired::{self, DesiredAccount, DesiredError, desired_with};
use crate::model::claims::OperatorClaims;
use crate::model::finding::{Finding, Severity};
use crate::model::nkey::PublicKey;
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::{Api, CallError, ObservedJetStream, ReadOptions, Unknown, read};
use crate::observed::listeners::{Listeners, subscriptions};
use crate::observed::survey::{Observed, ObservedAccount};
use crate::observed::{AccountOnServer, Deployment, RequestError, Requests, system};
use crate::plan::{Plan, preflight};
use futures::future::{join_all, try_join_all};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Why a deployment could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The servers do not answer as the system account of a deployment does.
    #[error("{} {}", .0.place, .0.message)]
    Refused(Box<Finding>),
    /// The system account's requests failed.
    #[error("asking the servers: {0}")]
    System(RequestError),
    /// The account's JetStream does not answer.
    #[error("account {account}, JetStream does not answer: {cause}{}", .missing.as_ref().map(|missing| format!("; {missing}")).unwrap_or_default())]
    JetStream {
        /// The definition's name for the account.
        account: String,
        /// How many servers do not answer at all, and which, if some do not.
        missing: Option<String>,
        /// What happened.
        cause: CallError,
    },
    /// The definition cannot be made real.
    #[error(transparent)]
    Desired(#[from] DesiredError),
}

/// Open connections, and the deployment as it was when they were opened.
#[derive(Debug)]
pub struct Session<'d, L> {
    /// The definition.
    pub definition: &'d Definition,
    /// To the system account.
    pub system: L,
    /// The account that it is in.
    pub system_account: PublicKey,
    /// To the definition's accounts, in its order.
    pub accounts: Vec<L>,
    /// The servers.
    pub deployment: Deployment,
    /// The end of the verb's time.
    pub deadline: Deadline,
}

/// How long one question may take, within the verb's time.
pub(super) const ASK: Duration = Duration::from_secs(5);
/// How long a missing meta leader is waited for. Servers elect another 4 to 9 s after they last heard of it, and retry
/// (nats-server 2.15 `server/raft.go`).
const ELECTION: Duration = Duration::from_secs(12);
/// How long "JetStream not enabled" of a just pushed account is not believed.
const PATIENCE: Duration = Duration::from_secs(3);

impl<'d, L: Requests> Session<'d, L> {
    /// What the definition wants on these servers; a field depends on their versions.
    ///
    /// # Errors
    /// [`DesiredError`]
    pub fn desired(&self) -> Result<Vec<DesiredAccount<'d>>, DesiredError> {
        let versions = self.deployment.servers.iter().filter_map(|server| minor_version(&server.version));
        let options = desired::Options { oldest_server: versions.min(), ..desired::Options::default() };
        desired_with(self.definition, &options)
    }

    /// Connects, reads the servers and the accounts' tokens.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn open<C: Connector<Link = L>>(
        definition: &'d Definition,
        connector: &C,
        deadline: Deadline,
        tell: &dyn Tell,
    ) -> Result<(Self, Vec<Vec<AccountOnServer>>), ReadError> {
        tell.step("asking the servers", 0, 0);
        let (system, system_account) = connector.system(deadline.at_most(ASK)).await?;
        let deployment = match system::deployment(&system, deadline.at_most(ASK)).await {
            Ok(deployment) => deployment,
            Err(error) => {
                let finding = preflight::system_account_silent(&system_account, &error);
                return Err(ReadError::Refused(Box::new(finding)));
            }
        };
        let accounts = Vec::new();
        let mut session = Self { definition, system, system_account, accounts, deployment, deadline };
        let tokens = session.tokens().await?;
        let strict = session.is_strict();
        let now = now();
        session.accounts = try_join_all(definition.accounts.iter().zip(&tokens).map(|(account, servers)| {
            let (base, findings) = preflight::base(&account.name, &session.deployment, servers, now);
            async move {
                match base {
                    Some(base) => Ok(connector.account(account, &base.claims, strict, deadline.at_most(ASK)).await?),
                    None if deadline.is_over() => Err(too_late(&account.name)),
                    None => Err(no_token(&account.name, findings)),
                }
            }
        }))
        .await?;
        Ok((session, tokens))
    }

    /// What every server stores and uses of the accounts now.
    ///
    /// # Errors
    /// [`ReadError::System`]
    pub async fn tokens(&self) -> Result<Vec<Vec<AccountOnServer>>, ReadError> {
        let ids: Vec<PublicKey> = self.definition.accounts.iter().map(|account| account.id.clone()).collect();
        system::accounts(&self.system, &self.deployment, &ids, self.deadline.at_most(ASK))
            .await
            .map_err(ReadError::System)
    }

    /// Reads the accounts' streams; with `tokens` that is all that was observed.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn observe(
        &self,
        desired: &[DesiredAccount<'_>],
        tokens: Vec<Vec<AccountOnServer>>,
        purpose: Reading,
    ) -> Result<Observed, ReadError> {
        let read = desired.iter().zip(&self.accounts).zip(tokens).map(|((desired, link), servers)| async move {
            let options = ReadOptions {
                consumers: &desired.consumers,
                expected_streams: desired.streams.len(),
                waiting: purpose == Reading::ToJudge,
                timeout: self.deadline.at_most(ASK),
                patience: self.deadline.at_most(PATIENCE),
            };
            let since = Instant::now();
            let read = loop {
                match read(Api::new(link), options).await {
                    Err(cause) if cause.is_transient() && since.elapsed() < self.deadline.at_most(ELECTION) => {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    result => break result,
                }
            };
            match read {
                Ok(jetstream) => Ok(ObservedAccount { servers, jetstream, listeners: Listeners::NotAsked }),
                Err(cause) if purpose == Reading::ToJudge => {
                    let jetstream = unknown(desired, &cause.to_string());
                    Ok(ObservedAccount { servers, jetstream, listeners: Listeners::NotAsked })
                }
                Err(cause) => {
                    let missing = self.deployment.missing_text();
                    Err(ReadError::JetStream { account: desired.account.name.clone(), missing, cause })
                }
            }
        });
        let accounts = try_join_all(read).await?;
        Ok(Observed { deployment: self.deployment.clone(), system_account: self.system_account.clone(), accounts })
    }

    /// Reads who listens on the subjects that the plan is about to map; `false` when there are none. Not being told
    /// is no error: the plan then warns.
    pub(super) async fn observe_listeners(&self, plan: &Plan, observed: &mut Observed, tell: &dyn Tell) -> bool {
        let about_to_be_mapped: Vec<Vec<SubjectFilter>> =
            plan.accounts.iter().map(|account| account.mappings.about_to_be_mapped().collect()).collect();
        if about_to_be_mapped.iter().all(Vec::is_empty) {
            return false;
        }
        tell.step("asking who listens on what is about to be mapped", 0, 0);
        let asked = observed.accounts.iter_mut().zip(&self.definition.accounts).zip(&about_to_be_mapped);
        join_all(asked.filter(|(_, subjects)| !subjects.is_empty()).map(|((found, account), subjects)| async move {
            let timeout = self.deadline.at_most(ASK);
            let answer = subscriptions(&self.system, &self.deployment, &account.id, subjects, timeout).await;
            found.listeners = answer.map_or_else(Listeners::Unknown, Listeners::Known);
        }))
        .await;
        true
    }

    /// Whether the operator has strict signing key usage.
    fn is_strict(&self) -> bool {
        let operators = self.deployment.servers.iter().flat_map(|s| s.varz["trusted_operators_claim"].as_array());
        operators.flatten().any(|claims| OperatorClaims::from_claims(claims).is_ok_and(|operator| operator.strict))
    }
}

/// What the streams are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// To change them: what cannot be read stops the run.
    ToChange,
    /// To judge them: what cannot be read is unknown, and the messages that lagging sources wait for are looked at.
    ToJudge,
}

/// Streams and consumers of which nothing is known.
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

/// The finding that says why an account has no token to start from.
fn too_late(account: &str) -> ReadError {
    ReadError::Refused(Box::new(Finding::error(
        "system-silent",
        format!("account {account}"),
        "the time was over before a server said which token it has",
        "Give it more time with --timeout.",
    )))
}

fn no_token(account: &str, findings: Vec<Finding>) -> ReadError {
    let worst = findings.into_iter().max_by_key(|finding| finding.severity).unwrap_or_else(|| {
        Finding::error(
            "account-unknown",
            format!("account {account}"),
            "no server has a token of it",
            "Check `id` of the account; push the account once with `nsc push` if it is new.",
        )
    });
    debug_assert!(worst.severity == Severity::Error);
    ReadError::Refused(Box::new(worst))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `2.15.1` → (2, 15)
fn minor_version(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
