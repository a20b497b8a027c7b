//! The record of a push: the earlier tokens, the tokens of each stage, the user, and the servers that confirmed.
//!
//! Like a plan file, a record has canonical text and a digest, and is read completely or refused. It contains tokens of
//! accounts, possibly with activation tokens, but no seed.

pub use super::who::Who;

use super::envelope::{MOST_BYTES, Outline, digest, is_canonical, outline};
use super::file::File;
use super::{Reason, Stage};
use crate::desired::Role;
use crate::model::nkey::PublicKey;
use crate::model::shown::shown;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version of the format.
pub const FORMAT: u32 = 1;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`FORMAT`]
    pub vstream_jwt_record: u32,
    /// The run.
    pub content: RecordContent,
    /// SHA-256 of the content, in hexadecimal.
    sha256: String,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordContent {
    /// Name and version of the program.
    pub tool: String,
    /// `apply`, `destroy`, `rollback`.
    pub verb: String,
    /// The user that ran it.
    pub who: Who,
    /// Time when the first token was about to be pushed (RFC 3339).
    pub started: String,
    /// Time when the run ended; absent if the run was killed or is still going.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Outcome of the run.
    pub outcome: Outcome,
    /// Reason why the run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The deployment, by its system account.
    pub system_account: PublicKey,
    /// The record that a rollback returned to; `None` for `--last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<String>,
    /// The definition's files.
    pub definition: Vec<File>,
    /// The plan as text for the user.
    pub text: Vec<String>,
    /// The plan as JSON, as in `--format json`, with findings.
    pub changes: Value,
    /// The streams that the definition asked for.
    pub streams: Vec<Streamed>,
    /// The pushes. There are several attempts if other tools pushed during the run and it planned again.
    pub attempts: Vec<Attempt>,
}

/// Outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// None yet: the run was killed or is still going.
    Begun,
    /// Every server confirmed.
    Confirmed,
    /// Not every server confirmed.
    Unconfirmed,
    /// The run stopped before its end.
    Failed,
}

/// A stream that the definition asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streamed {
    /// The account of the stream.
    pub account: PublicKey,
    /// Name of the stream.
    pub name: String,
    /// The virtual stream.
    pub virtual_stream: String,
    /// Role of the stream.
    pub role: Role,
    /// Subjects that the stream captures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
}

/// Tokens that were signed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Time of the signature (RFC 3339).
    pub at: String,
    /// The tokens, in the order of their stages.
    pub tokens: Vec<Recorded>,
}

/// A token of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The account's name in the definition.
    pub account: String,
    /// The account's public key.
    pub id: PublicKey,
    /// The application's account: this account, or the one that it serves.
    pub application: PublicKey,
    /// The region that the account serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The stage in which the token is pushed.
    pub stage: Stage,
    /// Reason for the push.
    pub reason: Reason,
    /// The token that it replaces, with edits of other tools that were merged into it; absent for a new account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The token.
    pub token: String,
    /// Progress of the push.
    pub progress: PushProgress,
    /// State of the token on each server after the push.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<OnServer>,
    /// Servers that refused the token, with their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// Progress of a token's push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushProgress {
    /// Signed, but not sent.
    Signed,
    /// About to be sent: servers may have received it.
    Sending,
    /// Sent, and the run asked the servers about it.
    Pushed,
}

/// State of a token on one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnServer {
    /// Name of the server.
    pub server: String,
    /// Cluster of the server.
    pub cluster: String,
    /// `true` if the server confirmed the token.
    pub confirmed: bool,
    /// `true` if the token is in the preload that the server must reload first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_reload: bool,
    /// The server's state, in words.
    pub found: String,
}

/// Reason why a text is not a valid record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a record.
    #[error("is not a record of vstream-jwt: {0}")]
    NotARecord(String),
    /// The format is newer than those that this version reads.
    #[error("has format {found}; this version knows formats up to {FORMAT}")]
    Newer {
        /// The format.
        found: u64,
    },
    /// The file exceeds the size that this version reads.
    #[error("is too large: more than {} MB", MOST_BYTES / 1_000_000)]
    TooLarge,
    /// The file contains a secret. A record never has one.
    #[error("has {0} in it")]
    Secret(&'static str),
    /// The text was changed after it was written.
    #[error("was changed after it was written")]
    Changed,
}

impl Record {
    /// Returns a record with this content.
    pub fn new(content: RecordContent) -> Self {
        let sha256 = digest(&content);
        Self { vstream_jwt_record: FORMAT, content, sha256 }
    }

    /// Renders the record as text.
    pub fn render(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Parses a record.
    ///
    /// # Errors
    /// [`RecordError`]
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let bad = |error: serde_json::Error| RecordError::NotARecord(shown(&error.to_string()).into_owned());
        match outline(text, "vstream_jwt_record").map_err(bad)? {
            Outline::NoMarker => return Err(RecordError::NotARecord("it has no `vstream_jwt_record`".to_owned())),
            Outline::Twice => return Err(RecordError::Changed),
            Outline::Format(found) if found > u64::from(FORMAT) => return Err(RecordError::Newer { found }),
            Outline::Format(_) => {}
        }
        let record: Self = serde_json::from_str(text).map_err(bad)?;
        if !is_canonical(&record, text) || record.sha256 != digest(&record.content) {
            return Err(RecordError::Changed);
        }
        Ok(record)
    }
}

impl Recorded {
    /// Returns `true` if servers may have received the token.
    fn may_be_on_servers(&self) -> bool {
        self.progress >= PushProgress::Sending
    }
}

/// Returns the tokens of a record that servers may have received, in the order in which the run sent them. Returns
/// `None` for text in another format, or with more than one value. Does not check the rest of the record, nor its
/// digest, which anyone can compute. Before it uses a token, the caller must check the token's signature.
pub fn sent_tokens(text: &str) -> Option<Vec<Recorded>> {
    #[derive(Deserialize)]
    struct Whole {
        content: Part,
    }
    #[derive(Deserialize)]
    struct Part {
        attempts: Vec<Attempt>,
    }
    if outline(text, "vstream_jwt_record").ok()? != Outline::Format(u64::from(FORMAT)) {
        return None;
    }
    let Whole { content: Part { attempts } } = serde_json::from_str(text).ok()?;
    let tokens = attempts.into_iter().flat_map(|attempt| attempt.tokens);
    Some(tokens.filter(Recorded::may_be_on_servers).collect())
}

impl RecordContent {
    /// Returns the tokens that servers may have received, in the order in which the run sent them.
    pub fn sent(&self) -> impl DoubleEndedIterator<Item = &Recorded> {
        let tokens = self.attempts.iter().flat_map(|attempt| &attempt.tokens);
        tokens.filter(|token| token.may_be_on_servers())
    }

    /// Returns `true` for the record of an unfinished `rollback --last`.
    pub fn stopped_going_back(&self) -> bool {
        let ended = matches!(self.outcome, Outcome::Confirmed | Outcome::Unconfirmed);
        self.verb == "rollback" && self.back_to.is_none() && !ended
    }

    /// Returns how many servers confirmed the last token of every account, and how many were asked.
    pub fn confirmations(&self) -> (usize, usize) {
        let mut last: BTreeMap<&PublicKey, &Recorded> = BTreeMap::new();
        last.extend(self.sent().map(|token| (&token.id, token)));
        let names = last.values().flat_map(|token| &token.servers);
        let mut servers: BTreeMap<&str, bool> = BTreeMap::new();
        for on in names {
            *servers.entry(&on.server).or_insert(true) &= on.confirmed;
        }
        let all = last.values().all(|token| token.progress == PushProgress::Pushed);
        (servers.values().filter(|confirmed| all && **confirmed).count(), servers.len())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn content() -> RecordContent {
        let key = |letter: u8| PublicKey::from_bytes(crate::model::nkey::KeyKind::Account, [letter; 32]);
        RecordContent {
            tool: "vstream-jwt 0.1.0".to_owned(),
            verb: "apply".to_owned(),
            who: Who { user: "u".to_owned(), host: "h".to_owned(), ci: BTreeMap::new() },
            started: "2026-01-01T00:00:00.000Z".to_owned(),
            ended: None,
            outcome: Outcome::Begun,
            error: None,
            system_account: key(1),
            back_to: None,
            definition: Vec::new(),
            text: Vec::new(),
            changes: serde_json::json!({ "number": 18_446_744_073_709_551_615_u64, "fraction": 1.50 }),
            streams: Vec::new(),
            attempts: vec![Attempt {
                at: "2026-01-01T00:00:00.000Z".to_owned(),
                tokens: vec![Recorded {
                    account: "APP".to_owned(),
                    id: key(2),
                    application: key(2),
                    region: None,
                    stage: Stage::Mappings,
                    reason: Reason::Changed,
                    base: None,
                    token: "t".to_owned(),
                    progress: PushProgress::Signed,
                    servers: Vec::new(),
                    refused: Vec::new(),
                }],
            }],
        }
    }

    #[test]
    fn a_record_with_any_byte_changed_is_refused() {
        let text = Record::new(content()).render();
        assert_eq!(Record::parse(&text).unwrap().render(), text);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(Record::parse(&changed).is_err(), "byte {at} of {text}");
            assert!(Record::parse(&text[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_format_and_other_documents_are_named() {
        let text = Record::new(content()).render();
        let newer = text.replace("\"vstream_jwt_record\": 1", "\"vstream_jwt_record\": 2");
        assert_eq!(Record::parse(&newer), Err(RecordError::Newer { found: 2 }));
        assert!(matches!(Record::parse("{}"), Err(RecordError::NotARecord(_))));
    }

    #[test]
    fn what_was_signed_and_not_sent_is_not_on_any_server() {
        let mut content = content();
        assert_eq!(content.sent().count(), 0);
        let token = &mut content.attempts[0].tokens[0];
        token.progress = PushProgress::Pushed;
        let on = |server: &str, confirmed| OnServer {
            server: server.to_owned(),
            cluster: "c".to_owned(),
            confirmed,
            by_reload: false,
            found: String::new(),
        };
        token.servers = vec![on("a", true), on("b", false)];
        assert_eq!((content.sent().count(), content.confirmations()), (1, (1, 2)));
    }
}
