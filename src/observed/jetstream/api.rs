//! One request to the JetStream API and its reply, as raw JSON.

use crate::observed::{RequestError, Requests};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Error codes of the JetStream API (nats-server 2.15 `server/errors.json`).
pub mod code {
    /// Results of a list are incomplete.
    pub const CLUSTER_INCOMPLETE: u64 = 10004;
    /// No suitable peers for placement.
    pub const NO_PEERS: u64 = 10005;
    /// JetStream system temporarily unavailable: no meta leader.
    pub const NOT_AVAILABLE: u64 = 10008;
    /// The server that was asked is not the leader.
    pub const NOT_LEADER: u64 = 10009;
    /// Consumer not found.
    pub const CONSUMER_NOT_FOUND: u64 = 10014;
    /// Insufficient resources.
    pub const INSUFFICIENT_RESOURCES: u64 = 10023;
    /// Maximum consumers limit reached, of the account or of the stream.
    pub const MAXIMUM_CONSUMERS: u64 = 10026;
    /// Account not found on the server that was asked.
    pub const NO_ACCOUNT: u64 = 10035;
    /// No message found.
    pub const NO_MESSAGE: u64 = 10037;
    /// JetStream not enabled for account.
    pub const NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
    /// A server could not create the stream's store.
    pub const STREAM_CREATE: u64 = 10049;
    /// A stream of that name exists with another config.
    pub const STREAM_NAME_IN_USE: u64 = 10058;
    /// Stream not found.
    pub const STREAM_NOT_FOUND: u64 = 10059;
    /// Another stream captures one of the subjects.
    pub const SUBJECTS_OVERLAP: u64 = 10065;
    /// Peer remap failed.
    pub const PEER_REMAP: u64 = 10075;
    /// JetStream not enabled on the server that was asked.
    pub const NOT_ENABLED: u64 = 10076;
    /// Stream is offline.
    pub const STREAM_OFFLINE: u64 = 10118;
    /// No JetStream default or applicable tiered limit present.
    pub const NO_TIER: u64 = 10120;
    /// The last message of the subject has another sequence than expected.
    pub const WRONG_LAST_SEQUENCE: u64 = 10071;
    /// The same, while another message of the subject is being stored.
    pub const WRONG_LAST_SEQUENCE_IN_FLIGHT: u64 = 10164;
    /// A stream is being moved.
    pub const MOVE_IN_PROGRESS: u64 = 10124;
    /// Consumer exists with another config.
    pub const CONSUMER_EXISTS: u64 = 10148;
    /// A change of the cluster's members is under way.
    pub const MEMBER_CHANGE_INFLIGHT: u64 = 10202;
}

/// The `error` of a JetStream API reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// HTTP-like status.
    #[serde(default)]
    pub code: u64,
    /// The error's own number; 0 if the server gave none.
    #[serde(default)]
    pub err_code: u64,
    /// The server's description.
    #[serde(default)]
    pub description: String,
}

impl ApiError {
    /// Returns the error in a reply, if there is one.
    pub fn of(reply: &Value) -> Option<Self> {
        reply.get("error").filter(|e| !e.is_null()).map(Self::from_value)
    }

    pub(super) fn from_value(error: &Value) -> Self {
        Self {
            code: error["code"].as_u64().unwrap_or(0),
            err_code: error["err_code"].as_u64().unwrap_or(0),
            description: error["description"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Checks whether the same request may succeed a moment later without any change.
    ///
    /// This is so for JetStream's 503s: no meta leader, account not loaded yet on the server, and "not enabled for
    /// account" (10039) in the seconds after the account's first push (measured, 2.10.26 – 2.15.1). It is not so for
    /// "no suitable peers" (10005), which a caller may retry only if it knows that the cluster is large enough.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.err_code,
            code::CLUSTER_INCOMPLETE
                | code::NOT_AVAILABLE
                | code::NOT_LEADER
                | code::INSUFFICIENT_RESOURCES
                | code::NO_ACCOUNT
                | code::NOT_ENABLED_FOR_ACCOUNT
                | code::PEER_REMAP
                | code::NOT_ENABLED
                | code::MOVE_IN_PROGRESS
                | code::MEMBER_CHANGE_INFLIGHT
        ) || (self.code == 503 && self.err_code == 0)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.err_code {
            0 => write!(f, "{} ({})", self.description, self.code),
            number => write!(f, "{} ({number})", self.description),
        }
    }
}

/// Reason why a call of the JetStream API has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No reply came.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server answered with an error.
    #[error("{subject}: {error}")]
    Api {
        /// The subject of the request.
        subject: String,
        /// The server's answer.
        error: ApiError,
    },
    /// The reply is not a reply of the JetStream API.
    #[error("the reply on {subject} is not a JetStream API reply: {reason}")]
    Malformed {
        /// The subject of the request.
        subject: String,
        /// The reason why it is none.
        reason: String,
    },
}

impl CallError {
    /// Checks whether the same request may succeed a moment later. After a timeout the server may still have carried
    /// out the request, so check its state before you retry.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Request(RequestError::NoResponders(_) | RequestError::Timeout(_)) => true,
            Self::Request(
                RequestError::Permission(_)
                | RequestError::Connection(_)
                | RequestError::TooMuch(_)
                | RequestError::TwoAnswers { .. },
            )
            | Self::Malformed { .. } => false,
            Self::Api { error, .. } => error.is_transient(),
        }
    }

    /// Returns the subject on which the user may not publish, if that is the reason for the error.
    pub fn denied(&self) -> Option<&str> {
        match self {
            Self::Request(RequestError::Permission(subject)) => Some(subject),
            _ => None,
        }
    }

    /// Returns `None`, as if the object did not exist, unless the user lacks a permission.
    ///
    /// # Errors
    /// Returns the subject on which the user may not publish, if that is the reason for the error.
    pub fn nothing_or_denied<T>(&self) -> Result<Option<T>, String> {
        self.denied().map_or(Ok(None), |subject| Err(subject.to_owned()))
    }

    /// Returns the API's error number, if the API answered.
    pub fn err_code(&self) -> Option<u64> {
        match self {
            Self::Api { error, .. } => Some(error.err_code),
            _ => None,
        }
    }
}

/// A bound on the total size of several replies.
#[derive(Debug)]
pub struct Budget(AtomicUsize);

impl Budget {
    /// Starts with this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Subtracts the size of a reply. Returns `false` if fewer bytes are left.
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// The JetStream API of one account, under its prefix.
#[derive(Debug)]
pub struct Api<'a, R> {
    requests: &'a R,
    prefix: &'a str,
}

impl<R> Clone for Api<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Api<'_, R> {}

/// The prefix without a JetStream domain.
pub const DEFAULT_PREFIX: &str = "$JS.API";

impl<'a, R: Requests> Api<'a, R> {
    /// Returns the API of the account that `requests` is connected to, under `$JS.API`.
    pub fn new(requests: &'a R) -> Self {
        Self { requests, prefix: DEFAULT_PREFIX }
    }

    /// Returns the API under another prefix, as with a domain (`$JS.<domain>.API`).
    pub fn with_prefix(requests: &'a R, prefix: &'a str) -> Self {
        Self { requests, prefix }
    }

    /// Sends a request to `<prefix>.<operation>`. The payload is empty if `body` is null.
    ///
    /// # Errors
    /// [`CallError`]; a reply that carries an `error` is [`CallError::Api`].
    pub async fn call(&self, operation: &str, body: &Value, timeout: Duration) -> Result<Value, CallError> {
        self.call_sized(operation, body, timeout).await.map(|(value, _)| value)
    }

    /// Sends a request as [`Self::call`] does. Its reply shares a bound in bytes with others.
    ///
    /// # Errors
    /// [`CallError`]; [`RequestError::TooMuch`] if the reply exceeds the bound.
    pub async fn call_within(
        &self,
        operation: &str,
        body: &Value,
        timeout: Duration,
        budget: &Budget,
    ) -> Result<Value, CallError> {
        let (reply, size) = self.call_sized(operation, body, timeout).await?;
        if budget.take(size) { Ok(reply) } else { Err(RequestError::TooMuch(operation.to_owned()).into()) }
    }

    /// Returns the reply and its size in bytes.
    async fn call_sized(&self, operation: &str, body: &Value, timeout: Duration) -> Result<(Value, usize), CallError> {
        let subject = format!("{}.{operation}", self.prefix);
        let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let reply = self.requests.request(&subject, payload, timeout).await?;
        // The client library reports "no responders" itself. A 503 without a payload means the same.
        if reply.payload.is_empty() {
            return Err(RequestError::NoResponders(subject).into());
        }
        let value: Value = match serde_json::from_slice(&reply.payload) {
            Ok(value) => value,
            Err(error) => return Err(CallError::Malformed { subject, reason: error.to_string() }),
        };
        match ApiError::of(&value) {
            Some(error) => Err(CallError::Api { subject, error }),
            None => Ok((value, reply.payload.len())),
        }
    }
}
