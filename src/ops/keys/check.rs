//! Finds all problems of a keys folder.

use super::KeysError;
use crate::model::finding::{Finding, Severity};
use crate::model::nkey::PublicKey;
use crate::sign::file::{KeyFileError, belongs_to_another, file_mode};
use crate::sign::keyring::Keyring;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Result of [`check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The keys folder.
    pub folder: PathBuf,
    /// Number of key and credentials files that were checked.
    pub files: usize,
    /// Problems.
    pub findings: Vec<Finding>,
}

impl Check {
    /// Returns `true` if the user must do something.
    pub fn has_problems(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Checks all `*.nk` files for permissions, damage and duplicates, and `*.creds` files for permissions.
///
/// # Errors
/// [`KeysError::Keyring`] if the folder cannot be read.
pub fn check(keys: &Path) -> Result<Check, KeysError> {
    let keyring = Keyring::open(keys)?;
    let mut findings: Vec<Finding> =
        keyring.files().iter().filter_map(|file| file.problem.as_ref()).map(problem).collect();

    let mut by_key: BTreeMap<&PublicKey, Vec<&Path>> = BTreeMap::new();
    for file in keyring.files() {
        if let Some(key) = &file.key {
            by_key.entry(key).or_default().push(&file.path);
        }
    }
    findings.extend(by_key.into_iter().filter(|(_, files)| files.len() > 1).map(|(key, files)| {
        let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        let message = format!("the seed of {key} is in {} files: {}", files.len(), names.join(", "));
        Finding::error("duplicate-key-file", format!("key {key}"), message, "Keep one of them.")
    }));

    let credentials = credentials_files(keys);
    for (path, mode) in &credentials {
        if let Some(mode) = mode.filter(|mode| mode & 0o077 != 0) {
            findings.push(problem(&KeyFileError::OpenToOthers { path: path.clone(), mode }));
        }
    }
    let paths = keyring.files().iter().map(|file| &file.path).chain(credentials.iter().map(|(path, _)| path));
    findings.extend(paths.filter(|path| belongs_to_another(path)).map(|path| {
        let message = "it belongs to another user, who can read and change it";
        let next = "Copy it to a file of your own, mode 0600.";
        Finding::warning("key-file-owner", format!("key file {}", path.display()), message, next)
    }));
    if let Some(mode) = file_mode(keys).filter(|mode| mode & 0o022 != 0) {
        let message = format!("others may put files into it (mode {mode:04o})");
        let next = format!("Run `chmod 700 {}`.", keys.display());
        findings.push(Finding::warning("keys-folder-open", format!("keys folder {}", keys.display()), message, next));
    }
    Ok(Check { folder: keys.to_owned(), files: keyring.files().len() + credentials.len(), findings })
}

fn problem(problem: &KeyFileError) -> Finding {
    let (code, path, message, next) = match problem {
        KeyFileError::OpenToOthers { path, mode } => (
            "key-file-open",
            path,
            format!("others may read or change it (mode {mode:04o}); it is refused when it is used"),
            format!("Run `chmod 600 {}`.", path.display()),
        ),
        KeyFileError::Seed { path, cause } => (
            "key-file-damaged",
            path,
            cause.to_string(),
            "Restore the file from a backup, or remove it if the key is not needed.".to_owned(),
        ),
        KeyFileError::Missing { path }
        | KeyFileError::Unreadable { path, .. }
        | KeyFileError::NotAFile { path }
        | KeyFileError::TooLarge { path }
        | KeyFileError::NoSecret { path }
        | KeyFileError::Exists { path }
        | KeyFileError::Unwritable { path, .. } => (
            "key-file-unreadable",
            path,
            problem.to_string(),
            "Make it a file that you may read, or remove it.".to_owned(),
        ),
    };
    Finding::error(code, format!("key file {}", path.display()), message, next)
}

/// Returns the `*.creds` files of the folder with their permissions.
fn credentials_files(keys: &Path) -> Vec<(PathBuf, Option<u32>)> {
    let entries = std::fs::read_dir(keys).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "creds")).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), file_mode(&path))).collect()
}
