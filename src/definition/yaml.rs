//! YAML text → a tree in which every key and value has its location. Only this module knows the YAML crate.
//!
//! The tree, as opposed to types, allows it to report all problems of a file.

use super::place::Place;
use super::problem::Problem;
use super::size::{MAX_SIZE, SPREAD};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// Most keys and values of a definition, including those that aliases repeat. A definition of 10,000 virtual streams,
/// each with three limits and a consumer, has 230,000.
const MOST_NODES: usize = 250_000;
/// Most entries of one list or mapping in a file.
const MOST_ENTRIES: usize = 50_000;

/// The number of keys, values and bytes of text that the remaining files of a definition may have.
#[derive(Debug)]
pub(super) struct Budget {
    nodes: usize,
    /// Bytes of text.
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: MOST_NODES, bytes: 2 * MAX_SIZE }
    }
}

impl Budget {
    /// Returns `true` if nothing was read yet.
    fn is_whole(&self) -> bool {
        self.nodes == MOST_NODES
    }

    /// Returns `true` if no more files are read.
    pub(super) fn is_spent(&self) -> bool {
        self.nodes == 0
    }

    fn spend(&mut self, nodes: usize, bytes: usize) -> Option<()> {
        let left = (self.nodes.checked_sub(nodes), self.bytes.checked_sub(bytes));
        (self.nodes, self.bytes) = (left.0.unwrap_or(0), left.1.unwrap_or(0));
        left.0.and(left.1).map(drop)
    }

    /// Spends the part of the budget that a broken file may have used: a node per byte. If it has anchors, which may be
    /// repeated, spends everything.
    fn spend_on_broken(&mut self, text: &str) {
        let nodes = if text.contains('&') { self.nodes } else { text.len() };
        self.spend(nodes, 0);
    }
}

/// A value with its location.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// A value by the rules of YAML 1.2. A string is never read as another type, or another type as a string.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// Entries in the order of the file. A key may occur twice.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// Describes the value for users.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("the boolean `{value}`"),
            Self::Int(value) => format!("the number `{value}`"),
            Self::Float(value) => format!("the number `{value}`"),
            Self::Text(value) => format!("the text `{value}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

impl Node {
    /// Returns `true` if the values are equal, regardless of their locations.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.total_cmp(b).is_eq(),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len() && by_key(a).zip(by_key(b)).all(|((k, v), (l, w))| k.same(l) && v.same(w))
            }
            _ => false,
        }
    }

    /// Returns the text, if the value is a string.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the location to which the keys of `path` lead: the value, or its nearest existing parent.
    pub(super) fn find(&self, path: &[String]) -> Place {
        let (mut node, mut place) = (self, self.place);
        for name in path {
            let Value::Map(entries) = &node.value else { break };
            let Some((key, value)) = entries.iter().find(|(key, _)| key.text() == Some(name)) else { break };
            place = if matches!(value.value, Value::Map(_)) { key.place } else { value.place };
            node = value;
        }
        place
    }
}

/// Returns the entries of a mapping in the order of their keys' texts.
fn by_key(entries: &[(Node, Node)]) -> impl Iterator<Item = &(Node, Node)> {
    let mut entries: Vec<&(Node, Node)> = entries.iter().collect();
    entries.sort_by_key(|(key, _)| key.text());
    entries.into_iter()
}

/// Reads one document within the rest of the definition's budget. `file` is the index of the file for locations.
pub(super) fn read(text: &str, file: usize, left: &mut Budget) -> Result<Node, Box<Problem>> {
    let budget = serde_saphyr::budget! {
        max_events: 2 * left.nodes,
        max_nodes: left.nodes,
        max_depth: 32,
        max_documents: 1,
        max_aliases: MOST_ENTRIES,
        max_total_scalar_bytes: left.bytes,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Merge,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: left.nodes },
        strict_booleans: true,
        no_schema: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Tree>(text, options) {
        Ok(tree) => {
            let mut held = (0, 0);
            let node = tree.into_node(file, &mut held);
            left.spend(held.0, held.1).map(|()| node).ok_or_else(|| too_large(file))
        }
        Err(error) if !left.is_whole() && is_too_large(&error) => {
            left.spend(left.nodes, 0);
            Err(too_large(file))
        }
        Err(error) => {
            left.spend_on_broken(text);
            let place = error.location().map_or(Place { file, ..Place::default() }, |at| place(at, file));
            let message = error.to_string();
            let message = message.lines().next().unwrap_or_default();
            // The location is shown separately.
            let message = message.split(" at line ").next().unwrap_or(message);
            Err(Box::new(Problem::new("yaml", place, format!("not valid YAML: {message}"))))
        }
    }
}

/// Returns `true` if the file exceeds the rest of the definition's budget.
fn is_too_large(error: &serde_saphyr::Error) -> bool {
    use serde_saphyr::Error;
    match error {
        Error::AliasError { error, .. } => is_too_large(error),
        Error::AliasReplayLimitExceeded { .. } => true,
        Error::Budget { breach, .. } => matches!(
            breach,
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } | BudgetBreach::ScalarBytes { .. }
        ),
        _ => false,
    }
}

fn too_large(file: usize) -> Box<Problem> {
    let start = Place { file, line: 1, column: 1, ..Place::default() };
    let message = format!(
        "with this file the definition has more than {MOST_NODES} keys and values, those that aliases repeat included, or \
         more than {} MB of text in them",
        2 * MAX_SIZE / 1_000_000
    );
    Box::new(Problem::new("too-large", start, message).help(SPREAD))
}

fn place(at: Location, file: usize) -> Place {
    let span = at.span();
    let start = span.byte_offset().unwrap_or(0);
    let length = span.byte_len().unwrap_or(0);
    Place { file, line: at.line(), column: at.column(), start: start as usize, end: (start + length) as usize }
}

/// The tree that `serde` builds.
struct Tree(Spanned<Raw>);

enum Raw {
    Leaf(Value),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

impl Tree {
    /// Converts the tree to a node. Adds its nodes and bytes of text to `held`.
    fn into_node(self, file: usize, held: &mut (usize, usize)) -> Node {
        held.0 += 1;
        let value = match self.0.value {
            Raw::Leaf(value) => {
                held.1 += if let Value::Text(text) = &value { text.len() } else { 0 };
                value
            }
            Raw::List(items) => Value::List(items.into_iter().map(|item| item.into_node(file, held)).collect()),
            Raw::Map(entries) => {
                let node = |(key, value): (Self, Self)| (key.into_node(file, held), value.into_node(file, held));
                Value::Map(entries.into_iter().map(node).collect())
            }
        };
        Node { place: place(self.0.referenced, file), value }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Int(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Int(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Int(value)))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Raw, E> {
        i128::try_from(value).map(|value| Raw::Leaf(Value::Int(value))).map_err(|_| E::custom("number too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Text(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Text(value)))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Raw, E> {
        Err(E::custom("binary data has no use here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            few::<A::Error>(items.len())?;
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<Tree, Tree>()? {
            few::<A::Error>(entries.len())?;
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

fn few<E: serde::de::Error>(entries: usize) -> Result<(), E> {
    match entries < MOST_ENTRIES {
        true => Ok(()),
        false => Err(E::custom(format!("a list or a mapping has more than {MOST_ENTRIES} entries"))),
    }
}
