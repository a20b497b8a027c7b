//! Reads and writes seed files, with wiped buffers and access for the owner alone.

use super::{Seed, SeedError};
use crate::files::{self, FileAccess, FileReadError};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Size of the largest file that is read as a seed, in bytes. A seed file has 59.
pub(crate) const LARGEST: usize = 64 * 1024;

/// Reason why a key file was refused. Never contains any of its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file doesn't exist.
    #[error("key file {path}: there is no such file")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be read.
    #[error("key file {path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The path is a folder, a socket, …
    #[error("key file {path} is not a file; what a command prints goes to standard input instead")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Other users may read or write the file.
    #[error("key file {path} is open to others (mode {mode:04o}); it has to be 0600: chmod 600 {path}")]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// The file's permissions.
        mode: u32,
    },
    /// The file has more than 64 KiB.
    #[error("key file {path} is too large to be a seed")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is empty or not text.
    #[error("{path} has no secret in its first line")]
    NoSecret {
        /// The file.
        path: PathBuf,
    },
    /// The file has no seed, or one of another kind.
    #[error("key file {path} {cause}")]
    Seed {
        /// The file.
        path: PathBuf,
        /// The fault in its content.
        cause: SeedError,
    },
    /// The file already exists.
    #[error("key file {path} exists already and is not overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be written.
    #[error("key file {path} cannot be written: {cause}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
}

/// Reads the seed of a file that only its owner may read (mode 0600 or stricter, checked on the open file).
///
/// # Errors
/// [`KeyFileError`]
pub fn read_seed_file(path: &Path) -> Result<Seed, KeyFileError> {
    let (seed, mode) = read_any_seed_file(path)?;
    not_open_to_others(path, mode)?;
    Ok(seed)
}

/// Reads a file that only its owner may read.
///
/// # Errors
/// [`KeyFileError`]
#[cfg(any(feature = "age", feature = "pkcs11"))]
pub(super) fn read_private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let (bytes, mode) = read_any_file(path)?;
    not_open_to_others(path, mode)?;
    Ok(bytes)
}

pub(super) fn not_open_to_others(path: &Path, mode: Option<u32>) -> Result<(), KeyFileError> {
    files::closed_to_others(mode).map_err(|error| refused(path, error))
}

/// Reads a seed regardless of the file's permissions, and also returns these (Unix only).
pub(super) fn read_any_seed_file(path: &Path) -> Result<(Seed, Option<u32>), KeyFileError> {
    let (text, mode) = read_any_file(path)?;
    let seed = Seed::parse_bytes(&text);
    super::memory::scrub_stack();
    Ok((seed.map_err(|cause| KeyFileError::Seed { path: path.to_owned(), cause })?, mode))
}

/// Reads a file regardless of its permissions, and also returns these (Unix only).
pub(super) fn read_any_file(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Option<u32>), KeyFileError> {
    files::read_any_secret(path, LARGEST).map_err(|error| refused(path, error))
}

fn refused(path: &Path, error: FileReadError) -> KeyFileError {
    let path = path.to_owned();
    match error {
        FileReadError::Missing => KeyFileError::Missing { path },
        FileReadError::NotAFile(_) => KeyFileError::NotAFile { path },
        FileReadError::OpenToOthers(mode) => KeyFileError::OpenToOthers { path, mode },
        FileReadError::TooLarge(_) => KeyFileError::TooLarge { path },
        error @ (FileReadError::NotText | FileReadError::Io(_)) => {
            KeyFileError::Unreadable { path, cause: error.into() }
        }
    }
}

/// Writes a seed to a new file atomically, with mode 0600. The file is on disk when this function returns.
///
/// # Errors
/// [`KeyFileError::Exists`], [`KeyFileError::Unwritable`]
pub fn write_seed_file(path: &Path, seed: &Seed) -> Result<(), KeyFileError> {
    let unwritable = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => KeyFileError::Unwritable { path: path.to_owned(), cause },
    };
    files::create(path, FileAccess::Owner, &[seed.reveal().as_bytes(), b"\n"]).map_err(unwritable)
}

/// Returns the permission bits of a file or folder. Returns `None` if it does not exist or the system has no
/// permissions.
pub(crate) fn file_mode(path: &Path) -> Option<u32> {
    files::mode(&std::fs::metadata(path).ok()?)
}

/// Checks whether a file belongs to a user other than this one and the superuser.
#[cfg(unix)]
pub(crate) fn belongs_to_another(path: &Path) -> bool {
    let owner = std::fs::metadata(path).map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata));
    owner.is_ok_and(|owner| owner != 0 && owner != rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
pub(crate) fn belongs_to_another(_: &Path) -> bool {
    false
}
