//! Checks an entry's destinations as servers do, and the subjects to which they lead.

use super::report::AccountFindings;
use super::{Entry, LintInput};
use crate::model::finding::Severity;
use crate::model::subject_trie::SubjectTrie;
use crate::model::transform::Transform;
use std::collections::HashMap;
use std::ops::ControlFlow;

pub(super) fn check(input: &LintInput<'_>, sources: &SubjectTrie<'_, usize>, report: &mut AccountFindings<'_>) {
    for (index, entry) in input.entries.iter().enumerate() {
        weights(entry, report);
        dropped(entry, report);
        let mut seen: HashMap<String, &str> = HashMap::with_capacity(entry.destinations.len());
        let mut own = false;
        for destination in entry.destinations {
            let Some(transform) = transform(entry, &destination.subject, report) else { continue };
            if let Some(first) = seen.insert(transform.canonical(), &destination.subject) {
                duplicate(entry, first, &destination.subject, report);
            }
            let result = transform.result_filter();
            own |= leads_into(input, index, &destination.subject, &result, sources, report);
        }
        if own {
            inside(entry, report);
        }
    }
}

/// Returns the transform, if servers accept it.
fn transform<'a>(entry: &Entry<'a>, destination: &'a str, report: &mut AccountFindings<'_>) -> Option<Transform<'a>> {
    let source = entry.source;
    if destination.contains(' ') {
        report.add(
            entry.ours,
            "space-in-destination",
            source,
            format!("`{destination}` has a space: in an account's token that makes servers refuse the whole token"),
            "Write it without spaces, as `{{wildcard(1)}}`.",
        );
    }
    match Transform::parse_mapping(source, destination) {
        Ok(transform) => {
            if transform.has_index_below_one() {
                report.add(
                    entry.ours,
                    "wildcard-zero",
                    source,
                    format!(
                        "`{destination}` refers to a wildcard below 1, which servers take for the subject's first token"
                    ),
                    "Count wildcards from 1.",
                );
            }
            Some(transform)
        }
        Err(error) => {
            report.add(
                entry.ours,
                "bad-destination",
                source,
                format!(
                    "to `{destination}`: {error}; servers refuse the entry, and before 2.15 drop it without a word"
                ),
                "Correct the destination or remove the entry.",
            );
            None
        }
    }
}

/// Checks the weights: 1 to 100 each, and at most 100 together per cluster (nats-server 2.15 `AddWeightedMappings`).
fn weights(entry: &Entry<'_>, report: &mut AccountFindings<'_>) {
    let mut sums: HashMap<Option<&str>, u32> = HashMap::new();
    for destination in entry.destinations {
        if destination.weight == 0 || destination.weight > 100 {
            report.add(
                entry.ours,
                "weight-out-of-range",
                entry.source,
                format!("to `{}`: weight {}; a weight is 1 to 100 percent", destination.subject, destination.weight),
                "Correct the weight.",
            );
        }
        *sums.entry(destination.cluster.as_deref()).or_default() += u32::from(destination.weight);
    }
    let mut over: Vec<_> = sums.into_iter().filter(|(_, sum)| *sum > 100).collect();
    over.sort_unstable();
    for (cluster, sum) in over {
        let of = cluster.map_or_else(|| "without a cluster".to_owned(), |cluster| format!("for cluster {cluster}"));
        report.add(
            entry.ours,
            "weights-over-100",
            entry.source,
            format!("the weights of the destinations {of} add up to {sum}; servers refuse the entry"),
            "Lower the weights to 100 together, or name the cluster of each destination.",
        );
    }
}

/// Reports a source that is one of its own destinations. Servers then add no identity mapping for the remaining weight,
/// and drop these messages.
fn dropped(entry: &Entry<'_>, report: &mut AccountFindings<'_>) {
    let destinations = entry.destinations;
    if !destinations.iter().any(|destination| destination.subject == entry.source) {
        return;
    }
    let mut sums: HashMap<Option<&str>, u32> = HashMap::new();
    for destination in destinations {
        *sums.entry(destination.cluster.as_deref()).or_default() += u32::from(destination.weight);
    }
    let everywhere = sums.get(&None).copied().unwrap_or(0);
    if everywhere < 100 || sums.values().any(|sum| *sum < 100) {
        report.add(
            entry.ours,
            "remainder-dropped",
            entry.source,
            "the source is one of its own destinations, and the weights leave a remainder or a cluster out: \
             servers drop those messages"
                .to_owned(),
            "Let the weights add up to 100 in every cluster, unless the loss is wanted.",
        );
    }
}

fn duplicate(entry: &Entry<'_>, first: &str, second: &str, report: &mut AccountFindings<'_>) {
    let (message, next) = if first == second {
        (
            format!(
                "destination `{first}` twice: servers refuse the entry, even for two different clusters \
                 (2.15.1: error 500; before, it is dropped without a word)"
            ),
            "Name the destination once; for clusters that share it, leave the cluster out.",
        )
    } else {
        (
            format!("`{first}` and `{second}` are two spellings of one destination; servers take them for two"),
            "Name the destination once.",
        )
    };
    report.add(entry.ours, "duplicate-destination", entry.source, message, next);
}

/// Reports destinations that are also sources. Returns `true` if a destination lies inside the entry's own source.
fn leads_into(
    input: &LintInput<'_>,
    index: usize,
    destination: &str,
    result: &str,
    sources: &SubjectTrie<'_, usize>,
    report: &mut AccountFindings<'_>,
) -> bool {
    let entry = &input.entries[index];
    let mut own = false;
    let mut other = None;
    sources.overlapping(result, &mut |found| {
        if *found == index {
            own = destination != entry.source;
        } else {
            other.get_or_insert(*found);
        }
        if own && other.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(other) = other.map(|other| &input.entries[other]) {
        // Messages that a virtual stream should capture would not be stored anywhere.
        let severity = if !entry.ours && other.ours { Severity::Warning } else { Severity::Info };
        report.at(
            severity,
            "mapped-once",
            format!("mappings {} and {}", entry.source, other.source),
            format!(
                "destination `{destination}` of the first is the source of the second; servers map a message once, \
                 so it is not mapped on to what the second says"
            ),
            match severity {
                Severity::Warning => "Let the first entry's destinations be the second's.",
                _ => "",
            },
        );
    }
    own
}

fn inside(entry: &Entry<'_>, report: &mut AccountFindings<'_>) {
    report.at(
        Severity::Info,
        "destination-inside-source",
        format!("mapping {}", entry.source),
        "a destination lies inside the source: what is published there directly is mapped again".to_owned(),
        "",
    );
}
