//! Text for the user: lines, with parts in color. Apart from documents and scripts, [`output`](super::output) prints
//! nothing else.
//!
//! Every value put into a [`Text`] is escaped, including its line breaks. So one value is one line, and a control
//! character appears only by name. Secrets are hidden in each value separately, so that no value can hide its
//! neighbors. Strings never contain styles, so no value can set one. While a [`Painted`] value is written, [`STYLE`]
//! has the style for the receiving text.

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
    /// The style of the value that is being formatted.
    static STYLE: Cell<Style> = const { Cell::new(PLAIN) };
}

/// Adds a line to a [`Text`]: `put!(out, "account {name}")`.
macro_rules! put {
    ($out:expr, $($arg:tt)+) => { $out.line(format_args!($($arg)+)) };
}

/// Adds a part of a line to a [`Text`]; [`put!`] ends the line.
macro_rules! part {
    ($out:expr, $($arg:tt)+) => { $out.part(format_args!($($arg)+)) };
}

/// Makes a [`Text`] of one line: `text!("account {name}")`.
macro_rules! text {
    ($($arg:tt)+) => { $crate::cli::text::Text::from(format_args!($($arg)+)) };
}

pub(super) use {part, put, text};

/// Lines of text for the user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The escaped text; its line breaks end the lines.
    plain: String,
    /// The styles, each with the byte at which it starts.
    styles: Vec<(usize, Style)>,
}

impl Text {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Makes a text that keeps its line breaks, from a document that this program wrote. Escapes everything else. The
    /// document counts as one value, so a secret in it may span several lines.
    pub(super) fn of_lines(text: &str) -> Self {
        let mut out = Self::new();
        hide(text).lines().for_each(|line| put!(out, "{line}"));
        out
    }

    /// Makes a text from a library's colored output of escaped text. Keeps the library's line breaks and styles, and
    /// escapes other control characters.
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
        // This fails if a `Display` does. The text written until then stays.
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

    /// Adds the lines of another text, each with the prefix `by`.
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

    /// Returns the text without its styles.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }

    /// Returns the text with its styles for a terminal.
    pub(super) fn ansi(&self) -> String {
        let mut out = String::with_capacity(self.plain.len() + 16 * self.styles.len());
        for (style, text) in self.spans() {
            // A style that continues past the end of a line would color the rest of the terminal.
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

    /// Returns the parts of the text, each with its style.
    fn spans(&self) -> impl Iterator<Item = (Style, &str)> {
        let starts = std::iter::once((0, PLAIN)).chain(self.styles.iter().copied());
        let ends = self.styles.iter().map(|(at, _)| *at).chain([self.plain.len()]);
        starts.zip(ends).map(|((start, style), end)| (style, &self.plain[start..end]))
    }

    /// Returns the lines, each with the index of its first byte.
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

    /// Sets the style of the following text.
    fn take_down(&mut self, style: Style) {
        if self.styles.last().map_or(PLAIN, |(_, last)| *last) != style {
            self.styles.push((self.plain.len(), style));
        }
    }
}

/// Returns the style after an escape sequence (`ESC [ codes m`). Codes that the libraries do not use change nothing.
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

/// Writes a text of one line into another text.
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

/// A value with a color or weight. The style has an effect if the value is written to a [`Text`], and none in any other
/// string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Painted<T> {
    style: Style,
    value: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Restores the former style when dropped, also after a panic.
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
