//! The record of a run in the history folder.

use super::finding::label;
use super::outcome::{exit, unwritable};
use super::text::text;
use super::who::who;
use super::{Exit, Failure, Shell, plan_view};
use crate::engine::error::Stopped;
use crate::engine::report::Applied;
use crate::engine::session::Session;
use crate::model::finding::Severity;
use crate::observed::Deployment;
use crate::observed::connection::Connection;
use crate::ops::record::{HISTORY, Recorder};
use crate::plan::Plan;
use crate::plan::file::File;
use crate::plan::record::{Outcome, RecordContent};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Arguments that name the history folder.
#[derive(Debug, clap::Args)]
pub(super) struct HistoryArgs {
    /// The folder with a record of each push [default: `history` beside the definition]; `none`: keep no record
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
}

impl HistoryArgs {
    /// Returns the folder; `None` if the user wants no record.
    fn folder(&self, base: &Path) -> Option<PathBuf> {
        match &self.history {
            None => Some(base.join(HISTORY)),
            Some(folder) if folder.as_os_str() == "none" => None,
            Some(folder) => Some(folder.clone()),
        }
    }

    /// Returns the folder to read records from. Fails if the user chose none.
    pub(super) fn to_read(&self, base: &Path) -> Result<PathBuf, Failure> {
        match self.folder(base).filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => Ok(folder),
            None => Err(Failure::usage("no-history", "--history names no folder to read records from")
                .next("Leave it out, or name the folder that the runs wrote to.")),
        }
    }

    /// Makes the session record its pushes. If the plan has pushes and no record can be written, fails before any
    /// change. A plan with only stream changes may gain pushes later, when it is made again or a lost key is replaced.
    pub(super) fn record<L: Connection>(
        &self,
        base: &Path,
        session: &mut Session<'_, L>,
        plan: &Plan,
        recording: Recording,
    ) -> Result<Written, Failure> {
        let Some(folder) = self.folder(base).filter(|_| !plan.is_empty()) else { return Ok(Written(None)) };
        let text = plan_view::text(session.definition, plan, &session.deployment, true);
        let content = RecordContent {
            tool: concat!("vstream-jwt ", env!("CARGO_PKG_VERSION")).to_owned(),
            verb: recording.verb.to_owned(),
            who: who(),
            started: String::new(),
            ended: None,
            outcome: Outcome::Begun,
            error: None,
            system_account: session.system_account.clone(),
            back_to: recording.back_to,
            definition: recording.definition,
            text: text.whole().plain().lines().map(str::to_owned).collect(),
            changes: plan_view::document(plan, &session.deployment),
            streams: Vec::new(),
            attempts: Vec::new(),
        };
        let recorder = Arc::new(Recorder::new(&folder, content));
        if plan.accounts.iter().any(|account| !account.pushes.is_empty()) {
            recorder.prepare().map_err(|error| unwritable(&error.to_string()))?;
        }
        session.log = Some(recorder.clone());
        Ok(Written(Some(recorder)))
    }
}

/// The run to record.
pub(super) struct Recording {
    /// `apply`, `destroy`, `rollback`
    pub verb: &'static str,
    /// The definition's files.
    pub definition: Vec<File>,
    /// The record to which a rollback returns.
    pub back_to: Option<String>,
}

/// The record of a run, if there is one.
pub(super) struct Written(Option<Arc<Recorder>>);

impl Written {
    /// Records the outcome of the run.
    pub(super) fn finish(&self, shell: &Shell, result: &Result<Applied, Stopped>, deployment: &Deployment) {
        let Some(recorder) = &self.0 else { return };
        let (outcome, error) = match result {
            Ok(applied) if exit(applied, deployment) == Exit::Done => (Outcome::Confirmed, None),
            Ok(_) => (Outcome::Unconfirmed, None),
            Err(error) => (Outcome::Failed, Some(crate::secrets::hide(&error.to_string()).into_owned())),
        };
        match recorder.finish(outcome, error) {
            Ok(None) => {}
            Ok(Some(path)) => shell.detail(1, || format!("the record of this push: {}", path.display())),
            Err(error) => shell.say(text!(
                "{}: {error}; a rollback can use it, but it lacks the outcome of the run",
                label(Severity::Warning)
            )),
        }
    }
}
