//! Errors of opening an age file.

use crate::sign::file::KeyFileError;
use std::path::PathBuf;

/// The highest accepted work factor of a passphrase, as in the reference implementation: 2^22, some 4 GiB of memory.
pub(super) const MOST_WORK: u8 = 22;

/// Reason why an encrypted seed was not opened. Never contains any of a secret.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// The file needs a passphrase, and there is no terminal to ask for it.
    #[error("is encrypted with a passphrase; there is no terminal to ask for it, and no file with it was named")]
    NeedsPassphrase,
    /// The file needs an identity.
    #[error("is encrypted to age identities, and no file with one was named")]
    NeedsIdentity,
    /// The passphrase is wrong.
    #[error("cannot be opened: wrong passphrase")]
    WrongPassphrase,
    /// The file is not encrypted to any of the identities.
    #[error("cannot be opened: it is not encrypted to an identity in {0}")]
    WrongIdentity(PathBuf),
    /// The file with the passphrase or the identities cannot be used.
    #[error("cannot be opened: {0}")]
    File(#[from] KeyFileError),
    /// The file with identities contains something else.
    #[error("cannot be opened: {path} has no age identity (AGE-SECRET-KEY-1…){more}")]
    NoIdentity {
        /// The file.
        path: PathBuf,
        /// The kind of its content, if recognized.
        more: &'static str,
    },
    /// Opening it would take too long.
    #[error("cannot be opened: its passphrase has a work factor of {0}; {MOST_WORK} is the most")]
    TooMuchWork(u8),
    /// The feature `age` is not built in.
    #[error("is encrypted with age, and this vstream-jwt was built without it")]
    NotBuilt,
    /// The file is not in the format of `age`.
    #[error("is damaged or not an age file: {0}")]
    Damaged(&'static str),
}
