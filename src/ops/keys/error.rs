//! Failures of the verbs about keys.

use crate::model::claims::ClaimsError;
use crate::sign::SeedError;
use crate::sign::file::KeyFileError;
use crate::sign::keyring::KeyringError;

/// Why a verb about keys failed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The keys folder, or a file in it.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// No random numbers.
    #[error("no key was made: {0}")]
    Generate(SeedError),
    /// What was to be inspected can't be read.
    #[error("{place} cannot be read: {cause}")]
    Unreadable {
        /// The file, or standard input.
        place: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Too large to be a token or a key.
    #[error("{0} is too large to be a token, credentials or a key")]
    TooLarge(String),
    /// Neither a token nor a key is in it.
    #[error("{place} holds no token and no nkey: {reason}")]
    Nothing {
        /// The file, or standard input.
        place: String,
        /// What was tried last.
        reason: String,
    },
    /// A token that is refused.
    #[error("{place}: {cause}")]
    Token {
        /// The file, or standard input.
        place: String,
        /// What is wrong with it.
        cause: ClaimsError,
    },
    /// A seed as an argument: it is in the shell's history now.
    #[error("a seed was given as an argument, where others on this machine and the shell's history see it")]
    SeedAsArgument,
}
