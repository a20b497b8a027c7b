//! What a person reads: lines, parts of them in colors. The only thing that [`output`](super::output) prints.
//!
//! Whatever is put into a [`Text`] is escaped on its way in, line breaks included: one value is one line, and a control
//! character is never more than its name. Secrets in it are hidden there, too: in each value on its own, so that no value
//! hides what stands beside it. A style is no part of any string, so that no string can bring one: while a
//! [`Painted`] value is written, the text that takes it down is told by [`STYLE`].

#[cfg(test)]
mod tests;

use crate::model::shown;
use crate::secrets::hide;
use anstyle::{AnsiColor, Style};
use std::cell::Cell;
use std::fmt::{self, Display, Write as _};

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();

thread_local! {
    /// The style of what is being formatted.
    static STYLE: Cell<Style> = const { Cell::new(PLAIN) };
}

/// A line for a [`Text`]: `put!(out, "account {name}")`.
macro_rules! put {
    ($out:expr, $($arg:tt)+) => { $out.line(format_args!($($arg)+)) };
}

/// A part of a line for a [`Text`]; [`put!`] ends it.
macro_rules! part {
    ($out:expr, $($arg:tt)+) => { $out.part(format_args!($($arg)+)) };
}

/// A [`Text`] of one line: `text!("account {name}")`.
macro_rules! text {
    ($($arg:tt)+) => { $crate::cli::text::Text::from(format_args!($($arg)+)) };
}

pub(super) use {part, put, text};

/// Lines for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// Escaped; its line breaks end the lines.
    plain: String,
    /// From which byte on which style holds.
    styles: Vec<(usize, Style)>,
}

impl Text {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A text whose line breaks are line breaks: written by this program, as a document of its own. Everything else in
    /// it is escaped. It is one value: a secret in it may have several lines.
    pub(super) fn of_lines(text: &str) -> Self {
        let mut out = Self::new();
        hide(text).lines().for_each(|line| put!(out, "{line}"));
        out
    }

    /// What a library has drawn with colors, from text that was escaped before: line breaks and styles are the
    /// library's. Any other control character is escaped.
    pub(super) fn of_ansi(text: &str) -> Self {
        let mut out = Self::new();
        for line in hide(text).lines() {
            let mut style = Style::new();
            let mut rest = line;
            while let Some((before, after)) = rest.split_once("\u{1b}[") {
                part!(out, "{}", before.in_style(style));
                let end = after.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(after.len());
                rest = match after[end..].strip_prefix('m') {
                    Some(next) => {
                        style = sgr(style, &after[..end]);
                        next
                    }
                    None => {
                        part!(out, "{}", "\u{1b}[".in_style(style));
                        after
                    }
                };
            }
            put!(out, "{}", rest.in_style(style));
        }
        out
    }

    /// Adds the rest of a line, and ends it.
    pub(super) fn line(&mut self, args: fmt::Arguments<'_>) {
        self.part(args);
        self.end();
    }

    /// Adds to the last line.
    pub(super) fn part(&mut self, args: fmt::Arguments<'_>) {
        // It fails when a `Display` does; what was written until then stays.
        let _ = Writer(self).write_fmt(args);
    }

    /// Ends the line, or adds an empty one.
    pub(super) fn end(&mut self) {
        self.plain.push('\n');
    }

    /// Adds the lines of another text.
    pub(super) fn append(&mut self, other: &Self) {
        let Self { plain, styles } = other;
        let before = self.plain.len();
        self.take_down(PLAIN);
        self.styles.extend(styles.iter().map(|(at, style)| (before + at, *style)));
        self.plain.push_str(plain);
    }

    /// Adds the lines of another text, each after `by`.
    pub(super) fn append_indented(&mut self, by: &'static str, other: &Self) {
        for (start, line) in other.lines_at() {
            self.part(format_args!("{by}"));
            self.copy(other, start, line);
            self.end();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// The text without its styles.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }

    /// The text with its styles as a terminal takes them.
    pub(super) fn ansi(&self) -> String {
        let mut out = String::with_capacity(self.plain.len() + 16 * self.styles.len());
        for (style, text) in self.spans() {
            // A style that goes over the end of a line would color the rest of a window.
            for (number, line) in text.split('\n').enumerate() {
                if number > 0 {
                    out.push('\n');
                }
                if style == PLAIN || line.is_empty() {
                    out.push_str(line);
                } else {
                    let _ = write!(out, "{style}{line}{style:#}");
                }
            }
        }
        out
    }

    /// What has one style each.
    fn spans(&self) -> impl Iterator<Item = (Style, &str)> {
        let starts = std::iter::once((0, PLAIN)).chain(self.styles.iter().copied());
        let ends = self.styles.iter().map(|(at, _)| *at).chain([self.plain.len()]);
        starts.zip(ends).map(|((start, style), end)| (style, &self.plain[start..end]))
    }

    /// The lines, and where they begin.
    fn lines_at(&self) -> impl Iterator<Item = (usize, &str)> {
        self.plain.lines().scan(0, |at, line| {
            let start = *at;
            *at += line.len() + 1;
            Some((start, line))
        })
    }

    /// Copies a line of another text, from byte `start` of it.
    fn copy(&mut self, other: &Self, start: usize, line: &str) {
        let end = start + line.len();
        let mut at = 0;
        for (style, text) in other.spans() {
            let (from, to) = (at.max(start), (at + text.len()).min(end));
            if from < to {
                self.take_down(style);
                shown::push(&mut self.plain, &other.plain[from..to]);
            }
            at += text.len();
        }
        self.take_down(PLAIN);
    }

    /// What follows has this style.
    fn take_down(&mut self, style: Style) {
        if self.styles.last().map_or(PLAIN, |(_, last)| *last) != style {
            self.styles.push((self.plain.len(), style));
        }
    }
}

/// A style after an escape sequence (`ESC [ codes m`); codes that are no matter of the libraries used here change nothing.
fn sgr(style: Style, codes: &str) -> Style {
    use AnsiColor::{Black, Blue, Cyan, Green, Magenta, Red, White, Yellow};
    const COLORS: [AnsiColor; 8] = [Black, Red, Green, Yellow, Blue, Magenta, Cyan, White];
    let codes = codes.split(';').map(|code| code.parse().unwrap_or(0));
    codes.fold(style, |style, code: usize| match code {
        0 => PLAIN,
        1 => style.bold(),
        2 => style.dimmed(),
        3 => style.italic(),
        4 => style.underline(),
        30..=37 => style.fg_color(Some(COLORS[code - 30].into())),
        90..=97 => style.fg_color(Some(COLORS[code - 90].bright(true).into())),
        _ => style,
    })
}

struct Writer<'a>(&'a mut Text);

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.take_down(STYLE.get());
        shown::push(&mut self.0.plain, &hide(text));
        Ok(())
    }
}

impl From<fmt::Arguments<'_>> for Text {
    fn from(args: fmt::Arguments<'_>) -> Self {
        let mut text = Self::new();
        text.line(args);
        text
    }
}

impl From<&str> for Text {
    fn from(line: &str) -> Self {
        text!("{line}")
    }
}

impl From<String> for Text {
    fn from(line: String) -> Self {
        text!("{line}")
    }
}

impl From<&Text> for Text {
    fn from(text: &Text) -> Self {
        text.clone()
    }
}

/// A text of one line, within another.
impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.plain.len() - usize::from(self.plain.ends_with('\n'));
        let mut at = 0;
        for (style, text) in self.spans() {
            let text = &text[..text.len().min(line.saturating_sub(at))];
            at += text.len();
            match style {
                PLAIN => f.write_str(text)?,
                style => text.in_style(style).fmt(f)?,
            }
        }
        Ok(())
    }
}

/// A value with a color or weight: seen on a terminal, if it is written to a [`Text`]; nothing in any other string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Painted<T> {
    style: Style,
    value: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Puts the style of before back, also after a panic.
        struct Within(Style);
        impl Drop for Within {
            fn drop(&mut self) {
                STYLE.set(self.0);
            }
        }
        let _within = Within(STYLE.replace(self.style));
        self.value.fmt(f)
    }
}

/// Styles for values.
pub(super) trait Paint: Display {
    fn in_style(self, style: Style) -> Painted<Self>
    where
        Self: Sized,
    {
        Painted { style, value: self }
    }

    fn bold(&self) -> Painted<&Self> {
        self.in_style(BOLD)
    }

    fn dim(&self) -> Painted<&Self> {
        self.in_style(DIM)
    }

    fn green(&self) -> Painted<&Self> {
        self.in_style(GREEN)
    }

    fn yellow(&self) -> Painted<&Self> {
        self.in_style(YELLOW)
    }

    fn red(&self) -> Painted<&Self> {
        self.in_style(RED)
    }
}

impl<T: Display + ?Sized> Paint for T {}
