//! Seeds in memory that is wiped on drop; never printed, never copied.

use super::{SignError, Signer};
use crate::model::nkey::{KeyKind, PublicKey, crc16};
use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

/// Why a seed was refused; never holds any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// Not base32, wrong length or wrong checksum.
    #[error("is damaged or not a seed: {0}")]
    Damaged(&'static str),
    /// A seed of a kind that is not handled (curve, server, cluster, …).
    #[error("is a seed of a kind that is not used here")]
    UnknownKind,
    /// A seed, but not of the kind that is needed.
    #[error("is the seed of a key of kind {found}, where one of kind {expected} is needed")]
    WrongKind {
        /// The kind that was needed.
        expected: KeyKind,
        /// The kind that was found.
        found: KeyKind,
    },
    /// No random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// A seed, and so the power to sign as its key.
pub struct Seed {
    kind: KeyKind,
    key: SigningKey,
}

impl Seed {
    /// A new random seed.
    ///
    /// # Errors
    /// [`SeedError::NoRandom`]
    pub fn generate(kind: KeyKind) -> Result<Self, SeedError> {
        let mut raw = Zeroizing::new([0u8; 32]);
        getrandom::fill(raw.as_mut()).map_err(|_| SeedError::NoRandom)?;
        Ok(Self { kind, key: SigningKey::from_bytes(&raw) })
    }

    /// Parses the text form (`SO…`, 58 characters).
    ///
    /// # Errors
    /// [`SeedError`]
    pub fn parse(text: &str) -> Result<Self, SeedError> {
        let mut raw = Zeroizing::new([0u8; 36]);
        if text.len() != 58 {
            return Err(SeedError::Damaged("wrong length"));
        }
        data_encoding::BASE32_NOPAD
            .decode_mut(text.as_bytes(), raw.as_mut())
            .map_err(|_| SeedError::Damaged("not base32"))?;
        if crc16(&raw[..34]) != u16::from_le_bytes([raw[34], raw[35]]) {
            return Err(SeedError::Damaged("wrong checksum"));
        }
        if raw[0] & 0xf8 != 18 << 3 {
            return Err(SeedError::Damaged("not a seed"));
        }
        let kind = KeyKind::from_prefix((raw[0] & 7) << 5 | (raw[1] & 0xf8) >> 3).ok_or(SeedError::UnknownKind)?;
        let mut seed = Zeroizing::new([0u8; 32]);
        seed.copy_from_slice(&raw[2..34]);
        Ok(Self { kind, key: SigningKey::from_bytes(&seed) })
    }

    /// The text form, in memory that is wiped on drop.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut raw = Zeroizing::new([0u8; 36]);
        let prefix = self.kind.prefix();
        raw[0] = 18 << 3 | prefix >> 5;
        raw[1] = (prefix & 31) << 3;
        raw[2..34].copy_from_slice(self.key.as_bytes());
        let crc = crc16(&raw[..34]).to_le_bytes();
        raw[34..].copy_from_slice(&crc);
        Zeroizing::new(data_encoding::BASE32_NOPAD.encode(raw.as_ref()))
    }

    /// What the key is for.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }
}

impl Signer for Seed {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.kind, self.key.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.key.sign(message).to_bytes())
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seed({})", self.public_key())
    }
}
