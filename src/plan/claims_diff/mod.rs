//! Lists the differences between two tokens' claims, line by line.
//!
//! Users read these lines to decide whether to sign. Every difference between the claims has at least one line. No text
//! in the claims can forge or hide a line. A secret in the claims is masked, and the text around it stays readable.

use crate::model::claims::{self, canonical, key_in_words};
use crate::secrets::{hide, hide_json};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// Returns the lines that describe the change from `before` to `after`: `+ path: value`, `- path: value`, `~ path:
/// before → after`. Leaves out `iss`, `iat` and `jti`, which are new in every token. Activation tokens appear as
/// digests, so that different ones can be told apart.
pub fn claims_diff(before: Option<&Value>, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (mut before, mut after) = (object(before), object(Some(after)));
    for field in ["iss", "iat", "jti"] {
        before.shift_remove(field);
        after.shift_remove(field);
    }
    objects("", &before, &after, &mut lines);
    lines.into_iter().map(told_apart).collect()
}

/// Escapes `@` in a line whose values only look like a secret together; each value alone was already checked. The
/// escaped text is the same JSON.
fn told_apart(line: String) -> String {
    match hide(&line) {
        Cow::Borrowed(_) => line,
        Cow::Owned(_) => line.replace('@', "\\u0040"),
    }
}

fn in_words(value: &Value) -> String {
    claims::in_words(&hide_json(value.clone()))
}

fn in_json(value: &Value) -> String {
    claims::in_json(&hide_json(value.clone()))
}

fn field_in_words(name: &str, value: &Value) -> String {
    claims::field_in_words(name, &hide_json(value.clone()))
}

/// Returns the path of a field. A key with dots is quoted, unless it is a subject that is mapped to a list.
fn below(path: &str, name: &str, value: &Value) -> String {
    let name = &*hide(name);
    let name = match path == "nats.mappings" {
        true if value.is_array() => key_in_words(name, true),
        true => in_json(&name.into()).into(),
        false => key_in_words(name, false),
    };
    if path.is_empty() { name.into_owned() } else { format!("{path}.{name}") }
}

fn objects(path: &str, before: &Map<String, Value>, after: &Map<String, Value>, lines: &mut Vec<String>) {
    for (name, was) in before {
        match after.get(name) {
            None => whole('-', (path, name), was, lines),
            Some(is) => values((path, name), was, is, lines),
        }
    }
    for (name, is) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        whole('+', (path, name), is, lines);
    }
}

/// Adds a line for each part of a value that only one side has.
fn whole(mark: char, (path, name): (&str, &str), value: &Value, lines: &mut Vec<String>) {
    let path = below(path, name, value);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| whole(mark, (&path, name), value, lines));
        }
        Value::Array(items) if !items.is_empty() => {
            lines.extend(items.iter().map(|item| format!("{mark} {path}: {}", in_words(item))));
        }
        value => lines.push(format!("{mark} {path}: {}", field_in_words(name, value))),
    }
}

fn values((path, name): (&str, &str), was: &Value, is: &Value, lines: &mut Vec<String>) {
    let path = below(path, name, is);
    match (was, is) {
        (was, is) if was == is => {}
        (Value::Object(was), Value::Object(is)) => objects(&path, was, is, lines),
        (Value::Array(was), Value::Array(is)) => lists(&path, was, is, lines),
        (was, is) => {
            lines.push(format!("~ {path}: {} → {}", field_in_words(name, was), field_in_words(name, is)));
        }
    }
}

/// Adds a line for each entry that was removed or added, as often as it occurs. Adds another line if the remaining
/// entries changed their order.
fn lists(path: &str, was: &[Value], is: &[Value], lines: &mut Vec<String>) {
    let (gone, stayed) = without(was, is);
    let (new, now) = without(is, was);
    // If the entries of both sides have the same text, shows their JSON, which differs.
    let words = |item: &Value, others: &[&Value]| {
        let words = in_words(item);
        if others.iter().any(|other| in_words(other) == words) { in_json(item) } else { words }
    };
    lines.extend(gone.iter().map(|item| format!("- {path}: {}", words(item, &new))));
    lines.extend(new.iter().map(|item| format!("+ {path}: {}", words(item, &gone))));
    let same_order = stayed.iter().zip(&now).all(|(was, is)| was == is);
    if !same_order {
        let order: Vec<String> = now.iter().map(|item| in_words(item)).collect();
        lines.push(format!("~ {path}: in another order: {}", order.join(", ")));
    }
}

/// Splits the items into those that `others` lacks or has less often, and the rest. Both keep their order.
fn without<'v>(items: &'v [Value], others: &[Value]) -> (Vec<&'v Value>, Vec<&'v Value>) {
    let mut left: HashMap<String, usize> = HashMap::new();
    for other in others {
        *left.entry(canonical(other)).or_default() += 1;
    }
    items.iter().partition(|item| match left.get_mut(&canonical(item)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests;
