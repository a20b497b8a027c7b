//! The claims of an operator that decide which keys are trusted.

use super::{ClaimsError, Token, schema, views};
use crate::model::nkey::{KeyKind, PublicKey};
use serde::Serialize;
use serde_json::Value;

/// An operator, read from its token or from a server's `VARZ` (`trusted_operators_jwt`, `trusted_operators_claim`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorClaims {
    /// The identity key (`sub`).
    pub identity: PublicKey,
    /// The name; empty if the operator has none.
    pub name: String,
    /// The keys that sign accounts, besides the identity key.
    pub signing_keys: Vec<PublicKey>,
    /// Strict signing key usage: the identity key itself does not sign accounts.
    pub strict: bool,
    /// The system account, if the operator names one.
    pub system_account: Option<PublicKey>,
}

impl OperatorClaims {
    /// Decodes an operator's token and verifies its signature by an operator's key.
    ///
    /// # Errors
    /// [`ClaimsError`]
    pub fn decode(token: &str) -> Result<Self, ClaimsError> {
        let token = Token::decode(token)?;
        token.expect("operator", KeyKind::Operator)?;
        if token.issuer().kind() != KeyKind::Operator {
            return Err(ClaimsError::WrongIssuer { issuer: token.issuer().clone() });
        }
        Self::from_claims(token.claims())
    }

    /// Reads decoded claims, as `trusted_operators_claim` has them.
    ///
    /// # Errors
    /// [`ClaimsError::Field`]
    pub fn from_claims(claims: &Value) -> Result<Self, ClaimsError> {
        let key = |value: &Value, path: &str, kind| {
            let text = value.as_str().unwrap_or_default();
            PublicKey::parse_kind(text, kind)
                .map_err(|error| ClaimsError::Field { path: path.to_owned(), reason: error.to_string() })
        };
        schema::check_operator(claims)?;
        let nats = &claims["nats"];
        let signing_keys = views::array(&nats["signing_keys"], "nats.signing_keys")?.iter();
        let system_account = nats["system_account"].as_str().filter(|s| !s.is_empty());
        Ok(Self {
            identity: key(&claims["sub"], "sub", KeyKind::Operator)?,
            name: claims["name"].as_str().unwrap_or_default().to_owned(),
            signing_keys: signing_keys
                .map(|k| key(k, "nats.signing_keys", KeyKind::Operator))
                .collect::<Result<_, _>>()?,
            strict: nats["strict_signing_key_usage"].as_bool().unwrap_or(false),
            system_account: system_account
                .map(|_| key(&nats["system_account"], "nats.system_account", KeyKind::Account))
                .transpose()?,
        })
    }

    /// Returns the keys whose signatures on account tokens servers accept: the signing keys, and the identity key
    /// unless signing key usage is strict (nats-server `server/jwt.go`, `trustedKeys`).
    pub fn trusted_keys(&self) -> Vec<PublicKey> {
        let identity = (!self.strict).then(|| self.identity.clone());
        identity.into_iter().chain(self.signing_keys.iter().cloned()).collect()
    }
}
