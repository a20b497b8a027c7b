//! A signer in another process: a command that has the operator's key, or access to it.
//!
//! The command is started once, and handles one request at a time. A request is a JSON object on one line of its
//! standard input. An answer is one line of its standard output. Its standard error is relayed line by line. If a line
//! pauses, its beginning is relayed.
//!
//! | request | answer |
//! |---|---|
//! | `{"request":"public_key"}` | `{"public_key":"O…"}` |
//! | `{"request":"sign","public_key":"O…","message":"<base64>"}` | `{"signature":"<base64>"}`, Ed25519 over the message |
//!
//! Instead of an answer, the command may write `{"error":"…"}`. It must end when its standard input ends.

mod relay;

pub use relay::StderrHandler;

use super::patience::{AnswerTime, Patience};
use super::{SignError, Signer};
use crate::model::nkey::{KeyError, KeyKind, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::time::{Duration, Instant};

/// Length of the longest answer, in bytes.
const LONGEST: u64 = 64 * 1024;
/// Most lines that wait to be read. A command that writes more is blocked.
const WAITING: usize = 16;
/// Most lines that the command may write between two requests.
const UNASKED: usize = 256;
/// Time to wait for the rest of its standard error.
const STDERR_TIMEOUT: Duration = Duration::from_millis(200);

/// Reason why the command can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command did not start.
    #[error("the signer's command cannot be started: {0}")]
    Start(std::io::Error),
    /// The command gave no valid answer.
    #[error("the signer's command {0}")]
    Answer(String),
    /// The command's key is not an operator's.
    #[error("the signer's command has the key of {}; tokens of accounts are signed by the key of an operator", .0.with_article())]
    WrongKind(KeyKind),
}

/// A running command that signs.
#[derive(Debug)]
pub struct CommandSigner {
    key: PublicKey,
    running: Mutex<Running>,
    patience: Patience,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// The channel to the thread that writes. A command that does not read blocks that thread, but must not block this
    /// one.
    requests: Option<Sender<String>>,
    answers: Receiver<OutputLine>,
    /// Closed when all of the command's standard error has been relayed.
    told: Receiver<Infallible>,
    /// `true` after a failure. Later lines do not count as answers.
    failed: bool,
}

/// A part of the command's standard output.
#[derive(Debug)]
enum OutputLine {
    Line(String),
    TooLong,
    CutShort,
}

impl CommandSigner {
    /// Starts the command in a shell and asks for its public key. `hear` receives its standard error.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn start(command: &str, patience: Patience, hear: StderrHandler) -> Result<Self, CommandError> {
        // The command must not inherit our secrets.
        let mut shell = super::memory::command("sh");
        shell.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().map_err(CommandError::Start)?;
        let (requests, to_write) = channel::<String>();
        if let Some(mut stdin) = child.stdin.take() {
            std::thread::spawn(move || {
                let mut write = |line: String| stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush());
                while let Ok(line) = to_write.recv() {
                    if write(line).is_err() {
                        break;
                    }
                }
            });
        }
        let (send, answers) = sync_channel(WAITING);
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut out = BufReader::new(out);
                while let Some(output) = next(&mut out) {
                    let last = !matches!(output, OutputLine::Line(_));
                    if send.send(output).is_err() || last {
                        break;
                    }
                }
            });
        }
        let (open, told) = channel::<Infallible>();
        if let Some(said) = child.stderr.take() {
            std::thread::spawn(move || {
                relay::relay(said, hear);
                drop(open);
            });
        }
        let mut running = Running { child, requests: Some(requests), answers, told, failed: false };
        let answer = running.ask(&json!({ "request": "public_key" }), &patience).map_err(CommandError::Answer)?;
        let key = match answer["public_key"].as_str().map(PublicKey::parse) {
            Some(Ok(key)) => key,
            Some(Err(error @ KeyError::Weak)) => {
                return Err(CommandError::Answer(format!("gave a public key that {error}")));
            }
            Some(Err(_)) | None => return Err(CommandError::Answer("did not give a public key".to_owned())),
        };
        match key.kind() {
            KeyKind::Operator => Ok(Self { key, running: Mutex::new(running), patience }),
            other => Err(CommandError::WrongKind(other)),
        }
    }
}

/// Reads a whole line, or returns the reason why it is not valid. Returns `None` at the end.
fn next(out: &mut impl BufRead) -> Option<OutputLine> {
    let mut line = Vec::new();
    out.take(LONGEST).read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
    Some(match line.last() {
        Some(b'\n') => OutputLine::Line(String::from_utf8_lossy(&line).into_owned()),
        _ if line.len() as u64 == LONGEST => OutputLine::TooLong,
        _ => OutputLine::CutShort,
    })
}

impl Running {
    fn ask(&mut self, request: &Value, patience: &Patience) -> Result<Value, String> {
        if self.failed {
            return Err("failed before, and is asked nothing more".to_owned());
        }
        let answer = patience.wait(|turn| self.answer(request, turn));
        self.failed = answer.is_err();
        answer
    }

    fn answer(&mut self, request: &Value, turn: &AnswerTime) -> Result<Value, String> {
        let late = || format!("did not answer within {}", turn.named);
        // If there is no time left, don't make the user press a button.
        if turn.most.is_zero() {
            return Err(late());
        }
        // Lines written before the request are not answers.
        for said in 0.. {
            match self.answers.try_recv() {
                Ok(_) if said == UNASKED => return Err("talks without being asked".to_owned()),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let sent = self.requests.as_ref().map(|requests| requests.send(format!("{request}\n")));
        if !matches!(sent, Some(Ok(()))) {
            return Err("ended without an answer".to_owned());
        }
        let line = match self.answers.recv_timeout(turn.most) {
            Ok(OutputLine::Line(line)) => line,
            Ok(OutputLine::TooLong) => return Err(format!("answered with more than {} KiB", LONGEST / 1024)),
            Ok(OutputLine::CutShort) => return Err("ended in the middle of an answer".to_owned()),
            Err(RecvTimeoutError::Timeout) => return Err(late()),
            Err(RecvTimeoutError::Disconnected) => return Err("ended without an answer".to_owned()),
        };
        let answer: Value = serde_json::from_str(&line).map_err(|_| "answered with something that is not JSON")?;
        if !answer.is_object() {
            return Err("answered with something that is not a JSON object".to_owned());
        }
        match answer["error"].as_str() {
            Some(error) => Err(format!("refused: {}", plain(error))),
            None => Ok(answer),
        }
    }
}

/// Returns a reason that is safe to show on a terminal: short, and without control characters.
fn plain(text: &str) -> String {
    let shown: String = text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(300).is_some() { format!("{shown}…") } else { shown }
}

impl Signer for CommandSigner {
    fn public_key(&self) -> PublicKey {
        self.key.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let failed = |reason: &str| SignError::Signer(format!("the command {reason}"));
        let request = json!({ "request": "sign", "public_key": self.key.to_string(), "message": B64.encode(message) });
        let mut running = self.running.lock().map_err(|_| failed("failed before"))?;
        let answer = running.ask(&request, &self.patience).map_err(|reason| failed(&reason))?;
        let signature = answer["signature"].as_str().and_then(|text| B64.decode(text).ok());
        signature.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| failed("did not give a signature of 64 bytes"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.requests.take());
        let until = Instant::now() + Duration::from_secs(1);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.told.recv_timeout(STDERR_TIMEOUT);
    }
}

#[cfg(test)]
mod tests;
