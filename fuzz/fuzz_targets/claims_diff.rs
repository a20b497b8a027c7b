//! The diff that the user reads before signing. Claims that differ give at least one line, and equal claims none. No
//! value in them can forge a line.
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
    // A removed line and an added line always look different.
    for gone in lines.iter().filter_map(|line| line.strip_prefix('-')) {
        assert!(!lines.iter().any(|line| line.strip_prefix('+') == Some(gone)), "{lines:?}");
    }
    assert!(claims_diff(Some(&after), &after).is_empty());
    assert_eq!(claims_diff(None, &after), claims_diff(Some(&Value::Object(Default::default())), &after));
    // The reverse diff has changes, too. If lists differ only in their order, a line says so.
    assert_eq!(claims_diff(Some(&after), &before).is_empty(), lines.is_empty());
});

/// Returns the claims without the fields that every new token changes.
fn content(value: &Value) -> Value {
    let mut value = value.clone();
    for field in ["iss", "iat", "jti"] {
        value.as_object_mut().expect("it is an object").shift_remove(field);
    }
    value
}
