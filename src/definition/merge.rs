//! Merges the trees of several files into one: one topology, and accounts that may be spread over files.

use super::problem::{Collected, Problem};
use super::yaml::{Node, Value};
use std::collections::HashMap;

/// Merges the trees of the files. A repeated key that must be unique appears as a duplicate. Settings of an account may
/// be repeated if they are equal.
pub(super) fn merge(trees: Vec<Node>, problems: &mut Collected) -> Option<Node> {
    let mut trees = trees.into_iter().filter(|tree| !matches!(tree.value, Value::Null));
    let mut whole = trees.next()?;
    if let Value::Map(all) = &mut whole.value {
        let (mut places, mut accounts) = (Places::of(all), Accounts::default());
        for tree in trees {
            let Value::Map(more) = tree.value else { continue };
            for (key, value) in more {
                let known = places.get(&key).and_then(|at| all.get_mut(at));
                match (known, key.text()) {
                    (Some((_, old)), Some("accounts")) => accounts.merge(old, value, problems),
                    (Some((_, old)), Some("version")) if old.same(&value) => {}
                    _ => {
                        all.push((key, value));
                        places.note(all, all.len() - 1);
                    }
                }
            }
        }
    }
    Some(whole)
}

/// The index of the first entry for each key of a mapping.
#[derive(Default)]
struct Places(HashMap<String, usize>);

impl Places {
    fn of(entries: &[(Node, Node)]) -> Self {
        let mut places = Self::default();
        places.note(entries, 0);
        places
    }

    /// Adds the entries from index `from` on.
    fn note(&mut self, entries: &[(Node, Node)], from: usize) {
        for (at, (key, _)) in entries.iter().enumerate().skip(from) {
            if let Some(name) = key.text() {
                self.0.entry(name.to_owned()).or_insert(at);
            }
        }
    }

    fn get(&self, key: &Node) -> Option<usize> {
        self.0.get(key.text()?).copied()
    }
}

/// The indexes of the merged accounts, and those of the settings of accounts that are in more than one file.
#[derive(Default)]
struct Accounts {
    places: Option<Places>,
    settings: HashMap<usize, Places>,
}

impl Accounts {
    fn merge(&mut self, all: &mut Node, more: Node, problems: &mut Collected) {
        if matches!(all.value, Value::Null) {
            *all = more;
            *self = Self::default();
            return;
        }
        let (Value::Map(known), Value::Map(more)) = (&mut all.value, more.value) else { return };
        let places = self.places.get_or_insert_with(|| Places::of(known));
        let before = known.len();
        for (name, account) in more {
            match places.get(&name) {
                Some(at) => merge_account(&mut self.settings, at, &mut known[at].1, account, problems),
                None => known.push((name, account)),
            }
        }
        places.note(known, before);
    }
}

/// Merges `more` into the account at index `at`. `settings` has the indexes of its settings once a second file has the
/// account.
fn merge_account(
    settings: &mut HashMap<usize, Places>,
    at: usize,
    account: &mut Node,
    more: Node,
    problems: &mut Collected,
) {
    if matches!(account.value, Value::Null) {
        account.value = more.value;
        return;
    }
    let (Value::Map(known), Value::Map(more)) = (&mut account.value, more.value) else { return };
    let places = settings.entry(at).or_insert_with(|| Places::of(known));
    let before = known.len();
    for (key, value) in more {
        let Some((first, old)) = places.get(&key).and_then(|at| known.get_mut(at)) else {
            known.push((key, value));
            continue;
        };
        if key.text() == Some("virtual_streams") {
            match (&mut old.value, value.value) {
                (Value::Map(streams), Value::Map(more)) => streams.extend(more),
                (Value::Null, more) => old.value = more,
                _ => {}
            }
        } else if !old.same(&value) {
            let name = key.text().unwrap_or_default();
            let message = format!("`{name}` of the account differs from another file");
            problems.push(
                Problem::new("conflict", key.place, message)
                    .also(first.place, "given otherwise here")
                    .help("write it in one file only, or the same in both"),
            );
        }
    }
    places.note(known, before);
}
