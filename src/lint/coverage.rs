//! Live clusters that an entry leaves out, and named clusters that have no live server.

use super::LintInput;
use super::report::{AccountFindings, some_of};
use crate::model::finding::Severity;
use std::collections::{BTreeMap, HashSet};

/// Entries with the same defect, per cluster and owner.
#[derive(Default)]
struct Group<'a> {
    shown: Vec<&'a str>,
    total: usize,
}

impl<'a> Group<'a> {
    fn push(&mut self, source: &'a str) {
        if self.shown.len() < 3 {
            self.shown.push(source);
        }
        self.total += 1;
    }
}

pub(super) fn check(input: &LintInput<'_>, report: &mut AccountFindings<'_>) {
    if input.clusters.is_empty() {
        return;
    }
    let live: HashSet<&str> = input.clusters.iter().copied().collect();
    let mut uncovered: BTreeMap<(&str, bool), Group<'_>> = BTreeMap::new();
    let mut unknown: BTreeMap<(&str, bool), Group<'_>> = BTreeMap::new();
    for entry in input.entries {
        let source = entry.source;
        let named: HashSet<&str> =
            entry.destinations.iter().filter_map(|destination| destination.cluster.as_deref()).collect();
        for cluster in named.iter().filter(|cluster| !live.contains(*cluster)) {
            unknown.entry((cluster, entry.ours)).or_default().push(source);
        }
        let everywhere = named.is_empty() || entry.destinations.iter().any(|d| d.cluster.is_none());
        if !everywhere {
            for cluster in live.iter().filter(|cluster| !named.contains(*cluster)) {
                uncovered.entry((cluster, entry.ours)).or_default().push(source);
            }
        }
    }
    for ((cluster, ours), Group { shown, total }) in uncovered {
        report.at(
            if ours { Severity::Error } else { Severity::Warning },
            "cluster-not-covered",
            format!("cluster {cluster}"),
            format!(
                "live, but no destination is for it in {}: its clients' messages stay unmapped, so publishes are \
                 stored nowhere and API requests go to a stream that does not exist",
                some_of(&shown, total)
            ),
            if ours {
                "Add a region for the cluster to the definition."
            } else {
                "Add a destination for the cluster, or one without a cluster."
            },
        );
    }
    for ((cluster, ours), Group { shown, total }) in unknown {
        report.at(
            if ours { Severity::Warning } else { Severity::Info },
            "unknown-cluster",
            format!("cluster {cluster}"),
            format!("no live server belongs to it; destinations in {} are for it", some_of(&shown, total)),
            if ours { "Compare the region's `cluster` with the gateway name of its servers." } else { "" },
        );
    }
}
