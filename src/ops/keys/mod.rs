//! Makes, lists, checks and inspects keys and tokens. Never returns a seed.

mod check;
mod error;
mod inspect;

pub use check::{Check, check};
pub use error::KeysError;
pub use inspect::{Inspection, Item, TokenView, inspect};

use crate::definition::Definition;
use crate::engine::regional_keys;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::sign::keyring::Keyring;
use crate::sign::{Seed, Signer as _, looks_like_a_seed};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// The public key.
    pub public_key: PublicKey,
    /// The kind of the key.
    pub kind: KeyKind,
    /// The file with the seed.
    pub file: PathBuf,
}

/// Makes a key and writes its seed as `<name>.nk` (by default its public key) to the keys folder.
///
/// # Errors
/// [`KeysError::Keyring`]. An existing file is never overwritten.
pub fn generate(keys: &Path, kind: KeyKind, name: Option<&str>) -> Result<Generated, KeysError> {
    if name.is_some_and(looks_like_a_seed) {
        return Err(KeysError::SeedAsArgument);
    }
    let seed = Seed::generate(kind).map_err(KeysError::Generate)?;
    let public_key = seed.public_key();
    let name = name.map_or_else(|| public_key.to_string(), |name| name.strip_suffix(".nk").unwrap_or(name).to_owned());
    let file = Keyring::open(keys)?.write(&name, &seed)?;
    Ok(Generated { public_key, kind, file })
}

/// Makes the keys of a definition's regional accounts, so that a plan file can name them. An account with a file under
/// its name keeps that key.
///
/// # Errors
/// [`KeysError::Keyring`]
pub fn generate_regional(keys: &Path, definition: &Definition) -> Result<Vec<Generated>, KeysError> {
    let made = regional_keys::generate_missing(definition, &mut Keyring::open(keys)?)?;
    Ok(made.into_iter().map(|(public_key, file)| Generated { public_key, kind: KeyKind::Account, file }).collect())
}

/// A `*.nk` file of the keys folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The file.
    pub file: PathBuf,
    /// The public key, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicKey>,
    /// The kind of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<KeyKind>,
    /// Reason why a verb that needs the file would refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Returns all `*.nk` files of the keys folder.
///
/// # Errors
/// [`KeysError::Keyring`] if the folder cannot be read.
pub fn list(keys: &Path) -> Result<Vec<Listed>, KeysError> {
    let keyring = Keyring::open(keys)?;
    let listed = keyring.files().iter().map(|file| Listed {
        file: file.path.clone(),
        public_key: file.key.clone(),
        kind: file.key.as_ref().map(PublicKey::kind),
        problem: file.problem.as_ref().map(ToString::to_string),
    });
    Ok(listed.collect())
}

#[cfg(test)]
mod tests;
