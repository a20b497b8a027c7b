//! Changes of exports, imports and what goes with them, as an edit of claims notes them.

use crate::model::claims::{ImportSpec, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::plan::Action;
use serde::{Deserialize, Serialize};

/// One thing in an account's claims that is added, changed or taken away; not a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimChange {
    /// What is done.
    pub action: Action,
    /// What it is about.
    pub what: ClaimPart,
    /// The subject of an export, the local subject of an import, the name of a limit, a tag, a key.
    pub name: String,
    /// The other account of an import, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Why, where it is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Parts of an account's claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimPart {
    /// The account as a whole.
    Account,
    /// An export.
    Export,
    /// An import.
    Import,
    /// The activation token of an import.
    Activation,
    /// A limit.
    Limit,
    /// A tag.
    Tag,
    /// A signing key of the account.
    SigningKey,
    /// `default_permissions`.
    DefaultPermissions,
}

/// An activation token that has to be issued before the claims can be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationRequest {
    /// The account that exports, whose key issues it.
    pub exporter: PublicKey,
    /// Its name.
    pub exporter_name: String,
    /// The account that imports.
    pub importer: PublicKey,
    /// The import that it is for.
    pub import: ImportSpec,
    /// For how many seconds it is valid; without end when `None`.
    pub lifetime: Option<u64>,
}

/// What was edited.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Edited {
    pub changes: Vec<ClaimChange>,
    pub activations: Vec<ActivationRequest>,
    pub findings: Vec<Finding>,
}

impl Edited {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.activations.is_empty()
    }

    pub fn append(&mut self, mut other: Self) {
        self.changes.append(&mut other.changes);
        self.activations.append(&mut other.activations);
        self.findings.append(&mut other.findings);
    }

    pub(super) fn remove(&mut self, what: ClaimPart, name: &str, why: Option<String>) {
        self.changes.push(ClaimChange { action: Action::Delete, what, name: name.to_owned(), account: None, why });
    }

    pub(super) fn note(&mut self, action: Action, what: ClaimPart, name: impl Into<String>) {
        self.changes.push(ClaimChange { action, what, name: name.into(), account: None, why: None });
    }
}

/// An account that others import from.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'p> {
    /// Its public key.
    pub id: &'p PublicKey,
    /// Its name.
    pub name: &'p str,
    /// Its claims; `None` for an account that is yet to be made.
    pub claims: Option<&'p TrustedClaims>,
}

/// Names of exports and imports that we make begin so.
const OURS: &str = "vstream ";

/// Whether an export or import is of our making.
pub fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}
