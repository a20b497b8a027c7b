//! The report of a run: its changes, and the state of every server.

use super::confirm::Confirmation;
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::plan::{Action, Reason, Stage};
use crate::provision::Done;
use crate::verify::account::TokenState as Has;
use crate::verify::streams::{Checked, Verdict};
use serde::Serialize;
use std::path::PathBuf;

/// The report of a run: its changes, and the state of every server.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Applied {
    /// Streams and consumers.
    pub provisioned: Vec<Provisioned>,
    /// Tokens.
    pub pushed: Vec<Pushed>,
    /// Problems that reading the streams back found; empty if all is well.
    pub problems: Vec<Checked>,
    /// Reason why the streams could not be read back, if they could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Changes that were left out because their streams or consumers cannot be reached.
    pub skipped: Vec<String>,
    /// Streams that the plan deletes or narrows, but that the run kept because not every server confirmed the removal
    /// of their mappings.
    pub kept: Vec<String>,
    /// Number of times that the run planned again after changes by another tool or run.
    pub planned_again: usize,
    /// Concurrent pushes of other tools whose changes were kept and signed again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Merged>,
    /// Concurrent pushes that were not used: tokens by untrusted keys, and old tokens that were pushed again.
    #[serde(rename = "heard", skip_serializing_if = "Vec::is_empty")]
    pub unused_pushes: Vec<Finding>,
    /// The file that the servers' configuration includes, to which the tokens were written (resolver type `memory`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload: Option<PathBuf>,
    /// Servers that do not use an account's newest token in that file. Covers accounts for which the run wrote no
    /// token.
    #[serde(rename = "behind", skip_serializing_if = "Vec::is_empty")]
    pub not_reloaded: Vec<Confirmation>,
    /// `true` if the streams were checked after their last change, and had all readable messages.
    #[serde(skip)]
    pub(super) streams_checked: bool,
    /// `true` if the streams were checked at the end.
    #[serde(skip)]
    pub(super) seen: bool,
}

/// Changes of an account by other tools during a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// The account's name in the definition.
    pub account: String,
    /// The account's public key.
    pub id: PublicKey,
    /// Changes of the account's claims, line by line.
    pub changes: Vec<String>,
}

/// A stream or consumer that was made, changed or deleted.
#[derive(Debug, Clone, Serialize)]
pub struct Provisioned {
    /// `stream foo-write-west`
    pub place: String,
    /// The action that the plan wanted.
    pub action: Action,
    /// Result, if the run did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// Reason why the run could not do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A new token of one account.
#[derive(Debug, Clone, Serialize)]
pub struct Pushed {
    /// The account's name in the definition.
    pub account: String,
    /// The account's public key.
    pub id: PublicKey,
    /// The stage of the push.
    pub stage: Stage,
    /// The reason for the push.
    pub reason: Reason,
    /// `iat` of the token, seconds since 1970.
    pub issued_at: u64,
    /// The token's issuer.
    pub issuer: PublicKey,
    /// State of the account on each server.
    pub servers: Vec<Confirmation>,
    /// Servers that refused the token, with their messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Other responders, by the names that they give. They are not servers of the deployment, or gave no valid answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<String>,
}

impl Pushed {
    /// Returns `true` if every server that answered has the token in force.
    pub fn is_confirmed(&self) -> bool {
        self.servers.iter().all(|server| server.verdict.is_confirmed())
    }
}

impl Applied {
    /// Returns the names of the streams that were left out.
    pub(super) fn left_out(&self) -> Vec<String> {
        self.skipped.iter().filter_map(|place| place.strip_prefix("stream ")).map(str::to_owned).collect()
    }

    /// Drops outdated results before the run plans again: unconfirmed tokens, which will be pushed again, and problems
    /// of the streams. Streams that had all messages once are not waited for again.
    pub(super) fn start_over(&mut self) {
        self.planned_again += 1;
        self.pushed.retain(Pushed::is_confirmed);
        self.problems.clear();
        self.kept.clear();
        self.not_reloaded.clear();
        self.unread = None;
        self.seen = false;
    }

    /// Returns `true` if the run changed nothing, and no other tool pushed meanwhile.
    pub fn is_idle(&self) -> bool {
        self.planned_again == 0 && self.pushed.is_empty() && self.provisioned.is_empty()
    }

    /// Returns the last pushed token of each account, in the order of the pushes.
    pub fn last_of_each(&self) -> Vec<&Pushed> {
        let mut last: Vec<&Pushed> = Vec::new();
        for pushed in &self.pushed {
            last.retain(|earlier| earlier.id != pushed.id);
            last.push(pushed);
        }
        last
    }

    /// Returns `true` if the server confirmed the last pushed token of each account.
    pub fn is_in_force_on(&self, server: &str) -> bool {
        let last = self.last_of_each();
        !last.is_empty()
            && last
                .iter()
                .all(|pushed| pushed.servers.iter().any(|found| found.server == server && found.verdict.is_confirmed()))
    }

    /// Returns `true` if every server that must confirm did.
    pub fn is_confirmed(&self) -> bool {
        self.pushed.iter().all(Pushed::is_confirmed)
            && self.problems.iter().all(|checked| checked.verdict == Verdict::Ok)
            && self.unread.is_none()
            && self.skipped.is_empty()
            && self.kept.is_empty()
            && self.not_reloaded.is_empty()
    }

    /// Returns each server's state of the newest token of each account.
    fn found(&self) -> impl Iterator<Item = &Confirmation> {
        self.last_of_each().into_iter().flat_map(|pushed| &pushed.servers).chain(&self.not_reloaded)
    }

    /// Returns `true` if a server must reload the file with the preload.
    pub fn has_to_reload(&self) -> bool {
        self.found().any(|one| matches!(one.verdict, Has::NotReloaded { .. }))
    }

    /// Returns `true` if the only missing step is that servers reload the file with the preload.
    pub fn waits_for_reload(&self) -> bool {
        self.has_to_reload()
            && self.found().all(|one| one.verdict.is_confirmed() || one.verdict.waits_for_reload())
            && self.problems.iter().all(|checked| checked.verdict == Verdict::Ok)
            && self.unread.is_none()
            && self.skipped.is_empty()
    }
}

/// Progress of the pushes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushedTokens {
    /// No token was pushed.
    None,
    /// Tokens that connect the accounts were pushed, but none that leads applications to new streams.
    BeforeMappings,
    /// Tokens with the mappings were pushed, too.
    All,
}

impl PushedTokens {
    /// Derives the progress from the stages of the pushed tokens.
    pub(super) fn of(pushed: &[Pushed]) -> Self {
        match pushed.iter().map(|pushed| pushed.stage).max() {
            None => Self::None,
            Some(last) if last < Stage::Mappings => Self::BeforeMappings,
            Some(_) => Self::All,
        }
    }
}
