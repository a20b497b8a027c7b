//! Seeds in `age` files (<https://age-encryption.org>), which a passphrase or an identity opens.

#[cfg(feature = "age")]
mod decrypt;
mod error;
#[cfg(all(test, feature = "age"))]
mod tests;
mod unlock;

#[cfg(feature = "age")]
pub use decrypt::decrypt;
pub use error::AgeError;
#[cfg(any(feature = "age", feature = "pkcs11"))]
pub(super) use unlock::secret_line;
pub use unlock::{Unlock, is_encrypted};

#[cfg(not(feature = "age"))]
use zeroize::Zeroizing;

/// Refuses an age file, because the feature `age` is not built in.
///
/// # Errors
/// [`AgeError::NotBuilt`]
#[cfg(not(feature = "age"))]
pub fn decrypt(_file: &[u8], _name: &str, _unlock: &Unlock) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    Err(AgeError::NotBuilt)
}
