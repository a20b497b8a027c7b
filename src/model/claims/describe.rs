//! Descriptions of parts of claims as text.

use crate::model::shown;
use data_encoding::HEXLOWER;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Describes a value on one line: exports and imports in words, and tokens by their digests.
pub fn in_words(value: &Value) -> String {
    export_or_import(value).unwrap_or_else(|| in_json(value))
}

/// Returns a value on one line, as complete JSON with tokens replaced by their digests. Different values differ.
pub fn in_json(value: &Value) -> String {
    let mut shown = value.clone();
    hide_tokens(&mut shown);
    shown::json(&shown.to_string()).into_owned()
}

/// Describes the value of a field, as [`in_words`] does.
pub fn field_in_words(name: &str, value: &Value) -> String {
    match (name, value) {
        ("token", Value::String(token)) if !token.is_empty() => format!("(activation token {})", digest(token)),
        _ => in_words(value),
    }
}

/// Returns a key of a JSON object as part of a path. The key is bare if it is unambiguous, and a JSON string otherwise.
/// `dots` is `true` if keys are subjects.
pub fn key_in_words(key: &str, dots: bool) -> Cow<'_, str> {
    let bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ':') && (dots || c != '.');
    match !key.is_empty() && key.chars().all(bare) {
        true => Cow::Borrowed(key),
        false => Cow::Owned(in_json(&key.into())),
    }
}

/// Returns a text that is equal for equal values, with fields in any order, and different for all other values.
pub fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(sorted).collect(),
            Value::Object(fields) => {
                let fields: BTreeMap<&String, Value> =
                    fields.iter().map(|(name, value)| (name, sorted(value))).collect();
                fields.into_iter().map(|(name, value)| (name.clone(), value)).collect()
            }
            value => value.clone(),
        }
    }
    sorted(value).to_string()
}

fn hide_tokens(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::String(token) if name == "token" && !token.is_empty() => {
                        *token = format!("(activation token {})", digest(token));
                    }
                    value => hide_tokens(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_tokens),
        _ => {}
    }
}

/// Returns a digest to show instead of an activation token. Anyone who has the token itself could use it, if it is for
/// every account.
fn digest(token: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    HEXLOWER.encode(&digest.as_ref()[..8])
}

/// Describes an export or import: `service $JS.API.INFO of A… as $VS.west.API.INFO`. Returns `None` if it has unusual
/// fields, or text that would make the description ambiguous.
fn export_or_import(value: &Value) -> Option<String> {
    let fields = value.as_object()?;
    let usual = |(name, value): (&String, &Value)| match (name.as_str(), value) {
        ("subject" | "type" | "account" | "local_subject" | "response_type", Value::String(text)) => {
            text.is_empty() || key_in_words(text, true) == *text
        }
        ("name" | "token", Value::String(_)) | ("token_req", Value::Bool(_)) => true,
        _ => false,
    };
    if !fields.iter().all(usual) {
        return None;
    }
    let text = |field: &str| value[field].as_str().filter(|text| !text.is_empty());
    let mut words = format!("{} {}", text("type")?, text("subject")?);
    for (word, part) in [("of", text("account")), ("as", text("local_subject")), ("answers", text("response_type"))] {
        words.extend(part.map(|part| format!(" {word} {part}")));
    }
    words.push_str(if value["token_req"] == Value::Bool(true) { ", private" } else { "" });
    words.extend(text("token").map(|token| format!(", with an activation token ({})", digest(token))));
    words.extend(text("name").map(|name| format!(", named {}", in_json(&name.into()))));
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_could_be_taken_for_words_is_json() {
        let service = |subject: &str| json!({ "type": "service", "subject": subject });
        assert_eq!(in_words(&service("a.b")), "service a.b");
        for subject in ["a of B", "a, private", "a\nb", "\"a\"", "ä"] {
            assert!(in_words(&service(subject)).starts_with('{'), "{subject}");
        }
        let named = json!({ "type": "stream", "subject": "a.>", "name": "n\n, private", "token_req": true });
        assert_eq!(in_words(&named), r#"stream a.>, private, named "n\n, private""#);
    }

    #[test]
    fn a_key_cannot_be_taken_for_a_path() {
        for bare in ["nats", "foo-1", "$JS", "*", ">"] {
            assert_eq!(key_in_words(bare, false), bare);
        }
        assert_eq!(key_in_words("orders.>", true), "orders.>");
        assert_eq!(key_in_words("limits.conn", false), "\"limits.conn\"");
        assert_eq!(key_in_words("", true), "\"\"");
        assert_eq!(key_in_words("x\n  - a: \"K\"", true), r#""x\n  - a: \"K\"""#);
        assert_eq!(key_in_words("\u{455}ub", false), "\"\u{455}ub\"");
        assert_eq!(key_in_words("a\u{202e}", false), r#""a\u202e""#);
    }

    #[test]
    fn tokens_are_told_apart_and_not_shown() {
        let import = |token: &str| json!({ "type": "service", "subject": "s", "token": token });
        assert_ne!(in_words(&import("ey.old")), in_words(&import("ey.new")));
        assert_ne!(in_json(&json!([import("ey.old")])), in_json(&json!([import("ey.new")])));
        for shown in [in_words(&import("ey.x")), in_json(&import("ey.x")), field_in_words("token", &json!("ey.x"))] {
            assert!(!shown.contains("ey.x") && shown.contains("activation token"), "{shown}");
        }
    }

    #[test]
    fn equal_values_have_one_canonical_form() {
        assert_eq!(
            canonical(&json!({ "a": 1, "b": [{ "c": 2, "d": 3 }] })),
            canonical(&json!({ "b": [{ "d": 3, "c": 2 }], "a": 1 }))
        );
        for (one, other) in [("1", "1.0"), ("1", "\"1\""), ("null", "{}"), ("[1,2]", "[2,1]"), ("{\"a\":null}", "{}")] {
            let [one, other]: [Value; 2] = [one, other].map(|text| serde_json::from_str(text).unwrap());
            assert_ne!(canonical(&one), canonical(&other));
        }
    }
}
