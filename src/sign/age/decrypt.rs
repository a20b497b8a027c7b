//! Decrypts age files.

use super::error::{AgeError, MOST_WORK};
use super::unlock::{Unlock, is_encrypted, secret_line};
use crate::files::drain;
use crate::sign::file::{LARGEST, read_private_file};
use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Identity};
use std::path::Path;
use zeroize::Zeroizing;

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
