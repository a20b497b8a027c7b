//! Writes a file whole or not at all, whenever the process is killed.
//!
//! A file is written under another name in its folder and forced to the disk; then it gets its own name in one step. A run
//! that is killed in between leaves the other name, which begins with a dot, is as private as the file, and is read by
//! nobody; the next run that writes into the folder takes it away. Who is still writing holds a lock on his.

use super::{device, read};
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use tempfile::NamedTempFile;

/// How the names of unfinished files begin.
pub(super) const UNFINISHED: &str = ".vstream-new-";

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner alone, at every moment.
    Owner,
    /// Whoever the process's umask leaves.
    Usual,
}

/// Writes a new file.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is one, which stays as it is.
pub(crate) fn create(path: &Path, access: Access, parts: &[&[u8]]) -> io::Result<()> {
    let folder = folder_of(path);
    unfinished(folder, access, parts)?.persist_noclobber(path).map_err(|error| error.error)?;
    sync(folder)
}

/// Writes a file, in place of the one that may be there. A link stays and leads to the new one; a pipe, a terminal or
/// another device is written to.
///
/// # Errors
/// What the system says, and [`io::ErrorKind::TimedOut`] for a pipe from which nobody reads; a file that was there is as
/// it was then.
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

/// Opens a file to write into it over time, as a log or for a lock, at once or not at all. It is made when it is not
/// there, and is as private as the process's umask says.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] for what is not a file.
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

/// Whether something is there that is neither a file nor a folder: a pipe, a device.
pub(crate) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// Whether files can be written into a folder.
///
/// # Errors
/// What the system says.
pub(crate) fn probe(folder: &Path) -> io::Result<()> {
    unfinished(folder, Access::Owner, &[]).map(drop)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder's own entry on the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file that is complete and on the disk, and does not have its name yet.
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
        // Where there are no locks, nobody tidies up. Until it has its lock it looks left behind, and may be gone.
        let locked = !matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        if locked && file.path().exists() {
            return Ok(file);
        }
    }
}

/// Takes away what runs that were killed left in the folder.
fn tidy(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED));
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            // Its lock went with whoever wrote it. It is ours until the name is gone.
            if let Ok(file) = File::open(&path)
                && file.try_lock().is_ok()
            {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
