//! Checks for overlapping subjects within an account. Servers apply overlapping mappings in random order (measured,
//! 2.15.1), and refuse streams with overlapping subjects.

use super::virtual_stream::Placed;
use crate::definition::place::Place;
use crate::definition::problem::{Collected, Problem};
use crate::model::subject::SubjectFilter;
use crate::model::subject_trie::SubjectTrie;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// A subject with its virtual stream.
struct Entry<'a> {
    filter: &'a SubjectFilter,
    stream: usize,
    name: &'a str,
    place: Place,
}

impl Entry<'_> {
    fn describe(&self) -> String {
        format!("`{}` of virtual stream `{}`", self.filter, self.name)
    }
}

/// Checks all subjects of one account against each other. Captured subjects overlap only if these do.
pub(super) fn overlaps(streams: &[Placed], problems: &mut Collected) {
    let mut entries = Vec::new();
    for (index, Placed { stream, subjects, .. }) in streams.iter().enumerate() {
        let of = stream.subjects.iter().zip(subjects);
        let name = stream.name.as_str();
        entries.extend(of.map(|(filter, place)| Entry { filter, stream: index, name, place: *place }));
    }
    // Avoids comparing every pair.
    let mut earlier = SubjectTrie::default();
    let mut reported = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut found = Vec::new();
        earlier.overlapping(entry.filter.as_str(), &mut |other: &usize| {
            found.push(*other);
            ControlFlow::Continue(())
        });
        found.sort_unstable();
        for other in found.into_iter().map(|other| &entries[other]) {
            // Each pair is reported once.
            let (a, b) = (entry.place.min(other.place), entry.place.max(other.place));
            if !reported.insert((a, b)) {
                continue;
            }
            let message = format!("subjects overlap: {} and {}", entry.describe(), other.describe());
            let help = if entry.stream == other.stream {
                "remove the narrower of the two"
            } else {
                "make the subjects disjoint, or put them into one virtual stream"
            };
            let problem = Problem::new("overlapping-subjects", entry.place, message);
            problems.push(problem.also(other.place, "the other subject").help(help));
        }
        earlier.insert(entry.filter.as_str(), index);
    }
}
