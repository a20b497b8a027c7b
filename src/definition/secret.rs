//! Masks secrets in output about a definition.
//!
//! A definition's text is masked more strictly than other output, because the bounds of its values are known. Even a
//! line that shows too little shows the location.

use super::place::Place;
use crate::secrets;
use std::borrow::Cow;
use std::ops::Range;

/// Length of the shortest base32 text that counts as a seed, whole or truncated, if it begins like one.
const SEED_LIKE: usize = 16;

/// Marks in a line of source after which a value begins.
const MARKS: [&str; 10] = ["[", "{", ": ", "- ", " \"", " '", "[\"", "['", "{\"", "{'"];

/// Masks the secrets in a line of source that begins at the byte `start` of its file. Replaces each byte with `*`, so
/// offsets stay valid.
pub(super) fn masked_line(line: &str, start: usize, file: usize, hidden: &[Place]) -> String {
    let mut ranges = ranges(line);
    let quoted = line.starts_with(['"', '\'']).then_some(1);
    let begin =
        |at: usize| MARKS.iter().filter_map(|mark| Some(line[..at].find(mark)? + mark.len())).chain(quoted).min();
    ranges.extend(before_host(line, begin));
    for place in hidden.iter().filter(|place| place.file == file) {
        let (from, to) = (place.start.max(start), place.end.min(start + line.len()));
        let range = from.saturating_sub(start)..to.saturating_sub(start);
        if from < to && line.is_char_boundary(range.start) && line.is_char_boundary(range.end) {
            ranges.push(range);
        }
    }
    secrets::masked(line, ranges).into_owned()
}

/// Masks the secrets in the text of a problem, which may quote a value.
pub(super) fn masked_words(text: &str) -> Cow<'_, str> {
    let mut ranges = ranges(text);
    ranges.extend(before_host(text, |at| Some(text[..at].find('`')? + 1)));
    secrets::masked(text, ranges)
}

/// Masks the secrets in the name of a file.
pub(super) fn masked_name(name: &str) -> Cow<'_, str> {
    secrets::masked(name, ranges(name))
}

/// Returns `true` if `text` is an nkey seed, or a part of one (`S`, then the letter of the kind of key).
pub(super) fn looks_like_seed(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= SEED_LIKE
        && bytes[0] == b'S'
        && matches!(bytes[1], b'O' | b'A' | b'U' | b'N' | b'C' | b'X')
        && text.chars().all(is_base32)
}

/// Returns the ranges of all possible secrets, including parts of seeds.
fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = secrets::find(text).into_iter().map(|secret| secret.range).collect();
    let mut rest = 0;
    while let Some(found) = text[rest..].find(is_base32) {
        let start = rest + found;
        let length = text[start..].find(|c| !is_base32(c)).unwrap_or(text.len() - start);
        if looks_like_seed(&text[start..start + length]) {
            ranges.push(start..start + length);
        }
        rest = start + length;
    }
    ranges
}

/// Returns the range before the last `@` of a URL, where a password may have any characters.
///
/// The range starts after a scheme, or otherwise at the value that `begin` finds before the `@`. Without a scheme, it
/// must contain a colon.
fn before_host(text: &str, begin: impl Fn(usize) -> Option<usize>) -> Option<Range<usize>> {
    let at = text.rfind('@')?;
    let scheme = text[..at].find("://").map(|scheme| scheme + 3);
    let start = scheme.or_else(|| begin(at)).unwrap_or(0);
    (start < at && (scheme.is_some() || text[start..at].contains(':'))).then_some(start..at)
}

fn is_base32(c: char) -> bool {
    c.is_ascii_uppercase() || ('2'..='7').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        masked_line(text, 0, 0, &[])
    }

    #[test]
    fn seeds_and_passwords_are_masked_in_place() {
        let seed = format!("SUA{}", "B".repeat(55));
        let text = format!("key: {seed} # é servers: [nats://me:secret@host:4222]");
        let shown = line(&text);
        assert_eq!(shown.len(), text.len());
        assert!(!shown.contains("SUAB") && !shown.contains("secret") && shown.contains("host:4222"), "{shown}");
        assert_eq!(line("id: AABBCC, STREAM, nats://a:1"), "id: AABBCC, STREAM, nats://a:1");
        assert!(!line(&seed[..30]).contains('B'));
    }

    #[test]
    fn a_line_shows_no_password_whatever_is_in_it() {
        for password in ["se/cret1", "se, cret1", "se'cret1", "se\"cret1", "se]cret1", "se cret1", "1234/cret1"] {
            for text in [
                format!("    servers: [\"nats://me:{password}@h:4222\"]"),
                format!("    servers: [nats://a:1, 'me:{password}@h']"),
                format!("  - me:{password}@h"),
                format!("west: {{ servers: [\"me:{password}@h\"], serves: [x] }}"),
                format!("me:{password}@h"),
            ] {
                let shown = line(&text);
                assert!(!shown.contains("cret1") && shown.len() == text.len(), "{shown}");
            }
        }
        assert_eq!(line("a: 'me:s: cret1@h'"), "a: ************@h'");
        for text in ["servers: [nats://h:1]", "holder: bob@host", "a: b # c@d"] {
            assert_eq!(line(text), text);
        }
    }
}
