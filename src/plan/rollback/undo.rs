//! Which pushes are undone.

use crate::model::nkey::PublicKey;
use crate::plan::Options;
use crate::plan::record::{Content, Streamed};
use std::collections::{BTreeSet, HashMap};

/// A record by its name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'r> {
    /// Its name.
    pub name: &'r str,
    /// What happened.
    pub content: &'r Content,
}

/// What is undone.
#[derive(Debug, Clone)]
pub struct Undo<'r> {
    /// The pushes that are undone, the newest first.
    pub pushes: Vec<Named<'r>>,
    /// The record that is gone back to; the one before the first that is undone, if there is one.
    pub target: Option<Named<'r>>,
    /// The application's accounts, with their regional ones, that it is about.
    pub applications: BTreeSet<PublicKey>,
    /// What it may do in spite of findings.
    pub options: Options,
    /// All streams that records of this deployment speak of.
    pub streams: Vec<&'r Streamed>,
}

impl<'r> Undo<'r> {
    /// Back to how the record at `place` left the accounts in it; `records` are the deployment's, the oldest first.
    pub fn back_to(records: &[Named<'r>], place: usize) -> Self {
        let target = records.get(place).copied();
        let newer = records.get(place + 1..).unwrap_or_default();
        Self::of(records, newer, target, target.map(|target| applications(target.content)).unwrap_or_default())
    }

    /// Back to before the newest record. One of a run that was to do just that and did not come to its end is gone on
    /// with: undoing it would bring back what it was to undo.
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

    /// The accounts that undone pushes changed, by name.
    pub(super) fn accounts(&self) -> HashMap<&PublicKey, &str> {
        let tokens = self.pushes.iter().flat_map(|push| push.content.sent());
        let about = tokens.filter(|token| self.applications.contains(&token.application));
        about.map(|token| (&token.id, token.account.as_str())).collect()
    }

    /// Whether one of the undone pushes made the account.
    pub(super) fn makes(&self, id: &PublicKey) -> bool {
        self.pushes.iter().flat_map(|push| push.content.sent()).any(|token| token.id == *id && token.base.is_none())
    }
}

fn applications(content: &Content) -> BTreeSet<PublicKey> {
    content.sent().map(|token| token.application.clone()).collect()
}
