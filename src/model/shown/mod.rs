//! Escapes text from other sources so that it can be shown safely. Names, tokens, answers and files can hold any
//! characters. Such characters can move the cursor, hide text, change the writing direction, end a line, or give a
//! command to a CI system.
//!
//! Code that builds a line for output uses [`push`]. Escapes have the form of Rust and JSON: `\n`, `\u{1b}`. A
//! backslash stays unchanged, so escaping twice changes nothing.

#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns a value escaped for output on its own.
pub fn shown(text: &str) -> Cow<'_, str> {
    match needs_care(text) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let mut out = String::with_capacity(text.len() + 16);
            push(&mut out, text);
            Cow::Owned(out)
        }
    }
}

/// Appends the escaped `text` to `out`. A line break in `text` becomes `\n`, while line breaks already in `out` end its
/// lines. Breaks up text that would form a CI command together with the start of the line.
pub fn push(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = needs_care(rest) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = from.chars();
        let Some(c) = chars.next() else { return };
        match c {
            ':' if opens_a_command(out) => escape(out, c),
            '[' if follows_hashes(out) => escape(out, c),
            ':' | '[' => out.push(c),
            c if is_hidden(c) => escape(out, c),
            c => out.push(c),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// Returns a JSON document with every character that must not be shown raw as a JSON escape. `text` is a serializer's
/// output, so such characters are only in its strings, and line breaks only between its tokens.
pub fn json(text: &str) -> Cow<'_, str> {
    let careful = |at: &(usize, char)| match at.1 {
        '\n' => false,
        '[' => follows_hashes(&text[..at.0]),
        c => is_hidden(c),
    };
    let mut found = text.char_indices().filter(careful).peekable();
    if found.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for (at, c) in found {
        out.push_str(&text[from..at]);
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
        from = at + c.len_utf8();
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

/// Returns `true` for characters that are invisible or change the appearance of the text around them. These are
/// controls, line separators, changes of the writing direction, and all characters that Unicode calls
/// default-ignorable, such as zero-width ones.
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(c,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fdd0}'..='\u{fdef}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{13440}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
    ) || u32::from(c) & 0xfffe == 0xfffe
}

/// Returns the index of the first character that may need an escape.
fn needs_care(text: &str) -> Option<usize> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b':' && byte != b'[';
    text.bytes().position(|byte| !plain(byte))
}

fn escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c => out.extend(c.escape_unicode()),
    }
}

/// Returns `true` if one more colon would make the line a command. These are `::error` of GitHub, which may be
/// indented, `section_start:` of GitLab, and `travis_fold:`.
fn opens_a_command(line: &str) -> bool {
    const OPEN: [&str; 4] = [":", "section_start", "section_end", "travis_fold"];
    OPEN.iter().any(|open| line.strip_suffix(open).is_some_and(ends_in_blanks))
}

/// Returns `true` if one more bracket would make the line a command: `##[group` of GitHub, `##vso[` of Azure,
/// `##teamcity[`. CI systems look for the first two anywhere in a line.
fn follows_hashes(line: &str) -> bool {
    line.trim_end_matches(|c: char| c.is_ascii_alphabetic()).ends_with("##")
}

/// Returns `true` if the last line has only blanks. Looks back only as far as needed, because a text may be one long
/// line.
fn ends_in_blanks(text: &str) -> bool {
    text.chars().rev().take_while(|c| *c != '\n').all(char::is_whitespace)
}
