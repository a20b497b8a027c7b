//! Finds secrets in JSON documents, where escapes can make a text differ from its value.

use super::{Kind, find};
use crate::model::json::{Walk, Walker};
use serde::de::{DeserializeSeed as _, MapAccess};
use std::cell::Cell;

/// Returns the kind of a certain secret in a JSON document. Searches the document itself, and texts and keys that are
/// written with escapes. In a text that is not JSON, only the valid beginning is searched for escaped texts.
pub fn find_in_json(text: &str) -> Option<Kind> {
    certain(text).or_else(|| {
        let found = Cell::new(None);
        // A truncated document is searched up to its end.
        let _ = Walker(Escaped(&found)).deserialize(&mut serde_json::Deserializer::from_str(text));
        found.get()
    })
}

fn certain(text: &str) -> Option<Kind> {
    find(text).into_iter().find(|secret| secret.certain).map(|secret| secret.kind)
}

/// Searches each text that is written with escapes. Other texts appear in the document unchanged.
#[derive(Clone, Copy)]
struct Escaped<'f>(&'f Cell<Option<Kind>>);

impl Walk for Escaped<'_> {
    fn escaped(self, text: &str) {
        if self.0.get().is_none() {
            self.0.set(certain(text));
        }
    }

    fn object<'de, A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_key_seed(Walker(self))?.is_some() {
            fields.next_value_seed(Walker(self))?;
        }
        Ok(())
    }
}
