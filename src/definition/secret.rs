//! Secrets that ended up in a definition must not end up in what is printed about it.

use std::borrow::Cow;

/// Runs of base32 at least this long that begin like a seed are taken for one, whole or truncated.
const SEED_LIKE: usize = 16;

/// `text` with everything that looks like a seed or a password in a URL replaced by `*`, byte by byte, so that
/// offsets stay valid.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    let mut hidden = Vec::new();
    let mut rest = 0;
    while let Some(found) = text[rest..].find(is_base32) {
        let start = rest + found;
        let length = text[start..].find(|c| !is_base32(c)).unwrap_or(text.len() - start);
        if looks_like_seed(&text[start..start + length]) {
            hidden.push(start..start + length);
        }
        rest = start + length;
    }
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let end =
            text[start..].find(|c: char| c.is_whitespace() || "/,]\"'".contains(c)).map_or(text.len(), |e| start + e);
        if let Some(userinfo) = text[start..end].rfind('@') {
            hidden.push(start..start + userinfo);
        }
    }
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    for range in hidden {
        bytes[range].fill(b'*');
    }
    // Ranges begin and end at character boundaries, so what is left is UTF-8.
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether `text` is, or is a piece of, an nkey seed (`S`, then the letter of the kind of key).
pub(super) fn looks_like_seed(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= SEED_LIKE
        && bytes[0] == b'S'
        && matches!(bytes[1], b'O' | b'A' | b'U' | b'N' | b'C' | b'X')
        && text.chars().all(is_base32)
}

fn is_base32(c: char) -> bool {
    c.is_ascii_uppercase() || ('2'..='7').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_passwords_are_masked_in_place() {
        let seed = format!("SUA{}", "B".repeat(55));
        let text = format!("key: {seed} # é\nservers: [nats://me:secret@host:4222]");
        let hidden = masked(&text);
        assert_eq!(hidden.len(), text.len());
        assert!(!hidden.contains("SUAB") && !hidden.contains("secret") && hidden.contains("host:4222"), "{hidden}");
        assert!(matches!(masked("id: AABBCC, STREAM, nats://a:1"), Cow::Borrowed(_)));
        assert!(!masked(&seed[..30]).contains('B'));
    }
}
