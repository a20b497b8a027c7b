//! The claims of an account, and the only edits that are made to them.

use super::views::{self, AccountLimits, Export, Import, JetStreamLimits, Permissions, Revocation, SigningKey};
use super::words::key_in_words;
use super::{ClaimsError, Token};
use crate::model::mapping::{Destination, Mapping, RawMapping};
use crate::model::nkey::{KeyKind, PublicKey};
use serde_json::{Map, Value};

/// The claims of an account's token: signature verified, type and version known, the fields that are read well formed.
///
/// Its edits touch what they name and nothing else: [`set_mapping`](Self::set_mapping), [`set_import`](Self::set_import)
/// and the like.
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
    /// Decodes an account's token and verifies its signature against `iss`, an operator's key or, for a self-signed
    /// account, the account itself. Whether the servers trust that key is not known here.
    ///
    /// # Errors
    /// [`ClaimsError`]; it names the part or field that is at fault.
    pub fn decode(token: &str) -> Result<Self, ClaimsError> {
        let token = Token::decode(token)?;
        token.expect("account", KeyKind::Account)?;
        let (id, issuer) = (token.subject().clone(), token.issuer().clone());
        if issuer.kind() != KeyKind::Operator && issuer != id {
            return Err(ClaimsError::WrongIssuer { issuer });
        }
        Self::of_document(token.into_claims(), id, issuer)
    }

    /// Claims of a document that is an account's.
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

    /// Reads the views anew after an edit.
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

    /// The key that signed it (`iss`).
    pub fn issuer(&self) -> &PublicKey {
        &self.issuer
    }

    /// When it was issued (`iat`), in seconds since 1970; 0 when it doesn't say.
    pub fn issued_at(&self) -> u64 {
        self.issued_at
    }

    /// When it expires (`exp`), in seconds since 1970.
    pub fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// From when on it is valid (`nbf`), in seconds since 1970.
    pub fn not_before(&self) -> Option<u64> {
        self.not_before
    }

    /// The account's name, empty when it has none.
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

    /// JetStream limits, global and by tier, as the token says.
    pub fn jetstream_limits(&self) -> &JetStreamLimits {
        &self.jetstream
    }

    /// What the account exports.
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// What the account imports.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// Permissions of users that have none of their own.
    pub fn default_permissions(&self) -> &Permissions {
        &self.default_permissions
    }

    /// Users whose tokens are revoked.
    pub fn revocations(&self) -> &[Revocation] {
        &self.revocations
    }

    /// The mappings in the order of the token, as they are.
    pub fn mappings(&self) -> Vec<RawMapping> {
        let mappings = self.value["nats"]["mappings"].as_object();
        mappings.into_iter().flatten().map(|(source, to)| raw_mapping(source, to)).collect()
    }

    /// Adds a mapping, or replaces the destinations of the one with the same source; says whether anything changed.
    /// An entry that means the same is left as it is written, and so is every other entry.
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

    /// Removes the mapping of a source; says whether there was one. `mappings` goes with its last entry, as Go's
    /// `omitempty` has it.
    pub fn remove_mapping(&mut self, source: &str) -> bool {
        let Some(nats) = self.value["nats"].as_object_mut() else { return false };
        let Some(mappings) = nats.get_mut("mappings").and_then(Value::as_object_mut) else { return false };
        let removed = mappings.shift_remove(source).is_some();
        if removed && mappings.is_empty() {
            nats.shift_remove("mappings");
        }
        removed
    }

    /// The whole document; what [`crate::sign::issue`] takes.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Bytes that the token will have once it is issued anew, as far as its issuer and time have their usual length.
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
    // As with `omitempty` in Go: 100 is what a weight that is left out means.
    if !matches!(weight, 0 | 100) {
        fields.insert("weight".to_owned(), (*weight).into());
    }
    if let Some(cluster) = cluster {
        fields.insert("cluster".to_owned(), cluster.as_str().into());
    }
    Value::Object(fields)
}

/// A destination without a subject is refused by servers, and so is the whole token.
fn check_mappings(nats: &Value) -> Result<(), ClaimsError> {
    for (source, to) in views::object(&nats["mappings"], "nats.mappings")? {
        if views::items(to).iter().any(|to| !to["subject"].is_string()) {
            let path = format!("nats.mappings.{}.subject", key_in_words(source, true));
            return Err(ClaimsError::Field { path, reason: "is not a string".to_owned() });
        }
    }
    Ok(())
}
