//! Finds PINs of hardware tokens in `pkcs11:` URIs.

use super::{Kind, Secret};

/// The attribute of a `pkcs11:` URI with the PIN itself.
const PIN: &str = "pin-value=";

pub(super) fn find(text: &str, most: usize) -> Vec<Secret> {
    let mut behind = 0;
    let found = text.match_indices(PIN).filter_map(|(at, _)| {
        if at < behind {
            return None;
        }
        let start = at + PIN.len();
        let rest = &text[start..];
        if rest.starts_with("(a PIN, not shown)") {
            return None;
        }
        let ends = |c: char| c.is_whitespace() || "&;\"'`".contains(c);
        let length = rest.find(ends).unwrap_or(rest.len());
        behind = start + length;
        (length > 0).then(|| Secret { kind: Kind::Pin, range: start..start + length, certain: true })
    });
    found.take(most).collect()
}
