//! What was done, what every server says of it, and why nothing, or not all, was done.

use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::ops::confirm::{ConfirmError, Confirmation};
use crate::ops::issue::IssueError;
use crate::ops::journal::JournalError;
use crate::ops::lease::LeaseError;
use crate::ops::planfile::NotAsPlanned;
use crate::ops::session::ReadError;
use crate::plan::{Action, Reason, Stage};
use crate::provision::Done;
use crate::resolver::NotPushed;
use crate::sign::keyring::KeyringError;
use crate::verify::account::Verdict as Has;
use crate::verify::streams::{Checked, Verdict};
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;

/// What was done, and what every server says of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Applied {
    /// Streams and consumers.
    pub provisioned: Vec<Provisioned>,
    /// Tokens.
    pub pushed: Vec<Pushed>,
    /// What the read-back of the streams has against them; empty when all is well.
    pub problems: Vec<Checked>,
    /// Why the streams could not be read back; absent when they could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Changes that had to be left out, since they cannot be reached.
    pub skipped: Vec<String>,
    /// Streams that were to be deleted, or to capture less, and were kept, since not every server confirmed that their mappings are gone.
    pub kept: Vec<String>,
    /// How often it was planned again, since others changed something meanwhile.
    pub planned_again: usize,
    /// What others pushed meanwhile, and was kept and signed again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Merged>,
    /// What was pushed meanwhile and not used: tokens by untrusted keys, and old ones that were pushed again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<Finding>,
    /// The file that the servers' configuration includes, and in which the tokens were written (resolver type `memory`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload: Option<PathBuf>,
    /// Servers that do not use the newest token of an account of which nothing was written to that file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<Confirmation>,
    /// Whether the streams were looked at since they were changed last, and had what there was to read.
    #[serde(skip)]
    pub(super) looked: bool,
    /// Whether the streams were looked at in the end.
    #[serde(skip)]
    pub(super) seen: bool,
}

/// What others changed in an account while a run went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// The definition's name for the account.
    pub account: String,
    /// Its public key.
    pub id: PublicKey,
    /// What changed in its claims, line by line.
    pub changes: Vec<String>,
}

/// One stream or consumer that was made, changed or taken away.
#[derive(Debug, Clone, Serialize)]
pub struct Provisioned {
    /// `stream foo-write-west`
    pub place: String,
    /// What the plan wanted.
    pub action: Action,
    /// How it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One account's new token.
#[derive(Debug, Clone, Serialize)]
pub struct Pushed {
    /// The definition's name for the account.
    pub account: String,
    /// Its public key.
    pub id: PublicKey,
    /// In which stage.
    pub stage: Stage,
    /// Why it was pushed.
    pub reason: Reason,
    /// `iat` of the token, seconds since 1970.
    pub issued_at: u64,
    /// Its issuer.
    pub issuer: PublicKey,
    /// What each server has of it.
    pub servers: Vec<Confirmation>,
    /// Servers that refused it, with their words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Who else answered and is no server of the deployment, or not with an answer; as they call themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<String>,
}

impl Pushed {
    /// Whether every server that answered has it in force.
    pub fn is_confirmed(&self) -> bool {
        self.servers.iter().all(|server| server.verdict.is_confirmed())
    }
}

impl Applied {
    /// Names of the streams that were left out.
    pub(super) fn left_out(&self) -> Vec<String> {
        self.skipped.iter().filter_map(|place| place.strip_prefix("stream ")).map(str::to_owned).collect()
    }

    /// The last token that was pushed of each account.
    fn last(&self) -> HashMap<&PublicKey, &Pushed> {
        self.pushed.iter().map(|pushed| (&pushed.id, pushed)).collect()
    }

    /// Whether a server confirmed the last token that was pushed of each account.
    pub fn is_in_force_on(&self, server: &str) -> bool {
        let last = self.last();
        !last.is_empty()
            && last
                .values()
                .all(|pushed| pushed.servers.iter().any(|found| found.server == server && found.verdict.is_confirmed()))
    }

    /// Whether every server that has to confirm did.
    pub fn is_confirmed(&self) -> bool {
        self.pushed.iter().all(Pushed::is_confirmed)
            && self.problems.iter().all(|checked| checked.verdict == Verdict::Ok)
            && self.unread.is_none()
            && self.skipped.is_empty()
            && self.kept.is_empty()
            && self.behind.is_empty()
    }

    /// Each server's word on the newest token of each account.
    fn found(&self) -> impl Iterator<Item = &Confirmation> {
        self.last().into_values().flat_map(|pushed| &pushed.servers).chain(&self.behind)
    }

    /// True if a server has to reload the file with the preload.
    pub fn has_to_reload(&self) -> bool {
        self.found().any(|one| matches!(one.verdict, Has::NotReloaded { .. }))
    }

    /// True if all that is missing is that servers reload the file with the preload.
    pub fn waits_for_reload(&self) -> bool {
        self.has_to_reload()
            && self.found().all(|one| one.verdict.is_confirmed() || one.verdict.waits_for_reload())
            && self.problems.iter().all(|checked| checked.verdict == Verdict::Ok)
            && self.unread.is_none()
            && self.skipped.is_empty()
    }
}

/// How far the pushes of a run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// None was pushed.
    None,
    /// Those that connect the accounts, and none that leads applications to new streams.
    BeforeMappings,
    /// Those with the mappings, too.
    All,
}

impl Tokens {
    /// By the stages of what was pushed.
    pub(super) fn of(pushed: &[Pushed]) -> Self {
        match pushed.iter().map(|pushed| pushed.stage).max() {
            None => Self::None,
            Some(last) if last < Stage::Mappings => Self::BeforeMappings,
            Some(_) => Self::All,
        }
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
        /// What was done until then.
        applied: Box<Applied>,
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
    Journal(#[from] JournalError),
    /// Reading back.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
}
