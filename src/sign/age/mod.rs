//! Seeds at rest in `age` files (<https://age-encryption.org>), opened with a passphrase or an identity.

use super::Ask;
use super::file::{KeyFileError, LARGEST, read_private_file};
use crate::files::drain;
use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Identity};
use std::path::{Path, PathBuf};
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
    /// `age` did not write it in this form.
    #[error("is damaged or not an age file: {0}")]
    Damaged(&'static str),
}

/// Checks whether this is an age file, binary or armored.
pub fn is_encrypted(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// Decrypts an age file into memory that is wiped on drop.
///
/// # Errors
/// [`AgeError`]
pub fn decrypt(file: &[u8], name: &str, unlock: &Unlock) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(file)).map_err(|error| damaged(&error))?;
    let passphrase = decryptor.is_scrypt();
    let identities: Vec<Box<dyn Identity>> = match passphrase {
        true => vec![Box::new(by_passphrase(name, unlock)?)],
        false => from_file(unlock.identity.as_deref().ok_or(AgeError::NeedsIdentity)?)?,
    };
    let opened = decryptor.decrypt(identities.iter().map(AsRef::as_ref));
    let mut plain = opened.map_err(|error| match (error, passphrase, &unlock.identity) {
        (DecryptError::ExcessiveWork { required, .. }, ..) => AgeError::TooMuchWork(required),
        (DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed, true, _) => AgeError::WrongPassphrase,
        (DecryptError::NoMatchingKeys, false, Some(path)) => AgeError::WrongIdentity(path.clone()),
        (error, ..) => damaged(&error),
    })?;
    let plain = drain(&mut plain, LARGEST).map_err(|_| AgeError::Damaged("it ends too early, or was changed"))?;
    plain.ok_or(AgeError::Damaged("too large to be a seed"))
}

fn damaged(error: &DecryptError) -> AgeError {
    AgeError::Damaged(match error {
        DecryptError::InvalidMac => "its header was changed",
        DecryptError::UnknownFormat => "of a newer format",
        DecryptError::DecryptionFailed => "its content was changed",
        _ => "its header cannot be read",
    })
}

fn by_passphrase(name: &str, unlock: &Unlock) -> Result<age::scrypt::Identity, AgeError> {
    let passphrase = match (&unlock.passphrase_file, unlock.ask) {
        (Some(path), _) => secret_line(path)?,
        (None, Some(ask)) => ask(&format!("Passphrase of {name}: ")).map_err(|_| AgeError::NeedsPassphrase)?,
        (None, None) => return Err(AgeError::NeedsPassphrase),
    };
    let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.as_str()));
    identity.set_max_work_factor(MOST_WORK);
    Ok(identity)
}

/// Reads the first line of a file that only its owner may read: a passphrase or a PIN.
///
/// # Errors
/// [`KeyFileError`]
pub(super) fn secret_line(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let bytes = read_private_file(path)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).ok().filter(|line| !line.is_empty());
    line.map(|line| Zeroizing::new(line.to_owned())).ok_or_else(|| KeyFileError::NoSecret { path: path.to_owned() })
}

fn from_file(path: &Path) -> Result<Vec<Box<dyn Identity>>, AgeError> {
    let bytes = read_private_file(path)?;
    let none = |more| AgeError::NoIdentity { path: path.to_owned(), more };
    let text = std::str::from_utf8(&bytes).map_err(|_| none(""))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut identities: Vec<Box<dyn Identity>> = Vec::new();
    for line in lines {
        let identity = line.parse::<age::x25519::Identity>();
        identities.push(Box::new(identity.map_err(|_| match line {
            line if line.starts_with("AGE-PLUGIN-") => none("; plugins are not supported"),
            line if line.contains("OPENSSH PRIVATE KEY") => none("; SSH keys are not supported"),
            line if is_encrypted(line.as_bytes()) => none("; encrypted identities are not supported"),
            _ => none(""),
        })?));
    }
    if identities.is_empty() { Err(none("")) } else { Ok(identities) }
}

#[cfg(test)]
mod tests;
