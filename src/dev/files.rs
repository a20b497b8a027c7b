//! The files of a super-cluster. Its folder may have come from elsewhere, so reads are bounded, and only regular files
//! are read or written.

use super::DevError;
use crate::files::{self, FileAccess};
use std::path::Path;

/// Creates a folder and its missing parents.
pub(super) fn create_folder(path: &Path) -> Result<(), DevError> {
    std::fs::create_dir_all(path).map_err(|error| DevError::file("create", path, error))
}

/// Most bytes that are read from a file.
const MOST: usize = 8 << 20;

/// Writes a file with mode 0600 atomically, and replaces an existing one.
pub(super) fn write_private(path: &Path, content: impl AsRef<[u8]>) -> Result<(), DevError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_folder(folder)?;
    let failed = |error: std::io::Error| DevError::file("write", path, error);
    if files::is_special(path) {
        return Err(failed(std::io::Error::other("it is not a file")));
    }
    files::replace(path, FileAccess::Owner, &[content.as_ref()]).map_err(failed)
}

/// Reads a text file.
pub(super) fn read(path: &Path) -> Result<String, DevError> {
    files::read_text(path, MOST).map_err(|error| DevError::file("read", path, error))
}

/// Returns the end of a log. The result is empty if the log cannot be read.
pub(super) fn end_of(log: &Path) -> String {
    const MOST: u64 = 4096;
    let end = files::read_end(log, MOST).unwrap_or_default();
    String::from_utf8_lossy(&end).into_owned()
}

/// Opens an empty log, and drops the content of an earlier one.
pub(super) fn new_log(path: &Path) -> std::io::Result<std::fs::File> {
    files::open_to_write(path, true)
}
