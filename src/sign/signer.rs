//! The trait of what signs as one key, and the question for the secret that unlocks it.

use super::error::SignError;
use crate::model::nkey::PublicKey;

/// Something that can sign as one key.
pub trait Signer {
    /// Returns the key that signatures verify against.
    fn public_key(&self) -> PublicKey;

    /// Signs `message` (ed25519).
    ///
    /// # Errors
    /// [`SignError`] when the signer cannot or will not sign.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// Asks the user for a secret, with the question given; fails without a terminal.
pub type Ask = fn(&str) -> std::io::Result<zeroize::Zeroizing<String>>;
