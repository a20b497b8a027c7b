//! Changes of an account's claims other than mappings.

use crate::model::claims::{ImportSpec, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::plan::Action;
use serde::{Deserialize, Serialize};

/// A change of an account's claims other than a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimChange {
    /// Kind of the change.
    pub action: Action,
    /// The part that changes.
    pub what: ClaimPart,
    /// The subject of an export, the local subject of an import, the name of a limit, a tag, or a key.
    pub name: String,
    /// The name of the other account of an import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Reason of the change, where it is not obvious.
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

/// A request for an activation token, which must be issued before the claims can be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationRequest {
    /// The exporting account, whose key issues the token.
    pub exporter: PublicKey,
    /// The exporting account's name.
    pub exporter_name: String,
    /// The importing account.
    pub importer: PublicKey,
    /// The import that needs the token.
    pub import: ImportSpec,
    /// Seconds for which the token is valid. If `None`, it never expires.
    pub lifetime: Option<u64>,
}

/// Result of an edit.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct ClaimsEdit {
    pub changes: Vec<ClaimChange>,
    pub activations: Vec<ActivationRequest>,
    pub findings: Vec<Finding>,
}

impl ClaimsEdit {
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

/// An account that other accounts import from.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'p> {
    /// The account's public key.
    pub id: &'p PublicKey,
    /// The account's name.
    pub name: &'p str,
    /// The account's claims; `None` for a new account.
    pub claims: Option<&'p TrustedClaims>,
}

/// Prefix of the names that this tool gives to exports and imports.
const OURS: &str = "vstream ";

/// Returns `true` if this tool made the export or import with this name.
pub fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}
