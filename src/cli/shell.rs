//! Output of a verb: the result on standard output, everything else on standard error.

use super::finding::{findings_text, label};
use super::text::{Paint as _, Text, put, text};
use super::{Exit, Failure, output};
use crate::model::finding::{Finding, Severity, bounded};
use crate::sign::keyring::Keyring;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Flags that every verb takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(super) struct GlobalArgs {
    /// The definition: a file, or a folder whose *.yaml files are merged
    #[arg(long, global = true, value_name = "PATH", default_value = "vstream.yaml")]
    definition: PathBuf,

    /// The keys folder [default: `keys` beside the definition]
    #[arg(long, global = true, value_name = "DIR")]
    keys: Option<PathBuf>,

    /// The format of results
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// The longest time that the whole verb may take (30s, 2m, …)
    #[arg(long, global = true, value_name = "DURATION", default_value = "1m", value_parser = parse_timeout)]
    timeout: Duration,

    /// Print more on standard error; repeat for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,

    /// When to print in color
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

/// The format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for the user.
    Human,
    /// Exactly one JSON document on standard output.
    Json,
    /// `plan` only: a comment for a merge request.
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// A `clap` value parser for durations (`30s`, `2m`, `1500ms`).
pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_wait(text)? {
        Duration::ZERO => Err("has to be more than nothing, and less than forever".to_owned()),
        duration => Ok(duration),
    }
}

/// A `clap` value parser for durations that may be zero.
pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "expected a duration such as 30s, 2m or 1500ms".to_owned())?;
    let millis = match &text[digits.len()..] {
        "ms" => Some(number),
        "s" | "" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err("expected a duration such as 30s, 2m or 1500ms".to_owned()),
    };
    millis.map(Duration::from_millis).ok_or_else(|| "has to be less than forever".to_owned())
}

/// Returns the first few names, and the number of the remaining ones.
pub(super) fn some(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Returns the failure of a keys folder, or of a file in it, that cannot be used.
pub(super) fn unusable_keys(error: impl std::fmt::Display) -> Failure {
    Failure::failed("keys", error.to_string()).next("Name another folder with --keys, or fix this one.")
}

/// Returns a path as one word of a POSIX shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The values of the common flags, and the functions that print.
#[derive(Debug)]
pub struct Shell {
    /// The definition's path, as the user gave it.
    pub definition: PathBuf,
    keys: Option<PathBuf>,
    /// The format of results.
    pub format: Format,
    /// The time limit of the whole verb.
    pub timeout: Duration,
    /// The number of times that `-v` was given.
    pub verbosity: u8,
    unwritten: AtomicBool,
    output_closed: AtomicBool,
}

impl Shell {
    pub(super) fn new(args: GlobalArgs) -> Self {
        match args.color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
        Self {
            definition: args.definition,
            keys: args.keys,
            format: args.format,
            timeout: args.timeout,
            verbosity: args.verbose,
            unwritten: AtomicBool::new(false),
            output_closed: AtomicBool::new(false),
        }
    }

    /// Opens the keys folder.
    pub(super) fn keyring(&self, base: &Path) -> Result<Keyring, Failure> {
        Keyring::open(&self.keys_folder(base)).map_err(unusable_keys)
    }

    /// Returns the folder of the definition, or the definition itself if that is a folder.
    pub(super) fn base(&self) -> PathBuf {
        match self.definition.is_dir() {
            true => self.definition.clone(),
            false => self.definition.parent().map(Path::to_owned).unwrap_or_default(),
        }
    }

    /// Returns the keys folder: the given one, else `keys` in `base`, the folder of the definition.
    pub fn keys_folder(&self, base: &Path) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| base.join("keys"))
    }

    /// Returns the command line of `verb` for this definition, for pasting into a shell.
    pub(super) fn command(&self, verb: &str) -> String {
        let mut command = format!("vstream-jwt {verb}");
        if self.definition.as_os_str() != "vstream.yaml" {
            command.push_str(&format!(" --definition {}", quoted(&self.definition)));
        }
        if let Some(keys) = &self.keys {
            command.push_str(&format!(" --keys {}", quoted(keys)));
        }
        command
    }

    /// Prints the result in the chosen format, the only document on standard output: `human` or `json`.
    pub fn result(&self, human: impl Into<Text>, json: &impl Serialize) {
        self.written(match self.format {
            Format::Human | Format::Markdown => output::result(&human.into()),
            Format::Json => output::document(json),
        });
    }

    /// Prints a script or a manual page that this program generates.
    pub(super) fn script(&self, script: &str, json: &impl Serialize) {
        self.written(match self.format {
            Format::Human | Format::Markdown => output::script(script),
            Format::Json => output::document(json),
        });
    }

    /// Returns `true` once standard output took no more.
    pub(super) fn is_output_closed(&self) -> bool {
        self.output_closed.load(Ordering::Relaxed)
    }

    fn written(&self, written: std::io::Result<()>) {
        if written.is_err() {
            self.output_closed.store(true, Ordering::Relaxed);
        }
        match written {
            // If the reader closed the pipe, it needs no more output.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                self.unwritten.store(true, Ordering::Relaxed);
                let label = label(Severity::Error);
                self.say(text!("{label}: standard output cannot be written: {error}; the result is lost"));
            }
            _ => {}
        }
    }

    /// Returns the exit code, or a failure's code if the result could not be written.
    pub(super) fn ends(&self, exit: Exit) -> Exit {
        match exit {
            Exit::Done if self.unwritten.load(Ordering::Relaxed) => Exit::Failed,
            exit => exit,
        }
    }

    /// Prints lines on standard error. A string is one line.
    pub fn say(&self, text: impl Into<Text>) {
        output::say(&text.into());
    }

    /// Prints a line on standard error if `-v` was given at least `level` times.
    pub fn detail(&self, level: u8, line: impl FnOnce() -> String) {
        if self.verbosity >= level {
            self.say(text!("{}", line().dim()));
        }
    }

    /// Prints findings on standard error, the worst first. Prints infos only with `-v`.
    pub fn findings(&self, findings: &[Finding]) {
        let mut shown = bounded(findings.iter().filter(|f| f.severity > Severity::Info || self.verbosity > 0));
        shown.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings_text(&shown.iter().collect::<Vec<_>>()).iter().for_each(|text| self.say(text));
    }

    /// Starts a progress display on standard error: a bar on a terminal, otherwise plain lines.
    pub fn progress(&self) -> StepProgress {
        let bar = (self.format == Format::Human && output::talks_to_person()).then(|| {
            let bar = ProgressBar::with_draw_target(None, output::bar());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        StepProgress { bar, last: std::sync::Mutex::new(String::new()) }
    }

    /// Asks the user for confirmation on a terminal. Without a terminal, the answer is `otherwise`.
    pub fn confirm(&self, question: &str, otherwise: bool) -> bool {
        if !output::is_conversation() {
            return otherwise;
        }
        output::ask(&text!("{} [y/N]", question.bold()));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Prints a failure: as text to standard error, or as the one JSON document to standard output.
    pub(super) fn failed(&self, failure: &Failure) -> ExitCode {
        match self.format {
            Format::Json => self.result("", &serde_json::json!({ "error": failure })),
            Format::Human | Format::Markdown => {
                self.findings(&failure.findings);
                match &failure.excerpt {
                    Some(excerpt) => self.say(excerpt),
                    None => {
                        let mut out = text!("{}: {}", label(Severity::Error), failure.message);
                        failure.lines.iter().for_each(|detail| put!(out, "  {detail}"));
                        self.say(out);
                    }
                }
                if !failure.next.is_empty() {
                    self.say(text!("  {} {}", "next:".bold(), failure.next));
                }
            }
        }
        failure.exit.into()
    }
}

/// Progress of a verb, shown on standard error.
#[derive(Debug)]
pub struct StepProgress {
    bar: Option<ProgressBar>,
    last: std::sync::Mutex<String>,
}

impl StepProgress {
    /// Shows `done` of `total` parts of a `step`; a total of 0 means a step without a count.
    pub fn update(&self, step: &str, done: usize, total: usize) {
        match &self.bar {
            Some(bar) => {
                bar.set_style(style(total > 0));
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_message(output::value(step));
            }
            None => {
                let Ok(mut last) = self.last.lock() else { return };
                if *last != step {
                    step.clone_into(&mut last);
                    output::say(&text!("{} {step}", "·".green()));
                }
            }
        }
    }
}

impl StepProgress {
    /// Runs `print` while the display is hidden.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the display.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for StepProgress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(counted: bool) -> ProgressStyle {
    let template =
        if counted { "{spinner} {msg} [{bar:30}] {pos}/{len} {elapsed}" } else { "{spinner} {msg} {elapsed}" };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_in_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c_1.yaml")), "/a/b-c_1.yaml");
        assert_eq!(quoted(Path::new("my deploy/it's")), r"'my deploy/it'\''s'");
        assert_eq!(quoted(Path::new("$x")), "'$x'");
    }

    #[test]
    fn a_bar_shows_no_secret_and_obeys_nothing() {
        let seed = crate::sign::Seed::generate(crate::model::nkey::KeyKind::Account).unwrap().reveal();
        let bar = ProgressBar::hidden();
        let progress = StepProgress { bar: Some(bar.clone()), last: std::sync::Mutex::default() };
        progress.update(&format!("waiting for {}\u{1b}[2J, nats://u:hunter22@h", seed.as_str()), 0, 0);
        assert_eq!(bar.message(), r"waiting for (a seed, not shown)\u{1b}[2J, nats://(a password, not shown)@h");
    }
}
