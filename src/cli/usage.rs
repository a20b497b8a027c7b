//! Reads the command line with `clap`, and prints the messages of `clap`: errors and help.

use super::command_line::Cli;
use super::text::Text;
use super::{Exit, Failure, output};
use crate::model::shown::shown;
use clap::Parser as _;
use serde_json::json;
use std::ffi::OsString;
use std::process::ExitCode;

/// Reads the command line.
///
/// # Errors
/// The message of `clap`, with arguments that are safe to show. The message repeats what the user typed, in lines and
/// colors of its own, and the typed text can no longer be told apart. So an invalid command line is parsed again with
/// all arguments escaped, which leads to the same error.
pub(super) fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let escaped = |arg: &OsString| OsString::from(shown(&arg.to_string_lossy()).into_owned());
    Cli::try_parse_from(args).map_err(|error| match Cli::try_parse_from(args.iter().map(escaped)) {
        Err(again) => again,
        // Only the encoding is wrong, and the message does not quote the argument.
        Ok(_) => error,
    })
}

/// Prints the message of `clap`. With `--format json` on the command line, prints it as a document.
pub(super) fn tell(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let json =
        args.iter().any(|a| a == "--format=json") || args.windows(2).any(|a| a[0] == "--format" && a[1] == "json");
    let said = error.render();
    let ends = if error.use_stderr() { Exit::Usage } else { Exit::Done };
    if json && error.use_stderr() {
        let failure = Failure::usage("usage", said.to_string().trim().to_owned())
            .next("Correct the command line; `--help` shows what a verb takes.");
        let _ = output::document(&json!({ "error": failure }));
        return ends.into();
    }
    let text = Text::of_ansi(&said.ansi().to_string());
    match error.use_stderr() {
        true => output::say(&text),
        false => drop(output::result(&text)),
    }
    ends.into()
}
