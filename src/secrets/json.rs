//! Secrets in JSON documents, in which a text need not look like what it says.

use super::{Kind, find};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// The kind of a certain secret in a JSON document: as it stands there, or in one of its texts that is written with escapes,
/// keys included. Of what is not JSON, the beginning is looked at alone.
pub fn find_in_json(text: &str) -> Option<Kind> {
    certain(text).or_else(|| {
        let found = Cell::new(None);
        // A document that ends in the middle was looked at up to there.
        let _ = Escaped(&found).deserialize(&mut serde_json::Deserializer::from_str(text));
        found.get()
    })
}

fn certain(text: &str) -> Option<Kind> {
    find(text).into_iter().find(|secret| secret.certain).map(|secret| secret.kind)
}

/// Looks at each text that is written with escapes: the others stand in the document as they are.
#[derive(Clone, Copy)]
struct Escaped<'f>(&'f Cell<Option<Kind>>);

impl<'de> DeserializeSeed<'de> for Escaped<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Escaped<'_> {
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
        if self.0.get().is_none() {
            self.0.set(certain(text));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_key_seed(self)?.is_some() {
            fields.next_value_seed(self)?;
        }
        Ok(())
    }
}
