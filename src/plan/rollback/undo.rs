//! Selects the pushes that a rollback undoes.

use crate::model::nkey::PublicKey;
use crate::plan::Options;
use crate::plan::record::{RecordContent, Streamed};
use std::collections::{BTreeSet, HashMap};

/// A record with its name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'r> {
    /// Name of the record.
    pub name: &'r str,
    /// Content of the record.
    pub content: &'r RecordContent,
}

/// The pushes to undo.
#[derive(Debug, Clone)]
pub struct Undo<'r> {
    /// The undone pushes, the newest first.
    pub pushes: Vec<Named<'r>>,
    /// The record to return to. If the user names none, it is the record before the oldest undone one, if there is one.
    pub target: Option<Named<'r>>,
    /// The application's accounts in the rollback, with their regional accounts.
    pub applications: BTreeSet<PublicKey>,
    /// Options of the rollback, with the findings that the user allows.
    pub options: Options,
    /// All streams in records of this deployment.
    pub streams: Vec<&'r Streamed>,
}

impl<'r> Undo<'r> {
    /// Returns to the accounts' state after the record at index `place`. `records` are those of the deployment, the
    /// oldest first.
    pub fn back_to(records: &[Named<'r>], index: usize) -> Self {
        let target = records.get(index).copied();
        let newer = records.get(index + 1..).unwrap_or_default();
        Self::of(records, newer, target, target.map(|target| applications(target.content)).unwrap_or_default())
    }

    /// Returns to the state before the newest record. If that record is from an unfinished `rollback --last`, continues
    /// that rollback. Undoing it would restore what it was meant to undo.
    pub fn last(records: &[Named<'r>]) -> Self {
        let begun = records.iter().rev().take_while(|record| record.content.stopped_going_back()).count();
        let (older, undone) = records.split_at(records.len().saturating_sub(begun + 1));
        let about: BTreeSet<_> = undone.iter().flat_map(|record| applications(record.content)).collect();
        let target = older.iter().rfind(|record| about.is_subset(&applications(record.content))).copied();
        Self::of(records, undone, target, about)
    }

    fn of(records: &[Named<'r>], undone: &[Named<'r>], target: Option<Named<'r>>, about: BTreeSet<PublicKey>) -> Self {
        let concerns = |record: &&Named<'_>| !about.is_disjoint(&applications(record.content));
        Self {
            pushes: undone.iter().rev().filter(concerns).copied().collect(),
            target,
            applications: about,
            options: Options::default(),
            streams: records.iter().flat_map(|record| &record.content.streams).collect(),
        }
    }

    /// Returns the accounts that undone pushes changed, with their names.
    pub(super) fn accounts(&self) -> HashMap<&PublicKey, &str> {
        let tokens = self.pushes.iter().flat_map(|push| push.content.sent());
        let about = tokens.filter(|token| self.applications.contains(&token.application));
        about.map(|token| (&token.id, token.account.as_str())).collect()
    }

    /// Returns `true` if one of the undone pushes made the account.
    pub(super) fn makes(&self, id: &PublicKey) -> bool {
        self.pushes.iter().flat_map(|push| push.content.sent()).any(|token| token.id == *id && token.base.is_none())
    }
}

fn applications(content: &RecordContent) -> BTreeSet<PublicKey> {
    content.sent().map(|token| token.application.clone()).collect()
}
