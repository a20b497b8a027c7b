//! Pushes signed account tokens to the servers' resolver, and reads each server's answer.
//!
//! An answer is no proof: a server stores a token before it checks the signer (`full` resolver, measured 2.15.1). Later
//! steps read what is in force ([`crate::resolver::servers::accounts`]) and judge it ([`crate::verify::account`]).

use crate::model::claims::claimed_subject;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::observed::collect::{by_every_server, until_quiet};
use crate::observed::{Deployment, Reply, RequestError, Requests, Server};
use crate::sign::SignedToken;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::time::Duration;

/// Subject on which a user of the system account must be allowed to publish for a push. Servers with a `full` or
/// `cache` resolver subscribe to it; those with `url` or `memory` do not.
pub const SUBJECT: &str = "$SYS.REQ.CLAIMS.UPDATE";

/// Subject for the token of one account.
pub const BY_NAME: &str = "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE";

/// The older subject for the token of one account. Servers still accept pushes there (nats-server 2.15
/// `server/accounts.go`; measured, 2.15.1).
pub const OLD: &str = "$SYS.ACCOUNT.*.CLAIMS.UPDATE";

/// Subjects on which pushes arrive, including those of other tools. A user of the system account that subscribes to all
/// three receives each push in a deployment, also from other clusters (measured, 2.15.1).
pub const ALL_SUBJECTS: [&str; 3] = [SUBJECT, BY_NAME, OLD];

/// Number of tokens in flight. A token may have 1 MiB.
const AT_A_TIME: usize = 64;

/// The answer of one server for one account's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushOutcome {
    /// The account.
    pub account: PublicKey,
    /// Server name.
    pub server: String,
    /// The cluster of the server.
    pub cluster: String,
    /// The answer.
    pub answer: Answer,
}

/// A server's answer to `$SYS.REQ.CLAIMS.UPDATE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// `200 jwt updated`: the resolver stored it.
    Stored,
    /// `200`, but the resolver did not store it (`jwt update cache skipped`: a `cache` resolver that has not loaded the
    /// account).
    Skipped {
        /// The server's text.
        text: String,
    },
    /// An error.
    Refused {
        /// The code of the error.
        code: u64,
        /// The server's text.
        text: String,
    },
    /// No answer in time.
    NoAnswer,
    /// A reply that is not an answer, or not from a server of the deployment: other users of the system account may
    /// reply, too. [`PushOutcome::server`] is its sender.
    Stranger,
}

/// Appended to an answer if another answer in the same server's name contradicts it.
const DIFFER: &str = " (answers in this server's name differ: one of them is not this server's)";

impl Answer {
    /// Returns the rank of an answer. If one server gave two answers, the worse one has the greater rank and counts.
    fn rank(&self) -> u8 {
        match self {
            Self::Refused { .. } => 2,
            Self::Skipped { .. } => 1,
            Self::Stored | Self::NoAnswer | Self::Stranger => 0,
        }
    }

    /// Combines two different answers in one server's name into an error. One of them is not the server's, so neither
    /// proves that the token is stored. The run later reads the token in force.
    fn contradicted_by(self, other: Self) -> Self {
        let worse = if other.rank() > self.rank() { other } else { self };
        match worse {
            Self::Refused { code, text } if text.ends_with(DIFFER) => Self::Refused { code, text },
            Self::Refused { code, text } => Self::Refused { code, text: text + DIFFER },
            Self::Skipped { text } => Self::Refused { code: 500, text: text + DIFFER },
            Self::Stored | Self::NoAnswer | Self::Stranger => {
                Self::Refused { code: 500, text: format!("jwt updated{DIFFER}") }
            }
        }
    }
}

/// Reason why a push failed as a whole. Unless there were no responders, some servers may still have stored the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// No server's resolver accepts tokens over NATS.
    #[error(
        "no server takes account tokens over NATS: their resolver is `url` or `memory` and the definition does not say so, or \
         this is not the system account"
    )]
    NoResolver,
    /// The connection failed, or a permission is missing.
    #[error("pushing account {account}: {cause}")]
    Request {
        /// The account.
        account: PublicKey,
        /// The cause.
        cause: RequestError,
    },
}

/// Pushes all tokens at once, and waits until every server of the deployment has answered for each, or until the
/// timeout.
///
/// Returns one outcome per token and server, in the order of `tokens` and of the deployment. The [`Answer::Stranger`]s
/// to a token follow its servers.
///
/// # Errors
/// [`PushError`]
pub async fn push(
    requests: &impl Requests,
    deployment: &Deployment,
    tokens: &[(PublicKey, impl Borrow<SignedToken> + Sync)],
    timeout: Duration,
) -> Result<Vec<PushOutcome>, PushError> {
    push_all(requests, deployment, tokens, timeout, |_| SUBJECT.to_owned()).await
}

/// Pushes tokens as [`push`] does, for servers that load tokens from elsewhere (`url`). Servers that have loaded an
/// account accept its new token. The others fetch it when they load the account ([`Answer::Skipped`]).
///
/// # Errors
/// [`PushError`]
pub async fn push_to_loaded(
    requests: &impl Requests,
    deployment: &Deployment,
    tokens: &[(PublicKey, impl Borrow<SignedToken> + Sync)],
    timeout: Duration,
) -> Result<Vec<PushOutcome>, PushError> {
    push_all(requests, deployment, tokens, timeout, |id| BY_NAME.replace('*', &id.to_string())).await
}

async fn push_all(
    requests: &impl Requests,
    deployment: &Deployment,
    tokens: &[(PublicKey, impl Borrow<SignedToken> + Sync)],
    timeout: Duration,
    subject: impl Fn(&PublicKey) -> String + Sync,
) -> Result<Vec<PushOutcome>, PushError> {
    use futures::StreamExt as _;
    let (deadline, subject) = (tokio::time::Instant::now() + timeout, &subject);
    let outcomes: Vec<Result<Vec<PushOutcome>, PushError>> = futures::stream::iter(tokens)
        .map(|(account, token)| async move {
            push_one(requests, deployment, &subject(account), (account, token.borrow()), deadline).await
        })
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let outcomes: Result<Vec<_>, _> = outcomes.into_iter().collect();
    Ok(outcomes?.into_iter().flatten().collect())
}

async fn push_one(
    requests: &impl Requests,
    deployment: &Deployment,
    subject: &str,
    (account, token): (&PublicKey, &SignedToken),
    deadline: tokio::time::Instant,
) -> Result<Vec<PushOutcome>, PushError> {
    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
    let body = token.as_str().as_bytes().to_vec();
    let everyone = by_every_server(deployment);
    let replies = match until_quiet(requests, subject, body, left, everyone).await {
        Ok(replies) => replies,
        Err(RequestError::NoResponders(_)) => return Err(PushError::NoResolver),
        // The token may have arrived nevertheless.
        Err(RequestError::Connection(_)) => Vec::new(),
        Err(cause) => return Err(PushError::Request { account: account.clone(), cause }),
    };
    let mut answers: HashMap<String, (Answer, &[u8])> = HashMap::new();
    let mut strangers = Vec::new();
    for reply in &replies {
        let known = |(id, _): &(String, Answer)| deployment.servers.iter().any(|server| server.id == *id);
        match answer(reply).filter(known) {
            Some((id, answer)) => {
                let answer = match answers.remove(&id) {
                    Some((before, payload)) if payload != reply.payload => before.contradicted_by(answer),
                    Some((before, _)) => before,
                    None => answer,
                };
                answers.insert(id, (answer, &reply.payload));
            }
            None => strangers.push(name(reply)),
        }
    }
    let outcome = |server: &Server| PushOutcome {
        account: account.clone(),
        server: server.name.clone(),
        cluster: server.cluster.clone(),
        answer: answers.remove(&server.id).map_or(Answer::NoAnswer, |(answer, _)| answer),
    };
    let mut outcomes: Vec<PushOutcome> = deployment.servers.iter().map(outcome).collect();
    outcomes.extend(strangers.into_iter().map(|server| PushOutcome {
        account: account.clone(),
        server,
        cluster: String::new(),
        answer: Answer::Stranger,
    }));
    Ok(outcomes)
}

/// Returns the name that the sender of a reply gives itself.
fn name(reply: &Reply) -> String {
    let document: Value = serde_json::from_slice(&reply.payload).unwrap_or_default();
    let name = document.pointer("/server/name").or(document.pointer("/server/id")).and_then(Value::as_str);
    name.unwrap_or("a responder without a name").to_owned()
}

/// Returns the server id and the answer (`ServerAPIClaimUpdateResponse`, nats-server 2.15 `server/accounts.go`).
fn answer(reply: &Reply) -> Option<(String, Answer)> {
    let document: Value = serde_json::from_slice(&reply.payload).ok()?;
    let id = document.pointer("/server/id")?.as_str()?.to_owned();
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let answer = match document.get("error").filter(|error| !error.is_null()) {
        Some(error) => {
            Answer::Refused { code: error["code"].as_u64().unwrap_or(500), text: text("/error/description") }
        }
        // Neither an error nor data, so not an answer.
        None if document.get("data").is_none_or(Value::is_null) => return None,
        None if text("/data/message").contains("skipped") => Answer::Skipped { text: text("/data/message") },
        None => Answer::Stored,
    };
    Some((id, answer))
}

/// Returns the account that a push is for, as its subject says, or else its token. Nothing of it is verified.
pub(crate) fn named_in(subject: &str, token: &str) -> Option<PublicKey> {
    let named = subject.split('.').find_map(|part| PublicKey::parse_kind(part, KeyKind::Account).ok());
    named.or_else(|| PublicKey::parse_kind(&claimed_subject(token)?, KeyKind::Account).ok())
}

#[cfg(test)]
mod tests;
