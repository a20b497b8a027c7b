//! The log of pushes: written before the first one, so that a run that is killed leaves it too, and updated as they go
//! on.

use super::report::Pushed;
use crate::desired::DesiredAccount;
use crate::model::nkey::PublicKey;
use crate::plan::{Reason, Stage};
use std::path::PathBuf;

/// Writes down what a run pushes.
pub trait PushLog: std::fmt::Debug + Send + Sync {
    /// Writes the tokens that are about to be pushed, in the order of the stages, and what the definition asks for.
    /// Called again when a plan is made again.
    ///
    /// # Errors
    /// [`PushLogError`], which stops the run: it pushes nothing that is not written down.
    fn begin(&self, intents: &[Intent<'_>], desired: &[DesiredAccount<'_>]) -> Result<(), PushLogError>;

    /// Notes that the tokens of this stage are about to be sent. All that a rollback needs is written down already, so
    /// that a failure from here on does not stop the run halfway.
    fn pushing(&self, stage: Stage);

    /// Notes that the servers were asked about the tokens of this stage.
    fn pushed(&self, stage: Stage, pushed: &[Pushed]);
}

/// A token that is about to be pushed.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The account's name in the definition.
    pub account: &'a str,
    /// The account.
    pub id: &'a PublicKey,
    /// The application's account that it is, or serves.
    pub application: &'a PublicKey,
    /// The region that a regional account serves.
    pub region: Option<&'a str>,
    /// The stage in which it is pushed.
    pub stage: Stage,
    /// The reason for the push.
    pub reason: &'a Reason,
    /// The token that it replaces; none for a new account. It is the stored token, with changes of another tool's push
    /// that the run overtook and keeps, or ours of an earlier stage.
    pub base: Option<&'a str>,
    /// The token.
    pub token: &'a str,
}

/// Error of a log that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the record of this push cannot be written: {path}: {cause}", path = path.display())]
pub struct PushLogError {
    /// The file or folder.
    pub path: PathBuf,
    /// The reason.
    pub cause: std::io::Error,
}
