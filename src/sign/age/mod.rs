//! Seeds at rest in `age` files (<https://age-encryption.org>), opened with a passphrase or an identity.

#[cfg(feature = "age")]
mod decrypt;
#[cfg(all(test, feature = "age"))]
mod tests;

#[cfg(feature = "age")]
pub use decrypt::decrypt;

use super::Ask;
use super::file::KeyFileError;
#[cfg(any(feature = "age", feature = "pkcs11"))]
use super::file::read_private_file;
#[cfg(any(feature = "age", feature = "pkcs11"))]
use std::path::Path;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The highest work factor of a passphrase, the same as in the reference implementation: 2^22, some 4 GiB of memory.
const MOST_WORK: u8 = 22;

/// The means to open an encrypted seed; filled in by the command line.
#[derive(Default)]
pub struct Unlock {
    /// A file with age identities (`AGE-SECRET-KEY-1…`).
    pub identity: Option<PathBuf>,
    /// A file with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Asks the user this question; fails without a terminal.
    pub ask: Option<Ask>,
}

/// Reason why an encrypted seed was not opened; never holds any of a secret.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// A passphrase is needed, and there is no terminal to ask for it.
    #[error("is encrypted with a passphrase; there is no terminal to ask for it, and no file with it was named")]
    NeedsPassphrase,
    /// An identity is needed.
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
    /// The file with identities has something else in it.
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
    /// The feature `age` is off.
    #[error("is encrypted with age, and this vstream-jwt was built without it")]
    NotBuilt,
    /// `age` did not write it in this form.
    #[error("is damaged or not an age file: {0}")]
    Damaged(&'static str),
}

/// Checks whether this is an age file, binary or armored.
pub fn is_encrypted(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// Refuses an age file: the feature `age` is off.
///
/// # Errors
/// [`AgeError::NotBuilt`]
#[cfg(not(feature = "age"))]
pub fn decrypt(_file: &[u8], _name: &str, _unlock: &Unlock) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    Err(AgeError::NotBuilt)
}

/// Reads the first line of a file that only its owner may read: a passphrase or a PIN.
///
/// # Errors
/// [`KeyFileError`]
#[cfg(any(feature = "age", feature = "pkcs11"))]
pub(super) fn secret_line(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let bytes = read_private_file(path)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).ok().filter(|line| !line.is_empty());
    line.map(|line| Zeroizing::new(line.to_owned())).ok_or_else(|| KeyFileError::NoSecret { path: path.to_owned() })
}
