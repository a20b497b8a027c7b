//! Writes a file whole or not at all, whenever the process is killed.
//!
//! A file is written under another name in its folder and forced to disk; then one step gives it its own name. A run
//! that is killed in between leaves the other name, which begins with a dot. That file is as private as the finished
//! one, and nothing reads it; the next run that writes into the folder removes it. A run that is still writing holds a
//! lock on its file.

use super::device;
#[cfg(feature = "dev")]
use super::read;
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use tempfile::NamedTempFile;

/// Prefix of the names of unfinished files.
pub(super) const UNFINISHED: &str = ".vstream-new-";

/// The users that may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The owner alone, at every moment.
    Owner,
    /// The users that the process's umask allows.
    Usual,
}

/// Writes a new file.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when the file exists; it stays as it is.
pub(crate) fn create(path: &Path, access: Access, parts: &[&[u8]]) -> io::Result<()> {
    let folder = folder_of(path);
    unfinished(folder, access, parts)?.persist_noclobber(path).map_err(|error| error.error)?;
    sync(folder)
}

/// Writes a file, replacing one that exists. A link stays and leads to the new file; a pipe, a terminal or another
/// device is written to.
///
/// # Errors
/// The system's error, and [`io::ErrorKind::TimedOut`] for a pipe without a reader. A file that existed stays as it
/// was.
pub(crate) fn replace(path: &Path, access: Access, parts: &[&[u8]]) -> io::Result<()> {
    if is_special(path) {
        return device::write(path, parts, device::PATIENCE);
    }
    let path = match path.exists() {
        true => &std::fs::canonicalize(path)?,
        false => path,
    };
    let folder = folder_of(path);
    unfinished(folder, access, parts)?.persist(path).map_err(|error| error.error)?;
    sync(folder)
}

/// Opens a file without waiting, to write into it over time, as a log or for a lock. Creates it if needed, as private
/// as the process's umask says.
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

/// Checks whether the path leads to something other than a file or a folder, such as a pipe or a device.
pub(crate) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// Checks that files can be written into a folder.
///
/// # Errors
/// The system's error.
pub(crate) fn probe(folder: &Path) -> io::Result<()> {
    unfinished(folder, Access::Owner, &[]).map(drop)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Forces the folder's own entry to disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a complete file to disk, without its final name.
pub(super) fn unfinished(folder: &Path, access: Access, parts: &[&[u8]]) -> io::Result<NamedTempFile> {
    tidy(folder);
    let mut file = new(folder, access)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

fn new(folder: &Path, access: Access) -> io::Result<NamedTempFile> {
    loop {
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(match access {
            Access::Owner => 0o600,
            Access::Usual => 0o666,
        }));
        let file = builder.tempfile_in(folder)?;
        // Without locks no run tidies up. Until the file is locked, another run may take it for left behind and remove
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
            // The run that wrote it has ended, and its lock with it. This lock is held until the name is removed.
            if let Ok(file) = File::open(&path)
                && file.try_lock().is_ok()
            {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
