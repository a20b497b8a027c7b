//! Errors of runs that did not carry out their plan completely.

use super::confirm::ConfirmError;
use super::lease::LeaseError;
use super::push_log::PushLogError;
use super::report::{Applied, PushedTokens};
use super::session::ReadError;
use super::signed_plan::NotAsPlanned;
use super::tokens::IssueError;
use crate::model::finding::Finding;
use crate::resolver::NotPushed;
use crate::sign::keyring::KeyringError;
use crate::verify::streams::Checked;

/// A run that ended early: what it did, and why it ended.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Stopped {
    /// Streams, tokens, and the state of every server.
    pub report: Box<Applied>,
    /// The reason.
    #[source]
    pub cause: Box<ApplyError>,
}

impl<E: Into<ApplyError>> From<E> for Stopped {
    /// Wraps the error of a run that did nothing yet.
    fn from(cause: E) -> Self {
        Self { report: Box::default(), cause: Box::new(cause.into()) }
    }
}

/// Reason why a run did not carry out its plan completely.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Findings stop the run; nothing was written.
    #[error("refused; nothing was changed")]
    Refused(Vec<Finding>),
    /// There is something to sign, but no key.
    #[error("there is a token to sign, and no operator key was named; nothing was changed")]
    NoSigner,
    /// Signing failed.
    #[error("{0}; nothing was pushed")]
    Issue(#[from] IssueError),
    /// The tokens of a signed plan file do not fit the plan.
    #[error("{0}; nothing was pushed")]
    NotAsPlanned(#[from] NotAsPlanned),
    /// Keys of regional accounts could not be read or written.
    #[error("{0}; nothing was pushed")]
    Keys(#[from] KeyringError),
    /// A server did not confirm the previous stage.
    #[error("not every server confirmed the new token of account {account}: what builds on it was not pushed")]
    StageUnconfirmed {
        /// The account.
        account: String,
    },
    /// The read streams lack messages, so mappings did not lead readers to them.
    #[error("{} streams are not ready; applications were not led to them", .problems.len())]
    NotCaughtUp {
        /// The streams that are not ready, with their problems.
        problems: Vec<Checked>,
    },
    /// Streams or consumers could not be made, changed or deleted.
    #[error("{failed} of {total} streams and consumers are not as planned; {}", match .pushed {
        PushedTokens::None => "no token was pushed",
        PushedTokens::BeforeMappings => "tokens were pushed, but none with the new mappings: applications are not led to them",
        PushedTokens::All => "the new tokens are in force",
    })]
    Provision {
        /// The number of failures.
        failed: usize,
        /// The number of streams and consumers that the run handled.
        total: usize,
        /// The tokens that were pushed before. Streams are deleted after all of them.
        pushed: PushedTokens,
    },
    /// Another tool or run pushed a token since the plan was made.
    #[error("the token of account {account} was changed by another tool or run since the plan was made; {}", match .pushed {
        true => "what was pushed until then stays",
        false => "no token was pushed",
    })]
    ChangedMeanwhile {
        /// The account's name in the definition.
        account: String,
        /// `true` if the run pushed tokens before.
        pushed: bool,
    },
    /// The user saw what other tools or runs pushed since the plan, and did not agree.
    #[error("not confirmed; {}", match .pushed {
        true => "what was pushed until then stays, the rest was not done",
        false => "no token was pushed",
    })]
    NotAgreed {
        /// `true` if the run pushed tokens before.
        pushed: bool,
    },
    /// The plan file no longer matches the deployment.
    #[error("the plan is stale: {}; nothing was changed", .0.join("; "))]
    Stale(Vec<String>),
    /// After changes by other tools or runs, the plan removes more than the user agreed to.
    #[error(
        "another tool or run changed something meanwhile, and now {0} would be removed, which was not in the plan; nothing more was done"
    )]
    RemovesMore(String),
    /// The lease that keeps two runs apart failed.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The user or the system interrupted the run.
    #[error("interrupted; what was done until then stays")]
    Interrupted,
    /// The push as a whole failed.
    #[error(transparent)]
    Push(#[from] NotPushed),
    /// The record of the push could not be written.
    #[error("{0}; no token was pushed")]
    Journal(#[from] PushLogError),
    /// Reading the accounts back failed.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// Reading the deployment failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}
