//! The means to open an age file, and the detection of such a file.

use crate::sign::Ask;
#[cfg(any(feature = "age", feature = "pkcs11"))]
use crate::sign::file::{KeyFileError, read_private_file};
#[cfg(any(feature = "age", feature = "pkcs11"))]
use std::path::Path;
use std::path::PathBuf;
#[cfg(any(feature = "age", feature = "pkcs11"))]
use zeroize::Zeroizing;

/// The means to open an encrypted seed, from the command line.
#[derive(Default)]
pub struct Unlock {
    /// A file with age identities (`AGE-SECRET-KEY-1…`).
    pub identity: Option<PathBuf>,
    /// A file with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Asks the user this question. Fails without a terminal.
    pub ask: Option<Ask>,
}

/// Checks whether this is an age file, binary or armored.
pub fn is_encrypted(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// Reads the first line of a file that only its owner may read: a passphrase or a PIN.
///
/// # Errors
/// [`KeyFileError`]
#[cfg(any(feature = "age", feature = "pkcs11"))]
pub(in crate::sign) fn secret_line(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let bytes = read_private_file(path)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).ok().filter(|line| !line.is_empty());
    line.map(|line| Zeroizing::new(line.to_owned())).ok_or_else(|| KeyFileError::NoSecret { path: path.to_owned() })
}
