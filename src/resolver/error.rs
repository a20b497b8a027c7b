//! Errors of reading and pushing tokens.

use super::push::PushError;
use crate::model::nkey::PublicKey;
use crate::observed::RequestError;

/// An error of the account server, or of the file with the preload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct TokenStoreError {
    /// Stable name, for scripts: `account-server` or `preload`.
    pub code: &'static str,
    /// The account server with its URL, or the file and line.
    pub place: String,
    /// The cause.
    pub message: String,
    /// The next step.
    pub next: String,
    /// `true` if the file is the cause, and not the deployment.
    pub is_input: bool,
}

/// Reason why the tokens of accounts are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The request to the servers failed.
    #[error(transparent)]
    Servers(#[from] RequestError),
    /// The account server or the preload could not be read.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
}

/// Reason why tokens were not pushed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPushed {
    /// The push to the servers failed.
    #[error(transparent)]
    Servers(#[from] PushError),
    /// The account server or the preload could not be written.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
    /// The account server or the preload has another token than the one that was read.
    #[error("the token of account {0} was changed by another tool or run")]
    Changed(PublicKey),
}
