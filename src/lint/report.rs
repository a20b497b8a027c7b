//! Collection of the findings about one account.

use crate::model::finding::{Finding, Severity};

/// Collects findings about one account.
pub(super) struct AccountFindings<'a> {
    pub account: &'a str,
    pub findings: Vec<Finding>,
}

impl AccountFindings<'_> {
    /// Adds a finding about one entry: an error for our own, a warning for another tool's.
    pub fn add(&mut self, ours: bool, code: &'static str, source: &str, message: String, next: &str) {
        let severity = if ours { Severity::Error } else { Severity::Warning };
        self.at(severity, code, format!("mapping {source}"), message, next);
    }

    /// Adds a finding about `place` in the account.
    pub fn at(&mut self, severity: Severity, code: &'static str, place: String, message: String, next: &str) {
        let place = format!("account {}, {place}", self.account);
        self.findings.push(Finding { code, severity, place, message, lines: Vec::new(), next: next.to_owned() });
    }
}

/// Formats names as `a`, `b`, `c` and 7 more.
pub(super) fn some_of(names: &[&str], total: usize) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match total.saturating_sub(names.len().min(SHOWN)) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
