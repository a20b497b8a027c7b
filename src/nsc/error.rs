//! Reasons why an nsc store cannot be used.

use std::io;
use std::path::PathBuf;

/// Reason why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder has no store.
    #[error("{path} is not an nsc store: neither it nor a folder in it has a `.nsc`", path = path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has the stores of several operators.
    #[error("{path} has the stores of several operators: {}", folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "), path = path.display())]
    Several {
        /// The folder.
        path: PathBuf,
        /// The operators' folders.
        folders: Vec<PathBuf>,
    },
    /// The operator's token cannot be read.
    #[error("{path}: the operator's token cannot be read: {reason}", path = path.display())]
    Operator {
        /// The operator's folder.
        path: PathBuf,
        /// Reason why not.
        reason: String,
    },
    /// The store belongs to another operator.
    #[error("{path} is the store of {}, and the servers trust operator {}", list(found), list(expected), path = path.display())]
    OtherOperator {
        /// The folder.
        path: PathBuf,
        /// The operators of the store.
        found: Vec<String>,
        /// The operators that the servers trust.
        expected: Vec<String>,
    },
    /// A file or folder cannot be read or written.
    #[error("{path}: {cause}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}
