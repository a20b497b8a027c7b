//! What is written down of pushes: before the first, so that a run that is killed leaves it too, and as they go on.

use super::report::Pushed;
use crate::desired::DesiredAccount;
use crate::model::nkey::PublicKey;
use crate::plan::{Reason, Stage};
use std::path::PathBuf;

/// Where a run writes down what it pushes.
pub trait PushLog: std::fmt::Debug + Send + Sync {
    /// What is about to be pushed, in the order of the stages, and what the definition asks for. Comes again when a plan
    /// was made again.
    ///
    /// # Errors
    /// [`PushLogError`], which stops the run: nothing is pushed that is not written down.
    fn begin(&self, intents: &[Intent<'_>], desired: &[DesiredAccount<'_>]) -> Result<(), PushLogError>;

    /// The tokens of this stage are about to be sent. All that is needed to go back is written down already, so that a
    /// failure from here on does not stop the run half-way.
    fn pushing(&self, stage: Stage);

    /// The servers were asked about the tokens of this stage.
    fn pushed(&self, stage: Stage, pushed: &[Pushed]);
}

/// A token that is about to be pushed.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The definition's name for the account.
    pub account: &'a str,
    /// The account.
    pub id: &'a PublicKey,
    /// The application's account that it is, or serves.
    pub application: &'a PublicKey,
    /// The region that it serves, for a regional account.
    pub region: Option<&'a str>,
    /// When it is pushed.
    pub stage: Stage,
    /// Why.
    pub reason: &'a Reason,
    /// The token that it replaces: the stored one, with what is kept of a push of others that was overtaken, or ours of an
    /// earlier stage; none for a new account.
    pub base: Option<&'a str>,
    /// The token.
    pub token: &'a str,
}

/// Why nothing could be written down.
#[derive(Debug, thiserror::Error)]
#[error("the record of this push cannot be written: {path}: {cause}", path = path.display())]
pub struct PushLogError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub cause: std::io::Error,
}
