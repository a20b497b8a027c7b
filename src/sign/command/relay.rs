//! What a command says on its standard error, as it comes: line by line, and what stands of a line when it pauses, which
//! may be a question.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read as _};
use std::process::ChildStderr;

/// Hears a line: as far as it has come, and whether that is all of it.
pub type Hear = Box<dyn FnMut(&str, bool) + Send>;

/// A line that does not go on for so long is told as far as it has come.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// The longest line, in bytes; more is the next one.
const LONGEST: usize = 64 * 1024;
/// The longest word that is told before it is known to be whole: half a secret is not recognised as one.
const WORD: usize = 16;

/// Tells everything to its end.
pub(super) fn relay(mut from: ChildStderr, mut hear: Hear) {
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

/// Whether more comes, or the end, before the pause is over.
fn goes_on(from: &ChildStderr) -> bool {
    poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&PAUSE)).is_ok_and(|ready| ready > 0)
}

fn whole(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// What may be told of a line that goes on, perhaps in the middle of a character.
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
