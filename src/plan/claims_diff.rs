//! What differs between two tokens' claims, line by line.

use crate::model::claims::in_words;
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
            None => whole('-', &at(key), was, lines),
            Some(is) => values(&at(key), was, is, lines),
        }
    }
    for (key, is) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        whole('+', &at(key), is, lines);
    }
}

/// What is there on one side only, a line for each part.
fn whole(mark: char, path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(key, value)| whole(mark, &format!("{path}.{key}"), value, lines));
        }
        Value::Array(items) => lines.extend(items.iter().map(|item| format!("{mark} {path}: {}", in_words(item)))),
        value => lines.push(format!("{mark} {path}: {}", in_words(value))),
    }
}

fn values(path: &str, was: &Value, is: &Value, lines: &mut Vec<String>) {
    match (was, is) {
        (was, is) if was == is => {}
        (Value::Object(was), Value::Object(is)) => objects(path, was, is, lines),
        (Value::Array(was), Value::Array(is)) => {
            let gone = was.iter().filter(|item| !is.contains(item));
            lines.extend(gone.map(|item| format!("- {path}: {}", in_words(item))));
            let new = is.iter().filter(|item| !was.contains(item));
            lines.extend(new.map(|item| format!("+ {path}: {}", in_words(item))));
        }
        (was, is) => lines.push(format!("~ {path}: {} → {}", in_words(was), in_words(is))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_difference_is_a_line_and_tokens_are_not_in_words() {
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
                r#"- nats.mappings.a.>: {"subject":"b.>"}"#,
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
