//! Problems of a definition: the location, the defect, and its correction.

use super::SourceFile;
use super::place::Place;
use super::secret;
use crate::model::shown::shown;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// One problem, without the names of the files.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub code: &'static str,
    pub place: Place,
    pub message: String,
    pub help: String,
    pub also: Option<(Place, String)>,
    /// `true` if the source may contain a secret that does not look like one. Then the source is not shown.
    pub unseen: bool,
}

impl Problem {
    pub(super) fn new(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self { code, place, message: message.into(), help: String::new(), also: None, unseen: false }
    }

    /// Returns the valid word, in backticks, that the user probably meant.
    pub(super) fn meant(&self) -> &str {
        self.help.strip_prefix("did you mean ").map_or("\0", |rest| rest.trim_end_matches('?'))
    }

    /// Adds the next step.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Hides the source.
    pub(super) fn unseen(mut self) -> Self {
        self.unseen = true;
        self
    }

    /// Adds a second location.
    pub(super) fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also = Some((place, label.into()));
        self
    }
}

/// Problems in the order in which they were found. Those beyond [`MOST`] are only counted.
#[derive(Debug, Default)]
pub(super) struct Collected {
    list: Vec<Problem>,
    more: usize,
}

impl Collected {
    /// Adds a problem, or only counts it.
    pub(super) fn push(&mut self, problem: Problem) {
        if self.is_full() { self.more += 1 } else { self.list.push(problem) }
    }

    /// Counts problems without adding them, if the collection [`is_full`](Self::is_full).
    pub(super) fn count(&mut self, more: usize) {
        self.more += more;
    }

    /// Returns `true` if further problems are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.more == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Problem) -> bool) {
        self.list.retain(keep);
    }

    /// Appends `others`.
    pub(super) fn append(&mut self, others: Self) {
        self.more += others.more;
        others.list.into_iter().for_each(|problem| self.push(problem));
    }
}

/// A location with the name of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One problem of a definition, for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinitionReport {
    /// Stable kebab-case name (`unknown-key`).
    pub code: &'static str,
    /// The location of the problem.
    #[serde(flatten)]
    pub position: Position,
    /// The defect.
    pub message: String,
    /// The correction; empty if unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// The second of two conflicting locations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<Position>,
}

/// All problems of a definition, in the order of the files. `Display` shows the source.
#[derive(Clone)]
pub struct Problems {
    files: Arc<[SourceFile]>,
    list: Vec<Problem>,
    more: usize,
    hidden: Arc<[Place]>,
}

/// Most problems that are described; the rest is only counted. A file with so many problems is probably not a
/// definition.
const MOST: usize = 500;
/// Most problems that are shown to users, who would not read more.
const SHOWN: usize = 25;
/// Length of the longest message or help, in bytes. It may quote a value of any length.
const LONGEST: usize = 2000;
/// Length of the longest line that is shown, in bytes.
const LONGEST_LINE: usize = 400;

impl Problems {
    /// Adds the names of the files to the problems. Does not show the `hidden` parts of the source, or secrets in file
    /// names, because a file name in a plan file can be any text.
    pub(super) fn new(files: &[SourceFile], problems: Collected, mut hidden: Vec<Place>) -> Self {
        let Collected { mut list, more } = problems;
        for problem in &mut list {
            locate(&mut problem.place, files);
            if let Some((place, label)) = &mut problem.also {
                locate(place, files);
                *label = printable(label);
            }
            problem.message = printable(&problem.message);
            problem.help = printable(&problem.help);
        }
        hidden.extend(list.iter().filter(|problem| problem.unseen).map(|problem| problem.place));
        list.sort_by_key(|problem| (problem.place.file, problem.place.line, problem.place.column));
        list.dedup_by(|a, b| a.place == b.place && a.message == b.message);
        let masked = |file: &SourceFile| {
            let name = secret::masked_name(&file.name).into_owned();
            SourceFile { name, text: file.text.clone() }
        };
        Self { files: files.iter().map(masked).collect(), list, more, hidden: hidden.into() }
    }

    /// The number of problems.
    pub fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// The number of problems that [`reports`](Self::reports) leaves out.
    pub fn left_out(&self) -> usize {
        self.more
    }

    /// Never `true` for an error.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first problems, for scripts.
    pub fn reports(&self) -> Vec<DefinitionReport> {
        let report = |problem: &Problem| DefinitionReport {
            code: problem.code,
            position: self.position(problem.place),
            message: problem.message.clone(),
            help: problem.help.clone(),
            also: problem.also.as_ref().map(|(place, _)| self.position(*place)),
        };
        self.list.iter().map(report).collect()
    }

    /// Formats the problems for users, each with its source, cause and next step. `styled` adds ANSI colors.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut text: Vec<String> =
            self.list.iter().take(SHOWN).map(|problem| self.render_one(problem, &renderer)).collect();
        if self.len() > SHOWN {
            text.push(format!("… and {} more problems", self.len() - SHOWN));
        }
        text.join("\n\n")
    }

    fn position(&self, place: Place) -> Position {
        let file = self.files.get(place.file).map_or(String::new(), |file| file.name.clone());
        Position { file, line: place.line.max(1), column: place.column.max(1) }
    }

    fn render_one(&self, problem: &Problem, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(problem.message.as_str()).id(problem.code);
        let mut group = annotate_snippets::Group::with_title(title);
        let also = problem.also.as_ref().map(|(place, label)| (*place, label.as_str(), AnnotationKind::Context));
        for (place, label, kind) in std::iter::once((problem.place, "", AnnotationKind::Primary)).chain(also) {
            let Some(file) = self.files.get(place.file) else { continue };
            let name = shown(&file.name).into_owned();
            let Some((source, start)) = line_around(&file.text, place.start) else {
                let origin = annotate_snippets::Origin::path(name);
                group =
                    group.element(origin.line(place.line.max(1) as usize).char_column(place.column.max(1) as usize));
                continue;
            };
            let from = place.start.saturating_sub(start).min(source.len());
            let to = place.end.saturating_sub(start).clamp(from, source.len());
            let source = secret::masked_line(source, start, place.file, &self.hidden);
            let [from, to] = [from, to].map(|at| shown(&source[..at]).len());
            let annotation = kind.span(from..to).label((!label.is_empty()).then_some(label));
            group = group.element(
                Snippet::source(shown(&source).into_owned())
                    .line_start(place.line.max(1) as usize)
                    .path(name)
                    .annotation(annotation),
            );
        }
        if !problem.help.is_empty() {
            group = group.element(Level::HELP.message(problem.help.as_str()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Problems {}

impl Serialize for Problems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.reports().serialize(serializer)
    }
}

/// Adds the byte offset to a location that has only line and column.
fn locate(place: &mut Place, files: &[SourceFile]) {
    let Some(file) = files.get(place.file) else { return };
    if place.start != 0 || place.line == 0 {
        return;
    }
    let Some(line) = usize::try_from(place.line - 1).ok().and_then(|n| lines(&file.text).nth(n)) else {
        return;
    };
    let before = line.as_ptr() as usize - file.text.as_ptr() as usize;
    let column = usize::try_from(place.column.saturating_sub(1)).unwrap_or(0);
    let start = before + line.char_indices().nth(column).map_or(line.trim_end().len(), |(at, _)| at);
    place.end = place.end.max(start);
    place.start = start;
}

/// Returns the lines as YAML counts them. A carriage return alone also ends a line.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = match rest.find(['\n', '\r'])? {
            at if rest[at..].starts_with("\r\n") => at + 2,
            at => at + 1,
        };
        let line;
        (line, rest) = rest.split_at(end);
        Some(line)
    })
    .chain(text.rsplit(['\n', '\r']).next().filter(|last| !last.is_empty()))
}

/// Returns the line that contains the byte `at`, and its start. Returns `None` if the line is too long to show. Reads
/// only a bounded part of the text.
fn line_around(text: &str, at: usize) -> Option<(&str, usize)> {
    let of_line = |byte: &&u8| !matches!(byte, b'\n' | b'\r');
    let (before, behind) = text.as_bytes().split_at(at.min(text.len()));
    let start = before.len() - before.iter().rev().take(LONGEST_LINE + 1).take_while(of_line).count();
    let end = before.len() + behind.iter().take(LONGEST_LINE + 1).take_while(of_line).count();
    (end - start <= LONGEST_LINE).then(|| (&text[start..end], start))
}

/// Returns the text as one line of bounded length, without secrets, that a terminal can show.
fn printable(text: &str) -> String {
    let masked = secret::masked_words(text);
    let end = (0..=LONGEST.min(masked.len())).rev().find(|end| masked.is_char_boundary(*end)).unwrap_or(0);
    let more = if end < masked.len() { "…" } else { "" };
    format!("{}{more}", shown(&masked[..end]))
}
