//! JSON documents, and changes to them that the bytes of an input choose.

use serde_json::{Map, Value};

/// Bytes that make choices, one after another; zero when none are left.
pub struct Bytes<'d>(pub &'d [u8]);

impl Bytes<'_> {
    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % end.max(1)
    }
}

/// Names and values that claims have, and some that look almost the same. The list is short, so that documents often
/// share names.
const NAMES: [&str; 30] = [
    "a",
    "b",
    "a.b",
    "",
    "token",
    "subject",
    "type",
    "name",
    "nats",
    "mappings",
    "limits",
    "imports",
    "exports",
    "signing_keys",
    "revocations",
    "default_permissions",
    "pub",
    "sub",
    "allow",
    "deny",
    "tags",
    "key",
    "weight",
    "account",
    "local_subject",
    "iss",
    "iat",
    "jti",
    "\n- a",
    "\u{1b}",
];
const VALUES: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-0",
    "1.0",
    "1e0",
    "10",
    "-1",
    "\"\"",
    "\"a\"",
    "\"b\"",
    "\"A\"",
    "\"a.b\"",
    "\"service\"",
    "\"stream\"",
    "\"x → y\\n\"",
    "\"\\u001b\\u202e\"",
    "[]",
    "{}",
    "[null]",
    "[\"a\",\"b\"]",
    "{\"a\":1}",
];

fn name(bytes: &mut Bytes<'_>) -> String {
    NAMES[bytes.below(NAMES.len())].to_owned()
}

fn value(bytes: &mut Bytes<'_>, depth: usize) -> Value {
    match bytes.below(8) {
        0 if depth > 0 => (0..bytes.below(4)).map(|_| value(bytes, depth - 1)).collect(),
        1 if depth > 0 => Value::Object(object(bytes, depth - 1)),
        _ => serde_json::from_str(VALUES[bytes.below(VALUES.len())]).expect("they are JSON"),
    }
}

fn object(bytes: &mut Bytes<'_>, depth: usize) -> Map<String, Value> {
    (0..bytes.below(6)).map(|_| (name(bytes), value(bytes, depth))).collect()
}

/// Makes one change somewhere in a document.
pub fn mutate(bytes: &mut Bytes<'_>, at: &mut Value) {
    let inner = match at {
        Value::Object(fields) => fields.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if inner > 0 && bytes.below(4) > 0 {
        let index = bytes.below(inner);
        match at {
            Value::Object(fields) => fields.values_mut().nth(index).into_iter().for_each(|inner| mutate(bytes, inner)),
            Value::Array(items) => mutate(bytes, &mut items[index]),
            _ => {}
        }
        return;
    }
    match at {
        Value::Object(fields) => match bytes.below(4) {
            0 => {
                let gone = fields.keys().nth(bytes.below(inner)).cloned();
                if let Some(gone) = gone {
                    fields.shift_remove(&gone);
                }
            }
            1 => *fields = fields.iter().rev().map(|(name, value)| (name.clone(), value.clone())).collect(),
            _ => drop(fields.insert(name(bytes), value(bytes, 2))),
        },
        Value::Array(items) => match bytes.below(5) {
            0 => items.reverse(),
            1 => drop(items.pop()),
            2 if inner > 0 => items.push(items[bytes.below(inner)].clone()),
            _ => items.push(value(bytes, 2)),
        },
        at => *at = value(bytes, 2),
    }
}

/// Reads `COUNT` documents, all objects. The input begins with lines of JSON. The remaining bytes change the first
/// document into each one that has no line.
pub fn documents<const COUNT: usize>(data: &[u8]) -> Option<[Value; COUNT]> {
    let (mut rest, mut found) = (data, Vec::new());
    while found.len() < COUNT && rest.first() == Some(&b'{') {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        let line = crate::filled(std::str::from_utf8(line).ok()?);
        let document: Value = serde_json::from_str(&line).ok()?;
        found.push(document);
        rest = after.get(1..).unwrap_or_default();
    }
    let mut bytes = Bytes(rest);
    if found.is_empty() {
        found.push(Value::Object(object(&mut bytes, 3)));
    }
    while found.len() < COUNT {
        let mut changed = found[0].clone();
        for _ in 0..bytes.below(4) {
            mutate(&mut bytes, &mut changed);
        }
        found.push(changed);
    }
    let found: [Value; COUNT] = found.try_into().ok()?;
    found.iter().all(Value::is_object).then_some(found)
}
