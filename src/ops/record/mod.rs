//! The history folder: one file with a record for each push, which no other run overwrites.
//!
//! A record is on the disk before the first token is sent. It is replaced atomically when a stage begins and ends. So a
//! run that is killed at any moment leaves a record that `rollback` can use.

mod find;

pub use find::{Entry, FindError, HistoryError, Read, find, last_pushes, list};

use crate::desired::DesiredAccount;
use crate::engine::push_log::{Intent, PushLog, PushLogError};
use crate::engine::report::Pushed;
use crate::files::{self, FileAccess};
use crate::plan::MOST_BYTES;
use crate::plan::Stage;
use crate::plan::file::File;
use crate::plan::record::{Attempt, OnServer, Outcome, PushProgress, Record, RecordContent, Recorded, Streamed, Who};
use crate::secrets;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The usual name of the history folder, beside the definition.
pub const HISTORY: &str = "history";

/// Writes the record of one run.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    content: RecordContent,
    /// The record's file, once there is one.
    path: Option<PathBuf>,
    /// Error of the last write, if the file is out of date.
    behind: Option<PushLogError>,
}

impl Recorder {
    /// Opens the history folder for a run. `content` has everything known before the push, without attempts. Writes
    /// nothing before the first push.
    pub fn new(folder: &Path, content: RecordContent) -> Self {
        let state = State { content: shown(content), path: None, behind: None };
        Self { folder: folder.to_owned(), state: Mutex::new(state) }
    }

    /// Checks that a record can be written, and makes the folder (0700) if it is missing. A run with pushes calls this
    /// function first, because it should not fail after it has made streams.
    ///
    /// # Errors
    /// [`PushLogError`] if no file can be written there.
    pub fn prepare(&self) -> Result<(), PushLogError> {
        let failed = |cause| PushLogError { path: self.folder.clone(), cause };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed)?;
        files::probe(&self.folder).map_err(failed)
    }

    /// Writes the outcome of the run. Returns the record's path, or `None` if nothing was pushed.
    ///
    /// # Errors
    /// [`PushLogError`] if the file is out of date. It still has everything that a rollback needs.
    pub fn finish(&self, outcome: Outcome, error: Option<String>) -> Result<Option<PathBuf>, PushLogError> {
        let mut state = self.state();
        if state.path.is_none() {
            return Ok(None);
        }
        state.content.outcome = outcome;
        state.content.error = error.map(hidden);
        state.content.ended = Some(timestamp());
        self.update(&mut state);
        match state.behind.take() {
            Some(error) => Err(error),
            None => Ok(state.path.clone()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the record with the present state, or notes why this failed.
    fn update(&self, state: &mut State) {
        let Some(path) = state.path.clone() else { return };
        let replaced =
            text(&state.content).and_then(|text| files::replace(&path, FileAccess::Owner, &[text.as_bytes()]));
        state.behind = replaced.err().map(|cause| PushLogError { path, cause });
    }

    /// Writes the record under a name that no other record has.
    fn create(&self, content: &RecordContent) -> io::Result<PathBuf> {
        let text = text(content)?;
        let time = content.started.replace(':', "-");
        loop {
            let mut id = [0; 3];
            getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
            let name = format!("{time}-{}-{}.json", content.verb, data_encoding::HEXLOWER.encode(&id));
            let path = self.folder.join(name);
            match files::create(&path, FileAccess::Owner, &[text.as_bytes()]) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl PushLog for Recorder {
    fn begin(&self, intents: &[Intent<'_>], desired: &[DesiredAccount<'_>]) -> Result<(), PushLogError> {
        let mut state = self.state();
        let streams = desired.iter().flat_map(|account| account.streams.iter().map(move |stream| (account, stream)));
        state.content.streams = streams
            .map(|(account, stream)| Streamed {
                account: account.id.clone(),
                name: hidden(stream.name.clone()),
                virtual_stream: hidden(stream.virtual_stream.to_owned()),
                role: stream.role,
                subjects: stream.subjects().into_iter().map(hidden).collect(),
            })
            .collect();
        let at = timestamp();
        let tokens = intents.iter().map(|intent| {
            let Intent { account, id, application, region, stage, reason, base, token } = *intent;
            Recorded {
                account: hidden(account.to_owned()),
                id: id.clone(),
                application: application.clone(),
                region: region.map(str::to_owned).map(hidden),
                stage,
                reason: reason.clone(),
                base: base.map(str::to_owned),
                token: token.to_owned(),
                progress: PushProgress::Signed,
                servers: Vec::new(),
                refused: Vec::new(),
            }
        });
        state.content.attempts.push(Attempt { at: at.clone(), tokens: tokens.collect() });
        if state.path.is_some() {
            self.update(&mut state);
            return state.behind.take().map_or(Ok(()), Err);
        }
        state.content.started = at;
        self.prepare()?;
        let path = self.create(&state.content).map_err(|cause| PushLogError { path: self.folder.clone(), cause })?;
        state.path = Some(path);
        Ok(())
    }

    fn pushing(&self, stage: Stage) {
        let mut state = self.state();
        let tokens = state.content.attempts.last_mut().map(|attempt| &mut attempt.tokens);
        for token in tokens.into_iter().flatten().filter(|token| token.stage == stage) {
            token.progress = PushProgress::Sending;
        }
        self.update(&mut state);
    }

    fn pushed(&self, stage: Stage, pushed: &[Pushed]) {
        let mut state = self.state();
        let tokens = state.content.attempts.last_mut().map(|attempt| &mut attempt.tokens);
        for token in tokens.into_iter().flatten().filter(|token| token.stage == stage) {
            let Some(found) = pushed.iter().find(|one| one.id == token.id && one.stage == stage) else { continue };
            token.progress = PushProgress::Pushed;
            token.refused = found.refused.iter().cloned().map(hidden).collect();
            let servers = found.servers.iter().map(|on| OnServer {
                server: hidden(on.server.clone()),
                cluster: hidden(on.cluster.clone()),
                confirmed: on.verdict.is_confirmed(),
                by_reload: on.verdict.waits_for_reload(),
                found: hidden(on.verdict.to_string()),
            });
            token.servers = servers.collect();
        }
        self.update(&mut state);
    }
}

/// Returns the text of a record's file, which [`list`] reads again.
fn text(content: &RecordContent) -> io::Result<String> {
    let text = Record::new(content.clone()).render();
    if text.len() > MOST_BYTES {
        return Err(io::Error::other("it would be larger than what can be read again"));
    }
    match secrets::find_in_json(&text) {
        None => Ok(text),
        Some(kind) => Err(io::Error::other(format!("it would have {} in it", kind.with_article()))),
    }
}

/// Hides the secrets in a record's content before a push. Later, each attempt hides its own texts. Accounts' tokens
/// stay as they are.
fn shown(content: RecordContent) -> RecordContent {
    let RecordContent {
        tool,
        verb,
        who: Who { user, host, ci },
        started,
        ended,
        outcome,
        error,
        system_account,
        back_to,
        definition,
        text,
        changes,
        streams,
        attempts,
    } = content;
    let file = |File { name, text }| File { name: hidden(name), text: hidden(text) };
    RecordContent {
        tool,
        verb,
        who: Who {
            user: hidden(user),
            host: hidden(host),
            ci: ci.into_iter().map(|(name, value)| (name, hidden(value))).collect(),
        },
        started,
        ended,
        outcome,
        error: error.map(hidden),
        system_account,
        back_to,
        definition: definition.into_iter().map(file).collect(),
        text: text.into_iter().map(hidden).collect(),
        changes: secrets::hide_json(changes),
        streams,
        attempts,
    }
}

fn hidden(text: String) -> String {
    secrets::hide(&text).into_owned()
}

/// Returns the present time, to the millisecond, so that records sort by their names.
fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests;
