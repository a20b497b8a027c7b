//! Subjects and subject filters (NATS naming rules; nats-server `server/sublist.go`).

use serde::Serialize;
use std::fmt;

/// Why a subject was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("subject `{subject}`: {reason}")]
pub struct SubjectError {
    /// The subject as given.
    pub subject: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A valid subject that may contain the wildcards `*` (one token) and a final `>` (one token or more).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SubjectFilter(String);

impl SubjectFilter {
    /// Parses a subject or subject filter.
    ///
    /// # Errors
    /// [`SubjectError`] for an empty subject or token, white space, control characters, or a `>` before the end.
    pub fn parse(subject: &str) -> Result<Self, SubjectError> {
        let refuse = |reason: &str| Err(SubjectError { subject: subject.to_owned(), reason: reason.to_owned() });
        if subject.is_empty() {
            return refuse("is empty");
        }
        if subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refuse("contains white space or a control character");
        }
        let tokens: Vec<&str> = subject.split('.').collect();
        if tokens.iter().any(|t| t.is_empty()) {
            return refuse("has an empty token: a dot at the start or the end, or two dots in a row");
        }
        if tokens[..tokens.len() - 1].contains(&">") {
            return refuse("`>` may only be the last token");
        }
        Ok(Self(subject.to_owned()))
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its tokens.
    pub fn tokens(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('.')
    }

    /// Whether it has no wildcard.
    pub fn is_literal(&self) -> bool {
        self.tokens().all(|t| t != "*" && t != ">")
    }

    /// Whether some subject matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.tokens(), other.tokens());
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some(x), Some(y)) if x == y || x == "*" || y == "*" => {}
                _ => return false,
            }
        }
    }

    /// Whether every subject that matches `other` also matches this filter.
    pub fn covers(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.tokens(), other.tokens());
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) => return true,
                (Some("*"), Some(y)) if y != ">" => {}
                (Some(x), Some(y)) if x == y => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for SubjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
