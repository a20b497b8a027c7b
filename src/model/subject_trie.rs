//! A set of many subject filters that quickly finds those that overlap another one.

use std::collections::HashMap;
use std::ops::ControlFlow;

/// Subject filters, each with a value. A search for overlapping filters costs about the number of tokens. It costs more
/// if many of the filters have wildcards.
#[derive(Debug)]
pub struct SubjectTrie<'a, T> {
    nodes: Vec<Node<'a, T>>,
}

#[derive(Debug)]
struct Node<'a, T> {
    children: HashMap<&'a str, usize>,
    values: Vec<T>,
}

impl<T> Default for Node<'_, T> {
    fn default() -> Self {
        Self { children: HashMap::new(), values: Vec::new() }
    }
}

impl<T> Default for SubjectTrie<'_, T> {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl<'a, T> SubjectTrie<'a, T> {
    /// Adds a filter. The same filter may be added again with another value.
    pub fn insert(&mut self, filter: &'a str, value: T) {
        let mut at = 0;
        for token in filter.split('.') {
            let next = self.nodes.len();
            at = *self.nodes[at].children.entry(token).or_insert(next);
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].values.push(value);
    }

    /// Calls `visit` with the value of each filter that has a subject in common with `filter`, until it breaks.
    pub fn overlapping(&self, filter: &str, visit: &mut impl FnMut(&T) -> ControlFlow<()>) {
        let tokens: Vec<&str> = filter.split('.').collect();
        let _ = self.walk(0, &tokens, visit);
    }

    fn walk(&self, at: usize, tokens: &[&str], visit: &mut impl FnMut(&T) -> ControlFlow<()>) -> ControlFlow<()> {
        let node = &self.nodes[at];
        match tokens {
            [] => self.values(at, visit),
            [">"] => node.children.values().try_for_each(|child| self.below(*child, visit)),
            ["*", rest @ ..] => node.children.iter().try_for_each(|(token, child)| {
                if *token == ">" { self.values(*child, visit) } else { self.walk(*child, rest, visit) }
            }),
            [token, rest @ ..] => {
                for child in [*token, "*"].iter().filter_map(|token| node.children.get(token)) {
                    self.walk(*child, rest, visit)?;
                }
                node.children.get(">").map_or(ControlFlow::Continue(()), |child| self.values(*child, visit))
            }
        }
    }

    fn values(&self, at: usize, visit: &mut impl FnMut(&T) -> ControlFlow<()>) -> ControlFlow<()> {
        self.nodes[at].values.iter().try_for_each(visit)
    }

    fn below(&self, at: usize, visit: &mut impl FnMut(&T) -> ControlFlow<()>) -> ControlFlow<()> {
        self.values(at, visit)?;
        self.nodes[at].children.values().try_for_each(|child| self.below(*child, visit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::subject::SubjectFilter;
    use crate::model::subject::tests::filters;
    use proptest::prelude::*;

    fn found(trie: &SubjectTrie<'_, usize>, filter: &str) -> Vec<usize> {
        let mut found = Vec::new();
        trie.overlapping(filter, &mut |index| {
            found.push(*index);
            ControlFlow::Continue(())
        });
        found.sort_unstable();
        found
    }

    proptest! {
        #[test]
        fn finds_what_comparing_each_finds(
            stored in prop::collection::vec(filters(), 0..40),
            asked in filters(),
        ) {
            let mut trie = SubjectTrie::default();
            for (index, filter) in stored.iter().enumerate() {
                trie.insert(filter, index);
            }
            let query = SubjectFilter::parse(&asked).unwrap();
            let naive: Vec<usize> = stored
                .iter()
                .enumerate()
                .filter(|(_, filter)| SubjectFilter::parse(filter).unwrap().overlaps(&query))
                .map(|(index, _)| index)
                .collect();
            prop_assert_eq!(found(&trie, &asked), naive);
        }
    }

    #[test]
    fn stops_when_told() {
        let mut trie = SubjectTrie::default();
        for index in 0..10 {
            trie.insert("a.*", index);
        }
        let mut seen = 0;
        trie.overlapping("a.b", &mut |_| {
            seen += 1;
            if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(seen, 3);
    }
}
