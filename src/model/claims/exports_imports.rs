//! Exports and imports that a plan asks for, and the edits of a document that make them.

use super::views::{Import, items};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::subject::{SubjectFilter, tokens_cover};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The kind of an export or import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// Messages from the exporter to the importer.
    Stream,
    /// Requests from the importer to the exporter, and their replies.
    Service,
}

impl ExportKind {
    /// Returns the kind as tokens spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Service => "service",
        }
    }

    /// Parses the kind from a token.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stream, Self::Service].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Returns `true` if the subject `wide` covers all of `narrow`. `$1` in a local subject stands for a token, as `*`
/// does.
///
/// Servers refuse tokens in which one export covers another of its kind. The same holds for service imports from one
/// account (jwt 2.8 `exports.go` and `imports.go`, `Validate`).
pub fn covers(wide: &str, narrow: &str) -> bool {
    let is_reference = |token: &str| token.strip_prefix('$').is_some_and(|n| n.parse::<u8>().is_ok());
    let wildcards = |token| if is_reference(token) { "*" } else { token };
    let tokens = |subject| str::split(subject, '.').map(wildcards);
    let is_filter = |subject| SubjectFilter::parse(&tokens(subject).collect::<Vec<_>>().join(".")).is_ok();
    // Claims have hundreds of pairs, and only few must be parsed.
    tokens_cover(tokens(wide), tokens(narrow)) && (wide == narrow || (is_filter(wide) && is_filter(narrow)))
}

/// An export to add or correct.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportSpec {
    /// Name.
    pub name: String,
    /// Subject filter.
    pub subject: String,
    /// Stream or service.
    #[serde(rename = "type")]
    pub kind: ExportKind,
    /// `true` for a private export: importers need an activation token.
    pub token_req: bool,
    /// `Singleton`, `Stream` or `Chunked`; none for streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_type: Option<&'static str>,
}

/// An import to add or correct. Its activation token is issued when the claims are signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportSpec {
    /// Name.
    pub name: String,
    /// The account that exports.
    pub account: PublicKey,
    /// Subject in the exporting account.
    pub subject: String,
    /// Subject in this account; empty if it is the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub local_subject: String,
    /// Stream or service.
    #[serde(rename = "type")]
    pub kind: ExportKind,
}

impl ImportSpec {
    /// Returns the specification of an existing import; `None` if its kind or its account is not valid.
    pub fn of(import: &Import) -> Option<Self> {
        Some(Self {
            name: import.name.clone(),
            account: PublicKey::parse_kind(&import.account, KeyKind::Account).ok()?,
            subject: import.subject.clone(),
            local_subject: import.local_subject.clone(),
            kind: ExportKind::parse(&import.kind)?,
        })
    }

    /// Subject in this account.
    pub fn local(&self) -> &str {
        if self.local_subject.is_empty() { &self.subject } else { &self.local_subject }
    }

    /// Returns `true` if `import` has this specification. Ignores its name and token.
    pub fn is(&self, import: &Import) -> bool {
        let Self { name: _, account, subject, local_subject: _, kind } = self;
        import.kind == kind.as_str()
            && import.account == account.to_string()
            && import.subject == *subject
            && import.local() == self.local()
    }
}

/// Adds or corrects an export. Other fields of the entry (description, revocations, …) stay.
pub(super) fn set_export(nats: &mut Map<String, Value>, spec: &ExportSpec) -> bool {
    let ExportSpec { name, subject, kind, token_req, response_type } = spec;
    let exports = list(nats, "exports");
    let is = |entry: &Value| entry["subject"] == **subject && entry["type"] == kind.as_str();
    let mut fields: Vec<(&str, Value)> = vec![
        ("name", name.as_str().into()),
        ("subject", subject.as_str().into()),
        ("type", kind.as_str().into()),
        ("token_req", (*token_req).into()),
    ];
    fields.extend(response_type.map(|response| ("response_type", response.into())));
    match exports.iter_mut().find(|entry| is(entry)) {
        Some(entry) => set_fields(entry, fields),
        None => {
            exports.push(object(fields));
            true
        }
    }
}

/// Removes an export. Removes the list with its last entry, as Go's `omitempty` does.
pub(super) fn remove_export(nats: &mut Map<String, Value>, kind: ExportKind, subject: &str) -> bool {
    remove(nats, "exports", |entry| entry["subject"] == subject && entry["type"] == kind.as_str())
}

/// Adds or corrects an import. Without a token, the entry keeps its own.
pub(super) fn set_import(nats: &mut Map<String, Value>, spec: &ImportSpec, token: Option<&str>) -> bool {
    let ImportSpec { name, account, subject, local_subject, kind } = spec;
    let imports = list(nats, "imports");
    let mut fields: Vec<(&str, Value)> = vec![
        ("name", name.as_str().into()),
        ("subject", subject.as_str().into()),
        ("account", account.to_string().into()),
    ];
    fields.extend(token.map(|token| ("token", token.into())));
    if !local_subject.is_empty() {
        fields.push(("local_subject", local_subject.as_str().into()));
    }
    fields.push(("type", kind.as_str().into()));
    match imports.iter_mut().find(|entry| spec.is(&Import::of(entry))) {
        Some(entry) => {
            // Older tokens call the local subject `to`.
            let fields = fields.into_iter().filter(|(name, _)| *name != "local_subject" || entry["to"].is_null());
            let fields = fields.collect();
            set_fields(entry, fields)
        }
        None => {
            imports.push(object(fields));
            true
        }
    }
}

/// Removes an import.
pub(super) fn remove_import(nats: &mut Map<String, Value>, import: &Import) -> bool {
    remove(nats, "imports", |entry| Import::of(entry) == *import)
}

fn set_fields(entry: &mut Value, fields: Vec<(&str, Value)>) -> bool {
    let Some(entry) = entry.as_object_mut() else { return false };
    let mut changed = false;
    for (name, value) in fields {
        let unset = value == false && entry.get(name).is_none_or(Value::is_null);
        if !unset && entry.get(name) != Some(&value) {
            entry.insert(name.to_owned(), value);
            changed = true;
        }
    }
    changed
}

fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn remove(nats: &mut Map<String, Value>, name: &str, goes: impl Fn(&Value) -> bool) -> bool {
    let Some(entries) = nats.get_mut(name).and_then(Value::as_array_mut) else { return false };
    let before = entries.len();
    entries.retain(|entry| !goes(entry));
    let removed = entries.len() < before;
    if removed && entries.is_empty() {
        nats.shift_remove(name);
    }
    removed
}

/// Returns a list of the document, and creates it if it is missing.
fn list<'n>(nats: &'n mut Map<String, Value>, name: &str) -> &'n mut Vec<Value> {
    let entry = nats.entry(name).or_insert(Value::Null);
    if !entry.is_array() {
        // The claims were checked when they were decoded, so this is a list or null.
        *entry = Value::Array(items(entry).to_vec());
    }
    match entry {
        Value::Array(entries) => entries,
        _ => unreachable!("it was just made a list"),
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_reference_in_a_local_subject_stands_for_a_token() {
        for (wide, narrow) in [
            ("a.>", "a.b"),
            ("a.*", "a.$1"),
            ("a.$1", "a.*"),
            ("a.$1.c", "a.b.c"),
            (">", "$JS.API.INFO"),
            // Not a filter, but equal.
            ("a..b", "a..b"),
        ] {
            assert!(covers(wide, narrow), "{wide} and {narrow}");
        }
        for (wide, narrow) in [
            ("a.b", "a.>"),
            ("a.*", "a.>"),
            ("a.*", "a.b.c"),
            ("$JS.API", "a.API"),
            ("a.$999", "a.b"),
            // Not filters.
            ("a.>", "a..b"),
            ("a.>.*.c", "a.b.c.d"),
            ("*.", "a."),
            (">", ""),
        ] {
            assert!(!covers(wide, narrow), "{wide} and {narrow}");
        }
    }
}
