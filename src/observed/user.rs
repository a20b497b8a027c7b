//! The user of a connection, from its token.

use crate::model::nkey::{KeyKind, PublicKey};
use serde_json::Value;

/// The user of a connection, as its token describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// All claims.
    pub claims: Value,
    /// The source of the claims, for messages: `credentials keys/sys.creds`.
    pub place: String,
    /// `true` for a user minted for this run, with only the permissions and the lifetime that the run needs.
    pub minted: bool,
}

impl User {
    /// Returns the account in a user's claims: the one that a signing key signed for, otherwise the signer.
    pub fn account_of(claims: &Value) -> Option<PublicKey> {
        let text = |pointer: &str| claims.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let account = text("/nats/issuer_account").or(text("/iss"))?;
        PublicKey::parse_kind(account, KeyKind::Account).ok()
    }

    /// Returns the user's name, or its key.
    pub fn name(&self) -> &str {
        let text = |field: &str| self.claims[field].as_str().filter(|text| !text.is_empty());
        text("name").or(text("sub")).unwrap_or_default()
    }
}
