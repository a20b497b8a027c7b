//! Edits of an account's claims other than mappings. Each edit changes only what it names, and keeps the rest of the
//! document unchanged. It returns `true` if anything changed.

use super::exports_imports::{self, ExportKind, ExportSpec, ImportSpec};
use super::views::{self, Import, Permission, Permissions};
use super::{AccountClaims, ClaimsError, schema};
use crate::model::nkey::{KeyKind, PublicKey};
use serde_json::{Map, Value, json};

impl AccountClaims {
    /// Returns unsigned claims for a new account. They count as issued by the account itself. `nats` has its limits,
    /// type and version.
    ///
    /// # Errors
    /// [`ClaimsError`] if a field of `nats` is not valid.
    pub fn init(id: &PublicKey, name: &str, nats: Map<String, Value>) -> Result<Self, ClaimsError> {
        let id_text = id.to_string();
        Self::unsigned(json!({ "jti": "", "iat": 0, "iss": id_text, "name": name, "sub": id_text, "nats": nats }))
    }

    /// Returns unsigned claims of a plan. They count as issued by the account itself.
    ///
    /// # Errors
    /// [`ClaimsError`] if they are not an account's claims, or if a field is not valid.
    pub fn unsigned(value: Value) -> Result<Self, ClaimsError> {
        schema::check(&value)?;
        let found = value["nats"]["type"].as_str().unwrap_or_default();
        if found != "account" {
            return Err(ClaimsError::WrongType { expected: "account", found: found.to_owned() });
        }
        let subject = value["sub"].as_str().unwrap_or_default();
        let id = PublicKey::parse_kind(subject, KeyKind::Account)
            .map_err(|error| ClaimsError::Field { path: "sub".to_owned(), reason: error.to_string() })?;
        Self::of_document(value, id.clone(), id)
    }

    /// Adds an export, or corrects the export of the same kind and subject.
    pub fn set_export(&mut self, spec: &ExportSpec) -> bool {
        self.edit(|nats| exports_imports::set_export(nats, spec))
    }

    /// Removes an export.
    pub fn remove_export(&mut self, kind: ExportKind, subject: &str) -> bool {
        self.edit(|nats| exports_imports::remove_export(nats, kind, subject))
    }

    /// Adds an import, or corrects the import of the same kind, account and subjects. Without a `token`, the import
    /// keeps its own.
    pub fn set_import(&mut self, spec: &ImportSpec, token: Option<&str>) -> bool {
        self.edit(|nats| exports_imports::set_import(nats, spec, token))
    }

    /// Removes an import.
    pub fn remove_import(&mut self, import: &Import) -> bool {
        self.edit(|nats| exports_imports::remove_import(nats, import))
    }

    /// Adds a signing key without a scope.
    pub fn add_signing_key(&mut self, key: &PublicKey) -> bool {
        if self.signing_keys().iter().any(|known| known.key == *key) {
            return false;
        }
        self.edit(|nats| push(nats, "signing_keys", key.to_string().into()))
    }

    /// Sets a field of `nats.limits`.
    pub fn set_limit(&mut self, name: &str, value: Value) -> bool {
        self.edit(|nats| {
            let limits = nats.entry("limits").or_insert_with(|| json!({}));
            let Some(limits) = limits.as_object_mut() else { return false };
            if limits.get(name) == Some(&value) {
                return false;
            }
            limits.insert(name.to_owned(), value);
            true
        })
    }

    /// Returns `true` if the account has a tag. Ignores case, because nsc writes tags in lower case.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags().iter().any(|known| known.eq_ignore_ascii_case(tag))
    }

    /// Adds a tag.
    pub fn add_tag(&mut self, tag: &str) -> bool {
        !self.has_tag(tag) && self.edit(|nats| push(nats, "tags", tag.into()))
    }

    /// Replaces the lists of subjects in `nats.default_permissions`.
    pub fn set_default_permissions(&mut self, wanted: &Permissions) -> bool {
        if self.default_permissions() == wanted {
            return false;
        }
        let Permissions { publish, subscribe } = wanted;
        self.edit(|nats| {
            let found = nats.entry("default_permissions").or_insert_with(|| json!({}));
            let Some(found) = found.as_object_mut() else { return false };
            for (side, Permission { allow, deny }) in [("pub", publish), ("sub", subscribe)] {
                let lists = [("allow", allow), ("deny", deny)].into_iter().filter(|(_, list)| !list.is_empty());
                let lists: Map<String, Value> =
                    lists.map(|(name, list)| (name.to_owned(), list.as_slice().into())).collect();
                found.insert(side.to_owned(), Value::Object(lists));
            }
            true
        })
    }

    /// Edits the document and updates the views. Reverts an edit that would make the document unreadable.
    fn edit(&mut self, edit: impl FnOnce(&mut Map<String, Value>) -> bool) -> bool {
        let before = self.value()["nats"].clone();
        let Some(nats) = self.nats_mut() else { return false };
        if !edit(nats) {
            return false;
        }
        if self.refresh().is_err() {
            if let Some(nats) = self.nats_mut() {
                *nats = before.as_object().cloned().unwrap_or_default();
            }
            return false;
        }
        true
    }
}

fn push(nats: &mut Map<String, Value>, name: &str, value: Value) -> bool {
    let list = nats.entry(name).or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(views::items(list).to_vec());
    }
    let Some(list) = list.as_array_mut() else { return false };
    list.push(value);
    true
}
