//! Reads the history folder.

use crate::files::{self, FileReadError};
use crate::model::claims::{AccountClaims, LastPush};
use crate::model::nkey::PublicKey;
use crate::plan::MOST_BYTES;
use crate::plan::record::{Record, RecordError, Recorded, sent_tokens};
use crate::secrets;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A record and its name, which is the file's name without `.json`.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The record's name.
    pub name: String,
    /// The record.
    pub record: Record,
}

/// Reason why a record or the folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder or file cannot be read.
    #[error("{path}: {cause}", path = path.display())]
    Io {
        /// The path of the folder or file.
        path: PathBuf,
        /// The reason.
        cause: io::Error,
    },
    /// The file's content is not valid.
    #[error("{path} {cause}", path = path.display())]
    Content {
        /// The file's path.
        path: PathBuf,
        /// The reason.
        cause: RecordError,
    },
}

/// Reason why a record was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// There is no such record.
    #[error("no record is called {0}")]
    None(String),
    /// There are several such records.
    #[error("several records are called {wanted}: {}", .names.join(", "))]
    Several {
        /// The name that the user gave.
        wanted: String,
        /// The names of the records.
        names: Vec<String>,
    },
}

/// A record's name, and the record.
pub type Read = (String, Result<Record, HistoryError>);

/// Returns all records of a folder, the oldest first. An unreadable record has an error in its place. A missing folder
/// has no records.
///
/// # Errors
/// [`HistoryError::Io`] if the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Read>, HistoryError> {
    let names = names(folder)?.into_iter();
    Ok(names.map(|name| (name.clone(), read(&folder.join(format!("{name}.json"))))).collect())
}

/// Number of records that are searched for the last pushes, with at most [`MOST_BYTES`] in total.
const NEWEST: usize = 8;
/// Most of their tokens that are checked, the newest first, because checking signatures takes time.
const MOST_TOKENS: usize = 10_000;

/// Reads the newest records of a folder for the last push of each account.
///
/// Returns one push per key that signed tokens of the account: the newest token that every server confirmed. The caller
/// knows which keys' signatures count. Skips unreadable records.
pub fn last_pushes(folder: &Path) -> Vec<LastPush> {
    let mut last: BTreeMap<(PublicKey, PublicKey), LastPush> = BTreeMap::new();
    let (mut bytes, mut tokens) = (MOST_BYTES, MOST_TOKENS);
    for name in names(folder).unwrap_or_default().into_iter().rev().take(NEWEST) {
        let Ok(text) = files::read_text(&folder.join(format!("{name}.json")), bytes) else { continue };
        bytes = bytes.saturating_sub(text.len());
        let sent = sent_tokens(&text).unwrap_or_default();
        for token in sent.iter().rev().filter(|token| is_everywhere(token)).take(tokens) {
            tokens -= 1;
            let Ok(claims) = AccountClaims::decode(&token.token) else { continue };
            let (id, issuer) = (claims.id().clone(), claims.issuer().clone());
            let push = LastPush { id, issuer, issued_at: claims.issued_at(), record: name.clone() };
            let key = (push.id.clone(), push.issuer.clone());
            if last.get(&key).is_none_or(|known| known.issued_at < push.issued_at) {
                last.insert(key, push);
            }
        }
    }
    last.into_values().collect()
}

/// Returns `true` if all servers that were asked confirmed the token. A token on only one server is gone while that
/// server is down. A token in the preload counts, because servers have it once they reload.
fn is_everywhere(token: &Recorded) -> bool {
    !token.servers.is_empty() && token.servers.iter().all(|server| server.confirmed || server.by_reload)
}

/// Returns the names of a folder's records, the oldest first.
fn names(folder: &Path) -> Result<Vec<String>, HistoryError> {
    let failed = |cause| HistoryError::Io { path: folder.to_owned(), cause };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        // A killed run leaves an unfinished file whose name begins with a dot.
        if let Some(name) = name.strip_suffix(".json").filter(|name| !name.starts_with('.')) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read(path: &Path) -> Result<Record, HistoryError> {
    let failed = |cause| HistoryError::Io { path: path.to_owned(), cause };
    let wrong = |cause| HistoryError::Content { path: path.to_owned(), cause };
    let text = files::read_text(path, MOST_BYTES).map_err(|error| match error {
        FileReadError::TooLarge(_) => wrong(RecordError::TooLarge),
        FileReadError::NotText => wrong(RecordError::NotARecord("not UTF-8".to_owned())),
        error => failed(error.into()),
    })?;
    let record = Record::parse(&text).map_err(wrong)?;
    match secrets::find_in_json(&text) {
        None => Ok(record),
        Some(kind) => Err(wrong(RecordError::Secret(kind.with_article()))),
    }
}

/// Returns the index of the record called `wanted`: `last`, `last~N` for the Nth before it, or the beginning of a name
/// or of the id at its end.
///
/// # Errors
/// [`FindError`]
pub fn find(names: &[&str], wanted: &str) -> Result<usize, FindError> {
    let none = || FindError::None(wanted.to_owned());
    if let Some(rest) = wanted.strip_prefix("last") {
        let back = match rest.strip_prefix('~') {
            Some(back) => back.parse().ok(),
            None => rest.is_empty().then_some(0),
        };
        return back.and_then(|back: usize| names.len().checked_sub(back.checked_add(1)?)).ok_or_else(none);
    }
    let wanted_name = wanted.strip_suffix(".json").unwrap_or(wanted);
    let called = |name: &str| {
        let id = name.rsplit('-').next().unwrap_or_default();
        name.starts_with(wanted_name) || id.starts_with(wanted_name)
    };
    let found: Vec<usize> = (0..names.len()).filter(|place| !wanted_name.is_empty() && called(names[*place])).collect();
    match found.as_slice() {
        [] => Err(none()),
        [one] => Ok(*one),
        several => Err(FindError::Several {
            wanted: wanted.to_owned(),
            names: several.iter().map(|place| names[*place].to_owned()).collect(),
        }),
    }
}
