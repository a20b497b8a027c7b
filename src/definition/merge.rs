//! Several files → one tree: topology once, accounts spread over the files.

use super::problem::{Collected, Problem};
use super::yaml::{Node, Value};

/// Puts the files' trees together. What may not be repeated then shows as a duplicate key; settings of an account may
/// be repeated if they are equal.
pub(super) fn merge(trees: Vec<Node>, problems: &mut Collected) -> Option<Node> {
    let mut trees = trees.into_iter().filter(|tree| !matches!(tree.value, Value::Null));
    let mut whole = trees.next()?;
    for tree in trees {
        let (Value::Map(all), Value::Map(more)) = (&mut whole.value, tree.value) else { continue };
        for (key, value) in more {
            let known = all.iter_mut().find(|(other, _)| other.same(&key));
            match (known, key.text()) {
                (Some((_, old)), Some("accounts")) => merge_accounts(old, value, problems),
                (Some((_, old)), Some("version")) if old.same(&value) => {}
                _ => all.push((key, value)),
            }
        }
    }
    Some(whole)
}

fn merge_accounts(all: &mut Node, more: Node, problems: &mut Collected) {
    if matches!(all.value, Value::Null) {
        *all = more;
        return;
    }
    let Value::Map(known) = &mut all.value else { return };
    let Value::Map(more) = more.value else { return };
    let before = known.len();
    for (name, account) in more {
        match known[..before].iter_mut().find(|(other, _)| other.same(&name)) {
            Some((_, old)) => merge_account(old, account, problems),
            None => known.push((name, account)),
        }
    }
}

fn merge_account(account: &mut Node, more: Node, problems: &mut Collected) {
    if matches!(account.value, Value::Null) {
        account.value = more.value;
        return;
    }
    let (Value::Map(known), Value::Map(more)) = (&mut account.value, more.value) else { return };
    let before = known.len();
    for (key, value) in more {
        let Some((first, old)) = known[..before].iter_mut().find(|(other, _)| other.same(&key)) else {
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
}
