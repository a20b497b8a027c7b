//! Seeds in memory that is wiped on drop. This tool never prints or copies them.

use super::{SignError, Signer};
use crate::model::nkey::{KeyKind, PublicKey, crc16};
use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

/// Reason why a seed was refused. Never contains any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The text is not base32, or has a wrong length or checksum.
    #[error("is damaged or not a seed: {0}")]
    Damaged(&'static str),
    /// The seed is of a kind that this tool does not use (curve, server, cluster, …).
    #[error("is a seed of a kind that is not used here")]
    UnknownKind,
    /// The seed is of another kind than needed.
    #[error("is the seed of {}, where that of {} is needed", found.with_article(), expected.with_article())]
    WrongKind {
        /// The kind needed.
        expected: KeyKind,
        /// The kind found.
        found: KeyKind,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// A seed, which can sign as its key.
///
/// The key is on the heap, so that moving a `Seed` leaves no copy behind. `SigningKey` wipes itself on drop.
pub struct Seed {
    kind: KeyKind,
    key: Box<SigningKey>,
}

impl Seed {
    /// Generates a new random seed.
    ///
    /// # Errors
    /// [`SeedError::NoRandom`]
    pub fn generate(kind: KeyKind) -> Result<Self, SeedError> {
        let mut raw = Zeroizing::new([0u8; 32]);
        getrandom::fill(raw.as_mut()).map_err(|_| SeedError::NoRandom)?;
        Ok(Self { kind, key: Box::new(SigningKey::from_bytes(&raw)) })
    }

    /// Parses the text form (`SO…`, 58 characters). White space around it and the lines that nsc puts around seeds
    /// (`-----BEGIN USER NKEY SEED-----`) are allowed.
    ///
    /// # Errors
    /// [`SeedError`]
    pub fn parse(text: &str) -> Result<Self, SeedError> {
        let text = bare(text);
        let mut raw = Zeroizing::new([0u8; 36]);
        if text.len() == 56 && text.starts_with(['O', 'A', 'U']) {
            return Err(SeedError::Damaged("a public key, where its seed is needed"));
        }
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
        Ok(Self { kind, key: Box::new(SigningKey::from_bytes(&seed)) })
    }

    /// Parses the content of a file, as [`parse`](Self::parse) does.
    ///
    /// # Errors
    /// [`SeedError`]
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, SeedError> {
        Self::parse(std::str::from_utf8(bytes).map_err(|_| SeedError::Damaged("not text"))?)
    }

    /// Returns the text form, in memory that is wiped on drop.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut raw = Zeroizing::new([0u8; 36]);
        let prefix = self.kind.prefix();
        raw[0] = 18 << 3 | prefix >> 5;
        raw[1] = (prefix & 31) << 3;
        raw[2..34].copy_from_slice(self.key.as_bytes());
        let crc = crc16(&raw[..34]).to_le_bytes();
        raw[34..].copy_from_slice(&crc);
        let mut text = Zeroizing::new(String::with_capacity(58));
        data_encoding::BASE32_NOPAD.encode_append(raw.as_ref(), &mut text);
        text
    }

    /// Returns the kind of key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }
}

impl Signer for Seed {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.kind, self.key.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.key.sign(message).to_bytes();
        super::memory::scrub_stack();
        Ok(signature)
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seed({})", self.public_key())
    }
}

/// Checks whether an argument is a seed, or looks like one. Then no message may repeat it.
pub fn looks_like_a_seed(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 50 && text.starts_with('S') && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Returns the seed in a decorated file (`nsc`, `.creds`), or the text without surrounding white space.
fn bare(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let marks = |line: &str| line.starts_with("-----BEGIN ") && (line.contains("SEED") || line.contains("PRIVATE KEY"));
    match lines.by_ref().find(|line| marks(line)).and_then(|_| lines.next()) {
        Some(seed) => seed,
        None => text.trim(),
    }
}

#[cfg(test)]
mod tests;
