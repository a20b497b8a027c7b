//! Removes secrets from texts. Replaces them with notes or masks.

use super::{Secret, find};
use crate::model::shown::shown;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::Range;

/// The end of the note that replaces a secret.
const NOTE_END: &str = ", not shown)";

/// Returns the text with each secret replaced by a note of its kind. Hiding the result again changes nothing.
pub fn hide(text: &str) -> Cow<'_, str> {
    let found = find(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for Secret { kind, range, .. } in found {
        shown.push_str(&text[from..range.start]);
        shown.push('(');
        shown.push_str(kind.with_article());
        shown.push_str(NOTE_END);
        from = range.end;
    }
    shown.push_str(&text[from..]);
    Cow::Owned(shown)
}

/// Returns `true` if [`hide`] does not change the text, and nothing in the text looks like a note of `hide`.
pub fn is_shown_in_full(text: &str) -> bool {
    !text.contains(NOTE_END) && find(text).is_empty()
}

/// Hides the secrets of each text in a value, including keys. Searches each text separately, so the text between two
/// secrets stays visible.
pub fn hide_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(hide_value(text)),
        Value::Array(items) => items.into_iter().map(hide_json).collect(),
        Value::Object(fields) => {
            let mut hidden = Map::with_capacity(fields.len());
            for (key, value) in fields {
                let mut key = hide_value(key);
                // Two keys that differ only in their secrets stay different.
                while hidden.contains_key(&key) {
                    key = format!("{key} ({})", hidden.len() + 1);
                }
                hidden.insert(key, hide_json(value));
            }
            Value::Object(hidden)
        }
        other => other,
    }
}

/// Hides the secrets of a value, including a secret that is split over lines. With its line breaks escaped, the secret
/// is in one piece.
fn hide_value(text: String) -> String {
    let hidden = hide(&text);
    match hide(&shown(&hidden)) {
        Cow::Owned(escaped) => escaped,
        Cow::Borrowed(_) => hidden.into_owned(),
    }
}

/// Returns the text with `*` for each byte of the ranges.
pub fn masked(text: &str, ranges: impl IntoIterator<Item = Range<usize>>) -> Cow<'_, str> {
    let mut bytes: Option<Vec<u8>> = None;
    for range in ranges {
        let bytes = bytes.get_or_insert_with(|| text.as_bytes().to_vec());
        bytes[range].fill(b'*');
    }
    // Ranges begin and end at character boundaries, so the rest is still UTF-8.
    bytes.map_or(Cow::Borrowed(text), |bytes| Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}
