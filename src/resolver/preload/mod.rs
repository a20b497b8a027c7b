//! Reads and writes the file with `resolver_preload` that the configuration of servers with a `memory` resolver
//! includes.
//!
//! Only tokens in the file are changed; comments, order and spelling stay. A file with other settings is refused,
//! because servers may depend on them and they are not ours.

use super::error::TokenStoreError;
use crate::files::{self, FileAccess, FileReadError};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::sign::SignedToken;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The largest file that is read, in bytes: tokens of hundreds of accounts.
const LARGEST: usize = 64 << 20;

/// The file.
#[derive(Debug)]
pub struct Preload {
    file: PathBuf,
    /// `true` once the file could be read. A later error in it arose during the run.
    was_read: AtomicBool,
}

/// An account's token in the text.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    id: PublicKey,
    /// The position of the token, without quotes.
    at: Range<usize>,
}

/// The parsed text of the file.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    entries: Vec<Entry>,
    /// The position of the closing brace.
    end: usize,
}

/// An error in the text, with its line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
struct Bad {
    line: usize,
    message: String,
}

impl Preload {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), was_read: AtomicBool::new(false) }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn place(&self) -> String {
        format!("preload {}", self.file.display())
    }

    /// Returns the tokens in the file, by account.
    pub(super) fn entries(&self) -> Result<BTreeMap<PublicKey, String>, TokenStoreError> {
        let text = self.read()?;
        let parsed = self.parse(&text)?;
        Ok(parsed.entries.into_iter().map(|entry| (entry.id, text[entry.at].to_owned())).collect())
    }

    /// Checks that the file can be replaced, and that it would keep its owner.
    pub(super) fn may_write(&self) -> Result<(), TokenStoreError> {
        let path = std::fs::canonicalize(&self.file).map_err(|error| self.unwritten(&error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        files::probe(folder).map_err(|error| self.unwritten(&error))?;
        let owner = Owner::of(&path).map_err(|error| self.unwritten(&error))?;
        match owner.can_be_kept() {
            true => Ok(()),
            false => Err(TokenStoreError {
                next: "Run as its owner or as root, or name a copy that is yours.".to_owned(),
                ..self.bad(
                    None,
                    "belongs to another user, and written anew it would not: servers might not read it".to_owned(),
                )
            }),
        }
    }

    /// Replaces the tokens of these accounts, and appends those of new accounts. If `may_replace` rejects an account's
    /// present token, returns that account and writes nothing.
    pub(super) fn write(
        &self,
        tokens: &[(PublicKey, &SignedToken)],
        may_replace: impl Fn(&PublicKey, Option<&str>, &SignedToken) -> bool,
    ) -> Result<Option<PublicKey>, TokenStoreError> {
        let text = self.read()?;
        let parsed = self.parse(&text)?;
        if let Some((id, _)) = tokens.iter().find(|(id, token)| !may_replace(id, parsed.token(&text, id), token)) {
            return Ok(Some(id.clone()));
        }
        let edited = edited(&text, &parsed, tokens);
        let failed = |error: std::io::Error| self.unwritten(&error);
        let owner = Owner::of(&self.file).map_err(failed)?;
        files::replace(&self.file, FileAccess::Usual, &[edited.as_bytes()]).map_err(failed)?;
        owner.give_back(&self.file).map_err(|error| TokenStoreError {
            message: format!("is written, but not as readable as it was: {error}"),
            next: "Give it back its owner and mode, then run apply again.".to_owned(),
            ..self.unwritten(&error)
        })?;
        Ok(None)
    }

    fn read(&self) -> Result<String, TokenStoreError> {
        files::read_text(&self.file, LARGEST).map_err(|error| match error {
            FileReadError::Missing => TokenStoreError {
                next: "Name the file that the servers' configuration includes, with the tokens that they have now: \
                       `nsc generate config --mem-resolver` writes a `resolver_preload`."
                    .to_owned(),
                ..self.bad(None, error.to_string())
            },
            error => self.bad(None, error.to_string()),
        })
    }

    fn parse(&self, text: &str) -> Result<Parsed, TokenStoreError> {
        let parsed = parse(text).map_err(|Bad { line, message }| self.bad(Some(line), message))?;
        self.was_read.store(true, Ordering::Relaxed);
        Ok(parsed)
    }

    fn unwritten(&self, error: &std::io::Error) -> TokenStoreError {
        TokenStoreError {
            next: "Fix that, and run apply again: it continues from here.".to_owned(),
            is_input: false,
            ..self.bad(None, format!("cannot be written: {error}"))
        }
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
            is_input: !self.was_read.load(Ordering::Relaxed),
        }
    }
}

/// The owner and the mode of a file.
struct Owner {
    permissions: Permissions,
    #[cfg(unix)]
    user: u32,
    #[cfg(unix)]
    group: u32,
}

impl Owner {
    fn of(file: &Path) -> std::io::Result<Self> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(file)?;
        Ok(Self {
            permissions: metadata.permissions(),
            #[cfg(unix)]
            user: metadata.uid(),
            #[cfg(unix)]
            group: metadata.gid(),
        })
    }

    /// Checks whether this process can restore the owner. Only root can give files to other users, or to groups that it
    /// does not belong to.
    #[cfg(unix)]
    fn can_be_kept(&self) -> bool {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let mut groups = rustix::process::getgroups().unwrap_or_default();
        groups.push(group);
        user.is_root() || (user.as_raw() == self.user && groups.iter().any(|group| group.as_raw() == self.group))
    }

    #[cfg(not(unix))]
    fn can_be_kept(&self) -> bool {
        true
    }

    fn give_back(self, file: &Path) -> std::io::Result<()> {
        #[cfg(unix)]
        {
            let now = Self::of(file)?;
            if (now.user, now.group) != (self.user, self.group) {
                std::os::unix::fs::chown(file, Some(self.user), Some(self.group))?;
            }
        }
        std::fs::set_permissions(file, self.permissions)
    }
}

impl Parsed {
    fn token<'t>(&self, text: &'t str, id: &PublicKey) -> Option<&'t str> {
        let entry = self.entries.iter().find(|entry| entry.id == *id)?;
        Some(&text[entry.at.clone()])
    }
}

fn edited(text: &str, parsed: &Parsed, tokens: &[(PublicKey, &SignedToken)]) -> String {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut more = String::new();
    for (id, token) in tokens {
        match parsed.entries.iter().find(|entry| entry.id == *id) {
            Some(entry) => edits.push((entry.at.clone(), token.as_str().to_owned())),
            None => more.push_str(&format!("  {id}: {}\n", token.as_str())),
        }
    }
    if !more.is_empty() {
        // New entries get lines of their own, because the text before them may be a comment, or an entry without a
        // separator.
        let alone = text[..parsed.end].trim_end_matches([' ', '\t']).ends_with('\n');
        edits.push((parsed.end..parsed.end, if alone { more } else { format!("\n{more}") }));
    }
    edits.sort_by_key(|(at, _)| at.start);
    let mut edited = text.to_owned();
    for (at, token) in edits.into_iter().rev() {
        edited.replace_range(at, &token);
    }
    edited
}

/// Parses `resolver_preload { A…: eyJ… }` in the syntax of server configuration (nats-server 2.15 `conf/lex.go`). Keys
/// and values are bare or in quotes. The separator between key and value is `:`, `=` or blanks. The separator between
/// entries is a line break, `,` or `;`. Comments follow `#` and `//`.
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
        let apart = scanner.blanks();
        parsed.end = scanner.at;
        if scanner.takes('}') {
            break;
        }
        if !(apart || parsed.entries.is_empty()) {
            return Err(scanner.bad(scanner.at, "between two entries belongs a line's end, `,` or `;`".to_owned()));
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
        scanner.ends_word()?;
        parsed.entries.push(Entry { id, at });
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

    /// Skips blanks, line breaks, separators of entries, and comments. Returns `true` if an entry ends there.
    fn blanks(&mut self) -> bool {
        let start = self.at;
        loop {
            self.skip(|c| c.is_ascii_whitespace() || c == ',' || c == ';');
            if !(self.rest().starts_with('#') || self.rest().starts_with("//")) {
                return self.text[start..self.at].contains(['\n', '\r', ',', ';']);
            }
            self.skip(|c| c != '\n' && c != '\r');
        }
    }

    /// Checks that a value ends here. Otherwise servers would read the following text as a part of it.
    fn ends_word(&self) -> Result<(), Bad> {
        match self.rest().chars().next() {
            Some(c) if !(c.is_ascii_whitespace() || ",;}".contains(c)) => {
                Err(self.bad(self.at, format!("{c:?} is not expected right behind a token")))
            }
            _ => Ok(()),
        }
    }

    /// Skips the separator between a key and its value.
    fn between(&mut self) {
        self.skip(|c| c == ' ' || c == '\t');
        if self.takes(':') || self.takes('=') {
            self.skip(|c| c == ' ' || c == '\t');
        }
    }

    /// Reads a key or value, in quotes or bare. Returns the range without the quotes.
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
