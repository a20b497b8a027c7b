//! What was done, and what every server says of it.

use super::confirm::Confirmation;
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::plan::{Action, Reason, Stage};
use crate::provision::Done;
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
