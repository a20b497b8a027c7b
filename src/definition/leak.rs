//! Finds secrets in a definition.
//!
//! Definitions are shared and committed, and plan files and records hold their text. So a secret anywhere in a
//! definition is a problem, even in a comment.

use super::SourceFile;
use super::place::Place;
use super::problem::{Collected, Problem};
use super::yaml::{Node, Value};
use crate::secrets::{self, Kind, Secret};

/// Most secrets of each kind that are searched for in a file. A single one is enough to refuse it.
const MOST: usize = 1000;

/// Secrets in the values of a definition that are not recognizable in its source.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Values over several lines with an `@`. Each line may hold a part of a password.
    pieces: Vec<Place>,
    /// Secrets that are written with escapes or over several lines.
    written_otherwise: Vec<(Place, Kind)>,
}

impl Found {
    /// Returns the locations whose source is not shown.
    pub(super) fn into_hidden(self) -> Vec<Place> {
        let Self { mut pieces, written_otherwise } = self;
        pieces.extend(written_otherwise.into_iter().map(|(place, _)| place));
        pieces
    }
}

/// Reports each secret in the texts, and those found in values. Skips locations that already have a problem about a
/// secret.
pub(super) fn report(files: &[SourceFile], found: &Found, problems: &mut Collected) {
    for (index, file) in files.iter().enumerate() {
        let mut lines = Lines::new(&file.text);
        for Secret { kind, range, .. } in
            secrets::find_some(&file.text, MOST).into_iter().filter(|secret| secret.certain)
        {
            let (line, column) = lines.position(range.start);
            let place = Place { file: index, line, column, start: range.start, end: range.end };
            report_one(place, kind, problems);
        }
    }
    found.written_otherwise.iter().for_each(|(place, kind)| report_one(*place, *kind, problems));
}

fn report_one(place: Place, kind: Kind, problems: &mut Collected) {
    let touches = |other: &Place| other.file == place.file && other.start < place.end && other.end > place.start;
    if !problems.iter().any(|known| ["secret", "bad-url"].contains(&known.code) && touches(&known.place)) {
        let message = format!("here stands {}", kind.with_article());
        problems.push(Problem::new("secret", place, message).help(help(kind)));
    }
}

fn help(kind: Kind) -> &'static str {
    match kind {
        Kind::Seed | Kind::AgeIdentity | Kind::PrivateKey => {
            "remove it, comments included: definitions are shared, and plan files and records have their text. Replace the \
             key if anybody else may have seen it"
        }
        Kind::UserToken | Kind::Password => {
            "remove it, comments included, and keep it in a credentials file of mode 0600. Replace it if anybody else may \
             have seen it"
        }
        Kind::Pin => "remove it, comments included, and name a file with the PIN: pin-source=file:PATH",
    }
}

/// Searches each value whose source differs from its text.
pub(super) fn look(tree: &Node, files: &[SourceFile]) -> Found {
    let mut found = Found::default();
    let mut open = vec![tree];
    while let Some(node) = open.pop() {
        match &node.value {
            Value::Text(text) => {
                let Place { file, start, end, .. } = node.place;
                let source = files.get(file).and_then(|file| file.text.get(start..end)).unwrap_or_default();
                if text.contains('@') && source.contains('\n') {
                    found.pieces.push(node.place);
                }
                if !source.contains(text.as_str())
                    && let Some(secret) = secrets::find_some(text, 1).into_iter().find(|secret| secret.certain)
                {
                    found.written_otherwise.push((node.place, secret.kind));
                }
            }
            Value::List(items) => open.extend(items),
            Value::Map(entries) => open.extend(entries.iter().flat_map(|(key, value)| [key, value])),
            _ => {}
        }
    }
    found
}

/// Finds line and column of ascending offsets into a text.
struct Lines<'t> {
    text: &'t str,
    line: u64,
    start: usize,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, line: 1, start: 0 }
    }

    fn position(&mut self, at: usize) -> (u64, u64) {
        while let Some(end) = self.text[self.start..at].find('\n') {
            self.start += end + 1;
            self.line += 1;
        }
        (self.line, self.text[self.start..at].chars().count() as u64 + 1)
    }
}
