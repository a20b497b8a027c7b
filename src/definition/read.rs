//! Tree → types: the [`Read`] trait, which reports every problem, and the macro [`keys!`], which makes the structs.

use super::nearest::{nearest, suggestion};
use super::place::Place;
use super::problem::{Collected, Problem};
use super::yaml::{Node, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::borrow::Cow;

/// A value with its location.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub place: Place,
    pub value: T,
}

/// Named entries in the order of the files. Each name occurs once.
#[derive(Debug, Clone)]
pub(super) struct Named<T>(pub Vec<(At<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A type that can be read from a tree. The result is `None` if a problem was reported.
pub(super) trait Read: Sized {
    /// The name of the type for users.
    const WHAT: &'static str;

    fn read(node: Node, problems: &mut Collected) -> Option<Self>;

    /// Returns the value of a missing key. Returns `None` if the key is required.
    fn absent() -> Option<Self> {
        None
    }
}

/// Reports that `node` is not of the wanted type.
pub(super) fn wrong_type(node: &Node, wanted: &str, problems: &mut Collected) {
    let found = node.value.describe();
    let help = match &node.value {
        Value::Bool(_) | Value::Int(_) | Value::Float(_) if wanted.contains("text") => "put it in quotes",
        Value::Text(text) if wanted.contains("`true`") && ["yes", "on", "no", "off"].contains(&text.as_str()) => {
            "only `true` and `false` are booleans"
        }
        Value::Text(_) if wanted.contains("number") => "write it without quotes",
        Value::Text(_) if wanted.contains("list") => "put it in brackets: [a, b]",
        _ => "",
    };
    problems.push(Problem::new("wrong-type", node.place, format!("expected {wanted}, found {found}")).help(help));
}

impl Read for Node {
    const WHAT: &'static str = "a value";

    fn read(node: Node, _: &mut Collected) -> Option<Self> {
        Some(node)
    }
}

impl Read for String {
    const WHAT: &'static str = "a text";

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        match node.value {
            Value::Text(text) => Some(text),
            _ => {
                wrong_type(&node, Self::WHAT, problems);
                None
            }
        }
    }
}

impl Read for bool {
    const WHAT: &'static str = "`true` or `false`";

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                wrong_type(&node, Self::WHAT, problems);
                None
            }
        }
    }
}

impl Read for usize {
    const WHAT: &'static str = "a whole number, 0 or more";

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        match node.value {
            Value::Int(value) if usize::try_from(value).is_ok() => usize::try_from(value).ok(),
            _ => {
                wrong_type(&node, Self::WHAT, problems);
                None
            }
        }
    }
}

impl<T: Read> Read for At<T> {
    const WHAT: &'static str = T::WHAT;

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        Some(Self { place: node.place, value: T::read(node, problems)? })
    }
}

impl<T: Read> Read for Option<T> {
    const WHAT: &'static str = T::WHAT;

    /// Reads a key without a value as absent, for example if its value is commented out.
    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        if matches!(node.value, Value::Null) { Some(None) } else { T::read(node, problems).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Read> Read for Vec<T> {
    const WHAT: &'static str = "a list";

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        let Value::List(items) = node.value else {
            wrong_type(&node, Self::WHAT, problems);
            return None;
        };
        // All items are read before the first failure counts.
        let items: Vec<Option<T>> = items.into_iter().map(|item| T::read(item, problems)).collect();
        items.into_iter().collect()
    }
}

impl<T: Read> Read for Named<T> {
    const WHAT: &'static str = "a mapping";

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        let entries = entries(node, Self::WHAT, problems)?;
        let entries: Vec<Option<(At<String>, T)>> =
            entries.into_iter().map(|(key, node)| Some((key, T::read(node, problems)?))).collect();
        entries.into_iter().collect::<Option<_>>().map(Named)
    }
}

/// Returns the entries of a mapping, with each key once. A nested mapping has the location of its key, where users
/// look.
pub(super) fn entries(node: Node, what: &str, problems: &mut Collected) -> Option<Vec<(At<String>, Node)>> {
    let Value::Map(map) = node.value else {
        wrong_type(&node, what, problems);
        return None;
    };
    let mut entries: Vec<(At<String>, Node)> = Vec::with_capacity(map.len());
    let mut seen = std::collections::HashMap::with_capacity(map.len());
    for (key, mut value) in map {
        let Value::Text(name) = key.value else {
            let message = format!("a key has to be a text, not {}", key.value.describe());
            problems.push(Problem::new("wrong-type", key.place, message).help("put it in quotes"));
            continue;
        };
        if let Some(first) = seen.insert(name.clone(), key.place) {
            seen.insert(name.clone(), first);
            if problems.is_full() {
                problems.count(1);
                continue;
            }
            problems.push(
                Problem::new("duplicate-key", key.place, format!("`{name}` is given twice"))
                    .also(first, "first given here")
                    .help("remove one of them"),
            );
            continue;
        }
        if matches!(value.value, Value::Map(_) | Value::Null) {
            value.place = key.place;
        }
        entries.push((At { place: key.place, value: name }, value));
    }
    Some(entries)
}

/// A key of a struct, for the reference documentation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// The key as written in YAML.
    pub name: &'static str,
    /// The name of the type for users.
    pub what: &'static str,
    /// The key's doc comment, line by line.
    pub doc: &'static [&'static str],
}

/// A struct made with [`keys!`].
pub(super) trait Keys {
    const KEYS: &'static [Key];
}

/// Keys of earlier versions, each with the next step.
const GONE: [(&str, &str); 1] = [(
    "region_token",
    "remove it: the cluster stands in front of the whole subject now, `$VW.west.foo.>`, and never inside it",
)];

/// Takes the values of a mapping by key, one by one.
pub(super) struct Taker {
    place: Place,
    entries: Vec<Option<(At<String>, Node)>>,
    /// Names that the user probably meant by unknown keys. They are not reported as missing, too.
    meant: Vec<&'static str>,
}

impl Taker {
    /// Makes a [`Taker`], and reports unknown keys.
    pub(super) fn new(node: Node, what: &str, keys: &'static [Key], problems: &mut Collected) -> Option<Self> {
        let place = node.place;
        let (known, unknown): (Vec<_>, Vec<_>) = entries(node, what, problems)?
            .into_iter()
            .partition(|(key, _)| keys.iter().any(|known| yaml_name(known.name) == key.value));
        let names = keys.iter().map(|key| yaml_name(key.name));
        let mut meant = Vec::new();
        let mut unknown = unknown.into_iter();
        while let Some((key, _)) = unknown.next() {
            if problems.is_full() {
                problems.count(1 + unknown.len());
                break;
            }
            if let Some((_, help)) = GONE.iter().find(|(name, _)| *name == key.value) {
                let message = format!("there is no key `{}` any more", key.value);
                problems.push(Problem::new("gone-key", key.place, message).help(*help));
                continue;
            }
            meant.extend(nearest(&key.value, names.clone()));
            problems.push(
                Problem::new("unknown-key", key.place, format!("unknown key `{}`", key.value))
                    .help(suggestion(&key.value, names.clone())),
            );
        }
        Some(Self { place, entries: known.into_iter().map(Some).collect(), meant })
    }

    /// Reads the value of `name`.
    pub(super) fn take<T: Read>(&mut self, name: &'static str, problems: &mut Collected) -> Option<T> {
        let name = yaml_name(name);
        let entry = self.entries.iter_mut().find(|entry| entry.as_ref().is_some_and(|(key, _)| key.value == name));
        if let Some((_, node)) = entry.and_then(Option::take) {
            return T::read(node, problems);
        }
        let absent = T::absent();
        if absent.is_none() && !self.meant.contains(&name) {
            let message = format!("the key `{name}` is missing");
            problems.push(Problem::new("missing-key", self.place, message).help(format!("add `{name}:`, {}", T::WHAT)));
        }
        absent
    }
}

/// Returns `type` for the field `r#type`.
pub(super) fn yaml_name(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Makes structs whose fields are the keys of a YAML mapping, with reader, JSON Schema and reference.
macro_rules! keys {
    ($(
        $(#[doc = $about:literal])+
        struct $name:ident { $( $(#[doc = $doc:literal])+ $field:ident : $type:ty, )+ }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name {
            /// The location of the mapping.
            #[schemars(skip)]
            #[allow(dead_code, reason = "not every mapping has checks that point at it as a whole")]
            pub place: $crate::definition::place::Place,
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl $crate::definition::read::Keys for $name {
            const KEYS: &'static [$crate::definition::read::Key] = &[$( $crate::definition::read::Key {
                name: stringify!($field),
                what: <$type as $crate::definition::read::Read>::WHAT,
                doc: &[$($doc),+],
            } ),+];
        }

        impl $crate::definition::read::Read for $name {
            const WHAT: &'static str = "a mapping";

            fn read(
                node: $crate::definition::yaml::Node,
                problems: &mut $crate::definition::problem::Collected,
            ) -> Option<Self> {
                use $crate::definition::read::Keys as _;
                let place = node.place;
                let mut taker = $crate::definition::read::Taker::new(node, Self::WHAT, Self::KEYS, problems)?;
                $( let $field = taker.take(stringify!($field), problems); )+
                Some(Self { place, $( $field: $field? ),+ })
            }
        }
    )+};
}

/// Makes enums whose variants are words.
macro_rules! words {
    ($(
        $(#[doc = $about:literal])+
        enum $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, schemars::JsonSchema)]
        pub(super) enum $name { $( $(#[doc = $doc])+ #[schemars(rename = $word)] $variant, )+ }

        impl $crate::definition::read::Read for $name {
            const WHAT: &'static str = concat!("one of", $( " `", $word, "`" ),+);

            fn read(
                node: $crate::definition::yaml::Node,
                problems: &mut $crate::definition::problem::Collected,
            ) -> Option<Self> {
                match node.text() {
                    $( Some($word) => return Some(Self::$variant), )+
                    Some(other) => problems.push(
                        $crate::definition::problem::Problem::new(
                            "unknown-value",
                            node.place,
                            format!("`{other}` is not valid here"),
                        )
                        .help($crate::definition::nearest::suggestion(other, [$($word),+])),
                    ),
                    None => $crate::definition::read::wrong_type(&node, Self::WHAT, problems),
                }
                None
            }
        }
    )+};
}

pub(super) use {keys, words};

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}
