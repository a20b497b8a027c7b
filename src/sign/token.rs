//! Signed tokens, and [`issue`], their only maker.

use super::error::SignError;
use super::signer::Signer;
use crate::model::claims::{self, AccountClaims, Activation, HEADER, LATEST};
use crate::model::claims::{OperatorClaims, Token, TrustedClaims};
use crate::model::nkey::{KeyKind, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Map, Value};

/// An encoded JWT with a verified signature. [`issue`] made it, or [`verified`](Self::verified) accepted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedToken(String);

impl SignedToken {
    /// Accepts a token that `signer` signed elsewhere, if its signature verifies.
    ///
    /// # Errors
    /// [`SignError::BadSignature`]
    pub fn verified(token: &str, signer: &PublicKey) -> Result<Self, SignError> {
        let bad = || SignError::BadSignature(signer.clone());
        let (signed, signature) = token.rsplit_once('.').ok_or_else(bad)?;
        let signature = B64.decode(signature).map_err(|_| bad())?;
        verify(signed.as_bytes(), &signature, signer)?;
        Ok(Self(token.to_owned()))
    }

    /// Returns the token as text (`header.claims.signature`).
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for SignedToken {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Signs claims: sets `iss` to the signer, `iat` (seconds) and a new `jti`, and leaves everything else unchanged.
/// Encodes the token (`alg` `ed25519-nkey`) and verifies it with an implementation other than the signer's. Refuses
/// claims that the strict decoder refuses, and decodes the token again with the same decoder.
///
/// `jti` identifies this one token, not its content. The caller makes `iat` later than that of every stored token, with
/// [`next_iat`].
///
/// # Errors
/// [`SignError`]; [`SignError::WrongSigner`] if servers would refuse a token of this type signed by this key.
pub fn issue(claims: &Value, signer: &dyn Signer, iat: u64) -> Result<SignedToken, SignError> {
    let fields = claims.as_object().ok_or(SignError::NotAnObject)?;
    let key = signer.public_key();
    check_kinds(fields, &key)?;
    claims::check(claims)?;
    if iat > LATEST {
        return Err(SignError::Date(iat));
    }
    let body = body(fields, &key, iat);
    let mut token = String::with_capacity((HEADER.len() + body.len() + 64) * 4 / 3 + 8);
    B64.encode_string(HEADER, &mut token);
    token.push('.');
    B64.encode_string(body, &mut token);
    let signature = signer.sign(token.as_bytes())?;
    verify(token.as_bytes(), &signature, &key)?;
    token.push('.');
    B64.encode_string(signature, &mut token);
    read_back(&token, fields, &key, iat)?;
    Ok(SignedToken(token))
}

/// Signs an account's claims with [`issue`]. They come from elsewhere, and so must be trusted.
///
/// # Errors
/// [`SignError`]
pub fn issue_account(claims: &TrustedClaims, signer: &dyn Signer, iat: u64) -> Result<SignedToken, SignError> {
    issue(claims.value(), signer, iat)
}

/// Decodes a new token as if it came from elsewhere, and compares it with the claims from which it was made.
fn read_back(token: &str, claims: &Map<String, Value>, issuer: &PublicKey, iat: u64) -> Result<(), SignError> {
    let (account, other);
    let (read, signed_by) = match claims.get("nats").and_then(|nats| nats["type"].as_str()) {
        Some("account") => {
            account = AccountClaims::decode(token)?;
            (account.value(), account.issuer())
        }
        claim_type => {
            match claim_type {
                Some("operator") => drop(OperatorClaims::decode(token)?),
                Some("activation") => drop(Activation::decode(token)?),
                _ => {}
            }
            other = Token::decode(token)?;
            (other.claims(), other.issuer())
        }
    };
    let fields = read.as_object().ok_or(SignError::ReadBack)?;
    let kept = |fields: &Map<String, Value>| fields.keys().filter(|name| !is_set_here(name)).count();
    let same = fields.iter().all(|(name, value)| is_set_here(name) || claims.get(name) == Some(value));
    let dated = read["iat"].as_u64() == Some(iat) && read["jti"].is_string();
    match same && dated && signed_by == issuer && kept(fields) == kept(claims) {
        true => Ok(()),
        false => Err(SignError::ReadBack),
    }
}

/// Checks whether [`issue`] sets this field of the claims.
fn is_set_here(name: &str) -> bool {
    matches!(name, "iss" | "iat" | "jti")
}

/// Verifies a signature with an implementation other than that of the signers.
///
/// # Errors
/// [`SignError::BadSignature`], [`SignError::WeakKey`]
pub fn verify(message: &[u8], signature: &[u8], key: &PublicKey) -> Result<(), SignError> {
    if key.is_weak() {
        return Err(SignError::WeakKey(key.clone()));
    }
    ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key.bytes())
        .verify(message, signature)
        .map_err(|_| SignError::BadSignature(key.clone()))
}

/// Writes the claims as Go does, with `iss`, `iat` and `jti` where the claims have them, or at the end.
///
/// `jti` is a hash of everything else. The claims of an account with many virtual streams take hundreds of kilobytes,
/// so this function copies and hashes nothing twice.
pub(super) fn body(fields: &Map<String, Value>, issuer: &PublicKey, iat: u64) -> Vec<u8> {
    let (issuer, iat, none) = (Value::from(issuer.to_string()), Value::from(iat), Value::from(""));
    let ours = [("iss", &issuer), ("iat", &iat), ("jti", &none)];
    let set = fields.iter().map(|(name, value)| {
        let ours = ours.iter().find(|(our, _)| our == name);
        (name.as_str(), ours.map_or(value, |(_, value)| *value))
    });
    let added = ours.into_iter().filter(|(name, _)| !fields.contains_key(*name));
    let mut body = b"{".to_vec();
    let mut id_at = 0;
    for (name, value) in set.chain(added) {
        if body.len() > 1 {
            body.push(b',');
        }
        claims::write_as_go(&mut body, name);
        body.push(b':');
        claims::write_as_go(&mut body, value);
        if name == "jti" {
            id_at = body.len() - 1;
        }
    }
    body.push(b'}');
    let id = data_encoding::BASE32_NOPAD.encode(ring::digest::digest(&ring::digest::SHA256, &body).as_ref());
    body.splice(id_at..id_at, id.into_bytes());
    body
}

/// Returns the time of issue for a token that replaces `stored` ones: now, but later than each of them. Servers that
/// exchange tokens keep the one with the greater `iat` (nats-server `dirstore.go`). All times are in seconds since
/// 1970.
pub fn next_iat(now: u64, stored: impl IntoIterator<Item = u64>) -> u64 {
    stored.into_iter().fold(now, |iat, stored| iat.max(stored.saturating_add(1)))
}

/// Checks that the signer and `sub` are of the kinds that this type of claims requires (nats-io/jwt v2,
/// `ExpectedPrefixes` and `Encode` of the claims).
fn check_kinds(claims: &Map<String, Value>, signer: &PublicKey) -> Result<(), SignError> {
    let claim_type = claims.get("nats").and_then(|nats| nats["type"].as_str()).unwrap_or_default().to_owned();
    let (signed_by, about) = match claim_type.as_str() {
        "operator" => (KeyKind::Operator, KeyKind::Operator),
        "account" => (KeyKind::Operator, KeyKind::Account),
        "user" => (KeyKind::Account, KeyKind::User),
        "activation" => (KeyKind::Account, KeyKind::Account),
        _ => return Err(SignError::UnknownType(claim_type)),
    };
    if signer.kind() != signed_by {
        return Err(SignError::WrongSigner { signer: signer.clone(), claim_type, expected: signed_by });
    }
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    if PublicKey::parse_kind(subject, about).is_ok() {
        return Ok(());
    }
    Err(SignError::WrongSubject { claim_type, expected: about })
}
