//! What is wrong with a definition: where, why, and what would be right.

use super::SourceFile;
use super::place::Place;
use super::secret;
use crate::model::shown::shown;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// One problem, not yet bound to the files' names.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub code: &'static str,
    pub place: Place,
    pub message: String,
    pub help: String,
    pub also: Option<(Place, String)>,
    /// The source may have a secret that does not look like one, and is not shown.
    pub unseen: bool,
}

impl Problem {
    pub(super) fn new(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self { code, place, message: message.into(), help: String::new(), also: None, unseen: false }
    }

    /// The valid word, in back ticks, that an unknown one was probably meant to be.
    pub(super) fn meant(&self) -> &str {
        self.help.strip_prefix("did you mean ").map_or("\0", |rest| rest.trim_end_matches('?'))
    }

    /// With the next step.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Without its source.
    pub(super) fn unseen(mut self) -> Self {
        self.unseen = true;
        self
    }

    /// With a second place.
    pub(super) fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also = Some((place, label.into()));
        self
    }
}

/// Problems as they are found. Those beyond [`MOST`] are counted only.
#[derive(Debug, Default)]
pub(super) struct Collected {
    list: Vec<Problem>,
    more: usize,
}

impl Collected {
    /// Takes one more, or counts it.
    pub(super) fn push(&mut self, problem: Problem) {
        if self.is_full() { self.more += 1 } else { self.list.push(problem) }
    }

    /// Counts problems that need not be described any more: [`is_full`](Self::is_full).
    pub(super) fn count(&mut self, more: usize) {
        self.more += more;
    }

    /// Whether all that is found from now on is counted only.
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

    /// Puts `others` behind.
    pub(super) fn append(&mut self, others: Self) {
        self.more += others.more;
        others.list.into_iter().for_each(|problem| self.push(problem));
    }
}

/// A place as the user knows it.
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
pub struct Report {
    /// Stable kebab-case name (`unknown-key`).
    pub code: &'static str,
    /// Where it is.
    #[serde(flatten)]
    pub position: Position,
    /// What is wrong.
    pub message: String,
    /// What would be right; empty where nothing can be said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// The other place, of two that don't go together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<Position>,
}

/// Everything that is wrong with a definition, in the order of the files. `Display` shows the source.
#[derive(Clone)]
pub struct Problems {
    files: Arc<[SourceFile]>,
    list: Vec<Problem>,
    more: usize,
    hidden: Arc<[Place]>,
}

/// More than these are counted, and not described: a file with so many problems is something else.
const MOST: usize = 500;
/// More than these are not shown to a person, who would not read on.
const SHOWN: usize = 25;
/// The longest message or help, in bytes: it may cite a value of any length.
const LONGEST: usize = 2000;
/// Longer lines are not shown.
const LONGEST_LINE: usize = 400;

impl Problems {
    /// Binds problems to their files. Of the source nothing is shown that is `hidden`, and no secret of a file's name:
    /// that of a file in a plan file can be anything.
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

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// How many there are that [`reports`](Self::reports) leaves out.
    pub fn left_out(&self) -> usize {
        self.more
    }

    /// Never true of an error.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first of them, for scripts.
    pub fn reports(&self) -> Vec<Report> {
        let report = |problem: &Problem| Report {
            code: problem.code,
            position: self.position(problem.place),
            message: problem.message.clone(),
            help: problem.help.clone(),
            also: problem.also.as_ref().map(|(place, _)| self.position(*place)),
        };
        self.list.iter().map(report).collect()
    }

    /// For a person: each problem with its source, cause and next step. `styled` adds ANSI colours.
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

/// Gives a place that has only line and column its byte offset.
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

/// The lines as YAML counts them: a carriage return alone ends one, too.
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

/// The line that holds the byte `at`, and where it starts; none if it is too long to be shown, however long it is.
fn line_around(text: &str, at: usize) -> Option<(&str, usize)> {
    let of_line = |byte: &&u8| !matches!(byte, b'\n' | b'\r');
    let (before, behind) = text.as_bytes().split_at(at.min(text.len()));
    let start = before.len() - before.iter().rev().take(LONGEST_LINE + 1).take_while(of_line).count();
    let end = before.len() + behind.iter().take(LONGEST_LINE + 1).take_while(of_line).count();
    (end - start <= LONGEST_LINE).then(|| (&text[start..end], start))
}

/// One line that a terminal can show, without secrets, and no novel.
fn printable(text: &str) -> String {
    let masked = secret::masked_words(text);
    let end = (0..=LONGEST.min(masked.len())).rev().find(|end| masked.is_char_boundary(*end)).unwrap_or(0);
    let more = if end < masked.len() { "…" } else { "" };
    format!("{}{more}", shown(&masked[..end]))
}
