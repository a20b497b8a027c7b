//! Relays a command's standard error as it arrives, line by line. If a line pauses, its beginning is relayed, because
//! it may be a question.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read as _};
use std::process::ChildStderr;

/// Receives a line: the part that has arrived so far, and `true` if the line is complete.
pub type StderrHandler = Box<dyn FnMut(&str, bool) + Send>;

/// Pause after which the arrived part of a line is relayed.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Length of the longest line, in bytes. The rest counts as the next line.
const LONGEST: usize = 64 * 1024;
/// Length of the longest word that is relayed before it is complete. Half a secret would not be recognized and masked.
const WORD: usize = 16;

/// Relays everything until the end.
pub(super) fn relay(mut from: ChildStderr, mut hear: StderrHandler) {
    let (mut line, mut told, mut buffer) = (Vec::new(), 0, [0; 4096]);
    loop {
        if told < line.len() && !goes_on(&from) {
            hear(&so_far(&line), false);
            told = line.len();
            continue;
        }
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if line.ends_with(b"\n") || line.len() >= LONGEST {
                hear(whole(&line).trim_end_matches(['\r', '\n']), true);
                line.clear();
                told = 0;
            }
        }
    }
    if !line.is_empty() {
        hear(&whole(&line), true);
    }
}

/// Waits for more data, for the end, or until the pause is over. Returns `true` if data or the end came.
fn goes_on(from: &ChildStderr) -> bool {
    poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&PAUSE)).is_ok_and(|ready| ready > 0)
}

fn whole(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Returns the part of an unfinished line that may be relayed. The line may stop in the middle of a character.
fn so_far(line: &[u8]) -> String {
    let mut text = whole(line);
    text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
    let before = text.trim_end_matches(|c: char| !c.is_whitespace()).len();
    if text.len() - before > WORD {
        text.truncate(before);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_line_that_goes_on_no_half_of_a_word_is_told() {
        for (line, told) in [
            (&b"PIN: "[..], "PIN: "),
            (b"Touch your key", "Touch your key"),
            (b"SOAAAAAAAAAAAAAAAAAA", ""),
            (b"seed SOAAAAAAAAAAAAAAAAAA", "seed "),
            (b"caf\xc3", "caf"),
            (b"\xe2\x80\xa8AAAAAAAAAAAAAAAAAA", "\u{2028}"),
        ] {
            assert_eq!(so_far(line), told);
        }
    }
}
