//! The lines that a person signs by: claims that differ in any way give at least one, equal ones none, and nothing in
//! them makes a line of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use support::{assert_one_line, documents};
use vstream_jwt::plan::claims_diff;

fuzz_target!(|data: &[u8]| {
    let Some([before, after]) = documents(data) else { return };
    let lines = claims_diff(Some(&before), &after);
    assert_eq!(lines.is_empty(), content(&before) == content(&after), "{before} {after}: {lines:?}");
    for line in &lines {
        assert_one_line(line);
        assert!(line.starts_with(['+', '-', '~']), "{line}");
    }
    // What goes and what comes are never the same to a reader.
    for gone in lines.iter().filter_map(|line| line.strip_prefix('-')) {
        assert!(!lines.iter().any(|line| line.strip_prefix('+') == Some(gone)), "{lines:?}");
    }
    assert!(claims_diff(Some(&after), &after).is_empty());
    assert_eq!(claims_diff(None, &after), claims_diff(Some(&Value::Object(Default::default())), &after));
    // As many the other way round, but for lists that are in another order: the line says which.
    assert_eq!(claims_diff(Some(&after), &before).is_empty(), lines.is_empty());
});

/// The claims without what every token has anew.
fn content(value: &Value) -> Value {
    let mut value = value.clone();
    for field in ["iss", "iat", "jti"] {
        value.as_object_mut().expect("it is an object").shift_remove(field);
    }
    value
}
