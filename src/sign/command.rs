//! A signer outside of this process: a command that has, or reaches, the operator's key.
//!
//! It is started once and asked one thing at a time: a JSON object per line on its standard input, one answer per line
//! on its standard output. Its standard error is the user's.
//!
//! | request | answer |
//! |---|---|
//! | `{"request":"public_key"}` | `{"public_key":"O…"}` |
//! | `{"request":"sign","public_key":"O…","message":"<base64>"}` | `{"signature":"<base64>"}`, Ed25519 over the message |
//!
//! Instead of an answer it may say `{"error":"…"}`. The end of its standard input is the end of its work.

use super::{SignError, Signer};
use crate::model::nkey::{KeyKind, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long the command may take for an answer: somebody may have to press a button.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Why the command can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It was not started.
    #[error("the signer's command cannot be started: {0}")]
    Start(std::io::Error),
    /// It did not answer as it should.
    #[error("the signer's command {0}")]
    Answer(String),
    /// Its key is not an operator's.
    #[error("the signer's command has the key of {}; tokens of accounts are signed by the key of an operator", .0.with_article())]
    WrongKind(KeyKind),
}

/// A running command that signs.
#[derive(Debug)]
pub struct CommandSigner {
    key: PublicKey,
    running: Mutex<Running>,
    patience: Duration,
}

#[derive(Debug)]
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl CommandSigner {
    /// Starts the command by the shell, and asks for its public key.
    ///
    /// # Errors
    /// [`CommandError`]
    pub fn start(command: &str, patience: Duration) -> Result<Self, CommandError> {
        let mut shell = Command::new("sh");
        // What is secret of ours is none of its business.
        shell.args(["-c", command]).env_remove("VSTREAM_OPERATOR_SEED").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().map_err(CommandError::Start)?;
        let (send, lines) = channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut out = BufReader::new(out);
                loop {
                    let mut line = String::new();
                    match (&mut out).take(LONGEST).read_line(&mut line) {
                        Ok(read) if read > 0 && send.send(line).is_ok() => {}
                        _ => break,
                    }
                }
            });
        }
        let mut running = Running { child, lines };
        let answer = running.ask(&json!({ "request": "public_key" }), patience).map_err(CommandError::Answer)?;
        let key = answer["public_key"].as_str().and_then(|text| PublicKey::parse(text).ok());
        let key = key.ok_or_else(|| CommandError::Answer("did not give a public key".to_owned()))?;
        match key.kind() {
            KeyKind::Operator => Ok(Self { key, running: Mutex::new(running), patience }),
            other => Err(CommandError::WrongKind(other)),
        }
    }
}

impl Running {
    fn ask(&mut self, request: &Value, patience: Duration) -> Result<Value, String> {
        // What it said without being asked answers nothing.
        while self.lines.try_recv().is_ok() {}
        let stdin = self.child.stdin.as_mut().ok_or("has no standard input")?;
        let sent = writeln!(stdin, "{request}").and_then(|()| stdin.flush());
        let line = match sent.map(|()| self.lines.recv_timeout(patience)) {
            Ok(Ok(line)) => line,
            Ok(Err(RecvTimeoutError::Timeout)) => {
                return Err(format!("did not answer within {} s", patience.as_secs()));
            }
            Ok(Err(RecvTimeoutError::Disconnected)) | Err(_) => return Err("ended without an answer".to_owned()),
        };
        let answer: Value = serde_json::from_str(&line).map_err(|_| "answered with something that is not JSON")?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("refused: {error}")),
            None => Ok(answer),
        }
    }
}

impl Signer for CommandSigner {
    fn public_key(&self) -> PublicKey {
        self.key.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let failed = |reason: &str| SignError::Signer(format!("the command {reason}"));
        let request = json!({ "request": "sign", "public_key": self.key.to_string(), "message": B64.encode(message) });
        let mut running = self.running.lock().map_err(|_| failed("failed before"))?;
        let answer = running.ask(&request, self.patience).map_err(|reason| failed(&reason))?;
        let signature = answer["signature"].as_str().and_then(|text| B64.decode(text).ok());
        signature.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| failed("did not give a signature of 64 bytes"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<CommandSigner, CommandError> {
        CommandSigner::start(script, Duration::from_millis(500))
    }

    fn refused(script: &str) -> String {
        start(script).unwrap_err().to_string()
    }

    #[test]
    fn a_command_that_does_not_answer_is_named() {
        assert!(refused("exit 3").contains("ended without an answer"));
        assert!(refused("sleep 5").contains("did not answer within"));
        assert!(refused("echo no; cat").contains("not JSON"));
        assert!(refused("echo '{\"error\":\"locked\"}'; cat").contains("refused: locked"));
        assert!(refused("echo '{\"public_key\":\"x\"}'; cat").contains("did not give a public key"));
    }

    #[test]
    fn a_signature_that_is_none_is_refused() {
        let key = crate::sign::Seed::generate(KeyKind::Operator).unwrap().public_key();
        let answer =
            format!("read a; echo '{{\"public_key\":\"{key}\"}}'; read b; echo '{{\"signature\":\"AAAA\"}}'; cat");
        let signer = start(&answer).unwrap();
        assert_eq!(signer.public_key(), key);
        assert!(signer.sign(b"x").unwrap_err().to_string().contains("64 bytes"));
        // It has ended its part: what follows is an echo of the request.
        assert!(signer.sign(b"x").is_err());
    }
}
