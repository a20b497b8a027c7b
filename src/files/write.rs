//! Writes a file atomically, even if the process is killed.
//!
//! A file is written under a temporary name in its folder and synced to disk, and then renamed. A run that is killed in
//! between leaves the temporary file, whose name begins with a dot. It is as private as the finished file, and no run
//! reads it. The next run that writes to the folder removes it. A run that is still writing holds a lock on its file.

use super::device;
#[cfg(feature = "dev")]
use super::read;
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use tempfile::NamedTempFile;

/// Prefix of the names of unfinished files.
pub(super) const UNFINISHED: &str = ".vstream-new-";

/// The users that may access a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileAccess {
    /// The owner alone, at all times.
    Owner,
    /// The users that the process's umask allows.
    Usual,
}

/// Writes a new file.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the file exists, which then stays unchanged.
pub(crate) fn create(path: &Path, access: FileAccess, parts: &[&[u8]]) -> io::Result<()> {
    let folder = folder_of(path);
    unfinished(folder, access, parts)?.persist_noclobber(path).map_err(|error| error.error)?;
    sync(folder)
}

/// Writes a file, and replaces an existing one. A link stays and leads to the new file. A pipe, a terminal or another
/// device receives the content.
///
/// # Errors
/// The system's error, and [`io::ErrorKind::TimedOut`] for a pipe without a reader. An existing file stays unchanged.
pub(crate) fn replace(path: &Path, access: FileAccess, parts: &[&[u8]]) -> io::Result<()> {
    if is_special(path) {
        return device::write(path, parts, device::PIPE_TIMEOUT);
    }
    let path = match path.exists() {
        true => &std::fs::canonicalize(path)?,
        false => path,
    };
    let folder = folder_of(path);
    unfinished(folder, access, parts)?.persist(path).map_err(|error| error.error)?;
    sync(folder)
}

/// Opens a file without blocking, for a log or a lock. Creates it if needed, with the permissions that the process's
/// umask allows.
///
/// # Errors
/// The system's error; [`io::ErrorKind::InvalidInput`] for anything that is not a file.
#[cfg(feature = "dev")]
pub(crate) fn open_to_write(path: &Path, emptied: bool) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(emptied);
    let not_a_file = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a file");
    match read::at_once(&mut options).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(not_a_file()),
        Err(_) if is_special(path) => Err(not_a_file()),
        Err(error) => Err(error),
    }
}

/// Checks whether the path is something other than a file or a folder, such as a pipe or a device.
pub(crate) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// Checks that files can be written into a folder.
///
/// # Errors
/// The system's error.
pub(crate) fn probe(folder: &Path) -> io::Result<()> {
    unfinished(folder, FileAccess::Owner, &[]).map(drop)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs the folder's own entries to disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a complete file to disk, under a temporary name.
pub(super) fn unfinished(folder: &Path, access: FileAccess, parts: &[&[u8]]) -> io::Result<NamedTempFile> {
    tidy(folder);
    let mut file = new(folder, access)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

fn new(folder: &Path, access: FileAccess) -> io::Result<NamedTempFile> {
    loop {
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(match access {
            FileAccess::Owner => 0o600,
            FileAccess::Usual => 0o666,
        }));
        let file = builder.tempfile_in(folder)?;
        // Without locks, no run tidies up. Until the file is locked, another run may consider it abandoned and remove
        // it.
        let locked = !matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        if locked && file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes the files that killed runs left in the folder.
fn tidy(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED));
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            // The run that wrote it has ended, which released its lock. This lock is held until the file is removed.
            if let Ok(file) = File::open(&path)
                && file.try_lock().is_ok()
            {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
