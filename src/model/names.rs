//! Names with rules of their own: streams, regions, clusters, accounts.

use serde::Serialize;
use std::fmt;

/// Reason why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name `{name}`: {reason}")]
pub struct NameError {
    /// The expected kind of name (`region`, `stream`, …).
    pub kind: &'static str,
    /// The refused name.
    pub name: String,
    /// The defect.
    pub reason: String,
}

/// Longest name of a stream or consumer, in bytes (nats-server `server/jetstream_api.go`, `JSMaxNameLen`).
pub const MAX_NAME: usize = 255;

/// Tokens of the subjects `$JS.API.…` (nats-server `server/jetstream_api.go`). A virtual stream with such a name would
/// rewrite requests about other streams: `$JS.API.CONSUMER.*.NEXT.>` captures every pull (measured, 2.15.1).
pub const API_TOKENS: [&str; 37] = [
    "$JS",
    "ACCOUNT",
    "API",
    "CANCEL_MOVE",
    "CONSUMER",
    "CONSUMERS",
    "CREATE",
    "DELETE",
    "DIRECT",
    "DURABLE",
    "EVACUATE",
    "GET",
    "INFO",
    "LEADER",
    "LIST",
    "META",
    "MOVE",
    "MSG",
    "NAMES",
    "NEXT",
    "PAUSE",
    "PEER",
    "PREFERRED",
    "PURGE",
    "RELOAD",
    "REMOVE",
    "RESET",
    "RESTORE",
    "SERVER",
    "SNAPSHOT",
    "STEPDOWN",
    "STREAM",
    "STREAMS",
    "TEMPLATE",
    "UNPIN",
    "UPDATE",
    "USER",
];

/// Returns `true` if a mapping reads `token` as a function of the destination: `$1`, `{{wildcard(1)}}` (nats-server
/// `server/subject_transform.go`).
pub fn is_transform(token: &str) -> bool {
    token.contains("{{")
        || token.contains("}}")
        || token.strip_prefix('$').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns the defect of a name that is empty or too long.
fn wrong_length(name: &str) -> Option<String> {
    match name.len() {
        0 => Some("is empty".to_owned()),
        long if long > MAX_NAME => Some(format!("has {long} bytes; servers take at most {MAX_NAME}")),
        _ => None,
    }
}

/// Checks that `name` can be one subject token: not empty, printable, no `.`, `*`, `>` or white space.
fn one_token(kind: &'static str, name: &str) -> Result<(), NameError> {
    let refuse = |reason: &str| Err(NameError { kind, name: name.to_owned(), reason: reason.to_owned() });
    if let Some(reason) = wrong_length(name) {
        return refuse(&reason);
    }
    if is_transform(name) {
        return refuse("would be read as a function of a subject mapping (`$1`, `{{…}}`)");
    }
    match name.chars().find(|c| matches!(c, '.' | '*' | '>' | '/' | '\\') || c.is_whitespace() || c.is_control()) {
        Some(c) => refuse(&format!("contains {c:?}; it has to be one subject token")),
        None => Ok(()),
    }
}

macro_rules! token_name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Parses the name.
            ///
            /// # Errors
            /// [`NameError`] if the name is not one subject token.
            pub fn parse(name: &str) -> Result<Self, NameError> {
                one_token($kind, name)?;
                Ok(Self(name.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

token_name!(
    /// Name of a region, which becomes a token of subjects and stream names.
    RegionName,
    "region"
);
/// Name of a cluster, which is the name of its gateway (nats-server `gateway.name`). It may have dots: `dc1.prod`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ClusterName(String);

impl ClusterName {
    /// Parses the name.
    ///
    /// # Errors
    /// [`NameError`] if the name is empty or too long, or has white space or control characters. Servers refuse such
    /// names.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let refuse =
            |reason: &str| Err(NameError { kind: "cluster", name: name.to_owned(), reason: reason.to_owned() });
        if let Some(reason) = wrong_length(name) {
            return refuse(&reason);
        }
        match name.chars().find(|c| c.is_whitespace() || c.is_control()) {
            Some(c) => refuse(&format!("contains {c:?}")),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the token that stands for the cluster in subjects. It is the name with `_` for characters that a token
    /// cannot have: `dc1.prod` becomes `dc1_prod`.
    pub fn token(&self) -> String {
        // A mapping would read braces, and dollars before digits, as functions.
        self.0.chars().map(|c| if matches!(c, '.' | '*' | '>' | '{' | '}' | '$') { '_' } else { c }).collect()
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

token_name!(
    /// Name of a JetStream stream, virtual or real (ADR-6: no `.`, `*`, `>`, path separators, white space).
    StreamName,
    "stream"
);
token_name!(
    /// Name of a durable consumer (ADR-6).
    ConsumerName,
    "consumer"
);
