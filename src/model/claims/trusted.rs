//! Claims that may be edited, merged and signed again.

use super::merge::merge;
use super::{
    AccountClaims, ClaimsError, Conflict, ExportKind, ExportSpec, Import, ImportSpec, Permissions, TrustAnchor,
    with_credentials_of,
};
use crate::model::mapping::Mapping;
use crate::model::nkey::PublicKey;
use serde_json::{Map, Value};
use std::ops::Deref;

/// An account's claims that a trusted operator signed, or that the edits below made from such claims.
///
/// There are only these constructors: [`verify`](Self::verify) takes a token and the anchor. [`merge`](Self::merge),
/// [`without`](Self::without) and `derived` take trusted claims. [`init`](Self::init) makes the claims of a new
/// account from the definition. [`reviewed`](Self::reviewed) is for claims that a user reads before signing.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedClaims(AccountClaims);

/// Reason why a token gives no trusted claims.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Untrusted {
    /// The token cannot be read, or its signature is not its issuer's.
    #[error(transparent)]
    Unreadable(#[from] ClaimsError),
    /// The token was signed by a key that does not count.
    #[error("it is signed by {}, which is not a trusted key", .0.issuer())]
    Stranger(Box<AccountClaims>),
}

/// Reason why trusted claims cannot be merged.
#[derive(Debug, Clone, PartialEq)]
pub enum Unmergeable {
    /// Both sides changed the same field differently.
    Conflicts(Vec<Conflict>),
    /// The result is not an account's claims.
    Broken(ClaimsError),
}

impl Deref for TrustedClaims {
    type Target = AccountClaims;

    fn deref(&self) -> &AccountClaims {
        &self.0
    }
}

impl TrustedClaims {
    /// Decodes an account's token that a key of `anchor` signed.
    ///
    /// # Errors
    /// [`Untrusted`]
    pub fn verify(token: &str, anchor: &TrustAnchor) -> Result<Self, Untrusted> {
        let claims = AccountClaims::decode(token)?;
        match anchor.trusts(claims.issuer()) {
            true => Ok(Self(claims)),
            false => Err(Untrusted::Stranger(Box::new(claims))),
        }
    }

    /// Returns the claims of a new account. `nats` has its limits, type and version, from the definition and from the
    /// application's trusted claims.
    ///
    /// # Errors
    /// [`ClaimsError`] if a field of `nats` is not valid.
    pub fn init(id: &PublicKey, name: &str, nats: Map<String, Value>) -> Result<Self, ClaimsError> {
        AccountClaims::init(id, name, nats).map(Self)
    }

    /// Returns the claims that a plan file asks to sign. A user reviews their changes before anything is signed. No
    /// other code may make trusted claims like this.
    ///
    /// # Errors
    /// [`ClaimsError`] if they are not an account's claims.
    pub fn reviewed(claims: Value) -> Result<Self, ClaimsError> {
        AccountClaims::unsigned(claims).map(Self)
    }

    /// Returns claims that were derived only from the trusted claims `of`.
    ///
    /// # Errors
    /// [`ClaimsError`] if they are not claims of the same account as `of`.
    pub(crate) fn derived(claims: Value, of: &[&Self]) -> Result<Self, ClaimsError> {
        let claims = AccountClaims::unsigned(claims)?;
        match of.iter().all(|of| of.id() == claims.id()) {
            true => Ok(Self(claims)),
            false => Err(ClaimsError::Field { path: "sub".to_owned(), reason: "is another account".to_owned() }),
        }
    }

    /// Merges the edits of `base` in `ours` and `theirs`.
    ///
    /// # Errors
    /// [`Unmergeable`]
    pub fn merge(base: &Self, ours: &Self, theirs: &Self) -> Result<Self, Unmergeable> {
        let merged = merge(base.value(), ours.value(), theirs.value()).map_err(Unmergeable::Conflicts)?;
        Self::derived(merged, &[base, ours, theirs]).map_err(Unmergeable::Broken)
    }

    /// Returns the claims without the changes of a push, which turned `found` into `pushed`. Signing keys, revocations
    /// and activation tokens stay as the push left them.
    ///
    /// # Errors
    /// [`Unmergeable`]
    pub fn without(&self, pushed: &Self, found: &Self) -> Result<Self, Unmergeable> {
        let back = with_credentials_of(found.value(), pushed.value());
        let merged = merge(pushed.value(), &back, self.value()).map_err(Unmergeable::Conflicts)?;
        Self::derived(merged, &[self, pushed, found]).map_err(Unmergeable::Broken)
    }

    /// Returns the claims with the mappings that `other` has for these sources.
    #[must_use]
    pub fn with_mappings_of(self, other: &Self, sources: &[String]) -> Self {
        let mut value = self.value().clone();
        for source in sources {
            let entry = other.value()["nats"]["mappings"][source].clone();
            value["nats"]["mappings"][source] = entry;
        }
        Self::derived(value, &[&self, other]).unwrap_or(self)
    }

    /// [`AccountClaims::set_mapping`]
    pub fn set_mapping(&mut self, mapping: &Mapping) -> bool {
        self.0.set_mapping(mapping)
    }

    /// [`AccountClaims::remove_mapping`]
    pub fn remove_mapping(&mut self, source: &str) -> bool {
        self.0.remove_mapping(source)
    }

    /// [`AccountClaims::set_export`]
    pub fn set_export(&mut self, spec: &ExportSpec) -> bool {
        self.0.set_export(spec)
    }

    /// [`AccountClaims::remove_export`]
    pub fn remove_export(&mut self, kind: ExportKind, subject: &str) -> bool {
        self.0.remove_export(kind, subject)
    }

    /// [`AccountClaims::set_import`]
    pub fn set_import(&mut self, spec: &ImportSpec, token: Option<&str>) -> bool {
        self.0.set_import(spec, token)
    }

    /// [`AccountClaims::remove_import`]
    pub fn remove_import(&mut self, import: &Import) -> bool {
        self.0.remove_import(import)
    }

    /// [`AccountClaims::add_signing_key`]
    pub fn add_signing_key(&mut self, key: &PublicKey) -> bool {
        self.0.add_signing_key(key)
    }

    /// [`AccountClaims::set_limit`]
    pub fn set_limit(&mut self, name: &str, value: Value) -> bool {
        self.0.set_limit(name, value)
    }

    /// [`AccountClaims::add_tag`]
    pub fn add_tag(&mut self, tag: &str) -> bool {
        self.0.add_tag(tag)
    }

    /// [`AccountClaims::set_default_permissions`]
    pub fn set_default_permissions(&mut self, wanted: &Permissions) -> bool {
        self.0.set_default_permissions(wanted)
    }
}
