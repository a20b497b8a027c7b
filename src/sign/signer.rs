//! The trait for signing with one key, and the function that asks for the secret that unlocks it.

use super::error::SignError;
use crate::model::nkey::PublicKey;

/// A signer with one key.
pub trait Signer {
    /// Returns the key for verifying the signatures.
    fn public_key(&self) -> PublicKey;

    /// Signs `message` (ed25519).
    ///
    /// # Errors
    /// [`SignError`] if the signer cannot or will not sign.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// Asks the user the given question for a secret. Fails without a terminal.
pub type Ask = fn(&str) -> std::io::Result<zeroize::Zeroizing<String>>;
