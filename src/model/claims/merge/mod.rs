//! Merges two changes of one account's claims: our edits of a common base, and those of other tools.
//!
//! Objects are merged by key, and lists by the identity of their entries. So unrelated changes never conflict. A field
//! that both sides changed differently is a conflict. The caller refuses it, because a guess would lose one of the
//! changes.

use super::activation::Activation;
use super::describe::in_words;
use super::views::Import;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;

/// A field that both sides changed differently. Its values are described without tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path, outermost key first: `nats.limits.conn`, `nats.imports[service x of A…].name`.
    pub path: String,
    /// The value before; `None` if there was none.
    pub base: Option<String>,
    /// Our value.
    pub ours: Option<String>,
    /// The value of other tools.
    pub theirs: Option<String>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, base, ours, theirs } = self;
        let words = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{path}: {} against {}, where {} was before", words(ours), words(theirs), words(base))
    }
}

/// Merges the edits of `base` in `ours` and `theirs`. `iss`, `iat` and `jti`, which differ in every token, come from
/// `theirs`.
///
/// # Errors
/// All fields that both sides changed differently.
pub fn merge(base: &Value, ours: &Value, theirs: &Value) -> Result<Value, Vec<Conflict>> {
    let [base, ours, own_theirs] = [base, ours, theirs].map(without_envelope);
    let mut merge = Merge { conflicts: Vec::new() };
    let merged = merge.node("", Shape::Claims, [Some(&base), Some(&ours), Some(&own_theirs)]);
    if !merge.conflicts.is_empty() {
        return Err(merge.conflicts);
    }
    let mut merged = merged.unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(fields) = merged.as_object_mut() {
        let envelope = ENVELOPE.iter().filter_map(|name| Some(((*name).to_owned(), theirs.get(name)?.clone())));
        fields.extend(envelope);
    }
    Ok(merged)
}

const ENVELOPE: [&str; 3] = ["iss", "iat", "jti"];

fn without_envelope(claims: &Value) -> Value {
    let mut claims = claims.clone();
    if let Some(fields) = claims.as_object_mut() {
        ENVELOPE.iter().for_each(|name| drop(fields.shift_remove(*name)));
    }
    claims
}

/// The kind of a field, which determines how it is merged. Field names are those of nats-io/jwt v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Claims,
    Nats,
    /// An object that means the same whether empty or absent. Its fields are limits, tiers or mappings.
    Fields,
    Mappings,
    /// The destinations of one source. Weights add up per cluster, so they are one value.
    Destinations,
    Imports,
    Import,
    /// An import's activation token.
    Activation,
    Exports,
    Export,
    SigningKeys,
    SigningKey,
    /// Times by key. Tokens issued up to that time are void.
    Revocations,
    Revoked,
    /// `pub` and `sub`, each with `allow` and `deny`.
    Permissions,
    Permission,
    /// Subjects that may be used; all subjects if the list is empty.
    Allow,
    /// Strings in any order.
    Set,
    /// Anything else. Objects are merged by key, other values as a whole.
    Other,
}

impl Shape {
    fn field(self, name: &str) -> Self {
        match (self, name) {
            (Self::Claims, "nats") => Self::Nats,
            (Self::Nats, "limits") | (Self::Fields, "tiered_limits") => Self::Fields,
            (Self::Nats, "mappings") => Self::Mappings,
            (Self::Nats, "imports") => Self::Imports,
            (Self::Nats, "exports") => Self::Exports,
            (Self::Nats, "signing_keys") => Self::SigningKeys,
            (Self::Nats | Self::Export, "revocations") => Self::Revocations,
            (Self::Nats, "default_permissions") | (Self::SigningKey, "template") => Self::Permissions,
            (Self::Nats, "tags") => Self::Set,
            (Self::Mappings, _) => Self::Destinations,
            (Self::Import, "token") => Self::Activation,
            (Self::Revocations, _) => Self::Revoked,
            (Self::Permissions, "pub" | "sub") => Self::Permission,
            (Self::Permission, "allow") => Self::Allow,
            (Self::Permission, "deny") => Self::Set,
            _ => Self::Other,
        }
    }

    /// Returns the shape of a list's entries, if each entry has an identity.
    fn entry(self) -> Option<Self> {
        match self {
            Self::Imports => Some(Self::Import),
            Self::Exports => Some(Self::Export),
            Self::SigningKeys => Some(Self::SigningKey),
            Self::Allow | Self::Set => Some(Self::Other),
            _ => None,
        }
    }

    /// Returns the identity of a list's entry.
    fn identity(self, entry: &Value) -> Option<String> {
        let text = |name: &str| entry[name].as_str();
        match self {
            Self::Imports => import_identity(entry),
            Self::Exports => export_identity(entry),
            Self::SigningKeys => entry.as_str().or_else(|| text("key")).map(str::to_owned),
            // nsc writes tags in lower case.
            Self::Set => entry.as_str().map(str::to_ascii_lowercase),
            _ => entry.as_str().map(str::to_owned),
        }
    }

    /// Returns `true` if an absent value means the same as an empty one.
    fn may_be_empty(self) -> bool {
        match self {
            Self::Claims | Self::Nats | Self::Import | Self::Export | Self::SigningKey => false,
            Self::Destinations | Self::Activation | Self::Revoked | Self::Other => false,
            Self::Fields | Self::Mappings | Self::Revocations | Self::Permissions | Self::Permission => true,
            Self::Imports | Self::Exports | Self::SigningKeys | Self::Allow | Self::Set => true,
        }
    }

    /// Returns `true` if two values mean the same to a server. Go omits zero and empty values, so tools may write equal
    /// claims differently.
    fn same(self, a: Option<&Value>, b: Option<&Value>) -> bool {
        if self == Self::Destinations {
            let weighed = |value: Option<&Value>| value.map(with_weights);
            return plain(weighed(a).as_ref()) == plain(weighed(b).as_ref());
        }
        plain(a) == plain(b)
    }
}

/// Returns the value without what Go omits: null, false, 0 and empty values.
fn plain(value: Option<&Value>) -> Option<Value> {
    match value? {
        Value::Null | Value::Bool(false) => None,
        Value::Number(number) if number.as_i64() == Some(0) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) if items.is_empty() => None,
        // Positions in a list matter. An object stays an object, because a destination without a weight has the default
        // weight.
        Value::Array(items) => {
            let empty = |item: &Value| if item.is_object() { Map::new().into() } else { Value::Null };
            Some(items.iter().map(|item| plain(Some(item)).unwrap_or_else(|| empty(item))).collect())
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, value)| Some((name.clone(), plain(Some(value))?)));
            let fields: Map<String, Value> = fields.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        value => Some(value.clone()),
    }
}

/// Returns the destinations with the default weight filled in.
fn with_weights(destinations: &Value) -> Value {
    let mut destinations = destinations.clone();
    for destination in destinations.as_array_mut().into_iter().flatten() {
        if let Some(fields) = destination.as_object_mut()
            && fields.get("weight").is_none_or(|weight| weight.is_null() || weight.as_u64() == Some(0))
        {
            fields.insert("weight".to_owned(), 100.into());
        }
    }
    destinations
}

/// Returns the identity of an import. Its name and its token may change.
pub(super) fn import_identity(entry: &Value) -> Option<String> {
    let import = Import::of(entry);
    let Import { subject, account, kind, .. } = &import;
    let local = if import.local() == subject { String::new() } else { format!(" as {}", import.local()) };
    (!subject.is_empty()).then(|| format!("{kind} {subject} of {account}{local}"))
}

/// Returns the identity of an export.
pub(super) fn export_identity(entry: &Value) -> Option<String> {
    Some(format!("{} {}", entry["type"].as_str().unwrap_or_default(), entry["subject"].as_str()?))
}

/// Base, ours, theirs.
type Three<'v> = [Option<&'v Value>; 3];

struct Merge {
    conflicts: Vec<Conflict>,
}

impl Merge {
    fn node(&mut self, path: &str, shape: Shape, three: Three<'_>) -> Option<Value> {
        let [base, ours, theirs] = three;
        if base == ours || ours == theirs {
            return theirs.cloned();
        }
        if base == theirs {
            return ours.cloned();
        }
        if shape.same(base, ours) || shape.same(ours, theirs) {
            return theirs.cloned();
        }
        if shape.same(base, theirs) {
            return ours.cloned();
        }
        match shape {
            Shape::Revoked => self.later(path, three),
            Shape::Destinations => self.conflict(path, three),
            Shape::Activation => match newer_activation(ours, theirs) {
                Some(token) => Some(token.clone()),
                None => self.conflict(path, three),
            },
            _ if shape.entry().is_some() => self.list(path, shape, three),
            _ => self.object(path, shape, three),
        }
    }

    fn conflict(&mut self, path: &str, three: Three<'_>) -> Option<Value> {
        let secret = path.ends_with(".token");
        let words = |value: &Value| if secret { "another activation token".to_owned() } else { in_words(value) };
        let [base, ours, theirs] = three.map(|value| value.map(words));
        self.conflicts.push(Conflict { path: path.to_owned(), base, ours, theirs });
        None
    }

    fn object(&mut self, path: &str, shape: Shape, three: Three<'_>) -> Option<Value> {
        let [base, ours, theirs] = three;
        let base = base.map_or_else(|| Some(Map::new()), |base| fields(shape, Some(base)));
        let (Some(base), Some(ours), Some(theirs)) = (base, fields(shape, ours), fields(shape, theirs)) else {
            return self.conflict(path, three);
        };
        let mut merged = Map::new();
        for name in theirs.keys().chain(ours.keys().filter(|name| !theirs.contains_key(*name))) {
            let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let three = [&base, &ours, &theirs].map(|fields| fields.get(name));
            if let Some(value) = self.node(&at, shape.field(name), three) {
                merged.insert(name.clone(), value);
            }
        }
        kept(shape, Value::Object(merged))
    }

    fn list(&mut self, path: &str, shape: Shape, three: Three<'_>) -> Option<Value> {
        let [Some(base), Some(ours), Some(theirs)] = three.map(|list| Entries::of(shape, list)) else {
            return self.conflict(path, three);
        };
        if shape == Shape::Allow && [&base, &ours, &theirs].iter().any(|list| list.order.is_empty()) {
            // One side is "everything", so the change of the other side cannot be expressed.
            return self.conflict(path, three);
        }
        let (mut merged, mut sides) = (Vec::new(), Vec::new());
        for id in theirs.order.iter().chain(ours.order.iter().filter(|id| !theirs.by_id.contains_key(*id))) {
            let three = [&base, &ours, &theirs].map(|list| list.by_id.get(id).copied());
            if let Some(value) = self.node(&format!("{path}[{id}]"), shape.entry().unwrap_or(Shape::Other), three) {
                sides.push([three[1].is_some(), three[2].is_some()]);
                merged.push(value);
            }
        }
        if merged.is_empty() && shape == Shape::Allow {
            // Each side kept some entries, but none in common. To servers, an empty list would mean "everything".
            return self.conflict(path, three);
        }
        if shape == Shape::Imports {
            self.services_that_meet(path, &merged, &sides);
        }
        kept(shape, Value::Array(merged))
    }

    /// Reports two services under one local subject, one from each side. A request could reach either of them.
    fn services_that_meet(&mut self, path: &str, merged: &[Value], sides: &[[bool; 2]]) {
        let services: Vec<(Import, &Value, [bool; 2])> = merged
            .iter()
            .zip(sides)
            .map(|(entry, sides)| (Import::of(entry), entry, *sides))
            .filter(|(import, ..)| import.kind == "service")
            .collect();
        for (mine, ours, _) in services.iter().filter(|(.., sides)| *sides == [true, false]) {
            let met =
                services.iter().filter(|(import, _, sides)| *sides == [false, true] && import.local() == mine.local());
            for (_, theirs, _) in met {
                self.conflict(&format!("{path} as {}", mine.local()), [None, Some(ours), Some(theirs)]);
            }
        }
    }

    /// Merges a revocation without weakening it. The later time wins. A revocation that one side removed and the other
    /// extended stays.
    fn later(&mut self, path: &str, three: Three<'_>) -> Option<Value> {
        let [_, ours, theirs] = three;
        let seconds = |value: Option<&Value>| value.and_then(Value::as_i64);
        match (seconds(ours), seconds(theirs)) {
            (Some(a), Some(b)) => if a > b { ours } else { theirs }.cloned(),
            (Some(_), None) if theirs.is_none() => ours.cloned(),
            (None, Some(_)) if ours.is_none() => theirs.cloned(),
            _ => self.conflict(path, three),
        }
    }
}

/// Returns an object's fields; no fields if an absent value means the same.
fn fields(shape: Shape, value: Option<&Value>) -> Option<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => shape.may_be_empty().then(Map::new),
        Some(value) => value.as_object().cloned(),
    }
}

/// A list's entries by their identity.
struct Entries<'v> {
    order: Vec<String>,
    by_id: HashMap<String, &'v Value>,
}

impl<'v> Entries<'v> {
    /// Returns `None` if the value is not a list, or if two entries have the same identity.
    fn of(shape: Shape, list: Option<&'v Value>) -> Option<Self> {
        let mut entries = Self { order: Vec::new(), by_id: HashMap::new() };
        let list = match list {
            None | Some(Value::Null) => &[],
            Some(value) => value.as_array()?.as_slice(),
        };
        for entry in list {
            let id = shape.identity(entry)?;
            entries.order.push(id.clone());
            if entries.by_id.insert(id, entry).is_some() {
                return None;
            }
        }
        Some(entries)
    }
}

/// Returns the value. Returns `None` if it is empty and Go omits it.
fn kept(shape: Shape, value: Value) -> Option<Value> {
    let empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    (!(empty && shape.may_be_empty())).then_some(value)
}

/// Returns the later of two activation tokens for the same import. It is valid for longer, and revocation is by time.
fn newer_activation<'v>(ours: Option<&'v Value>, theirs: Option<&'v Value>) -> Option<&'v Value> {
    let read = |value: Option<&'v Value>| {
        let value = value?;
        Some((Activation::decode(value.as_str()?).ok()?, value))
    };
    let ((a, ours), (b, theirs)) = (read(ours)?, read(theirs)?);
    let alike = a.importer() == b.importer() && a.subject() == b.subject();
    alike.then_some(if a.issued_at() > b.issued_at() { ours } else { theirs })
}

#[cfg(test)]
mod tests;
