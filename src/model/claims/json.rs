//! Lossless reading of JSON, and writing as Go does. A duplicate key is an error. Numbers and order stay unchanged.

use super::ClaimsError;
use crate::model::json::{NUMBER_KEY, Walk, Walker};
use serde::Serialize;
use serde::de::{DeserializeSeed as _, Error as _, IgnoredAny, MapAccess};
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::cell::RefCell;
use std::collections::HashSet;
use std::{fmt, io};

/// Parses `bytes` and refuses duplicate keys at any depth.
pub(super) fn parse_strict(part: &'static str, bytes: &[u8]) -> Result<Value, ClaimsError> {
    let broken = |error: serde_json::Error| ClaimsError::Json { part, reason: describe(&error) };
    let text = std::str::from_utf8(bytes).map_err(|_| ClaimsError::Json { part, reason: "not UTF-8".to_owned() })?;
    let duplicate = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let checked = Walker(UniqueKeys { path: None, duplicate: &duplicate }).deserialize(&mut deserializer);
    if let Some(path) = duplicate.into_inner() {
        return Err(ClaimsError::DuplicateKey { part, path });
    }
    checked.map_err(broken)?;
    // The literal has an escape, or is the name itself.
    let suspect = |s: &&str| s.contains('\\') || &s[1..s.len() - 1] == NUMBER_KEY;
    if strings(text).filter(suspect).any(|s| serde_json::from_str::<String>(s).is_ok_and(|s| s == NUMBER_KEY)) {
        return Err(ClaimsError::Json { part, reason: format!("the name {NUMBER_KEY} cannot be kept as it is") });
    }
    serde_json::from_str(text).map_err(broken)
}

/// Writes a value as Go's `encoding/json` does. Claims that nsc or Go's library wrote stay the same byte for byte.
pub(crate) fn write_as_go(into: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    value.serialize(&mut Serializer::with_formatter(into, AsGo)).expect("a Vec takes every JSON value");
}

/// Escapes characters that are special in HTML, and line separators.
struct AsGo;

impl Formatter for AsGo {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut written = 0;
        for (at, found) in fragment.match_indices(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&fragment.as_bytes()[written..at])?;
            writer.write_all(match found {
                "<" => br"\u003c",
                ">" => br"\u003e",
                "&" => br"\u0026",
                "\u{2028}" => br"\u2028",
                _ => br"\u2029",
            })?;
            written = at + found.len();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

/// Describes the error and its position, without quoting the text.
fn describe(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ => "it is not valid JSON",
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}

/// Returns the string literals of valid JSON, quotes included.
fn strings(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find('"')?;
        let mut escaped = false;
        let end = rest[start + 1..].find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        })?;
        let literal = &rest[start..start + end + 2];
        rest = &rest[start + end + 2..];
        Some(literal)
    })
}

/// A path in the document, as a list from the innermost key outward.
pub(super) struct Path<'a> {
    pub(super) key: &'a str,
    pub(super) parent: Option<&'a Path<'a>>,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(&super::describe::key_in_words(self.key, true))
    }
}

#[derive(Clone, Copy)]
struct UniqueKeys<'a> {
    path: Option<&'a Path<'a>>,
    duplicate: &'a RefCell<Option<String>>,
}

impl Walk for UniqueKeys<'_> {
    fn object<'de, A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            let path = Path { key: &key, parent: self.path };
            if key == NUMBER_KEY {
                fields.next_value::<IgnoredAny>()?;
            } else if seen.contains(&key) {
                self.duplicate.replace(Some(path.to_string()));
                return Err(A::Error::custom("duplicate key"));
            } else {
                fields.next_value_seed(Walker(UniqueKeys { path: Some(&path), duplicate: self.duplicate }))?;
                seen.insert(key);
            }
        }
        Ok(())
    }
}
