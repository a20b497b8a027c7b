//! Reasons why there is no connection.

use crate::files::FileReadError;
use crate::model::nkey::PublicKey;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Reason why there is no connection. Contains no secret: neither a seed nor the text of a credentials file.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A credentials, context or TLS file cannot be read.
    #[error("{what} {}: {reason}", path.display())]
    File {
        /// `credentials`, `context`, `TLS ca`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// Other users on this machine can read or write a file with a secret.
    #[error("{what} {}: others on this machine can read or write {} (mode {mode:04o})", path.display(), secret(what))]
    OpenToOthers {
        /// `credentials`, `context`, `TLS key`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The file's permissions.
        mode: u32,
    },
    /// The credentials are damaged, or do not work in operator mode.
    #[error("{place}: {reason}")]
    Credentials {
        /// The file or context.
        place: String,
        /// The fault.
        reason: String,
    },
    /// No context of the `nats` CLI has that name.
    #[error("there is no context `{name}` in {}{}", folder.display(), nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    ContextNotFound {
        /// The name.
        name: String,
        /// The folder that was searched.
        folder: PathBuf,
        /// The most similar name there.
        nearest: Option<String>,
    },
    /// The user's token has expired.
    #[error("{place}: the user token of `{user}` expired {ago} ago ({at} UTC)")]
    Expired {
        /// The file or context.
        place: String,
        /// The user's name in its token.
        user: String,
        /// Time since then, as text for the user.
        ago: String,
        /// The time of expiry.
        at: String,
    },
    /// The credentials belong to another account than expected.
    #[error("{place}: these are credentials of account {found}, not of {expected}")]
    WrongAccount {
        /// The file or context.
        place: String,
        /// The account that issued the user.
        found: PublicKey,
        /// The expected account.
        expected: PublicKey,
    },
    /// A server refused the user.
    #[error("{url} refused user `{user}` of account {account}: {reason}")]
    Refused {
        /// The server's URL.
        url: String,
        /// The user's name in its token.
        user: String,
        /// The user's account.
        account: PublicKey,
        /// The server's message.
        reason: String,
        /// The user's claims.
        claims: Box<Value>,
    },
    /// TLS failed.
    #[error("TLS to {url}: {reason}")]
    Tls {
        /// The server's URL.
        url: String,
        /// The failure.
        reason: String,
    },
    /// No server could be reached.
    #[error("no server answers: {}", tried.iter().map(|(url, why)| format!("{url} ({why})")).collect::<Vec<_>>().join(", "))]
    Unreachable {
        /// Each URL, and why its server could not be reached.
        tried: Vec<(String, String)>,
    },
}

impl ConnectError {
    /// Returns the error of a file that was not read.
    pub(super) fn unread(what: &'static str, path: &Path, error: FileReadError) -> Self {
        let path = path.to_owned();
        match error {
            FileReadError::OpenToOthers(mode) => Self::OpenToOthers { what, path, mode },
            error => Self::File { what, path, reason: error.to_string() },
        }
    }

    /// Returns a stable kebab-case name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "file-unreadable",
            Self::OpenToOthers { .. } => "credentials-readable",
            Self::Credentials { .. } => "credentials-invalid",
            Self::ContextNotFound { .. } => "context-not-found",
            Self::Expired { .. } => "credentials-expired",
            Self::WrongAccount { .. } => "credentials-of-another-account",
            Self::Refused { .. } => "authorization-violation",
            Self::Tls { .. } => "tls",
            Self::Unreachable { .. } => "unreachable",
        }
    }

    /// Returns the next step for the user, an imperative sentence.
    pub fn next(&self) -> &'static str {
        match self {
            Self::File { .. } => "Check the path; paths of a definition are relative to the definition's folder.",
            Self::OpenToOthers { .. } => "Make it yours alone: `chmod 600` of that file.",
            Self::Credentials { .. } => "Make new credentials: `nsc generate creds --account ACCOUNT --name USER`.",
            Self::ContextNotFound { .. } => "List contexts with `nats context ls`, or name a credentials file instead.",
            Self::Expired { .. } => "Issue the user anew, or name the account's `key:` instead of credentials.",
            Self::WrongAccount { .. } => "Name credentials of that account.",
            Self::Refused { .. } => {
                "Check that the account is on the servers, that its token has not expired, and that the user is not revoked."
            }
            Self::Tls { .. } => {
                "Check `tls:` of the definition (ca, cert, key; `first: true` for servers with handshake_first)."
            }
            Self::Unreachable { .. } => "Check the `servers:` of the regions, and that a server runs there.",
        }
    }
}

/// Returns the kind of secret in this kind of file.
fn secret(what: &str) -> &'static str {
    match what {
        "TLS key" => "the client's key",
        _ => "the user's seed",
    }
}
