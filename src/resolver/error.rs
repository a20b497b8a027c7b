//! Why tokens could not be read or handed over.

use crate::model::nkey::PublicKey;
use crate::observed::RequestError;
use crate::push::PushError;

/// An error of the account server, or of the file with the preload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct TokenStoreError {
    /// Stable name, for scripts: `account-server` or `preload`.
    pub code: &'static str,
    /// The account server with its URL, or the file and the line.
    pub place: String,
    /// The cause.
    pub message: String,
    /// The next step.
    pub next: String,
    /// The file, not the deployment, is the cause.
    pub is_input: bool,
}

/// Why the tokens of accounts are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The servers.
    #[error(transparent)]
    Servers(#[from] RequestError),
    /// What is outside of them.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
}

/// Why tokens were not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPushed {
    /// The servers.
    #[error(transparent)]
    Servers(#[from] PushError),
    /// What is outside of them.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
    /// The token that is kept outside of them is another than was read.
    #[error("the token of account {0} was changed by someone else")]
    Changed(PublicKey),
}
