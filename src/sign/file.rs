//! Reading and writing seed files: wiped buffers, nobody else's permissions.

use super::{Seed, SeedError};
use crate::files::{self, Access, ReadError};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A seed file is 59 bytes; what is larger than this is something else.
pub(crate) const LARGEST: usize = 64 * 1024;

/// Why a key file was refused; never holds any of its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It isn't there.
    #[error("key file {path}: there is no such file")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It can't be read.
    #[error("key file {path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A folder, a socket, …
    #[error("key file {path} is not a file; what a command prints goes to standard input instead")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Others may read or write it.
    #[error("key file {path} is open to others (mode {mode:04o}); it has to be 0600: chmod 600 {path}")]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// More than 64 KiB.
    #[error("key file {path} is too large to be a seed")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Empty, or not text.
    #[error("{path} has no secret in its first line")]
    NoSecret {
        /// The file.
        path: PathBuf,
    },
    /// Not a seed, or not of the right kind.
    #[error("key file {path} {cause}")]
    Seed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: SeedError,
    },
    /// It is there already.
    #[error("key file {path} exists already and is not overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It can't be written.
    #[error("key file {path} cannot be written: {cause}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
}

/// Reads the seed of a file that nobody else may read (mode 0600 or stricter, judged on the open file).
///
/// # Errors
/// [`KeyFileError`]
pub fn read_seed_file(path: &Path) -> Result<Seed, KeyFileError> {
    let (seed, mode) = read_any_seed_file(path)?;
    not_open_to_others(path, mode)?;
    Ok(seed)
}

/// What a file holds that nobody else may read.
///
/// # Errors
/// [`KeyFileError`]
pub(super) fn read_private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let (bytes, mode) = read_any_file(path)?;
    not_open_to_others(path, mode)?;
    Ok(bytes)
}

pub(super) fn not_open_to_others(path: &Path, mode: Option<u32>) -> Result<(), KeyFileError> {
    files::closed_to_others(mode).map_err(|error| refused(path, error))
}

/// A seed whatever the permissions, which are returned (Unix only).
pub(super) fn read_any_seed_file(path: &Path) -> Result<(Seed, Option<u32>), KeyFileError> {
    let (text, mode) = read_any_file(path)?;
    let seed = Seed::parse_bytes(&text);
    super::memory::scrub_stack();
    Ok((seed.map_err(|cause| KeyFileError::Seed { path: path.to_owned(), cause })?, mode))
}

/// What a file holds, whatever the permissions, which are returned (Unix only).
pub(super) fn read_any_file(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Option<u32>), KeyFileError> {
    files::read_any_secret(path, LARGEST).map_err(|error| refused(path, error))
}

fn refused(path: &Path, error: ReadError) -> KeyFileError {
    let path = path.to_owned();
    match error {
        ReadError::Missing => KeyFileError::Missing { path },
        ReadError::NotAFile(_) => KeyFileError::NotAFile { path },
        ReadError::OpenToOthers(mode) => KeyFileError::OpenToOthers { path, mode },
        ReadError::TooLarge(_) => KeyFileError::TooLarge { path },
        error @ (ReadError::NotText | ReadError::Io(_)) => KeyFileError::Unreadable { path, cause: error.into() },
    }
}

/// Writes a seed to a new file, 0600, complete or not at all, and on disk when this returns.
///
/// # Errors
/// [`KeyFileError::Exists`], [`KeyFileError::Unwritable`]
pub fn write_seed_file(path: &Path, seed: &Seed) -> Result<(), KeyFileError> {
    let unwritable = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => KeyFileError::Unwritable { path: path.to_owned(), cause },
    };
    files::create(path, Access::Owner, &[seed.reveal().as_bytes(), b"\n"]).map_err(unwritable)
}

/// The permission bits of a file or folder; `None` if there is none, or no such thing as permissions.
pub(crate) fn file_mode(path: &Path) -> Option<u32> {
    files::mode(&std::fs::metadata(path).ok()?)
}

/// Whether a file belongs to somebody other than this user and the superuser.
#[cfg(unix)]
pub(crate) fn belongs_to_another(path: &Path) -> bool {
    let owner = std::fs::metadata(path).map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata));
    owner.is_ok_and(|owner| owner != 0 && owner != rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
pub(crate) fn belongs_to_another(_: &Path) -> bool {
    false
}
