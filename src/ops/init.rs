//! A new project: a commented definition and a keys folder.

use crate::files::{self, Access};
use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};

/// The commented definition.
pub const EXAMPLE: &str = include_str!("init/vstream.yaml");
const README: &str = include_str!("init/keys-README.md");
const IGNORE: &str = "# Seeds and credentials stay out of version control.\n*\n!.gitignore\n!README.md\n";

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error("{0} exists already; nothing was written")]
    Exists(PathBuf),
    /// A file or folder that cannot be made.
    #[error("cannot write {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `vstream.yaml` and `keys/` into `folder`, which is made if need be; says what was written. Overwrites nothing.
///
/// # Errors
/// [`InitError`]
pub fn init(folder: &Path) -> Result<Vec<PathBuf>, InitError> {
    let definition = folder.join("vstream.yaml");
    if definition.symlink_metadata().is_ok() {
        return Err(InitError::Exists(definition));
    }
    let keys = folder.join("keys");
    make_private(&keys).map_err(|source| InitError::Io { path: keys.clone(), source })?;
    let mut written = Vec::new();
    for (path, text) in [(keys.join(".gitignore"), IGNORE), (keys.join("README.md"), README), (definition, EXAMPLE)] {
        match files::create(&path, Access::Usual, &[text.as_bytes()]) {
            Ok(()) => written.push(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(InitError::Io { path, source }),
        }
    }
    Ok(written)
}

/// A folder that only its owner may enter; one that exists stays as it is.
fn make_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
