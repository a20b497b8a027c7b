//! The output of the program. No other file uses standard output or standard error (a test checks this). Prints a
//! [`Text`], which is always escaped and without secrets, a JSON document, or a script that this program generates.

use super::finding::label;
use super::text::{Paint as _, Text, part, put};
use crate::model::finding::Severity;
use crate::model::shown;
use crate::secrets::{hide, hide_json};
use indicatif::ProgressDrawTarget;
use serde::Serialize;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal as _, Result, Write};
use std::panic::Location;

/// Prints the result in human format.
pub(super) fn result(text: &Text) -> Result<()> {
    write(&mut anstream::stdout().lock(), text)
}

/// Prints the result as JSON.
pub(super) fn document(document: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", json(document))?;
    out.flush()
}

fn json(document: &impl Serialize) -> String {
    let document = serde_json::to_value(document)
        .unwrap_or_else(|error| serde_json::json!({ "error": { "code": "json", "message": error.to_string() } }));
    shown::json(&format!("{:#}", hide_json(document))).into_owned()
}

/// Prints a document that this program generates, byte for byte: a completion script or a manual page.
pub(super) fn script(script: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(script.as_bytes())?;
    out.flush()
}

/// Prints on standard error. Ignores errors, because there is no other place to report them.
pub(super) fn say(text: &Text) {
    let _ = write(&mut anstream::stderr().lock(), text);
}

/// Prints a question on standard error; the user types the answer after it.
pub(super) fn ask(question: &Text) {
    let mut err = anstream::stderr().lock();
    let question = lines_hidden(question.ansi().trim_end_matches('\n'));
    let _ = err.write_all(question.as_bytes()).and_then(|()| err.write_all(b" "));
}

/// Returns a single value, escaped and without secrets, for uses other than a [`Text`].
pub(super) fn value(text: &str) -> String {
    hide(&shown::shown(text)).into_owned()
}

/// Returns a function that relays another program's standard error as it arrives, line by line.
pub(super) fn relay() -> impl FnMut(&str, bool) + Send {
    let mut told = String::new();
    move |line, ended| {
        let _ = std::io::stderr().write_all(more(&mut told, line, ended).as_bytes());
    }
}

/// Returns the text to print when more of a line has arrived. `told` is the part of the line that was already printed.
fn more(told: &mut String, line: &str, ended: bool) -> String {
    let now = value(line);
    let mut more = match now.strip_prefix(told.as_str()) {
        Some(more) => more.to_owned(),
        // The printed beginning is part of a secret, so print the whole line again, hidden.
        None => format!("\n{now}"),
    };
    *told = now;
    if ended {
        more.push('\n');
        told.clear();
    }
    more
}

/// Clears the screen, if standard output is a terminal.
pub(super) fn clear_screen() {
    if is_screen() {
        let _ = std::io::stdout().write_all(b"\x1b[H\x1b[2J");
    }
}

/// Checks whether standard output is a terminal.
pub(super) fn is_screen() -> bool {
    std::io::stdout().is_terminal()
}

/// Checks whether the user sees standard error and can answer questions.
pub(super) fn is_conversation() -> bool {
    std::io::stdin().is_terminal() && talks_to_person()
}

/// Checks whether standard error is a terminal.
pub(super) fn talks_to_person() -> bool {
    std::io::stderr().is_terminal()
}

/// Returns the target for a progress bar.
pub(super) fn bar() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr()
}

/// Reports panics like every other error, escaped and without secrets, because a panic's message may quote any data.
pub(super) fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let mut text = panicked(panic.payload_as_str().unwrap_or("no reason was given"), panic.location());
        if backtrace.status() == BacktraceStatus::Captured {
            text.append(&Text::of_lines(&backtrace.to_string()));
        }
        say(&text);
    }));
}

fn panicked(reason: &str, at: Option<&Location<'_>>) -> Text {
    let mut text = Text::new();
    part!(text, "{}: this program has a fault: {reason}", label(Severity::Error));
    if let Some(at) = at {
        part!(text, " ({at})");
    }
    text.end();
    put!(text, "  {} Run it again: it continues from here. Please report it, with RUST_BACKTRACE=1.", "next:".bold());
    text
}

fn write(out: &mut impl Write, text: &Text) -> Result<()> {
    let shown = lines_hidden(&text.ansi());
    out.write_all(shown.as_bytes())?;
    if !shown.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Hides secrets that several values of a line form together; a [`Text`] has already hidden those in each value. A
/// secret never continues on the next line, because otherwise the text of one line could hide the next.
fn lines_hidden(text: &str) -> String {
    text.split_inclusive('\n').map(hide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_programs_say_is_masked_and_escaped_as_it_comes() {
        let seed = crate::sign::Seed::generate(crate::model::nkey::KeyKind::Operator).unwrap().reveal();
        let mut told = String::new();
        let mut relayed = String::new();
        for (line, ended) in [
            ("\u{1b}[2Jgone", true),
            ("PIN: ", false),
            ("PIN: ok", true),
            (&format!("my seed is {}", seed.as_str()), true),
            (&seed[..10], false),
            (&seed, true),
            ("::error::x", true),
        ] {
            relayed += &more(&mut told, line, ended);
        }
        let lines: Vec<&str> = relayed.lines().collect();
        let masked = "(a seed, not shown)";
        let expected =
            [r"\u{1b}[2Jgone", "PIN: ok", &format!("my seed is {masked}"), &seed[..10], masked, r":\u{3a}error::x"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_document_is_json_whatever_is_hidden_in_it() {
        let key = format!("PRIVATE KEY-----{}", "A".repeat(30));
        let hostile =
            ["x\nme:s3cret@h:4222", "x\u{1b}me:s3cret@h:4222", "pkcs11:x?pin-value=12\"x", "\"pin-value=1\\", &key];
        let document = serde_json::json!({ "texts": hostile, "role": "nats://a:b", "key": 1.50, "name": "x@h" });
        let text = json(&document);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (read, hostile) in read["texts"].as_array().unwrap().iter().zip(hostile) {
            let read = read.as_str().unwrap();
            assert!(read.contains(", not shown)") && read != hostile, "{text}");
        }
        assert_eq!([&read["role"], &read["key"], &read["name"]], ["role", "key", "name"].map(|name| &document[name]));
    }

    /// One line could begin a text that looks like a secret, and the next line could end it.
    #[test]
    fn nothing_between_two_lines_is_hidden() {
        let mut text = Text::from("see -----BEGIN PRIVATE KEY-----");
        put!(text, "{}", "A".repeat(30));
        put!(text, "{}{}", "nats://me:".green(), "secret1@h");
        let mut out = Vec::new();
        write(&mut out, &text).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("AAAA") && !out.contains("secret1") && out.ends_with("@h\n"), "{out}");
    }

    #[test]
    fn a_panic_is_one_line_whatever_it_quotes() {
        let text = panicked("no stream `h\u{1b}[2J\n::error::x`", Some(Location::caller()));
        let lines: Vec<&str> = text.plain().lines().collect();
        let [reason, next] = lines[..] else { panic!("{text:?}") };
        assert!(
            reason.starts_with(r"error: this program has a fault: no stream `h\u{1b}[2J\n::error::x` (src/"),
            "{reason}"
        );
        assert!(next.starts_with("  next: "), "{next}");
    }
}
