//! Overlapping subjects within an account: servers apply overlapping mappings in random order (measured, 2.15.1), and
//! refuse streams whose subjects overlap.

use super::virtual_stream::Placed;
use crate::definition::problem::{Collected, Place, Problem};
use crate::model::subject::SubjectFilter;
use crate::model::topology::Topology;
use crate::model::virtual_stream::Account;
use std::collections::{HashMap, HashSet};

/// A subject with whose it is, and whether it is virtual or captured in a region.
struct Entry<'a> {
    filter: SubjectFilter,
    stream: usize,
    name: &'a str,
    virtual_subject: &'a SubjectFilter,
    region: Option<&'a str>,
    place: Place,
}

impl Entry<'_> {
    fn describe(&self) -> String {
        let Self { filter, name, virtual_subject, .. } = self;
        match self.region {
            None => format!("`{filter}` of virtual stream `{name}`"),
            Some(region) => {
                format!("`{filter}` (`{virtual_subject}` of virtual stream `{name}`, published in region `{region}`)")
            }
        }
    }
}

/// Checks all subjects of one account, as published and as captured, against each other.
pub(super) fn overlaps(account: &Account, streams: &[Placed], topology: &Topology, problems: &mut Collected) {
    let mut entries = Vec::new();
    for (index, Placed { stream, subjects, .. }) in streams.iter().enumerate() {
        for (subject, place) in stream.subjects.iter().zip(subjects) {
            let entry = |filter, region| Entry {
                filter,
                stream: index,
                name: stream.name.as_str(),
                virtual_subject: subject,
                region,
                place: *place,
            };
            entries.push(entry(subject.clone(), None));
            for region in &topology.regions {
                entries.push(entry(account.captured(stream, subject, &region.name), Some(region.name.as_str())));
            }
        }
    }
    let mut tree = Tree::default();
    let mut reported = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let tokens: Vec<&str> = entry.filter.tokens().collect();
        let mut found = Vec::new();
        tree.overlapping(&tokens, &mut found);
        found.sort_unstable();
        for other in found.into_iter().map(|other| &entries[other]) {
            // A stream's captured subjects lie within its own virtual ones: that is how mapping works.
            if other.stream == entry.stream && other.region.is_some() != entry.region.is_some() {
                continue;
            }
            // One message for each pair of subjects.
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
        tree.insert(&tokens, index);
    }
}

/// Filters by token, so that ten thousand subjects need no hundred million comparisons.
#[derive(Default)]
struct Tree<'a> {
    here: Vec<usize>,
    next: HashMap<&'a str, Tree<'a>>,
}

impl<'a> Tree<'a> {
    fn insert(&mut self, tokens: &[&'a str], index: usize) {
        match tokens {
            [] => self.here.push(index),
            [first, rest @ ..] => self.next.entry(first).or_default().insert(rest, index),
        }
    }

    fn overlapping(&self, tokens: &[&str], found: &mut Vec<usize>) {
        let Some((first, rest)) = tokens.split_first() else {
            found.extend(&self.here);
            return;
        };
        if *first == ">" {
            self.next.values().for_each(|tree| tree.all(found));
            return;
        }
        if let Some(tree) = self.next.get(">") {
            found.extend(&tree.here);
        }
        if *first == "*" {
            self.next.iter().filter(|(token, _)| **token != ">").for_each(|(_, tree)| tree.overlapping(rest, found));
            return;
        }
        for token in [*first, "*"] {
            if let Some(tree) = self.next.get(token) {
                tree.overlapping(rest, found);
            }
        }
    }

    fn all(&self, found: &mut Vec<usize>) {
        found.extend(&self.here);
        self.next.values().for_each(|tree| tree.all(found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter() -> impl Strategy<Value = String> {
        (prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 1..4), any::<bool>())
            .prop_map(|(tokens, all)| if all { format!("{}.>", tokens.join(".")) } else { tokens.join(".") })
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_comparing_finds(filters in prop::collection::vec(filter(), 1..12), asked in filter()) {
            let filters: Vec<_> = filters.iter().map(|f| SubjectFilter::parse(f).unwrap()).collect();
            let asked = SubjectFilter::parse(&asked).unwrap();
            let mut tree = Tree::default();
            for (index, filter) in filters.iter().enumerate() {
                tree.insert(&filter.tokens().collect::<Vec<_>>(), index);
            }
            let mut found = Vec::new();
            tree.overlapping(&asked.tokens().collect::<Vec<_>>(), &mut found);
            found.sort_unstable();
            let compared: Vec<_> = (0..filters.len()).filter(|i| filters[*i].overlaps(&asked)).collect();
            prop_assert_eq!(found, compared);
        }
    }
}
