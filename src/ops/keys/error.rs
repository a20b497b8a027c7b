//! Failures of the verbs about keys.

use crate::model::claims::ClaimsError;
use crate::sign::SeedError;
use crate::sign::file::KeyFileError;
use crate::sign::keyring::KeyringError;

/// Reason why a `keys` command failed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The keys folder or a file in it cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The system has no random numbers.
    #[error("no key was made: {0}")]
    Generate(SeedError),
    /// The input of `inspect` cannot be read.
    #[error("{place} cannot be read: {cause}")]
    Unreadable {
        /// The file, or standard input.
        place: String,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The input is too large to be a token or a key.
    #[error("{0} is too large to be a token, credentials or a key")]
    TooLarge(String),
    /// The input contains neither a token nor a key.
    #[error("{place} holds no token and no nkey: {reason}")]
    Nothing {
        /// The file, or standard input.
        place: String,
        /// The last attempt.
        reason: String,
    },
    /// A token is not valid.
    #[error("{place}: {cause}")]
    Token {
        /// The file, or standard input.
        place: String,
        /// The reason.
        cause: ClaimsError,
    },
    /// A seed was given as an argument, so it is now in the shell's history.
    #[error("a seed was given as an argument, where others on this machine and the shell's history see it")]
    SeedAsArgument,
}
