//! Envelope of plan files and records: a document with a format marker, canonical text, and a digest of its content.
//!
//! A first look at the text ([`outline`]) finds the format and counts the values before anything is built. So a large
//! file of another kind takes little time and memory.

use crate::model::json::{Count, Walker};
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::cell::Cell;
use std::fmt;
use std::io;

/// Largest plan file or record that is read, in bytes.
pub const MOST_BYTES: usize = 128_000_000;

/// Largest number of values (numbers, strings, lists, …) in a document. A plan for a hundred accounts has a million.
const MOST_VALUES: usize = 2_000_000;

/// Result of a first look at a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outline {
    /// The text has the marker with this value.
    Format(u64),
    /// The text has no marker, or a marker that is not a number.
    NoMarker,
    /// A field occurs twice.
    Twice,
}

/// Finds the format marker and counts the values, without building the document.
///
/// # Errors
/// The text is not JSON, is not an object, or has too many values.
pub(super) fn outline(text: &str, marker: &'static str) -> Result<Outline, serde_json::Error> {
    let values = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = Top { marker, values: Walker(Count(&values)) }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    match values.get() > MOST_VALUES {
        true => Err(serde_json::Error::custom(format!("it has more than {MOST_VALUES} values"))),
        false => Ok(found),
    }
}

/// Checks whether a document renders as exactly this text.
pub(super) fn is_canonical(document: &impl Serialize, text: &str) -> bool {
    let mut left = Same(text.as_bytes());
    serde_json::to_writer_pretty(&mut left, document).is_ok() && left.0 == b"\n"
}

/// Returns the SHA-256 of the compact JSON, in hexadecimal.
pub(super) fn digest(value: &impl Serialize) -> String {
    let mut digest = Digest(ring::digest::Context::new(&ring::digest::SHA256));
    // Writing to a digest never fails. A value that has no JSON gets a digest that equals no other.
    match serde_json::to_writer(&mut digest, value) {
        Ok(()) => data_encoding::HEXLOWER.encode(digest.0.finish().as_ref()),
        Err(_) => String::new(),
    }
}

/// Accepts only the bytes that follow in the expected text.
struct Same<'t>(&'t [u8]);

impl io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or_else(|| io::Error::other("another text"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Digest(ring::digest::Context);

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Top<'c> {
    marker: &'static str,
    values: Walker<Count<'c>>,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Outline;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Outline, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Outline;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Outline, A::Error> {
        let mut found = Outline::NoMarker;
        // The documents have four fields.
        let mut names: Vec<String> = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            if name == self.marker && names.iter().all(|known| *known != name) {
                let number = fields.next_value::<serde_json::Number>()?;
                found = number.as_u64().map_or(Outline::NoMarker, Outline::Format);
            } else {
                fields.next_value_seed(self.values)?;
            }
            if names.contains(&name) {
                return self.rest(fields);
            }
            if names.len() < 8 {
                names.push(name);
            }
        }
        Ok(found)
    }
}

impl Top<'_> {
    /// Reads to the end, so that text that is not JSON gets an error that says so.
    fn rest<'de, A: MapAccess<'de>>(self, mut fields: A) -> Result<Outline, A::Error> {
        while fields.next_key::<IgnoredAny>()?.is_some() {
            fields.next_value_seed(self.values)?;
        }
        Ok(Outline::Twice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Outline, String> {
        outline(text, "m").map_err(|error| error.to_string())
    }

    #[test]
    fn the_marker_is_found_wherever_it_stands() {
        for text in [r#"{"m":7}"#, r#"{"a":[{"m":1}],"m":7,"b":null}"#, r#"{"a":1.5e3,"\u006d":7}"#] {
            assert_eq!(of(text), Ok(Outline::Format(7)), "{text}");
        }
        for text in ["{}", r#"{"a":{"m":7}}"#, r#"{"m":1.0}"#, r#"{"m":-1}"#] {
            assert_eq!(of(text), Ok(Outline::NoMarker), "{text}");
        }
        for text in [r#"{"m":7,"m":7}"#, r#"{"a":1,"m":7,"a":[]}"#, r#"{"m":7,"m":[0]}"#] {
            assert_eq!(of(text), Ok(Outline::Twice), "{text}");
        }
        for text in ["", "[]", "7", "{", r#"{"m":7} x"#, r#"{"m":[7]}"#, r#"{"m":"7"}"#, r#"{"a":1,"a":2,"b":}"#] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_counted_before_any_is_built() {
        let many = |count: usize| format!("{{\"m\":1,\"a\":[{}0]}}", "0,".repeat(count));
        assert_eq!(of(&many(1000)), Ok(Outline::Format(1)));
        for text in [many(MOST_VALUES), format!("{{\"m\":1,\"a\":{}{{}}{}}}", "[".repeat(200), "]".repeat(200))] {
            assert!(of(&text).is_err());
        }
        let fields: String = (0..=MOST_VALUES).map(|n| format!("\"{n}\":0,")).collect();
        assert!(of(&format!("{{{fields}\"m\":1}}")).unwrap_err().contains("more than 2000000 values"));
    }

    #[test]
    fn a_text_is_canonical_or_not() {
        let value: serde_json::Value = serde_json::from_str(r#"{"b":[1.50,"é"],"a":{}}"#).unwrap();
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        assert!(is_canonical(&value, &text));
        for other in [text.trim_end(), &text[1..], &format!("{text} "), &text.replace("1.50", "1.5"), ""] {
            assert!(!is_canonical(&value, other), "{other}");
        }
        assert_eq!(digest(&value).len(), 64);
    }
}
