//! What a check has to say: one vocabulary for lint, preflight and verify.

use serde::Serialize;

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// Works, but not as one would wish; shown, does not stop a run.
    Warning,
    /// Stops a run before anything is written.
    Error,
}

/// One thing that a check found: where, what would happen, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable kebab-case name (`overlapping-sources`); what `--allow` and scripts refer to.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, in NATS terms (`account APP, mapping foo.>`, `server west-1`).
    pub place: String,
    /// What is the case and what would happen.
    pub message: String,
    /// What belongs to it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// The next step, an imperative sentence; empty where there is none.
    pub next: String,
}

impl Finding {
    /// A finding of severity error.
    pub fn error(
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, code, place, message, next)
    }

    /// A finding of severity warning.
    pub fn warning(
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, code, place, message, next)
    }

    /// A finding of severity info.
    pub fn info(code: &'static str, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, place, message, String::new())
    }

    fn new(
        severity: Severity,
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { code, severity, place: place.into(), message: message.into(), lines: Vec::new(), next: next.into() }
    }

    /// With lines that belong to the message.
    #[must_use]
    pub fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }
}
