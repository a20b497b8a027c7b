//! The claims of an account, and the edits of its mappings.

use super::describe::key_in_words;
use super::views::{self, AccountLimits, Export, Import, JetStreamLimits, Permissions, Revocation, SigningKey};
use super::{ClaimsError, Token};
use crate::model::mapping::{Destination, Mapping, RawMapping};
use crate::model::nkey::{KeyKind, PublicKey};
use serde_json::{Map, Value};

/// The claims of an account's token. The signature is verified, type and version are known, and the fields that this
/// tool reads are well formed.
///
/// Each edit, such as [`set_mapping`](Self::set_mapping) or [`set_import`](Self::set_import), changes only what its
/// name says.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountClaims {
    value: Value,
    id: PublicKey,
    issuer: PublicKey,
    issued_at: u64,
    expires: Option<u64>,
    not_before: Option<u64>,
    limits: AccountLimits,
    jetstream: JetStreamLimits,
    signing_keys: Vec<SigningKey>,
    exports: Vec<Export>,
    imports: Vec<Import>,
    default_permissions: Permissions,
    revocations: Vec<Revocation>,
}

impl AccountClaims {
    /// Decodes an account's token and verifies its signature against `iss`: an operator's key, or the account itself if
    /// it is self-signed. Does not check whether the servers trust that key.
    ///
    /// # Errors
    /// [`ClaimsError`]; it names the faulty part or field.
    pub fn decode(token: &str) -> Result<Self, ClaimsError> {
        let token = Token::decode(token)?;
        token.expect("account", KeyKind::Account)?;
        let (id, issuer) = (token.subject().clone(), token.issuer().clone());
        if issuer.kind() != KeyKind::Operator && issuer != id {
            return Err(ClaimsError::WrongIssuer { issuer });
        }
        Self::of_document(token.into_claims(), id, issuer)
    }

    /// Builds the claims from a document that is known to be an account's.
    pub(super) fn of_document(value: Value, id: PublicKey, issuer: PublicKey) -> Result<Self, ClaimsError> {
        check_mappings(&value["nats"])?;
        let nats = &value["nats"];
        let seconds = |field: &str| views::unsigned(&value, "", field).map(|s| s.filter(|s| *s > 0));
        Ok(Self {
            issued_at: seconds("iat")?.unwrap_or(0),
            expires: seconds("exp")?,
            not_before: seconds("nbf")?,
            limits: views::account_limits(nats)?,
            jetstream: views::jetstream_limits(nats)?,
            signing_keys: views::signing_keys(nats)?,
            exports: views::exports(nats)?,
            imports: views::imports(nats)?,
            default_permissions: views::permissions(&nats["default_permissions"], "nats.default_permissions")?,
            revocations: views::revocations(&nats["revocations"], "nats.revocations")?,
            id,
            issuer,
            value,
        })
    }

    /// The part of the document that edits change.
    pub(super) fn nats_mut(&mut self) -> Option<&mut Map<String, Value>> {
        self.value["nats"].as_object_mut()
    }

    /// Reads the views again after an edit.
    pub(super) fn refresh(&mut self) -> Result<(), ClaimsError> {
        let nats = &self.value["nats"];
        self.limits = views::account_limits(nats)?;
        self.jetstream = views::jetstream_limits(nats)?;
        self.signing_keys = views::signing_keys(nats)?;
        self.exports = views::exports(nats)?;
        self.imports = views::imports(nats)?;
        self.default_permissions = views::permissions(&nats["default_permissions"], "nats.default_permissions")?;
        Ok(())
    }

    /// The account's public key (`sub`).
    pub fn id(&self) -> &PublicKey {
        &self.id
    }

    /// The key that signed the token (`iss`).
    pub fn issuer(&self) -> &PublicKey {
        &self.issuer
    }

    /// The time of issue (`iat`), in seconds since 1970; 0 if the token has none.
    pub fn issued_at(&self) -> u64 {
        self.issued_at
    }

    /// The time of expiry (`exp`), in seconds since 1970.
    pub fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// The time from which the token is valid (`nbf`), in seconds since 1970.
    pub fn not_before(&self) -> Option<u64> {
        self.not_before
    }

    /// The account's name; empty if it has none.
    pub fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or_default()
    }

    /// `nats.tags`
    pub fn tags(&self) -> Vec<&str> {
        views::items(&self.value["nats"]["tags"]).iter().filter_map(Value::as_str).collect()
    }

    /// The keys that issue users and activations for the account, besides its identity.
    pub fn signing_keys(&self) -> &[SigningKey] {
        &self.signing_keys
    }

    /// Limits on connections, subscriptions, payload, imports and exports.
    pub fn limits(&self) -> &AccountLimits {
        &self.limits
    }

    /// JetStream limits as the token has them, global and by tier.
    pub fn jetstream_limits(&self) -> &JetStreamLimits {
        &self.jetstream
    }

    /// The account's exports.
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// The account's imports.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// Default permissions of users without permissions of their own.
    pub fn default_permissions(&self) -> &Permissions {
        &self.default_permissions
    }

    /// Users whose tokens are revoked.
    pub fn revocations(&self) -> &[Revocation] {
        &self.revocations
    }

    /// The mappings as the token has them, in its order.
    pub fn mappings(&self) -> Vec<RawMapping> {
        let mappings = self.value["nats"]["mappings"].as_object();
        mappings.into_iter().flatten().map(|(source, to)| raw_mapping(source, to)).collect()
    }

    /// Adds a mapping, or replaces the destinations of the mapping with the same source. Returns `true` if anything
    /// changed. Keeps the spelling of an entry with the same meaning, and of every other entry.
    pub fn set_mapping(&mut self, mapping: &Mapping) -> bool {
        let source = mapping.source.as_str();
        let Some(nats) = self.value["nats"].as_object_mut() else { return false };
        let mappings = nats.entry("mappings").or_insert(Value::Null);
        if mappings.is_null() {
            *mappings = Value::Object(Map::new());
        }
        let Some(mappings) = mappings.as_object_mut() else { return false };
        let to: Value = mapping.destinations.iter().map(destination_json).collect();
        if mappings.get(source).is_some_and(|found| raw_mapping(source, found) == raw_mapping(source, &to)) {
            return false;
        }
        mappings.insert(source.to_owned(), to);
        true
    }

    /// Removes the mapping of a source. Returns `true` if there was one. Removes the field `mappings` with its last
    /// entry, as Go's `omitempty` does.
    pub fn remove_mapping(&mut self, source: &str) -> bool {
        let Some(nats) = self.value["nats"].as_object_mut() else { return false };
        let Some(mappings) = nats.get_mut("mappings").and_then(Value::as_object_mut) else { return false };
        let removed = mappings.shift_remove(source).is_some();
        if removed && mappings.is_empty() {
            nats.shift_remove("mappings");
        }
        removed
    }

    /// The whole document, as [`crate::sign::issue`] takes it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the size of the token in bytes when it is issued again, with an issuer and a time of the usual length.
    /// Servers refuse more than [`super::MAX_TOKEN_SIZE`], and more than their `max_payload`.
    pub fn token_size(&self) -> usize {
        let mut claims = self.value.as_object().cloned().unwrap_or_default();
        claims.insert("iss".to_owned(), self.id.to_string().into());
        claims.insert("iat".to_owned(), self.issued_at.max(1_000_000_000).into());
        claims.insert("jti".to_owned(), "A".repeat(52).into());
        super::token::encoded_size(&claims)
    }
}

fn raw_mapping(source: &str, to: &Value) -> RawMapping {
    let destinations = views::items(to).iter().map(|to| Destination {
        subject: to["subject"].as_str().unwrap_or_default().to_owned(),
        weight: match to["weight"].as_u64() {
            None | Some(0) => 100,
            Some(weight) => u8::try_from(weight).unwrap_or(u8::MAX),
        },
        cluster: to["cluster"].as_str().filter(|c| !c.is_empty()).map(str::to_owned),
    });
    RawMapping { source: source.to_owned(), destinations: destinations.collect() }
}

fn destination_json(to: &Destination) -> Value {
    let Destination { subject, weight, cluster } = to;
    let mut fields = Map::with_capacity(2);
    fields.insert("subject".to_owned(), subject.as_str().into());
    // As with `omitempty` in Go, a missing weight means 100.
    if !matches!(weight, 0 | 100) {
        fields.insert("weight".to_owned(), (*weight).into());
    }
    if let Some(cluster) = cluster {
        fields.insert("cluster".to_owned(), cluster.as_str().into());
    }
    Value::Object(fields)
}

/// Checks that each destination has a subject. Without one, servers refuse the whole token.
fn check_mappings(nats: &Value) -> Result<(), ClaimsError> {
    for (source, to) in views::object(&nats["mappings"], "nats.mappings")? {
        if views::items(to).iter().any(|to| !to["subject"].is_string()) {
            let path = format!("nats.mappings.{}.subject", key_in_words(source, true));
            return Err(ClaimsError::Field { path, reason: "is not a string".to_owned() });
        }
    }
    Ok(())
}
