//! The result of a check: the verdict and its finding.

use crate::model::finding::Finding;
use serde::Serialize;

/// The result of comparing a stream or consumer with the definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As defined.
    Ok,
    /// No problem was found, but the servers did not answer everything.
    CantTell,
    /// Not as defined, or not working.
    Wrong,
}

/// A problem of a stream or consumer. An `Ok` problem is a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamProblem {
    /// The verdict that follows from the problem.
    pub verdict: Verdict,
    /// The place, the problem, and the next step.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Collects the problems of one stream or consumer.
pub(super) struct ProblemCollector {
    place: String,
    pub(super) problems: Vec<StreamProblem>,
}

impl ProblemCollector {
    pub(super) fn new(place: String) -> Self {
        Self { place, problems: Vec::new() }
    }

    fn say(&mut self, verdict: Verdict, code: &'static str, message: impl Into<String>, next: impl Into<String>) {
        let finding = match verdict {
            Verdict::Wrong => Finding::error(code, &self.place, message, next),
            _ => Finding::warning(code, &self.place, message, next),
        };
        self.problems.push(StreamProblem { verdict, finding });
    }

    pub(super) fn wrong(&mut self, code: &'static str, message: impl Into<String>, next: impl Into<String>) {
        self.say(Verdict::Wrong, code, message, next);
    }

    pub(super) fn cant_tell(&mut self, code: &'static str, message: impl Into<String>, next: impl Into<String>) {
        self.say(Verdict::CantTell, code, message, next);
    }

    pub(super) fn warn(&mut self, code: &'static str, message: impl Into<String>, next: impl Into<String>) {
        self.say(Verdict::Ok, code, message, next);
    }
}

/// Formats nanoseconds as text.
pub(super) fn seconds(ns: u64) -> String {
    match ns / 1_000_000_000 {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}
