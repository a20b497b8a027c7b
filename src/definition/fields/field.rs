//! A field of an object of the API: its shape, and whether it may be set.

use serde_json::Value;

/// What a field takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::definition) enum Shape {
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
pub(in crate::definition) enum Rule {
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
pub(in crate::definition) enum Fixed {
    Int(i64),
    Word(&'static str),
}

impl Fixed {
    pub(in crate::definition) fn json(self) -> Value {
        match self {
            Self::Int(value) => value.into(),
            Self::Word(value) => value.into(),
        }
    }

    /// As a person writes it.
    pub(in crate::definition) fn text(self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Word(value) => value.to_owned(),
        }
    }
}

/// A field of an object of the API.
#[derive(Debug, Clone, Copy)]
pub(in crate::definition) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub rule: Rule,
    pub doc: &'static str,
}

impl Shape {
    /// What people call it, with an example.
    pub(in crate::definition) fn describe(self) -> String {
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
pub(super) const fn allowed(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, rule: Rule::Allowed, doc }
}

/// A field that may not.
pub(super) const fn refused(name: &'static str, why: &'static str) -> Field {
    Field { name, shape: Shape::Any, rule: Rule::Refused(why), doc: "" }
}

/// A field whose only value is the one it has.
pub(super) const fn only(name: &'static str, shape: Shape, value: Fixed, why: &'static str) -> Field {
    Field { name, shape, rule: Rule::Only(value, why), doc: why }
}

/// A field that several regions cannot share.
pub(super) const fn one_region(name: &'static str, shape: Shape, doc: &'static str, why: &'static str) -> Field {
    Field { name, shape, rule: Rule::OneRegion(why), doc }
}
