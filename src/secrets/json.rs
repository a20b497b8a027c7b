//! Secrets in JSON documents, where escapes can make a text look different from its value.

use super::{Kind, find};
use crate::model::json::{Walk, Walker};
use serde::de::{DeserializeSeed as _, MapAccess};
use std::cell::Cell;

/// Returns the kind of a certain secret in a JSON document. Finds it in the document itself, and in texts and keys that
/// are written with escapes. If the text is not JSON, only the beginning is searched for escaped texts.
pub fn find_in_json(text: &str) -> Option<Kind> {
    certain(text).or_else(|| {
        let found = Cell::new(None);
        // A document that is cut short is searched up to its end.
        let _ = Walker(Escaped(&found)).deserialize(&mut serde_json::Deserializer::from_str(text));
        found.get()
    })
}

fn certain(text: &str) -> Option<Kind> {
    find(text).into_iter().find(|secret| secret.certain).map(|secret| secret.kind)
}

/// Searches each text that is written with escapes. Other texts stand in the document as they are.
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
