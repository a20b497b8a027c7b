//! Findings of checks: one type for lint, preflight and verify.

use serde::{Serialize, Serializer};
use std::collections::HashMap;

/// The severity of a [`Finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; needs no action.
    Info,
    /// Works, but not as intended. Shown, but does not stop a run.
    Warning,
    /// Stops a run before anything is written.
    Error,
}

/// A result of a check: its place, its consequence, and the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable kebab-case name (`overlapping-sources`), which `--allow` and scripts use.
    pub code: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The object that the finding is about, in NATS terms (`account APP, mapping foo.>`, `server west-1`).
    pub place: String,
    /// The present state and its consequence.
    pub message: String,
    /// Details, one per line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// The next step as an imperative sentence; empty if there is none.
    pub next: String,
}

impl Finding {
    /// Returns a finding of severity error.
    pub fn error(
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, code, place, message, next)
    }

    /// Returns a finding of severity warning.
    pub fn warning(
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, code, place, message, next)
    }

    /// Returns a finding of severity info.
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

    /// Adds more lines to the message.
    #[must_use]
    pub fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }
}

/// Most findings of one kind that are shown, and most lines of one finding.
const MOST: usize = 100;
/// Most bytes of a message that are shown.
const LONGEST: usize = 4000;

/// Returns a bounded list of findings, because servers, tokens and names determine their number and length. Shows only
/// the first findings of each kind, and the number of the others. Cuts long texts.
pub fn bounded<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Vec<Finding> {
    let findings: Vec<&Finding> = findings.into_iter().collect();
    let kind = |finding: &Finding| (finding.code, finding.severity);
    let mut counts: HashMap<(&str, Severity), usize> = HashMap::new();
    findings.iter().for_each(|finding| *counts.entry(kind(finding)).or_default() += 1);
    let (mut shown, mut seen): (Vec<Finding>, HashMap<(&str, Severity), usize>) = (Vec::new(), HashMap::new());
    for finding in findings {
        let (all, number) = (counts[&kind(finding)], seen.entry(kind(finding)).or_default());
        *number += 1;
        if *number <= MOST {
            shown.push(short(finding));
        }
        if *number == MOST && all > MOST {
            let message = format!("{} more of these are not shown", all - MOST);
            shown.push(Finding { place: "elsewhere".to_owned(), message, lines: Vec::new(), ..short(finding) });
        }
    }
    shown
}

/// Serializes [`bounded`] of the findings.
///
/// # Errors
/// The serializer's.
pub fn serialize_bounded<S: Serializer>(findings: &[Finding], serializer: S) -> Result<S::Ok, S::Error> {
    bounded(findings).serialize(serializer)
}

fn short(finding: &Finding) -> Finding {
    let Finding { code, severity, place, message, lines, next } = finding;
    let more = (lines.len() > MOST).then(|| format!("{} more lines are not shown", lines.len() - MOST));
    Finding {
        code,
        severity: *severity,
        place: cut(place),
        message: cut(message),
        lines: lines.iter().take(MOST).map(|line| cut(line)).chain(more).collect(),
        next: cut(next),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}… ({} bytes more)", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_kind_some_are_shown_and_the_rest_is_counted() {
        let finding = |code, number: usize| Finding::warning(code, format!("place {number}"), "is so", "Do it.");
        let mut all: Vec<Finding> = (0..5000).map(|number| finding("many", number)).collect();
        all.insert(7, Finding::error("many", "place", "is worse", ""));
        all.push(finding("one", 1));
        let shown = bounded(&all);
        assert_eq!(shown.len(), 103);
        assert_eq!((shown[6].clone(), shown[7].severity), (finding("many", 6), Severity::Error));
        let more = &shown[101];
        assert_eq!(
            (more.code, more.severity, more.message.as_str()),
            ("many", Severity::Warning, "4900 more of these are not shown")
        );
        assert_eq!(shown[102], finding("one", 1));
        // No more findings than are shown.
        let fit: Vec<Finding> = (0..MOST).map(|number| finding("many", number)).collect();
        assert_eq!(bounded(&fit), fit);
    }

    #[test]
    fn a_finding_is_no_longer_than_anyone_reads() {
        let long = "é".repeat(1_000_000);
        let lines = (0..1_000_000).map(|number| number.to_string());
        let finding = Finding::warning("code", &*long, &*long, &*long).lines(lines).lines([long.clone()]);
        let shown = bounded([&finding]);
        let size = serde_json::to_string(&shown).unwrap().len();
        assert!(size < 4 * LONGEST, "{size}");
        assert!(shown[0].message.ends_with("… (1996000 bytes more)"), "{}", &shown[0].message[LONGEST - 10..]);
        assert_eq!(shown[0].lines.last().unwrap(), "999901 more lines are not shown");
    }

    #[test]
    fn documents_have_some_of_the_findings() {
        #[derive(Serialize)]
        struct Document {
            #[serde(serialize_with = "serialize_bounded")]
            findings: Vec<Finding>,
        }
        let findings = (0..5000).map(|number| Finding::info("many", number.to_string(), "is so")).collect();
        let document = serde_json::to_value(Document { findings }).unwrap();
        assert_eq!(document["findings"].as_array().unwrap().len(), MOST + 1);
    }
}
