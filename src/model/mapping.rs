//! Subject mappings of an account, as in its JWT (`nats.mappings`).

use super::subject::SubjectFilter;
use super::subject_trie::SubjectTrie;
use serde::Serialize;
use std::ops::ControlFlow;

/// One weighted destination of a mapping (`WeightedMapping` of nats-io/jwt v2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Destination {
    /// Destination subject; may use `{{wildcard(1)}}` and the other transform functions.
    pub subject: String,
    /// Percentage of the messages. In the JWT, a missing weight or 0 means 100, and is 100 here.
    pub weight: u8,
    /// The cluster whose clients the destination is for. If `None`, it is for all clusters that no other destination
    /// lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// One source subject with its destinations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// Source; may have wildcards.
    pub source: SubjectFilter,
    /// Destinations, in the order of the JWT.
    pub destinations: Vec<Destination>,
}

/// A mapping as a token has it, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RawMapping {
    /// Source; may be any text.
    pub source: String,
    /// Destinations, in the order of the JWT.
    pub destinations: Vec<Destination>,
}

impl From<&Mapping> for RawMapping {
    fn from(Mapping { source, destinations }: &Mapping) -> Self {
        Self { source: source.as_str().to_owned(), destinations: destinations.clone() }
    }
}

impl From<Mapping> for RawMapping {
    fn from(Mapping { source, destinations }: Mapping) -> Self {
        Self { source: source.to_string(), destinations }
    }
}

impl Mapping {
    /// Returns `true` if `raw` has the same source and, in any order, the same destinations.
    ///
    /// Destinations are compared as text, because servers treat different spellings of one function as different
    /// destinations.
    pub fn same_as(&self, raw: &RawMapping) -> bool {
        if self.source.as_str() != raw.source || self.destinations.len() != raw.destinations.len() {
            return false;
        }
        let sorted = |destinations: &[Destination]| {
            let mut sorted = destinations.to_vec();
            sorted.sort();
            sorted
        };
        self.destinations == raw.destinations || sorted(&self.destinations) == sorted(&raw.destinations)
    }
}

/// Two sources of one set that match a common subject.
///
/// A server tries the entries of a JWT in a random order of its own (Go map order). The first match wins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mapping sources `{first}` and `{second}` overlap: each server would pick one of them at random")]
pub struct Overlap {
    /// The first of the two in the set.
    pub first: SubjectFilter,
    /// The other.
    pub second: SubjectFilter,
}

/// The mappings that a definition asks for, each source once, none overlapping another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct MappingSet(Vec<Mapping>);

impl MappingSet {
    /// Builds a set of the mappings, in this order.
    ///
    /// # Errors
    /// [`Overlap`], with the first two mappings whose sources overlap. A source given twice counts too.
    pub fn new(mappings: Vec<Mapping>) -> Result<Self, Overlap> {
        let mut trie = SubjectTrie::default();
        for (index, mapping) in mappings.iter().enumerate() {
            if let Some(first) = first_overlap(&trie, mapping.source.as_str()) {
                let first: &Mapping = &mappings[first];
                return Err(Overlap { first: first.source.clone(), second: mapping.source.clone() });
            }
            trie.insert(mapping.source.as_str(), index);
        }
        drop(trie);
        Ok(Self(mappings))
    }

    /// The mappings in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Mapping> {
        self.0.iter()
    }

    /// The number of sources.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// `true` if there are no mappings.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a MappingSet {
    type Item = &'a Mapping;
    type IntoIter = std::slice::Iter<'a, Mapping>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn first_overlap(trie: &SubjectTrie<'_, usize>, source: &str) -> Option<usize> {
    let mut found = None;
    trie.overlapping(source, &mut |index| {
        found = Some(*index);
        ControlFlow::Break(())
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(source: &str) -> Mapping {
        Mapping { source: SubjectFilter::parse(source).unwrap(), destinations: Vec::new() }
    }

    #[test]
    fn overlapping_sources_are_refused_by_name() {
        let overlap = MappingSet::new(vec![mapping("a.b"), mapping("foo.>"), mapping("foo.*.x")]).unwrap_err();
        assert_eq!((overlap.first.as_str(), overlap.second.as_str()), ("foo.>", "foo.*.x"));
        assert!(MappingSet::new(vec![mapping("a"), mapping("a")]).is_err());
    }

    #[test]
    fn order_is_kept() {
        let set = MappingSet::new(vec![mapping("z"), mapping("a.*"), mapping("m.>")]).unwrap();
        assert_eq!(set.iter().map(|m| m.source.as_str()).collect::<Vec<_>>(), ["z", "a.*", "m.>"]);
        assert_eq!(set.len(), 3);
    }

    #[test]
    fn destinations_are_the_same_in_any_order() {
        let to = |subject: &str, cluster: &str| Destination {
            subject: subject.to_owned(),
            weight: 100,
            cluster: Some(cluster.to_owned()),
        };
        let mapping =
            Mapping { source: SubjectFilter::parse("a").unwrap(), destinations: vec![to("b", "x"), to("c", "y")] };
        let mut raw = RawMapping::from(&mapping);
        raw.destinations.reverse();
        assert!(mapping.same_as(&raw));
        raw.destinations[0].weight = 50;
        assert!(!mapping.same_as(&raw));
    }
}
