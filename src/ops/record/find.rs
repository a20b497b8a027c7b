//! Reading the history folder.

use crate::files::{self, ReadError};
use crate::model::claims::{AccountClaims, LastPush};
use crate::model::nkey::PublicKey;
use crate::plan::MOST_BYTES;
use crate::plan::record::{Record, RecordError, Recorded, sent_tokens};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A record and its name: the file's, without `.json`.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub record: Record,
}

/// Why a record or the folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder or file.
    #[error("{path}: {cause}", path = path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// What is in it.
    #[error("{path} {cause}", path = path.display())]
    Content {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        cause: RecordError,
    },
}

/// Why a record was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error("no record is called {0}")]
    None(String),
    /// There are several.
    #[error("several records are called {wanted}: {}", .names.join(", "))]
    Several {
        /// What was asked for.
        wanted: String,
        /// Their names.
        names: Vec<String>,
    },
}

/// A record's name, and what is in it.
pub type Read = (String, Result<Record, HistoryError>);

/// All records of a folder, the oldest first; those that cannot be read stand in their places. A folder that is not
/// there has none.
///
/// # Errors
/// [`HistoryError::Io`] when the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Read>, HistoryError> {
    let names = names(folder)?.into_iter();
    Ok(names.map(|name| (name.clone(), read(&folder.join(format!("{name}.json"))))).collect())
}

/// So many records are looked into for what was pushed last.
const NEWEST: usize = 8;

/// Reads the newest records of a folder for the last push of each account: its newest token that every server confirmed.
/// Records that cannot be read are left out.
pub fn last_pushes(folder: &Path) -> Vec<LastPush> {
    let mut last: BTreeMap<PublicKey, LastPush> = BTreeMap::new();
    for name in names(folder).unwrap_or_default().into_iter().rev().take(NEWEST) {
        let text = files::read_text(&folder.join(format!("{name}.json")), MOST_BYTES);
        let Some(sent) = text.ok().and_then(|text| sent_tokens(&text)) else { continue };
        for token in sent.iter().filter(|token| is_everywhere(token)) {
            let Ok(claims) = AccountClaims::decode(&token.token) else { continue };
            let push = LastPush { id: claims.id().clone(), issued_at: claims.issued_at(), record: name.clone() };
            if last.get(&push.id).is_none_or(|known| known.issued_at < push.issued_at) {
                last.insert(push.id.clone(), push);
            }
        }
    }
    last.into_values().collect()
}

/// Checks that all servers that were asked confirmed the token: one that a single server has is gone while that is down.
fn is_everywhere(token: &Recorded) -> bool {
    !token.servers.is_empty() && token.servers.iter().all(|server| server.confirmed)
}

/// The names of a folder's records, the oldest first.
fn names(folder: &Path) -> Result<Vec<String>, HistoryError> {
    let failed = |cause| HistoryError::Io { path: folder.to_owned(), cause };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        // What a run that was killed had not finished writing begins with a dot.
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
        ReadError::TooLarge(_) => wrong(RecordError::TooLarge),
        ReadError::NotText => wrong(RecordError::NotARecord("not UTF-8".to_owned())),
        error => failed(error.into()),
    })?;
    Record::parse(&text).map_err(wrong)
}

/// The place of the record that is called `wanted`: `last`, `last~N` for the Nth before it, the beginning of a name or
/// of the id at its end.
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
