//! Sources with common subjects. Each server picks one of the entries by its own Go map order.

use super::LintInput;
use super::report::{AccountFindings, some_of};
use crate::model::finding::Severity;
use crate::model::subject_trie::SubjectTrie;
use std::ops::ControlFlow;

pub(super) fn check(input: &LintInput<'_>, sources: &SubjectTrie<'_, usize>, report: &mut AccountFindings<'_>) {
    for (index, entry) in input.entries.iter().enumerate() {
        let source = entry.source;
        let mut others = Vec::new();
        sources.overlapping(source, &mut |found| {
            if *found > index {
                others.push(*found);
            }
            ControlFlow::Continue(())
        });
        // A source that is not a subject is not in the trie. It was already reported.
        if others.is_empty() || crate::model::subject::SubjectFilter::parse(source).is_err() {
            continue;
        }
        others.sort_unstable();
        let ours = entry.ours || others.iter().any(|other| input.entries[*other].ours);
        let names: Vec<&str> = others.iter().take(3).map(|other| input.entries[*other].source).collect();
        report.at(
            if ours { Severity::Error } else { Severity::Warning },
            "overlapping-sources",
            format!("mapping {source}"),
            format!(
                "overlaps {}: for subjects in both, each server uses the one that it happens to try first, anew after \
                 each push",
                some_of(&names, others.len())
            ),
            "Change or remove one of them, so that no subject matches both.",
        );
    }
}
