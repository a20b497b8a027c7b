//! Servers that answer with lines of the input.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use vstream_jwt::observed::{Reply, RequestError, Requests};

/// Lines of the input, `WORD PAYLOAD` each. A payload answers each request whose subject ends with the word, or has it
/// as a token. `-` denies the request, `!` ends the connection, `?` means no responders.
pub struct Script {
    lines: Vec<(String, Vec<u8>)>,
    /// Number of requests by subject.
    asked: Mutex<HashMap<String, usize>>,
}

impl Script {
    /// Reads the input, and fills in keys and tokens.
    pub fn read(data: &[u8]) -> Self {
        let lines = data.split(|byte| *byte == b'\n').filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b' ')?;
            let word = std::str::from_utf8(&line[..at]).ok().filter(|word| !word.is_empty())?;
            let payload = match std::str::from_utf8(&line[at + 1..]) {
                Ok(text) => crate::filled(text).into_bytes(),
                Err(_) => line[at + 1..].to_vec(),
            };
            Some((word.to_owned(), payload))
        });
        Self { lines: lines.collect(), asked: Mutex::default() }
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> usize {
        self.asked.lock().expect("nothing panics with it").values().sum()
    }

    /// Checks if the payload answers requests of this word.
    pub fn has(&self, word: &str, payload: &[u8]) -> bool {
        self.lines.iter().any(|(of, answer)| of == word && answer == payload)
    }

    fn answers(&self, subject: &str) -> Result<Vec<&[u8]>, RequestError> {
        let mut found = Vec::new();
        let mut asked = self.asked.lock().expect("nothing panics with it");
        *asked.entry(subject.to_owned()).or_default() += 1;
        for (word, payload) in &self.lines {
            if !subject.ends_with(word.as_str()) && !format!(".{subject}.").contains(&format!(".{word}.")) {
                continue;
            }
            match payload.as_slice() {
                b"-" => return Err(RequestError::Permission(subject.to_owned())),
                b"!" => return Err(RequestError::Connection("it ended".to_owned())),
                b"?" => return Err(RequestError::NoResponders(subject.to_owned())),
                payload => found.push(payload),
            }
        }
        Ok(found)
    }
}

impl Requests for Script {
    /// Answers with the matching lines in turn.
    async fn request(&self, subject: &str, _: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
        let answers = self.answers(subject)?;
        let turn = self.asked.lock().expect("nothing panics with it").get(subject).copied().unwrap_or(1) - 1;
        match answers.get(turn % answers.len().max(1)) {
            Some(payload) => Ok(Reply { headers: Vec::new(), payload: payload.to_vec() }),
            None => {
                tokio::time::sleep(timeout).await;
                Err(RequestError::Timeout(subject.to_owned()))
            }
        }
    }

    async fn request_many(
        &self,
        subject: &str,
        _: Vec<u8>,
        timeout: Duration,
        mut enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        let mut replies = Vec::new();
        for payload in self.answers(subject)? {
            replies.push(Reply { headers: Vec::new(), payload: payload.to_vec() });
            if enough(&replies) {
                return Ok(replies);
            }
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(timeout).await;
        Ok(replies)
    }
}

/// Runs a future in paused time, which passes only while every task waits. Returns the result, and the time that
/// passed.
pub fn in_paused_time<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime can be made").block_on(async {
        let began = tokio::time::Instant::now();
        (future.await, began.elapsed())
    })
}
