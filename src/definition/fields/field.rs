//! A field of an object of the API, with its shape and the rule for setting it.

use serde_json::Value;

/// The type of a field's value.
#[derive(Debug, Clone, Copy)]
pub(in crate::definition) enum Shape {
    Text,
    Bool,
    /// A whole number between two inclusive bounds.
    Int(i64, i64),
    /// `512MiB`; bytes in the API.
    Size,
    /// `24h`; nanoseconds in the API.
    Duration,
    /// RFC 3339.
    Time,
    /// One of these words.
    Word(&'static [&'static str]),
    Texts,
    Durations,
    /// Names to texts.
    TextMap,
    /// An object with these fields.
    Object(&'static [Field]),
    /// A value of any form (refused fields).
    Any,
}

/// The rule for setting a field.
#[derive(Debug, Clone, Copy)]
pub(in crate::definition) enum Rule {
    Allowed,
    /// The field cannot be set, for this reason.
    Refused(&'static str),
    /// The field can only be set to this value, for this reason.
    Only(Fixed, &'static str),
    /// The field can be set only if a single region has the object, for this reason.
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

    /// Returns the value as users write it.
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
    /// Describes the type for users, with an example.
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

/// Returns a field that may be set.
pub(super) const fn allowed(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, rule: Rule::Allowed, doc }
}

/// Returns a field that may not be set.
pub(super) const fn refused(name: &'static str, why: &'static str) -> Field {
    Field { name, shape: Shape::Any, rule: Rule::Refused(why), doc: "" }
}

/// Returns a field that can only have one value.
pub(super) const fn only(name: &'static str, shape: Shape, value: Fixed, why: &'static str) -> Field {
    Field { name, shape, rule: Rule::Only(value, why), doc: why }
}

/// Returns a field that several regions cannot share.
pub(super) const fn one_region(name: &'static str, shape: Shape, doc: &'static str, why: &'static str) -> Field {
    Field { name, shape, rule: Rule::OneRegion(why), doc }
}
