//! Checks of an account's whole mapping set, ours and other tools': what servers refuse, and what they accept but
//! should not.

mod coverage;
mod destinations;
mod input;
mod listeners;
mod names;
mod overlaps;
mod report;
#[cfg(test)]
mod tests;

pub use input::{Entry, LintInput, Listener, ListenerKind};
use report::AccountFindings;

use crate::model::finding::Finding;
use crate::model::subject::SubjectFilter;
use crate::model::subject_trie::SubjectTrie;

/// Codes of the findings that `--allow` may admit, since the user may be about to move the listener.
pub const ALLOWABLE: [&str; 5] = [
    "subscription-stops",
    "service-import-stops",
    "service-export-stops",
    "stream-export-stops",
    "stream-import-unmapped",
];

/// Checks the mappings.
///
/// Findings about our mappings are errors, unless they are harmless. Findings about only other mappings are warnings at
/// most. `docs/reference/findings.md` lists them.
pub fn lint(input: &LintInput<'_>) -> Vec<Finding> {
    let mut report = AccountFindings { account: input.account, findings: Vec::new() };
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
    names::check(input, &mut report);
    destinations::check(input, &sources, &mut report);
    overlaps::check(input, &sources, &mut report);
    coverage::check(input, &mut report);
    listeners::check(input, &mut report);
    report.findings
}
