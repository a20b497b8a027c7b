//! The log of pushes. A run writes it before its first push, so that it exists even if the run is killed, and updates
//! it with each stage.

use super::report::Pushed;
use crate::desired::DesiredAccount;
use crate::model::nkey::PublicKey;
use crate::plan::{Reason, Stage};
use std::path::PathBuf;

/// Records what a run pushes.
pub trait PushLog: std::fmt::Debug + Send + Sync {
    /// Writes the tokens that the run will push, in the order of the stages, and the streams that the definition asks
    /// for. Called again when the run plans again.
    ///
    /// # Errors
    /// [`PushLogError`], which stops the run: it pushes nothing that is not written down.
    fn begin(&self, intents: &[Intent<'_>], desired: &[DesiredAccount<'_>]) -> Result<(), PushLogError>;

    /// Notes that the run is about to send the tokens of this stage. The log already has everything that a rollback
    /// needs, so a failure from here on does not stop the run.
    fn pushing(&self, stage: Stage);

    /// Notes that the run has checked the tokens of this stage on the servers.
    fn pushed(&self, stage: Stage, pushed: &[Pushed]);
}

/// A token that the run will push.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The account's name in the definition.
    pub account: &'a str,
    /// The account.
    pub id: &'a PublicKey,
    /// The application's account: this account, or the one that it serves.
    pub application: &'a PublicKey,
    /// The region that a regional account serves.
    pub region: Option<&'a str>,
    /// The stage in which it is pushed.
    pub stage: Stage,
    /// The reason for the push.
    pub reason: &'a Reason,
    /// The token that it replaces; `None` for a new account. It is the stored token, possibly with the changes of
    /// another tool's push that the run keeps, or our token of an earlier stage.
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
