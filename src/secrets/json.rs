//! Secrets in JSON documents, in which a text need not look like what it says.

use super::{Kind, find};
use crate::model::json::{Walk, Walker};
use serde::de::{DeserializeSeed as _, MapAccess};
use std::cell::Cell;

/// The kind of a certain secret in a JSON document: as it stands there, or in one of its texts that is written with escapes,
/// keys included. Of what is not JSON, the beginning is looked at alone.
pub fn find_in_json(text: &str) -> Option<Kind> {
    certain(text).or_else(|| {
        let found = Cell::new(None);
        // A document that ends in the middle was looked at up to there.
        let _ = Walker(Escaped(&found)).deserialize(&mut serde_json::Deserializer::from_str(text));
        found.get()
    })
}

fn certain(text: &str) -> Option<Kind> {
    find(text).into_iter().find(|secret| secret.certain).map(|secret| secret.kind)
}

/// Looks at each text that is written with escapes: the others stand in the document as they are.
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
