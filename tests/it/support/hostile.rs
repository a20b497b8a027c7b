//! Values that try to do more than be read.

use serde_json::Value;

/// Instead of a value. It tries whatever a terminal, a reader of its output or a CI system might fall for.
pub const HOSTILE: &str = "h\u{1b}[2J\u{1b}[1m\u{1b}[31mx\u{1b}]52;c;eA==\u{7}\r\n::error title=pwn::y\n##[error]z\n##vso[task.x]w\n\
                       section_start:1:x\r\u{1b}[0K\naccount EVIL\n  next: run me\t\u{9b}2J\u{9d}0;t\u{9c}\u{85}\u{2028}\u{2029}\u{202e}\
                       \u{2066}\u{200b}\u{feff}\u{7f}\u{8}\u{e0041}";
/// What of it is always seen, as it is seen.
pub const SEEN: &str = r"h\u{1b}[2J";
/// Likewise, in a value that is shown as JSON.
pub const SEEN_IN_JSON: &str = r"h\u001b[2J";
/// In the place of which it is put.
pub const TAME: &str = "hx";

/// The document with each of its strings, and each of its keys below `data`, hostile in turn; and where.
pub fn each_hostile(document: &Value, data: &[&str]) -> Vec<(String, Value, Value)> {
    fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::String(_) => found.push(at.to_owned()),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(n, item)| paths(item, &format!("{at}/{n}"), found))
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    paths(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    paths(document, "", &mut found);
    let mut all: Vec<(String, Value, Value)> = Vec::new();
    for path in found {
        let with = |value: &str| {
            let mut changed = document.clone();
            *changed.pointer_mut(&path).unwrap() = value.into();
            changed
        };
        all.push((path.clone(), with(TAME), with(HOSTILE)));
    }
    for path in data {
        let with = |key: &str| {
            let mut changed = document.clone();
            let fields = changed.pointer_mut(path).unwrap().as_object_mut().unwrap();
            let value = fields.values().next().cloned().unwrap_or_else(|| "value".into());
            fields.insert(key.to_owned(), value);
            changed
        };
        all.push((format!("{path}/(key)"), with(TAME), with(HOSTILE)));
    }
    all
}
