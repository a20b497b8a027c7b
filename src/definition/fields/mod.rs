//! Fields of streams, consumers, buckets and limits by their API names: tables of what may be set, and the conversion
//! of what is written into what the API takes. To add a field of the API: add a line to a table.

mod bucket;
mod consumer;
mod convert;
mod limits;
mod stream;

pub(super) use bucket::BucketTable;
pub(super) use consumer::ConsumerTable;
pub(super) use convert::{config, regions};
pub(super) use limits::LimitTable;
pub(super) use stream::{ReadTable, WriteTable};

use super::problem::Collected;
use super::read::{Named, Read};
use super::yaml::Node;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::marker::PhantomData;

/// What a field takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Bool,
    /// A whole number between the two, both included.
    Int(i64, i64),
    /// `512MiB`; bytes in the API.
    Size,
    /// `24h`; nanoseconds in the API.
    Duration,
    /// RFC 3339.
    Time,
    /// One of the words.
    Word(&'static [&'static str]),
    Texts,
    Durations,
    /// Names to texts.
    TextMap,
    /// Fields of its own.
    Object(&'static [Field]),
    /// A value of any form (refused fields).
    Any,
}

/// Whether a field may be set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    Allowed,
    /// Not at all, and why.
    Refused(&'static str),
    /// Only to this value, and why.
    Only(Fixed, &'static str),
    /// Only where one region alone has it, and why.
    OneRegion(&'static str),
}

/// The one value of a [`Rule::Only`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fixed {
    Int(i64),
    Word(&'static str),
}

impl Fixed {
    pub(super) fn json(self) -> Value {
        match self {
            Self::Int(value) => value.into(),
            Self::Word(value) => value.into(),
        }
    }

    /// As a person writes it.
    pub(super) fn text(self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Word(value) => value.to_owned(),
        }
    }
}

/// A field of an object of the API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub rule: Rule,
    pub doc: &'static str,
}

/// The fields that a key such as `write` takes.
pub(super) trait Table {
    /// For messages: `a write stream`.
    const OF: &'static str;
    /// Name of its JSON Schema.
    const SCHEMA: &'static str;
    /// Whether fields of newer servers may be given under `extra`.
    const EXTRA: bool = true;
    /// Whether `regions` restricts where it is provisioned.
    const REGIONS: bool = false;

    fn fields() -> Vec<Field>;
}

/// Fields as written, for the table `T`.
#[derive(Debug)]
pub(super) struct Fields<T> {
    pub entries: Named<Node>,
    table: PhantomData<T>,
}

impl<T: Table> Read for Fields<T> {
    const WHAT: &'static str = "a mapping of fields";

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        let empty = matches!(node.value, super::yaml::Value::Null);
        let entries = if empty { Named::default() } else { Named::read(node, problems)? };
        Some(Self { entries, table: PhantomData })
    }
}

impl<T: Table> JsonSchema for Fields<T> {
    fn schema_name() -> Cow<'static, str> {
        T::SCHEMA.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut properties = object(&T::fields());
        if T::REGIONS {
            let doc = "Regions that have it. Default: all.";
            properties.insert(
                "regions".to_owned(),
                json!({ "type": "array", "items": { "type": "string" }, "description": doc }),
            );
        }
        if T::EXTRA {
            let doc = "Fields of newer servers, passed on as they are.";
            properties.insert("extra".to_owned(), json!({ "type": "object", "description": doc }));
        }
        schemars::json_schema!({
            "type": ["object", "null"],
            "description": format!("Fields of {}, by their API names.", T::OF),
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// JSON Schema properties of the fields that may be set.
fn object(fields: &[Field]) -> Map<String, Value> {
    let settable = fields.iter().filter(|field| !matches!(field.rule, Rule::Refused(_)));
    settable
        .map(|field| {
            let mut schema = match field.rule {
                Rule::Only(Fixed::Int(0), _) if matches!(field.shape, Shape::Duration) => json!({ "enum": [0, "0s"] }),
                Rule::Only(fixed, _) => json!({ "const": fixed.json() }),
                _ => schema(field.shape),
            };
            schema["description"] = field.doc.into();
            (field.name.to_owned(), schema)
        })
        .collect()
}

fn schema(shape: Shape) -> Value {
    let duration = || json!({ "anyOf": [{ "type": "string", "pattern": DURATION_PATTERN }, { "const": 0 }] });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int(least, most) if most == i64::MAX => json!({ "type": "integer", "minimum": least }),
        Shape::Int(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Size => json!({ "anyOf": [{ "type": "integer", "minimum": -1 }, { "type": "string" }] }),
        Shape::Duration => duration(),
        Shape::Time => json!({ "type": "string", "format": "date-time" }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Durations => json!({ "type": "array", "items": duration() }),
        Shape::TextMap => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Shape::Object(fields) => {
            json!({ "type": "object", "properties": object(fields), "additionalProperties": false })
        }
        Shape::Any => json!({}),
    }
}

const DURATION_PATTERN: &str = "^([0-9]+(\\.[0-9]+)?(d|h|m|s|ms|us|µs|ns))+$";

impl Shape {
    /// What people call it, with an example.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Int(least, i64::MAX) => format!("number from {least}"),
            Self::Int(least, most) => format!("number from {least} to {most}"),
            Self::Size => "size (`512MiB`, `10GB`, bytes; -1 is unlimited)".to_owned(),
            Self::Duration => "duration (`24h`, `2m`, `1d12h`)".to_owned(),
            Self::Time => "time (`2026-01-31T12:00:00Z`)".to_owned(),
            Self::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Self::Texts => "list of texts".to_owned(),
            Self::Durations => "list of durations".to_owned(),
            Self::TextMap => "mapping from names to texts".to_owned(),
            Self::Object(fields) => {
                let names: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
                format!("mapping with {}", names.join(", "))
            }
            Self::Any => String::new(),
        }
    }
}

/// A field that may be set.
const fn allowed(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, rule: Rule::Allowed, doc }
}

/// A field that may not.
const fn refused(name: &'static str, why: &'static str) -> Field {
    Field { name, shape: Shape::Any, rule: Rule::Refused(why), doc: "" }
}

/// A field whose only value is the one it has.
const fn only(name: &'static str, shape: Shape, value: Fixed, why: &'static str) -> Field {
    Field { name, shape, rule: Rule::Only(value, why), doc: why }
}

/// A field that several regions cannot share.
const fn one_region(name: &'static str, shape: Shape, doc: &'static str, why: &'static str) -> Field {
    Field { name, shape, rule: Rule::OneRegion(why), doc }
}
