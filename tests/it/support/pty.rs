//! Runs the command on terminals, one for each of its two streams, and captures the bytes. A pipe would not do: the
//! program removes colors, and any other escape sequence, from output to a pipe.

use super::secrets::assert_shows_none;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

/// Result of a run.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    pub out: Screen,
    pub err: Screen,
}

/// Output on a terminal.
#[derive(Debug, Default)]
pub struct Screen {
    /// Text that is left on the terminal.
    pub text: String,
    /// Text that was on the terminal at any time, with each drawing of a progress bar on its own line.
    pub seen: String,
    /// Codes for colors and weights, in order.
    pub styles: Vec<String>,
}

/// Runs the command to the end. Whatever its input, every byte on a terminal must be text, a line end, one of this
/// program's styles, or part of its progress bar.
pub fn run(command: &mut Command) -> Ran {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let args = args.join(" ");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let ((out, of_out), (err, of_err)) = (terminal(), terminal());
    command.env("TERM", "xterm-256color").stdin(Stdio::null()).stdout(of_out).stderr(of_err);
    let mut child = command.spawn().unwrap();
    // While this process has them open too, reading does not end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (out, err) = std::thread::scope(|scope| {
        let err = scope.spawn(|| all(err));
        (all(out), err.join().unwrap())
    });
    let code = child.wait().unwrap().code().unwrap_or_else(|| panic!("{args:?} was killed"));
    let (out, err) = (Screen::of(&args, out), Screen::of(&args, err));
    assert_shows_none(&args, &[out.seen.as_bytes(), err.seen.as_bytes()]);
    Ran { code, out, err }
}

/// Returns a terminal, and the process's side of it. It passes all bytes unchanged, even line breaks, and is wide
/// enough for every line.
fn terminal() -> (File, Stdio) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let process = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    let mut modes = tcgetattr(&process).unwrap();
    modes.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&process, OptionalActions::Now, &modes).unwrap();
    tcsetwinsize(&process, Winsize { ws_row: 100, ws_col: 4000, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (terminal.into(), process.into())
}

fn all(mut terminal: File) -> Vec<u8> {
    let (mut bytes, mut part) = (Vec::new(), [0; 1 << 14]);
    // If the other side is closed, reading fails.
    while let Ok(count @ 1..) = terminal.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
    }
    bytes
}

impl Screen {
    fn of(args: &str, bytes: Vec<u8>) -> Self {
        const EMPTIES_THE_ROW: &str = "\r\u{1b}[2K";
        let raw = String::from_utf8(bytes).unwrap_or_else(|error| panic!("{args:?}: {error}"));
        let mut screen = Self::default();
        let (mut rows, mut row) = (vec![String::new()], 0);
        let mut rest = raw.as_str();
        while !rest.is_empty() {
            let text = &rest[..rest.find(does_more).unwrap_or(rest.len())];
            rows[row].push_str(text);
            screen.seen.push_str(text);
            rest = &rest[text.len()..];
            if let Some(next) = rest.strip_prefix('\n') {
                row += 1;
                screen.seen.push('\n');
                rest = next;
            } else if let Some(next) = rest.strip_prefix(EMPTIES_THE_ROW) {
                rows[row].clear();
                screen.seen.push('\n');
                rest = next;
            } else if let Some((code, next)) = code(rest) {
                match code.as_bytes()[code.len() - 1] {
                    b'm' => screen.styles.push(code.to_owned()),
                    b'A' => row -= 1,
                    _ => row += 1,
                }
                rest = next;
            } else if !rest.is_empty() {
                panic!("{args:?} sent {:?} to a terminal", rest.chars().take(40).collect::<String>());
            }
            rows.resize(rows.len().max(row + 1), String::new());
        }
        let rows: Vec<&str> = rows.iter().map(|row| row.trim_end_matches(' ')).collect();
        screen.text = rows.join("\n");
        screen
    }
}

/// Checks for controls, line separators, and characters that change the writing direction or have no width. It uses its
/// own list, so that a gap in the program's list is found here.
fn does_more(c: char) -> bool {
    let unseen = ['\u{ad}', '\u{61c}', '\u{feff}'];
    let ranges = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}', '\u{e0000}'..='\u{e0fff}'];
    c.is_control() || unseen.contains(&c) || ranges.iter().any(|range| range.contains(&c))
}

/// Parses a style (`ESC [ 1 m`), or a step to another row of a bar (`ESC [ 1 A`, `B`). Returns it with the text after
/// it.
fn code(text: &str) -> Option<(&str, &str)> {
    let end = text.strip_prefix("\u{1b}[")?.find(|c: char| !c.is_ascii_digit() && c != ';')? + 2;
    let (code, rest) = text.split_at(end + text[end..].chars().next()?.len_utf8());
    let known = code.ends_with('m') || ["\u{1b}[1A", "\u{1b}[1B"].contains(&code);
    known.then_some((code, rest))
}

/// The check finds the characters that it is for.
#[test]
fn what_a_terminal_would_obey_is_seen() {
    let sent = |text: &str| std::panic::catch_unwind(|| Screen::of("", text.as_bytes().to_vec()));
    for bad in [
        "\u{1b}[2J",
        "\u{1b}]0;t\u{7}",
        "\u{1b}c",
        "\u{1b}[5A",
        "a\rb",
        "a\r\nb",
        "\t",
        "\u{8}",
        "\u{7f}",
        "\u{9b}2J",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{200b}",
        "\u{feff}",
        "\u{1b}",
        "\u{1b}[",
        "\u{1b}[1",
        "\u{1b}[?25l",
    ] {
        assert!(sent(&format!("x{bad}")).is_err(), "{bad:?}");
    }
    let good = sent("a\n\u{1b}[1mb\u{1b}[0m\n⠁ bar  \r\u{1b}[2K\u{1b}[1Ac\n").unwrap();
    assert_eq!((good.text.as_str(), good.styles.len()), ("a\nbc\n", 2));
    assert_eq!(good.seen, "a\nb\n⠁ bar  \nc\n");
}
