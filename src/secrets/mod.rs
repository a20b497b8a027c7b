//! Finds secrets in text, wherever they stand in it: the one place that knows what must be neither printed nor written.
//!
//! [`find`] says what is where. [`hide`] is for what is printed and for views that are written, [`masked`] for source
//! text whose offsets have to stay valid. Output, plan files, records and definitions all go through here.

mod json;
mod passwords;
mod tokens;

pub use json::find_in_json;

use crate::model::nkey::crc16;
use crate::model::shown::shown;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::Range;

/// The length of a seed in text form.
const SEED: usize = 58;
/// The second letter of a seed: operator, account, user, server, cluster, curve.
const SEED_KINDS: &[u8] = b"OAUNCX";
/// So many checksums are reckoned. What looks like a seed behind that is taken for one: such a text is made of them.
const MOST_CHECKS: usize = 50_000;
/// The beginning of an age identity, `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`.
const AGE: &str = "AGE-SECRET-KEY-";
const AGE_LOWER: &str = "age-secret-key-";
/// The least that follows it; less is talk about identities.
const AGE_BODY: usize = 20;
/// The end of the line before a private key in PEM.
const PEM: &str = "PRIVATE KEY-----";
/// The least of base64 that follows it.
const PEM_BODY: usize = 24;
/// The attribute of a `pkcs11:` URI that has the PIN itself.
const PIN: &str = "pin-value=";
/// The end of the note that stands in the place of a secret.
const NOTE_END: &str = ", not shown)";

/// A kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An nkey seed (`SO…`, `SA…`, `SU…`, …).
    Seed,
    /// An identity that opens age files.
    AgeIdentity,
    /// A private key in PEM.
    PrivateKey,
    /// The token of a user, with which a bearer can log in.
    UserToken,
    /// A password, or a token in its place, before the host of a URL.
    Password,
    /// The PIN of a hardware token.
    Pin,
}

impl Kind {
    /// With its article, for sentences.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Seed => "a seed",
            Self::AgeIdentity => "an age identity",
            Self::PrivateKey => "a private key",
            Self::UserToken => "a user's token",
            Self::Password => "a password",
            Self::Pin => "a PIN",
        }
    }
}

/// A secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What it is.
    pub kind: Kind,
    /// Where, in bytes; begins and ends at characters.
    pub range: Range<usize>,
    /// Whether it can hardly be anything else. What is only likely is not shown, and refused nowhere.
    pub certain: bool,
}

/// Finds all secrets of a text, in their order; none overlaps another.
pub fn find(text: &str) -> Vec<Secret> {
    find_some(text, usize::MAX)
}

/// Finds secrets as [`find`] does, of each kind at most about so many.
pub fn find_some(text: &str, most: usize) -> Vec<Secret> {
    let kinds = [seeds, age_identities, private_keys, tokens::find, passwords::find, pins];
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

/// Returns the text with a note of its kind in place of each secret. Applied to its result it changes nothing.
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

/// Returns whether [`hide`] leaves the text as it is, and nothing in it looks like a note of `hide`.
pub fn is_shown_in_full(text: &str) -> bool {
    !text.contains(NOTE_END) && find(text).is_empty()
}

/// Returns the value with the secrets of each text in it hidden, keys included: each on its own, so that nothing between two
/// of them is hidden.
pub fn hide_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(hide_value(text)),
        Value::Array(items) => items.into_iter().map(hide_json).collect(),
        Value::Object(fields) => {
            let mut hidden = Map::with_capacity(fields.len());
            for (key, value) in fields {
                let mut key = hide_value(key);
                // Two that differ in their secrets alone stay two.
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

/// Hides the secrets of a value, and one that is broken into lines: written with escapes, it is in one piece.
fn hide_value(text: String) -> String {
    let hidden = hide(&text);
    match hide(&shown(&hidden)) {
        Cow::Owned(escaped) => escaped,
        Cow::Borrowed(_) => hidden.into_owned(),
    }
}

/// Returns the text with `*` in place of each byte of the ranges.
pub fn masked(text: &str, ranges: impl IntoIterator<Item = Range<usize>>) -> Cow<'_, str> {
    let mut bytes: Option<Vec<u8>> = None;
    for range in ranges {
        let bytes = bytes.get_or_insert_with(|| text.as_bytes().to_vec());
        bytes[range].fill(b'*');
    }
    // Ranges begin and end at characters, so the rest is UTF-8 as before.
    bytes.map_or(Cow::Borrowed(text), |bytes| Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

fn is_base32(byte: u8) -> bool {
    byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)
}

/// Seeds by their checksum, in longer words too; and words that are about as long as a seed and begin like one.
fn seeds(text: &str, most: usize) -> Vec<Secret> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut checks) = (Vec::new(), 0, 0);
    while at < bytes.len() && found.len() < most {
        if bytes[at] != b'S' || !bytes.get(at + 1).is_some_and(|kind| SEED_KINDS.contains(kind)) {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take(SEED + 3).take_while(|byte| is_base32(**byte)).count();
        let begins = at == 0 || !is_base32(bytes[at - 1]);
        // The bits behind the prefix are zero.
        let may_be = length >= SEED && bytes[at + 2] == b'A' && (b'A'..=b'P').contains(&bytes[at + 3]);
        checks += usize::from(may_be);
        let unchecked = checks > MOST_CHECKS;
        if may_be && (unchecked || is_seed(&bytes[at..at + SEED])) {
            found.push(Secret { kind: Kind::Seed, range: at..at + SEED, certain: !unchecked });
            at += SEED;
        } else if begins && (SEED - 2..=SEED + 2).contains(&length) {
            found.push(Secret { kind: Kind::Seed, range: at..at + length, certain: false });
            at += length;
        } else {
            at += 1;
        }
    }
    found
}

fn is_seed(word: &[u8]) -> bool {
    let mut raw = zeroize::Zeroizing::new([0u8; 36]);
    let decoded = data_encoding::BASE32_NOPAD.decode_mut(word, raw.as_mut()).is_ok();
    decoded && crc16(&raw[..34]) == u16::from_le_bytes([raw[34], raw[35]])
}

fn age_identities(text: &str, most: usize) -> Vec<Secret> {
    let mut found = Vec::new();
    // Either case is valid; what varies within a word is not.
    for mark in [AGE, AGE_LOWER] {
        let mut behind = 0;
        for (at, _) in text.match_indices(mark) {
            // Part of the word that was looked at before.
            if at < behind {
                continue;
            }
            let body = text[at + mark.len()..].bytes();
            let length = body.take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count();
            behind = at + mark.len() + length;
            if length >= AGE_BODY {
                let range = at..behind;
                found.push(Secret { kind: Kind::AgeIdentity, range, certain: true });
            }
            if found.len() >= most {
                break;
            }
        }
    }
    found
}

/// What follows the first line of a private key in PEM, line ends that are written as `\n` included.
fn private_keys(text: &str, most: usize) -> Vec<Secret> {
    let of_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let found = text.match_indices(PEM).filter_map(|(at, _)| {
        let start = at + PEM.len();
        let rest = &text[start..];
        let body = rest.find("-----").unwrap_or(rest.len());
        let key = rest[..body].trim_start_matches(['\r', '\n', ' ', '\t', '\\', 'n', 'r', '>', '|', '#', '"']);
        let is_key = key.bytes().take_while(of_key).count() >= PEM_BODY;
        is_key.then(|| Secret { kind: Kind::PrivateKey, range: start..start + body, certain: true })
    });
    found.take(most).collect()
}

fn pins(text: &str, most: usize) -> Vec<Secret> {
    let mut behind = 0;
    let found = text.match_indices(PIN).filter_map(|(at, _)| {
        if at < behind {
            return None;
        }
        let start = at + PIN.len();
        let rest = &text[start..];
        if rest.starts_with("(a PIN, not shown)") {
            return None;
        }
        let ends = |c: char| c.is_whitespace() || "&;\"'`".contains(c);
        let length = rest.find(ends).unwrap_or(rest.len());
        behind = start + length;
        (length > 0).then(|| Secret { kind: Kind::Pin, range: start..start + length, certain: true })
    });
    found.take(most).collect()
}

#[cfg(test)]
mod tests;
