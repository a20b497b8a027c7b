//! Prompts for a secret on the terminal.

use super::output;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{Read, Result, Write};
use zeroize::Zeroizing;

const TERMINAL: &str = "/dev/tty";
const CTRL_C: u8 = 3;

/// Prompts on the terminal, even if standard input and output are redirected. Does not show what the user types.
///
/// # Errors
/// There is no terminal.
pub(super) fn secret(question: &str) -> Result<Zeroizing<String>> {
    let typed = Typed::after(question)?;
    let config = rpassword::ConfigBuilder::new().input_reader(typed).output_discard().build();
    rpassword::read_password_with_config(config).map(Zeroizing::new)
}

/// Reads the user's input, character by character, without an echo. On Ctrl-C, `rpassword` would end the program and
/// leave the terminal without an echo. This code restores the terminal before it passes the signal on.
struct Typed {
    terminal: File,
    before: Option<Termios>,
}

impl Typed {
    fn after(question: &str) -> Result<Self> {
        let mut terminal = OpenOptions::new().read(true).write(true).open(TERMINAL)?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &silent)?;
        terminal.write_all(output::value(question).as_bytes())?;
        Ok(Self { terminal, before: Some(before) })
    }

    fn restore(&mut self) {
        let Some(before) = self.before.take() else { return };
        // A closed terminal needs no restoring.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &before);
        let _ = self.terminal.write_all(b"\n");
    }
}

impl Read for Typed {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.terminal.read(buffer)?;
        if buffer[..read].contains(&CTRL_C) {
            self.restore();
        }
        Ok(read)
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.restore();
    }
}
