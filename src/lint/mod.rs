//! Checks of an account's whole mapping set, ours and others': what servers refuse, and what they should.

mod coverage;
mod destinations;
mod listeners;
mod overlaps;
#[cfg(test)]
mod tests;

use crate::desired::api;
use crate::model::finding::{Finding, Severity};
use crate::model::mapping::Destination;
use crate::model::subject::SubjectFilter;
use crate::model::subject_trie::SubjectTrie;

/// A mapping of the account as it will be.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its source, whatever it is.
    pub source: &'a str,
    /// Its destinations.
    pub destinations: &'a [Destination],
    /// Whether it belongs to the definition.
    pub ours: bool,
    /// Whether the account has it in force already, with these destinations; what listens on its source has
    /// then stopped receiving long ago.
    pub in_force: bool,
    /// The account maps this source already, with these destinations or others.
    pub known: bool,
}

/// What receives messages on a subject, or brings them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// A subscription of a client.
    Subscription,
    /// A service that the account imports; the subject is the local one.
    ServiceImport,
    /// A service that the account exports: requests of importers are mapped in the exporter's account.
    ServiceExport,
    /// A stream of messages that the account exports.
    StreamExport,
    /// A stream of messages that the account imports; the subject is the local one.
    StreamImport,
}

/// Something in the account that receives messages on a subject, or brings them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener<'a> {
    /// What it is.
    pub kind: ListenerKind,
    /// Its subject, wildcards included.
    pub subject: &'a str,
    /// Who it is, as far as known (`client orders on west-1`); may be empty.
    pub who: &'a str,
}

/// What is checked, and what is known of the deployment.
#[derive(Debug, Clone, Copy, Default)]
pub struct LintInput<'a> {
    /// The account's name in the definition.
    pub account: &'a str,
    /// All mappings of the account as they will be, ours and others'.
    pub entries: &'a [Entry<'a>],
    /// The clusters that live servers belong to; empty when unknown (offline).
    pub clusters: &'a [&'a str],
    /// Names of the virtual streams.
    pub virtual_streams: &'a [&'a str],
    /// Who listens in the account; empty when unknown.
    pub listeners: &'a [Listener<'a>],
}

/// Codes of the findings that `--allow` may admit: whoever listens may be about to be moved.
pub const ALLOWABLE: [&str; 5] = [
    "subscription-stops",
    "service-import-stops",
    "service-export-stops",
    "stream-export-stops",
    "stream-import-unmapped",
];

/// Checks the mappings.
///
/// Findings about ours are errors, unless harmless; findings about others' alone are warnings at most.
/// `docs/reference/findings.md` lists them.
pub fn lint(input: &LintInput<'_>) -> Vec<Finding> {
    let mut report = Report { account: input.account, findings: Vec::new() };
    let mut sources = SubjectTrie::default();
    for (index, entry) in input.entries.iter().enumerate() {
        match SubjectFilter::parse(entry.source) {
            Ok(_) => sources.insert(entry.source, index),
            Err(error) => report.add(
                entry.ours,
                "bad-source",
                entry.source,
                format!("servers refuse the entry or read it in a way of their own: {error}"),
                "Correct the source or remove the entry.",
            ),
        }
    }
    names(input, &mut report);
    destinations::check(input, &sources, &mut report);
    overlaps::check(input, &sources, &mut report);
    coverage::check(input, &mut report);
    listeners::check(input, &mut report);
    report.findings
}

/// A name that is a token of the API's subjects makes entries that take other streams' requests.
fn names(input: &LintInput<'_>, report: &mut Report<'_>) {
    for name in input.virtual_streams.iter().filter(|name| api::reserved_names().contains(*name)) {
        report.findings.push(Finding::error(
            "reserved-name",
            format!("account {}, virtual stream {name}", input.account),
            format!(
                "`{name}` is a token of the JetStream API's subjects: its entries, such as \
                 `$JS.API.CONSUMER.*.{name}.>`, could take requests about other streams"
            ),
            "Give the virtual stream another name; lower case is always free.",
        ));
    }
}

/// Collects findings of one account.
struct Report<'a> {
    account: &'a str,
    findings: Vec<Finding>,
}

impl Report<'_> {
    /// A finding about one entry: an error when it is ours, a warning when it is others'.
    fn add(&mut self, ours: bool, code: &'static str, source: &str, message: String, next: &str) {
        let severity = if ours { Severity::Error } else { Severity::Warning };
        self.at(severity, code, format!("mapping {source}"), message, next);
    }

    /// A finding about `place` in the account.
    fn at(&mut self, severity: Severity, code: &'static str, place: String, message: String, next: &str) {
        let place = format!("account {}, {place}", self.account);
        self.findings.push(Finding { code, severity, place, message, lines: Vec::new(), next: next.to_owned() });
    }
}

/// `a`, `b`, `c` and 7 more
fn some_of(names: &[&str], total: usize) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match total.saturating_sub(names.len().min(SHOWN)) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
