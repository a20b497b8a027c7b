//! What differs between two tokens' claims, line by line.

use serde_json::{Map, Value};

/// What makes `after` of `before`: `+ path: value`, `- path: value`, `~ path: before → after`. `iss`, `iat` and `jti`,
/// which every token has anew, are left out; activation tokens are not shown.
pub fn claims_diff(before: Option<&Value>, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let empty = Map::new();
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_else(|| empty.clone());
    let (mut before, mut after) = (object(before), object(Some(after)));
    for field in ["iss", "iat", "jti"] {
        before.shift_remove(field);
        after.shift_remove(field);
    }
    objects("", &before, &after, &mut lines);
    lines
}

fn objects(path: &str, before: &Map<String, Value>, after: &Map<String, Value>, lines: &mut Vec<String>) {
    let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, was) in before {
        match after.get(key) {
            None => lines.push(format!("- {}: {}", at(key), shown(was))),
            Some(is) => values(&at(key), was, is, lines),
        }
    }
    for (key, is) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        match is {
            Value::Object(fields) if !fields.is_empty() => objects(&at(key), &Map::new(), fields, lines),
            Value::Array(items) => items.iter().for_each(|item| lines.push(format!("+ {}: {}", at(key), shown(item)))),
            is => lines.push(format!("+ {}: {}", at(key), shown(is))),
        }
    }
}

fn values(path: &str, was: &Value, is: &Value, lines: &mut Vec<String>) {
    match (was, is) {
        (was, is) if was == is => {}
        (Value::Object(was), Value::Object(is)) => objects(path, was, is, lines),
        (Value::Array(was), Value::Array(is)) => {
            let gone = was.iter().filter(|item| !is.contains(item));
            lines.extend(gone.map(|item| format!("- {path}: {}", shown(item))));
            let new = is.iter().filter(|item| !was.contains(item));
            lines.extend(new.map(|item| format!("+ {path}: {}", shown(item))));
        }
        (was, is) => lines.push(format!("~ {path}: {} → {}", shown(was), shown(is))),
    }
}

/// A value on one line; of a token within it only that there is one.
fn shown(value: &Value) -> String {
    if let Some(link) = link(value) {
        return link;
    }
    fn hide(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields.iter_mut() {
                    if key == "token" && value.is_string() {
                        *value = Value::from("(activation token)");
                    }
                    hide(value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(hide),
            _ => {}
        }
    }
    let mut value = value.clone();
    hide(&mut value);
    value.to_string()
}

/// An export or import in words: `service $JS.API.INFO of A… as $VS.west.API.INFO`.
fn link(value: &Value) -> Option<String> {
    let (subject, kind) = (value["subject"].as_str()?, value["type"].as_str()?);
    let text = |field: &str| value[field].as_str().filter(|text| !text.is_empty());
    let known = ["name", "subject", "type", "account", "local_subject", "token", "token_req", "response_type"];
    if value.as_object()?.keys().any(|key| !known.contains(&key.as_str())) {
        return None;
    }
    let mut words = format!("{kind} {subject}");
    for (word, part) in [("of", text("account")), ("as", text("local_subject")), ("answers", text("response_type"))] {
        words.extend(part.map(|part| format!(" {word} {part}")));
    }
    words.push_str(if value["token_req"] == Value::Bool(true) { ", private" } else { "" });
    words.push_str(if text("token").is_some() { ", with an activation token" } else { "" });
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_difference_is_a_line_and_tokens_are_not_shown() {
        let before = json!({ "iat": 1, "jti": "a", "name": "APP", "nats": {
            "limits": { "conn": 5, "subs": -1 }, "mappings": { "a.>": [{ "subject": "b.>" }] },
            "imports": [{ "subject": "x", "token": "ey.old" }],
        } });
        let after = json!({ "iat": 2, "jti": "b", "name": "APP", "nats": {
            "limits": { "conn": 7, "subs": -1 }, "mappings": { "c.>": [{ "subject": "d.>" }] },
            "imports": [{ "subject": "x", "token": "ey.new" }], "tags": ["t"],
            "exports": [{ "name": "n", "subject": "y", "type": "service", "token_req": true, "response_type": "Stream" }],
        } });
        assert_eq!(
            claims_diff(Some(&before), &after),
            [
                "~ nats.limits.conn: 5 → 7",
                r#"- nats.mappings.a.>: [{"subject":"b.>"}]"#,
                r#"+ nats.mappings.c.>: {"subject":"d.>"}"#,
                r#"- nats.imports: {"subject":"x","token":"(activation token)"}"#,
                r#"+ nats.imports: {"subject":"x","token":"(activation token)"}"#,
                r#"+ nats.tags: "t""#,
                "+ nats.exports: service y answers Stream, private",
            ]
        );
        assert!(claims_diff(Some(&after), &after).is_empty());
        assert_eq!(claims_diff(None, &json!({ "name": "N", "iat": 1 })), [r#"+ name: "N""#]);
    }
}
