//! Checks for overlapping subjects within an account. Servers apply overlapping mappings in random order (measured,
//! 2.15.1), and refuse streams with overlapping subjects.

use super::virtual_stream::Placed;
use crate::definition::place::Place;
use crate::definition::problem::{Collected, Problem};
use crate::model::subject::SubjectFilter;
use std::collections::{HashMap, HashSet};

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
    let mut tree = Tree::default();
    let mut reported = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let tokens: Vec<&str> = entry.filter.tokens().collect();
        let mut found = Vec::new();
        tree.overlapping(&tokens, &mut found);
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
        tree.insert(&tokens, index);
    }
}

/// A tree of filters by token, which avoids comparing every pair.
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
