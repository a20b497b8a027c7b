//! A NATS JWT as text: three parts, header, strict JSON, signature.

use super::format::{HEADER, MAX_TOKEN_SIZE};
use super::{ClaimsError, schema};
use crate::model::nkey::{KeyKind, PublicKey};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Accepts any spare bits in the last character, as Go's `base64.RawURLEncoding` does.
const ANY_SPARE_BITS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// A token of any type whose signature was verified against its `iss`. The caller must decide whether that `iss` was
/// *entitled* to sign.
#[derive(Clone, PartialEq)]
pub struct Token {
    claims: Value,
    issuer: PublicKey,
    subject: PublicKey,
}

impl Token {
    /// Decodes and verifies a version 2 token (header `ed25519-nkey`). Refuses a token that servers could read
    /// differently. The signature may be spelled in any way that servers accept ([`spelled_as_signed`]).
    ///
    /// # Errors
    /// [`ClaimsError`]; it names the faulty part or field, and never repeats the token.
    pub fn decode(token: &str) -> Result<Self, ClaimsError> {
        if token.len() > MAX_TOKEN_SIZE {
            return Err(ClaimsError::TooLarge { size: token.len() });
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, body, signature] = parts[..] else {
            return Err(ClaimsError::Parts { found: parts.len() });
        };
        check_header(&decode_part("header", header)?)?;
        let claims = super::json::parse_strict("claims", &decode_part("claims", body)?)?;
        schema::check(&claims)?;
        let issuer = key(&claims, "iss")?;
        let subject = key(&claims, "sub")?;
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, issuer.bytes())
            .verify(&token.as_bytes()[..header.len() + 1 + body.len()], &decode_signature(signature)?)
            .map_err(|_| ClaimsError::Signature { issuer: issuer.clone() })?;
        Ok(Self { claims, issuer, subject })
    }

    /// All claims, as the token has them.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// All claims, by value.
    pub fn into_claims(self) -> Value {
        self.claims
    }

    /// The key that signed the token (`iss`).
    pub fn issuer(&self) -> &PublicKey {
        &self.issuer
    }

    /// The key that the token is about (`sub`).
    pub fn subject(&self) -> &PublicKey {
        &self.subject
    }

    /// The type of the token (`nats.type`: `operator`, `account`, `user`, `activation`, …); empty if it has none.
    pub fn claim_type(&self) -> &str {
        self.claims["nats"]["type"].as_str().unwrap_or_default()
    }

    /// Refuses a token of another type, and a token about a key of another kind.
    pub(super) fn expect(&self, claim_type: &'static str, subject: KeyKind) -> Result<(), ClaimsError> {
        if self.claim_type() != claim_type {
            return Err(ClaimsError::WrongType { expected: claim_type, found: self.claim_type().to_owned() });
        }
        if self.subject.kind() == subject {
            return Ok(());
        }
        Err(ClaimsError::Field {
            path: "sub".into(),
            reason: format!("is not the public key of {}", subject.with_article()),
        })
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({} {} by {})", self.claim_type(), self.subject, self.issuer)
    }
}

/// Returns the length in bytes of the token that [`crate::sign::issue`] makes of claims with `iss`, `iat` and `jti`.
pub(super) fn encoded_size(claims: &Map<String, Value>) -> usize {
    let mut body = Vec::new();
    super::write_as_go(&mut body, claims);
    let part = |bytes: usize| (bytes * 4).div_ceil(3);
    part(HEADER.len()) + 1 + part(body.len()) + 1 + part(64)
}

fn decode_part(part: &'static str, text: &str) -> Result<Vec<u8>, ClaimsError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| ClaimsError::Encoding { part })
}

/// Decodes a signature as servers do: Go's decoder skips CR and LF, and ignores the spare bits of the last character.
fn decode_signature(text: &str) -> Result<Vec<u8>, ClaimsError> {
    let text: String = text.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
    ANY_SPARE_BITS.decode(text).map_err(|_| ClaimsError::Encoding { part: "signature" })
}

/// Returns the token with its signature spelled as signers spell it.
///
/// The signature does not cover its own spelling. Anyone can respell it, and servers accept and store every spelling
/// (measured, 2.15.1). So two texts are the same token if this function returns the same text for both. Returns a text
/// that is not a token unchanged.
pub fn spelled_as_signed(token: &str) -> Cow<'_, str> {
    let respelled = || {
        let (signed, signature) = token.rsplit_once('.')?;
        let spelled = URL_SAFE_NO_PAD.encode(decode_signature(signature).ok()?);
        (spelled != signature).then(|| Cow::Owned(format!("{signed}.{spelled}")))
    };
    respelled().unwrap_or(Cow::Borrowed(token))
}

/// Returns the subject that a token claims (`sub`), without verifying anything.
pub fn claimed_subject(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Subject {
        sub: String,
    }
    let body = token.trim().split('.').nth(1)?;
    let claims: Subject = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
    Some(claims.sub)
}

fn check_header(header: &[u8]) -> Result<(), ClaimsError> {
    let header = super::json::parse_strict("header", header)?;
    schema::check_header(&header)?;
    let field = |name: &str| header[name].as_str().unwrap_or_default().to_ascii_lowercase();
    if field("typ") != "jwt" {
        return Err(ClaimsError::Header { reason: "`typ` is not JWT" });
    }
    match field("alg").as_str() {
        "ed25519-nkey" => Ok(()),
        "ed25519" => Err(ClaimsError::Version1),
        _ => Err(ClaimsError::Header { reason: "`alg` is not ed25519-nkey" }),
    }
}

fn key(claims: &Value, field: &'static str) -> Result<PublicKey, ClaimsError> {
    let text =
        claims[field].as_str().ok_or_else(|| ClaimsError::Field { path: field.into(), reason: "is missing".into() })?;
    PublicKey::parse(text).map_err(|error| ClaimsError::Field { path: field.into(), reason: error.to_string() })
}
