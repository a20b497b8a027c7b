//! Why a plan was not, or not wholly, carried out.

use super::confirm::ConfirmError;
use super::lease::LeaseError;
use super::push_log::PushLogError;
use super::report::{Applied, Provisioned, Tokens};
use super::session::ReadError;
use super::signed_plan::NotAsPlanned;
use super::tokens::IssueError;
use crate::model::finding::Finding;
use crate::resolver::NotPushed;
use crate::sign::keyring::KeyringError;
use crate::verify::streams::Checked;

/// A run that ended early: what it did until then, and why it ended.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Stopped {
    /// Streams, tokens, and what every server says of them.
    pub report: Box<Applied>,
    /// The reason.
    #[source]
    pub cause: Box<ApplyError>,
}

impl<E: Into<ApplyError>> From<E> for Stopped {
    /// Of a run that did nothing yet.
    fn from(cause: E) -> Self {
        Self { report: Box::default(), cause: Box::new(cause.into()) }
    }
}

/// Why nothing, or not all, was done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Findings stop the run; nothing was written.
    #[error("refused; nothing was changed")]
    Refused(Vec<Finding>),
    /// There is something to sign, and no key.
    #[error("there is a token to sign, and no operator key was named; nothing was changed")]
    NoSigner,
    /// Signing.
    #[error("{0}; nothing was pushed")]
    Issue(#[from] IssueError),
    /// Tokens of a signed plan file.
    #[error("{0}; nothing was pushed")]
    NotAsPlanned(#[from] NotAsPlanned),
    /// Keys of regional accounts could not be read or written.
    #[error("{0}; nothing was pushed")]
    Keys(#[from] KeyringError),
    /// A stage begins when every server confirmed the one before.
    #[error("not every server confirmed the new token of account {account}: what builds on it was not pushed")]
    StageUnconfirmed {
        /// The account.
        account: String,
    },
    /// The read streams lack messages, so readers were not led to them.
    #[error("{} streams are not ready; applications were not led to them", .problems.len())]
    NotCaughtUp {
        /// What is the matter.
        problems: Vec<Checked>,
        /// Streams and consumers.
        provisioned: Vec<Provisioned>,
    },
    /// Streams or consumers could not be made, changed or deleted.
    #[error("{failed} of {} streams and consumers are not as planned; {}", .provisioned.len(), match .pushed {
        Tokens::None => "no token was pushed",
        Tokens::BeforeMappings => "tokens were pushed, but none with the new mappings: applications are not led to them",
        Tokens::All => "the new tokens are in force",
    })]
    Provision {
        /// How many.
        failed: usize,
        /// All of them.
        provisioned: Vec<Provisioned>,
        /// Which tokens were pushed before: streams are deleted after all of them.
        pushed: Tokens,
    },
    /// Someone else pushed a token since the plan was made.
    #[error("the token of account {account} was changed by someone else since the plan was made; {}", match .pushed {
        true => "not all of the plan was done",
        false => "no token was pushed",
    })]
    ChangedMeanwhile {
        /// The definition's name for the account.
        account: String,
        /// Whether tokens were pushed before.
        pushed: bool,
    },
    /// What others pushed since was shown, and not agreed to.
    #[error("not confirmed; {}", match .pushed {
        true => "what was pushed until then stays, the rest was not done",
        false => "no token was pushed",
    })]
    NotAgreed {
        /// Whether tokens were pushed before.
        pushed: bool,
    },
    /// A plan file that is not of this deployment any more.
    #[error("the plan is stale: {}; nothing was changed", .0.join("; "))]
    Stale(Vec<String>),
    /// What others changed meanwhile makes the plan take away more than was agreed to.
    #[error(
        "others changed something meanwhile, and now {0} would be taken away, which was not in the plan; nothing more was done"
    )]
    TakesAwayMore(String),
    /// The lease that keeps two runs apart.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The user, or the system, wants it to end.
    #[error("interrupted; what was done until then stays")]
    Interrupted,
    /// The push as a whole.
    #[error(transparent)]
    Push(#[from] NotPushed),
    /// The record of it.
    #[error("{0}; no token was pushed")]
    Journal(#[from] PushLogError),
    /// Reading back.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
}
