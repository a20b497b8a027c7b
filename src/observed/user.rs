//! Who a connection is: the user's token.

use crate::model::nkey::{KeyKind, PublicKey};
use serde_json::Value;

/// The user of a connection, as its token has it.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The whole claims.
    pub claims: Value,
    /// Where they come from, for messages: `credentials keys/sys.creds`.
    pub place: String,
    /// Made for this run, with what it needs and for as long as it needs.
    pub minted: bool,
}

impl User {
    /// Returns the account of a user by the user's claims: the one that a signing key signed for, else the one that signed.
    pub fn account_of(claims: &Value) -> Option<PublicKey> {
        let text = |pointer: &str| claims.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let account = text("/nats/issuer_account").or(text("/iss"))?;
        PublicKey::parse_kind(account, KeyKind::Account).ok()
    }

    /// Its name, or its key.
    pub fn name(&self) -> &str {
        let text = |field: &str| self.claims[field].as_str().filter(|text| !text.is_empty());
        text("name").or(text("sub")).unwrap_or_default()
    }
}
