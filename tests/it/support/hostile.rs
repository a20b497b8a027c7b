//! Values that try to have an effect when they are shown.

use serde_json::Value;

/// The value that replaces another one. It contains everything that may have an effect on a terminal, a reader of the
/// output or a CI system.
pub const HOSTILE: &str = "h\u{1b}[2J\u{1b}[1m\u{1b}[31mx\u{1b}]52;c;eA==\u{7}\r\n::error title=pwn::y\n##[error]z\n##vso[task.x]w\n\
                       section_start:1:x\r\u{1b}[0K\naccount EVIL\n  next: run me\t\u{9b}2J\u{9d}0;t\u{9c}\u{85}\u{2028}\u{2029}\u{202e}\
                       \u{2066}\u{200b}\u{feff}\u{7f}\u{8}\u{e0041}";
/// The part of it that is always visible, in its escaped form.
pub const SEEN: &str = r"h\u{1b}[2J";
/// The same part, in a value that is shown as JSON.
pub const SEEN_IN_JSON: &str = r"h\u001b[2J";
/// The same part, in JSON that quotes output for people.
pub const SEEN_QUOTED: &str = r"h\\u{1b}[2J";
/// Lines that the value adds, if any of its line breaks takes effect.
pub const BROUGHT: [&str; 2] = ["account EVIL", "next: run me"];
/// The harmless value that it replaces.
pub const TAME: &str = "tamevalue";

/// A string of a document or a key of one of its objects, in all items of a list at once.
#[derive(Debug, Clone)]
pub struct Field {
    /// Path of the field, with `*` for the items of lists.
    pub at: String,
    pointers: Vec<String>,
    is_key: bool,
}

impl Field {
    /// Puts the value into the field.
    pub fn fill(&self, document: &mut Value, value: &str) {
        for pointer in &self.pointers {
            // An answer need not have all fields of its kind.
            let Some(found) = document.pointer_mut(pointer) else { continue };
            match found.as_object_mut().filter(|_| self.is_key) {
                Some(fields) => {
                    let first = fields.values().next().cloned().unwrap_or_else(|| "value".into());
                    fields.insert(value.to_owned(), first);
                }
                None => *found = value.into(),
            }
        }
    }
}

/// Returns the document with the value in these fields.
pub fn filled(document: &Value, fields: &[Field], value: &str) -> Value {
    let mut document = document.clone();
    fields.iter().for_each(|field| field.fill(&mut document, value));
    document
}

/// Returns all strings of a document, and an extra key in each object of it.
pub fn everywhere(document: &Value) -> Vec<Field> {
    strings(document).into_iter().chain(keys(document)).collect()
}

/// Returns all strings of a document.
pub fn strings(document: &Value) -> Vec<Field> {
    fields(document, false)
}

/// Returns an extra key in each object of a document.
pub fn keys(document: &Value) -> Vec<Field> {
    fields(document, true)
}

fn fields(document: &Value, is_key: bool) -> Vec<Field> {
    fn walk(value: &Value, pointer: String, at: String, is_key: bool, found: &mut Vec<Field>) {
        if if is_key { value.is_object() } else { value.is_string() } {
            match found.iter_mut().find(|field| field.at == at) {
                Some(field) => field.pointers.push(pointer.clone()),
                None => found.push(Field { at: at.clone(), pointers: vec![pointer.clone()], is_key }),
            }
        }
        let mut below = |step: &str, shown: &str, value| {
            walk(value, format!("{pointer}/{step}"), format!("{at}/{shown}"), is_key, found);
        };
        match value {
            Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| below(&n.to_string(), "*", item)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                let step = key.replace('~', "~0").replace('/', "~1");
                below(&step, &step, value);
            }),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(document, String::new(), String::new(), is_key, &mut found);
    found
}
