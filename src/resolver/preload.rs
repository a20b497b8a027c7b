//! The file with `resolver_preload` that the configuration of servers with a `memory` resolver includes.
//!
//! Only tokens in it are changed; comments, order and spelling stay. A file with anything else in it is refused: what
//! servers do may depend on it, and it is not ours.

use super::TokenStoreError;
use crate::files::{self, Access, ReadError};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::sign::SignedToken;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes: tokens of hundreds of accounts.
const LARGEST: usize = 64 << 20;

/// The file.
#[derive(Debug)]
pub struct Preload {
    file: PathBuf,
}

/// One account's token in the text.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    id: PublicKey,
    /// Where the token is, without quotes.
    at: Range<usize>,
}

/// The text of the file, understood.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    entries: Vec<Entry>,
    /// Behind the last entry, or behind the opening brace.
    end: usize,
}

/// What is the matter with the text, and in which line, from 1.
#[derive(Debug, PartialEq, Eq)]
struct Bad {
    line: usize,
    message: String,
}

impl Preload {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn place(&self) -> String {
        format!("preload {}", self.file.display())
    }

    /// The token of each account that the file has.
    pub(super) fn tokens(&self, ids: &[PublicKey]) -> Result<Vec<Option<String>>, TokenStoreError> {
        let text = self.read()?;
        let parsed = self.parse(&text)?;
        let of = |id: &PublicKey| parsed.entries.iter().find(|entry| entry.id == *id);
        Ok(ids.iter().map(|id| of(id).map(|entry| text[entry.at.clone()].to_owned())).collect())
    }

    /// Puts these tokens in place of the accounts' former ones; those of new accounts come last.
    pub(super) fn write(&self, tokens: &[(&PublicKey, &SignedToken)]) -> Result<(), TokenStoreError> {
        let text = self.read()?;
        let parsed = self.parse(&text)?;
        let edited = edited(&text, &parsed, tokens);
        let failed = |error: std::io::Error| self.bad(None, format!("cannot be written: {error}"));
        let permissions = std::fs::metadata(&self.file).map_err(failed)?.permissions();
        files::replace(&self.file, Access::Usual, &[edited.as_bytes()]).map_err(failed)?;
        std::fs::set_permissions(&self.file, permissions).map_err(failed)
    }

    fn read(&self) -> Result<String, TokenStoreError> {
        files::read_text(&self.file, LARGEST).map_err(|error| match error {
            ReadError::Missing => TokenStoreError {
                next: "Name the file that the servers' configuration includes, with the tokens that they have now: \
                       `nsc generate config --mem-resolver` writes a `resolver_preload`."
                    .to_owned(),
                ..self.bad(None, error.to_string())
            },
            error => self.bad(None, error.to_string()),
        })
    }

    fn parse(&self, text: &str) -> Result<Parsed, TokenStoreError> {
        parse(text).map_err(|Bad { line, message }| self.bad(Some(line), message))
    }

    fn bad(&self, line: Option<usize>, message: String) -> TokenStoreError {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        TokenStoreError {
            code: "preload",
            place: format!("preload {}{line}", self.file.display()),
            message,
            next: "Keep `resolver_preload: { ACCOUNT: TOKEN … }` alone in a file, include that in the servers' \
                   configuration, and name it with `preload` under `resolver:`."
                .to_owned(),
            is_input: true,
        }
    }
}

fn edited(text: &str, parsed: &Parsed, tokens: &[(&PublicKey, &SignedToken)]) -> String {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut more = String::new();
    for (id, token) in tokens {
        match parsed.entries.iter().find(|entry| entry.id == **id) {
            Some(entry) => edits.push((entry.at.clone(), token.as_str().to_owned())),
            None => more.push_str(&format!("\n  {id}: {}", token.as_str())),
        }
    }
    if !more.is_empty() {
        if text[parsed.end..].trim_start_matches([' ', '\t']).starts_with('}') {
            more.push('\n');
        }
        edits.push((parsed.end..parsed.end, more));
    }
    edits.sort_by_key(|(at, _)| at.start);
    let mut edited = text.to_owned();
    for (at, token) in edits.into_iter().rev() {
        edited.replace_range(at, &token);
    }
    edited
}

/// `resolver_preload { A…: eyJ… }` in the syntax of server configuration (nats-server 2.15 `conf/lex.go`): keys and values
/// bare or in quotes; between key and value `:`, `=` or blanks; between entries a line's end, `,` or `;`; comments behind
/// `#` and `//`.
fn parse(text: &str) -> Result<Parsed, Bad> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.blanks();
    let key = scanner.word()?;
    if !text[key.clone()].eq_ignore_ascii_case("resolver_preload") {
        return Err(scanner.bad(key.start, format!("`{}` is not expected: only `resolver_preload` is", &text[key])));
    }
    scanner.between();
    if !scanner.takes('{') {
        return Err(scanner.bad(scanner.at, "a `{` is missing behind `resolver_preload`".to_owned()));
    }
    let mut parsed = Parsed { entries: Vec::new(), end: scanner.at };
    loop {
        scanner.blanks();
        if scanner.takes('}') {
            break;
        }
        if scanner.is_at_end() {
            return Err(scanner.bad(scanner.at, "the `}` of `resolver_preload` is missing".to_owned()));
        }
        let key = scanner.word()?;
        let id = PublicKey::parse_kind(&text[key.clone()], KeyKind::Account).map_err(|_| {
            scanner.bad(key.start, format!("`{}` is not the public key of an account", &text[key.clone()]))
        })?;
        if parsed.entries.iter().any(|entry| entry.id == id) {
            return Err(scanner.bad(key.start, format!("account {id} is there twice")));
        }
        scanner.between();
        let at = scanner.word()?;
        parsed.entries.push(Entry { id, at });
        parsed.end = scanner.at;
    }
    scanner.blanks();
    match scanner.is_at_end() {
        true => Ok(parsed),
        false => {
            let start = scanner.at;
            let word = scanner
                .word()
                .map(|at| text[at].to_owned())
                .unwrap_or_else(|_| text[start..].chars().take(1).collect());
            Err(scanner.bad(start, format!("`{word}` is not expected: only `resolver_preload` is")))
        }
    }
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn takes(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn skip(&mut self, blank: impl Fn(char) -> bool) {
        self.at += self.rest().len() - self.rest().trim_start_matches(blank).len();
    }

    /// Blanks, ends of lines, separators of entries, comments.
    fn blanks(&mut self) {
        loop {
            self.skip(|c| c.is_ascii_whitespace() || c == ',' || c == ';');
            if !(self.rest().starts_with('#') || self.rest().starts_with("//")) {
                return;
            }
            self.skip(|c| c != '\n');
        }
    }

    /// Between a key and its value.
    fn between(&mut self) {
        self.skip(|c| c == ' ' || c == '\t');
        if self.takes(':') || self.takes('=') {
            self.skip(|c| c == ' ' || c == '\t');
        }
    }

    /// A key or value, in quotes or bare; what is between the quotes.
    fn word(&mut self) -> Result<Range<usize>, Bad> {
        for quote in ['"', '\''] {
            if self.takes(quote) {
                let start = self.at;
                let Some(length) = self.rest().find([quote, '\n', '\\']) else {
                    return Err(self.bad(start, "a quote is not closed".to_owned()));
                };
                self.at += length;
                if !self.takes(quote) {
                    return Err(self.bad(start, "a quote is not closed in its line".to_owned()));
                }
                return Ok(start..start + length);
            }
        }
        let start = self.at;
        self.skip(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        match self.at == start {
            false => Ok(start..self.at),
            true => {
                let found = self.rest().chars().next().map_or("the end".to_owned(), |c| format!("{c:?}"));
                Err(self.bad(start, format!("{found} is not expected")))
            }
        }
    }

    fn bad(&self, at: usize, message: String) -> Bad {
        Bad { line: self.text[..at].matches('\n').count() + 1, message }
    }
}

#[cfg(test)]
mod tests;
