//! Reads a definition from a file, or from the `*.yaml` files of a folder.

use crate::definition::{Definition, MAX_SIZE, Problems, SourceFile, check_size, parse};
use crate::files::{self, FileReadError};
use std::io;
use std::path::{Path, PathBuf};

/// A definition and its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The definition, whose paths include [`Loaded::base`].
    pub definition: Definition,
    /// The folder with the definition; empty for the working directory. Its folder `keys` is the keys folder.
    pub base: PathBuf,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// The texts of these files.
    pub texts: Vec<String>,
}

/// Reason why there is no definition.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The path does not exist.
    #[error("there is no definition at {0}")]
    NotFound(PathBuf),
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The folder has no definitions.
    #[error("there is no *.yaml in the folder {0}")]
    NoFiles(PathBuf),
    /// The definition is larger than [`MAX_SIZE`].
    #[error("the definition is too large: more than 8 MB up to and with {0}")]
    TooLarge(PathBuf),
    /// The file is not UTF-8.
    #[error("{path}:{line}:{column}: not valid UTF-8", path = path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Line of the first bad byte, from 1.
        line: u64,
        /// Column of that byte, from 1, in characters.
        column: u64,
    },
    /// The definition was read, but is not valid.
    #[error("{0}")]
    Invalid(Problems),
}

/// Reads and parses the definition at `path`.
///
/// # Errors
/// [`LoadError`]
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LoadError::NotFound(path.to_owned()),
        _ => LoadError::Io { path: path.to_owned(), source },
    };
    let (base, files) = if std::fs::metadata(path).map_err(failed)?.is_dir() {
        (path.to_owned(), yaml_files(path)?)
    } else {
        (path.parent().unwrap_or(Path::new("")).to_owned(), vec![path.to_owned()])
    };
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    check_size(names.iter().map(|name| (name.as_str(), 0))).map_err(LoadError::Invalid)?;
    let mut left = MAX_SIZE;
    let mut sources = Vec::with_capacity(files.len());
    for (file, name) in files.iter().zip(names) {
        let text = read(file, left)?;
        left = left.saturating_sub(text.len());
        sources.push(SourceFile { name, text });
    }
    let definition = parse(&sources, &base).map_err(LoadError::Invalid)?;
    let texts = sources.into_iter().map(|source| source.text).collect();
    Ok(Loaded { definition, base, files, texts })
}

/// Returns the `*.yaml` files of a folder, sorted by name, without hidden files and files that editors leave
/// (`.#x.yaml`).
fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Io { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.extension().is_some_and(|extension| extension == "yaml") && !hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(LoadError::NoFiles(folder.to_owned())) } else { Ok(files) }
}

fn read(path: &Path, left: usize) -> Result<String, LoadError> {
    let bytes = files::read(path, left).map_err(|error| match error {
        FileReadError::TooLarge(_) => LoadError::TooLarge(path.to_owned()),
        error => LoadError::Io { path: path.to_owned(), source: error.into() },
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let line = before.rsplit('\n').next().unwrap_or_default();
        LoadError::Encoding {
            path: path.to_owned(),
            line: before.matches('\n').count() as u64 + 1,
            column: line.chars().count() as u64 + 1,
        }
    })
}
