//! Searches a text for all kinds of secrets.

use super::{Secret, key_files, passwords, pins, seeds, tokens};

/// Finds all secrets of a text, in order and without overlaps.
pub fn find(text: &str) -> Vec<Secret> {
    find_some(text, usize::MAX)
}

/// Finds secrets as [`find`] does, but only about `most` of each kind.
pub fn find_some(text: &str, most: usize) -> Vec<Secret> {
    let kinds =
        [seeds::find, key_files::age_identities, key_files::private_keys, tokens::find, passwords::find, pins::find];
    let mut found: Vec<Secret> =
        kinds.into_iter().flat_map(|kind: fn(&str, usize) -> Vec<Secret>| kind(text, most)).collect();
    found.sort_by_key(|secret| (secret.range.start, std::cmp::Reverse(secret.range.end)));
    let mut apart: Vec<Secret> = Vec::with_capacity(found.len());
    for secret in found {
        match apart.last_mut().filter(|last| secret.range.start < last.range.end) {
            Some(last) => {
                last.range.end = last.range.end.max(secret.range.end);
                last.certain |= secret.certain;
            }
            None => apart.push(secret),
        }
    }
    apart
}
