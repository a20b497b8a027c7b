//! Writing the files of a super-cluster: whole or not at all, private unless said otherwise.

use super::DevError;
use crate::files::{self, Access};
use std::path::Path;

/// Creates a folder and what is missing above it.
pub(super) fn create_folder(path: &Path) -> Result<(), DevError> {
    std::fs::create_dir_all(path).map_err(|error| DevError::file("create", path, error))
}

/// Writes a file with mode 0600, replacing what was there in one step.
pub(super) fn write_private(path: &Path, content: impl AsRef<[u8]>) -> Result<(), DevError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_folder(folder)?;
    let failed = |error: std::io::Error| DevError::file("write", path, error);
    files::replace(path, Access::Owner, &[content.as_ref()]).map_err(failed)
}

/// Reads a text file.
pub(super) fn read(path: &Path) -> Result<String, DevError> {
    std::fs::read_to_string(path).map_err(|error| DevError::file("read", path, error))
}
