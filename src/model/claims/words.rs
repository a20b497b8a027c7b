//! Parts of claims in words, for people.

use serde_json::Value;

/// A value on one line; of a token within it only that there is one.
pub fn in_words(value: &Value) -> String {
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
