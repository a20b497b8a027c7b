//! A walk over a JSON document that builds no values.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

/// The key that serde_json uses internally for numbers. It would read an object with this key as a number.
pub(crate) const NUMBER_KEY: &str = "$serde_json::private::Number";

/// The steps of a walk.
pub(crate) trait Walk: Copy {
    /// Visits a value of any kind.
    ///
    /// # Errors
    /// The walk ends with it.
    fn value<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    /// Visits a text that is written with escapes. Other texts appear in the document unchanged.
    fn escaped(self, _text: &str) {}

    /// Visits the fields of an object.
    ///
    /// # Errors
    /// The walk ends with it.
    fn object<'de, A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error>;
}

/// A walk as a serde visitor.
#[derive(Clone, Copy)]
pub(crate) struct Walker<W>(pub(crate) W);

impl<'de, W: Walk> DeserializeSeed<'de> for Walker<W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.value()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de, W: Walk> Visitor<'de> for Walker<W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_borrowed_str<E>(self, _: &'de str) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.escaped(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        self.0.object(fields)
    }
}

/// Counts values (numbers, strings, lists, …) without building them.
#[derive(Clone, Copy)]
pub(crate) struct Count<'c>(pub(crate) &'c Cell<usize>);

impl Walk for Count<'_> {
    fn value<E>(self) -> Result<(), E> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }

    fn object<'de, A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<Cow<'de, str>>()? {
            if name == NUMBER_KEY {
                fields.next_value::<IgnoredAny>()?;
            } else {
                fields.next_value_seed(Walker(self))?;
            }
        }
        Ok(())
    }
}

/// Returns the number of values in a document, without allocating memory for them. Returns `None` if it is not JSON. A
/// built value takes fifty times the bytes of its text in `[0,0,…]`.
pub(crate) fn count(document: &[u8]) -> Option<usize> {
    let values = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    Walker(Count(&values)).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(values.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted() {
        for (text, values) in [
            ("7", Some(1)),
            (r#" "a" "#, Some(1)),
            ("[]", Some(1)),
            ("[0,1.5e3,[true,null]]", Some(6)),
            (r#"{"a":{"b":-1,"c":"\u0061"},"\u0062":[{}]}"#, Some(6)),
            ("", None),
            ("[0,", None),
            ("[0] 0", None),
            ("nonsense", None),
        ] {
            assert_eq!(count(text.as_bytes()), values, "{text}");
        }
        assert_eq!(count(&[b'"', 0xff, b'"']), None);
    }
}
