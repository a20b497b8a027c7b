//! Signing: seeds in wiped memory, and [`issue`], the only maker of a signed token.

mod seed;

pub use seed::{Seed, SeedError};

use crate::model::nkey::PublicKey;

/// Something that can sign as one key.
pub trait Signer {
    /// The key that signatures verify against.
    fn public_key(&self) -> PublicKey;

    /// Signs `message` (ed25519).
    ///
    /// # Errors
    /// [`SignError`] when the signer cannot or will not sign.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// Why there is no signed token.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The signer failed.
    #[error("the signer failed: {0}")]
    Signer(String),
    /// The signature did not verify with an independent implementation.
    #[error("the signature of {0} does not verify; nothing was sent")]
    BadSignature(PublicKey),
    /// The claims are not an object.
    #[error("the claims are not a JSON object")]
    NotAnObject,
}

/// An encoded JWT whose signature was verified after it was made; only [`issue`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedToken(String);

impl SignedToken {
    /// The token as text (`header.claims.signature`).
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Signs claims: sets `iss` to the signer, `iat` (seconds) and a fresh `jti`, leaves everything else as it is,
/// encodes (`alg` `ed25519-nkey`) and verifies the result with an implementation other than the signer's.
///
/// # Errors
/// [`SignError`]
pub fn issue(claims: &serde_json::Value, signer: &dyn Signer, iat: u64) -> Result<SignedToken, SignError> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    use sha2::Digest as _;

    let mut claims = claims.as_object().ok_or(SignError::NotAnObject)?.clone();
    let key = signer.public_key();
    claims.insert("iss".to_owned(), key.to_string().into());
    claims.insert("iat".to_owned(), iat.into());
    claims.insert("jti".to_owned(), "".into());
    let unnamed = serde_json::to_vec(&claims).expect("a JSON object can be written");
    claims.insert("jti".to_owned(), data_encoding::BASE32_NOPAD.encode(&sha2::Sha512_256::digest(&unnamed)).into());
    let body = serde_json::to_vec(&claims).expect("a JSON object can be written");
    let message = format!("{}.{}", B64.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#), B64.encode(body));
    let signature = signer.sign(message.as_bytes())?;
    ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key.bytes())
        .verify(message.as_bytes(), &signature)
        .map_err(|_| SignError::BadSignature(key))?;
    Ok(SignedToken(format!("{message}.{}", B64.encode(signature))))
}
