//! The result of a verb: exit codes, and errors with their next step.

use super::text::Text;
use crate::model::finding::{Finding, serialize_bounded};
use serde::Serialize;
use std::process::ExitCode;

/// The exit codes, which are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or in sync.
    Done,
    /// 1: failed; nothing was done, or not everything.
    Failed,
    /// 2: usage or definition invalid; nothing was done.
    Usage,
    /// 3: changes pending, or drift.
    Pending,
    /// 4: pushed, but not every server confirmed.
    Unconfirmed,
}

impl Exit {
    /// Returns the number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Pending => 3,
            Self::Unconfirmed => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Reason why a verb failed: the problem, its location, and the next step.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The exit code.
    #[serde(serialize_with = "exit_code")]
    pub exit: Exit,
    /// Stable kebab-case name.
    pub code: &'static str,
    /// The problem, including its location, in one line.
    pub message: String,
    /// More lines of the message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// The message in several lines, with the source shown; human output prints it instead of `message`.
    #[serde(skip)]
    pub excerpt: Option<Text>,
    /// The next step, an imperative sentence; empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// The findings that stopped the run.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "serialize_bounded")]
    pub findings: Vec<Finding>,
    /// More values for scripts, by name (`problems` of a definition, the steps before the failure, …).
    #[serde(flatten, skip_serializing_if = "serde_json::Map::is_empty")]
    pub details: serde_json::Map<String, serde_json::Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn exit_code<S: serde::Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.code())
}

impl Failure {
    /// Returns a failure with exit 1.
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    /// Returns a failure with exit 2.
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, message)
    }

    /// Returns a failure with any exit.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: message.into(),
            lines: Vec::new(),
            excerpt: None,
            next: String::new(),
            findings: Vec::new(),
            details: serde_json::Map::new(),
        }
    }

    /// Adds the next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Adds more lines to the message.
    #[must_use]
    pub fn lines(mut self, lines: Vec<String>) -> Self {
        self.lines = lines;
        self
    }

    /// Adds a message that shows the source.
    #[must_use]
    pub(super) fn excerpt(mut self, excerpt: Text) -> Self {
        self.excerpt = Some(excerpt);
        self
    }

    /// Adds the findings that stopped the run.
    #[must_use]
    pub fn findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }

    /// Adds a value for scripts.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.details.insert(name.to_owned(), value);
        self
    }
}
