//! The keys folder: seeds in `*.nk` files, found by their public keys. The names of the files do not matter.

use super::file::{KeyFileError, read_any_seed_file, read_seed_file, write_seed_file};
use super::{Seed, SeedError, Signer as _};
use crate::model::claims::AccountClaims;
use crate::model::nkey::{KeyKind, PublicKey};
use std::path::{Path, PathBuf};

/// A `*.nk` file of the keys folder.
#[derive(Debug)]
pub struct KeyFile {
    /// The path.
    pub path: PathBuf,
    /// The public key, if it could be read.
    pub key: Option<PublicKey>,
    /// The fault of the file, if any. Using the file fails with it.
    pub problem: Option<KeyFileError>,
}

/// Reason why the keys folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The folder can't be listed.
    #[error("keys folder {folder} cannot be read: {cause}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// A key file cannot have this name.
    #[error("`{name}` cannot be the name of a key file")]
    Name {
        /// The name as given.
        name: String,
    },
    /// A key file that is needed can't be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The system returned no random bytes.
    #[error("a new key cannot be made: {cause}")]
    Generate {
        /// The failure.
        cause: SeedError,
    },
}

/// A keys folder as it was when it was opened. Contains no seeds.
#[derive(Debug)]
pub struct Keyring {
    folder: PathBuf,
    files: Vec<KeyFile>,
}

impl Keyring {
    /// Reads all `*.nk` files of the folder, without subfolders. A missing folder has no keys.
    ///
    /// # Errors
    /// [`KeyringError::Folder`]. A file that is damaged or open to other users is an error only when it is used.
    pub fn open(folder: &Path) -> Result<Self, KeyringError> {
        let failed = |cause| KeyringError::Folder { folder: folder.to_owned(), cause };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { folder: folder.to_owned(), files: Vec::new() });
            }
            Err(error) => return Err(failed(error)),
        };
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        let mut paths: Vec<_> = paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "nk")).collect();
        paths.sort();
        Ok(Self { folder: folder.to_owned(), files: paths.into_iter().map(look_at).collect() })
    }

    /// Reads the folder again, because another run may have written keys since.
    ///
    /// # Errors
    /// [`KeyringError::Folder`]
    pub fn reopen(&mut self) -> Result<(), KeyringError> {
        *self = Self::open(&self.folder)?;
        Ok(())
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns all files, sorted by name.
    pub fn files(&self) -> &[KeyFile] {
        &self.files
    }

    /// Returns the public keys of one kind, in the order of the files' names.
    pub fn keys(&self, kind: KeyKind) -> impl Iterator<Item = &PublicKey> {
        self.files.iter().filter_map(|file| file.key.as_ref()).filter(move |key| key.kind() == kind)
    }

    /// Returns the public key in `<name>.nk`, if there is such a file and it can be read.
    pub fn named(&self, name: &str) -> Option<&PublicKey> {
        let file = self.files.iter().find(|file| file.path.file_stem().is_some_and(|stem| stem == name))?;
        file.key.as_ref()
    }

    /// Returns the seed of a public key, or `None` if no file has it.
    ///
    /// # Errors
    /// [`KeyringError::File`] if other users may read all files that have it.
    pub fn find(&self, key: &PublicKey) -> Result<Option<Seed>, KeyringError> {
        let mut files = self.files.iter().filter(|file| file.key.as_ref() == Some(key));
        let Some(first) = files.next() else { return Ok(None) };
        let best = std::iter::once(first).chain(files).find(|file| file.problem.is_none()).unwrap_or(first);
        let seed = read_seed_file(&best.path)?;
        // Another process may have replaced the file since the folder was read.
        Ok((seed.public_key() == *key).then_some(seed))
    }

    /// Writes a new seed as `<name>.nk` with mode 0600, and never overwrites a file. Creates the folder (0700) if
    /// needed.
    ///
    /// # Errors
    /// [`KeyringError`]
    pub fn write(&mut self, name: &str, seed: &Seed) -> Result<PathBuf, KeyringError> {
        let usable = !name.is_empty()
            && !name.starts_with('.')
            && !name.chars().any(|c| c == '/' || c == '\\' || c == ':' || c.is_control());
        if !usable {
            return Err(KeyringError::Name { name: name.to_owned() });
        }
        create_folder(&self.folder).map_err(|cause| KeyringError::Folder { folder: self.folder.clone(), cause })?;
        let path = self.folder.join(format!("{name}.nk"));
        write_seed_file(&path, seed)?;
        self.files.push(look_at(path.clone()));
        Ok(path)
    }
}

/// Returns the key that issues users and activation tokens for an account: a signing key without a scope, otherwise its
/// identity. Returns `None` if the folder has neither.
///
/// # Errors
/// [`KeyringError::File`] if the only file with the key can't be used.
pub fn issuer(claims: &AccountClaims, keys: &Keyring) -> Result<Option<Seed>, KeyringError> {
    let signing = claims.signing_keys().iter().filter(|key| key.scope.is_none()).map(|key| &key.key);
    for key in signing.chain([claims.id()]) {
        if let Some(seed) = keys.find(key)? {
            return Ok(Some(seed));
        }
    }
    Ok(None)
}

fn look_at(path: PathBuf) -> KeyFile {
    match read_any_seed_file(&path) {
        Err(problem) => KeyFile { path, key: None, problem: Some(problem) },
        Ok((seed, mode)) => {
            let open = mode.filter(|mode| mode & 0o077 != 0);
            let problem = open.map(|mode| KeyFileError::OpenToOthers { path: path.clone(), mode });
            KeyFile { path, key: Some(seed.public_key()), problem }
        }
    }
}

fn create_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests;
