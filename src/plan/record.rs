//! The record of a push: what was there before, what was pushed stage by stage, by whom, and who confirmed it.
//!
//! Its text is canonical and has a digest of its content, as a plan file's; it is read whole or refused. It holds
//! tokens of accounts, which may hold activation tokens, and no seed.

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
    /// What happened.
    pub content: Content,
    /// SHA-256 of the content, in hexadecimal.
    sha256: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Name and version of the program.
    pub tool: String,
    /// `apply`, `destroy`, `rollback`.
    pub verb: String,
    /// Who ran it.
    pub who: Who,
    /// When the first token was about to be pushed (RFC 3339).
    pub started: String,
    /// When it ended; none when it was killed, or is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The deployment, by its system account.
    pub system_account: PublicKey,
    /// The record that a rollback went back to; `None` for `--last` too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<String>,
    /// The definition's files.
    pub definition: Vec<File>,
    /// The plan as people read it.
    pub text: Vec<String>,
    /// The plan as `--format json` has it, findings included.
    pub changes: Value,
    /// The streams that the definition asked for.
    pub streams: Vec<Streamed>,
    /// What was pushed; more than one when others pushed meanwhile and it was planned again.
    pub attempts: Vec<Attempt>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did not say: killed, or under way.
    Begun,
    /// Every server confirmed.
    Confirmed,
    /// Not every server confirmed.
    Unconfirmed,
    /// It stopped on its way.
    Failed,
}

/// A stream that the definition asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streamed {
    /// The account that it is in.
    pub account: PublicKey,
    /// Its name.
    pub name: String,
    /// The virtual stream.
    pub virtual_stream: String,
    /// Write or read.
    pub role: Role,
    /// What it captures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
}

/// Tokens that were signed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// When (RFC 3339).
    pub at: String,
    /// The tokens, in the order of their stages.
    pub tokens: Vec<Recorded>,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The definition's name for the account.
    pub account: String,
    /// The account.
    pub id: PublicKey,
    /// The application's account that it is, or serves.
    pub application: PublicKey,
    /// The region that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// When it is pushed.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// The token that it replaces, with what was kept of others' pushes at the same time; none for a new account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The token.
    pub token: String,
    /// How far it came.
    pub progress: Progress,
    /// What each server had of it afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<OnServer>,
    /// Servers that refused it, with their words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// How far a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Signed, not sent.
    Signed,
    /// About to be sent: servers may have it.
    Sending,
    /// Sent, and the servers were asked about it.
    Pushed,
}

/// What one server had of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnServer {
    /// Its name.
    pub server: String,
    /// Its cluster.
    pub cluster: String,
    /// Whether it confirmed the token.
    pub confirmed: bool,
    /// Whether the token is in the preload that it has to reload first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_reload: bool,
    /// What it had, in words.
    pub found: String,
}

/// Why a text is not a record that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Something else.
    #[error("is not a record of vstream-jwt: {0}")]
    NotARecord(String),
    /// Of a format that is not known here.
    #[error("has format {found}; this version knows formats up to {FORMAT}")]
    Newer {
        /// The format.
        found: u64,
    },
    /// More than is read.
    #[error("is too large: more than {} MB", MOST_BYTES / 1_000_000)]
    TooLarge,
    /// Has a secret in it, where none belongs.
    #[error("has {0} in it")]
    Secret(&'static str),
    /// Not what was written.
    #[error("was changed after it was written")]
    Changed,
}

impl Record {
    /// A record of this.
    pub fn new(content: Content) -> Self {
        let sha256 = digest(&content);
        Self { vstream_jwt_record: FORMAT, content, sha256 }
    }

    /// As text.
    pub fn render(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a record.
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
    /// Tells whether servers may have got the token.
    fn may_be_on_servers(&self) -> bool {
        self.progress >= Progress::Sending
    }
}

/// The tokens of a record that servers may have got, in the order in which they were sent; `None` when it is no record of
/// this format, or has more values than one. The rest is not read, and the digest, which anyone can compute, is not checked:
/// the user of a token looks at its signature.
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

impl Content {
    /// The tokens that servers may have got, in the order in which they were sent.
    pub fn sent(&self) -> impl DoubleEndedIterator<Item = &Recorded> {
        let tokens = self.attempts.iter().flat_map(|attempt| &attempt.tokens);
        tokens.filter(|token| token.may_be_on_servers())
    }

    /// Whether this is of a `rollback --last` that did not come to its end.
    pub fn stopped_going_back(&self) -> bool {
        let ended = matches!(self.outcome, Outcome::Confirmed | Outcome::Unconfirmed);
        self.verb == "rollback" && self.back_to.is_none() && !ended
    }

    /// How many servers confirmed the last token of every account, and how many were asked.
    pub fn confirmations(&self) -> (usize, usize) {
        let mut last: BTreeMap<&PublicKey, &Recorded> = BTreeMap::new();
        last.extend(self.sent().map(|token| (&token.id, token)));
        let names = last.values().flat_map(|token| &token.servers);
        let mut servers: BTreeMap<&str, bool> = BTreeMap::new();
        for on in names {
            *servers.entry(&on.server).or_insert(true) &= on.confirmed;
        }
        let all = last.values().all(|token| token.progress == Progress::Pushed);
        (servers.values().filter(|confirmed| all && **confirmed).count(), servers.len())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn content() -> Content {
        let key = |letter: u8| PublicKey::from_bytes(crate::model::nkey::KeyKind::Account, [letter; 32]);
        Content {
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
                    progress: Progress::Signed,
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
        token.progress = Progress::Pushed;
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
