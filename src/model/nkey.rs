//! Public nkeys: base32 with a prefix byte for the kind of key and a CRC16.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of a key, which is the first letter of its public form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// `O…`
    Operator,
    /// `A…`
    Account,
    /// `U…`
    User,
}

impl KeyKind {
    /// The prefix byte (nats-io/nkeys `strkey.go`).
    pub fn prefix(self) -> u8 {
        match self {
            Self::Operator => 14 << 3,
            Self::Account => 0,
            Self::User => 20 << 3,
        }
    }

    /// Returns the kind with its article, for sentences.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Operator => "an operator",
            Self::Account => "an account",
            Self::User => "a user",
        }
    }

    /// Returns the kind for a prefix byte, if this tool handles it.
    pub fn from_prefix(byte: u8) -> Option<Self> {
        [Self::Operator, Self::Account, Self::User].into_iter().find(|kind| kind.prefix() == byte)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Account => "account",
            Self::User => "user",
        })
    }
}

/// Reason why a text is not a key. It never holds the refused text, which may be a seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not base32, or has a wrong length or checksum.
    #[error("is damaged or not an nkey: {0}")]
    Damaged(&'static str),
    /// The key is of another kind.
    #[error("is not a key of kind {expected}")]
    WrongKind {
        /// The kind that was needed.
        expected: KeyKind,
    },
    /// The key is a point of small order. Anyone can make a signature that fits it, for any message, without a seed.
    #[error("is a weak key: anyone can forge its signatures")]
    Weak,
    /// The text is a seed, where a public key belongs.
    #[error("is a seed, where a public key belongs; keep seeds in files")]
    Seed,
}

/// A public nkey with a valid checksum.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    kind: KeyKind,
    bytes: [u8; 32],
}

impl PublicKey {
    /// Makes a key from a raw ed25519 public key that is known to be valid: it comes from a seed, or was checked
    /// before.
    pub fn from_bytes(kind: KeyKind, bytes: [u8; 32]) -> Self {
        Self { kind, bytes }
    }

    /// Makes a key from a raw ed25519 public key of unknown origin.
    ///
    /// # Errors
    /// [`KeyError::Weak`]
    pub fn from_elsewhere(kind: KeyKind, bytes: [u8; 32]) -> Result<Self, KeyError> {
        let key = Self { kind, bytes };
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(key) }
    }

    /// Parses the text form (`A…`, 56 characters).
    ///
    /// # Errors
    /// [`KeyError`], which never holds the refused text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.starts_with('S') && text.len() == 58 {
            return Err(KeyError::Seed);
        }
        let raw = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| KeyError::Damaged("not base32"))?;
        if raw.len() != 35 {
            return Err(KeyError::Damaged("wrong length"));
        }
        if crc16(&raw[..33]) != u16::from_le_bytes([raw[33], raw[34]]) {
            return Err(KeyError::Damaged("wrong checksum"));
        }
        let kind = KeyKind::from_prefix(raw[0]).ok_or(KeyError::Damaged("unknown prefix"))?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&raw[1..33]);
        Self::from_elsewhere(kind, bytes)
    }

    /// Parses a key of one kind.
    ///
    /// # Errors
    /// [`KeyError`], including [`KeyError::WrongKind`].
    pub fn parse_kind(text: &str, expected: KeyKind) -> Result<Self, KeyError> {
        let key = Self::parse(text)?;
        if key.kind == expected { Ok(key) } else { Err(KeyError::WrongKind { expected }) }
    }

    /// The kind of the key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns `true` if the key is a point of small order, in any encoding.
    pub fn is_weak(&self) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(&self.bytes).is_ok_and(|key| key.is_weak())
    }

    /// The raw ed25519 public key.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = Vec::with_capacity(35);
        raw.push(self.kind.prefix());
        raw.extend_from_slice(&self.bytes);
        raw.extend_from_slice(&crc16(&raw).to_le_bytes());
        f.write_str(&BASE32_NOPAD.encode(&raw))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Returns the CRC-16/XMODEM checksum that nkeys use.
pub(crate) fn crc16(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc, byte| (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)])
}

/// [`crc16`] of each single byte.
const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Every encoding of a point of small order: each y with either sign, canonical or not.
    fn weak() -> Vec<[u8; 32]> {
        let hex =
            |text: &str| -> [u8; 32] { data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap() };
        let all = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        let signed = |mut bytes: [u8; 32]| {
            bytes[31] |= 0x80;
            bytes
        };
        all.into_iter().map(hex).flat_map(|bytes| [bytes, signed(bytes)]).collect()
    }

    #[test]
    fn weak_keys_are_refused_where_keys_are_parsed() {
        for kind in [KeyKind::Operator, KeyKind::Account, KeyKind::User] {
            for bytes in weak() {
                let text = PublicKey::from_bytes(kind, bytes).to_string();
                assert_eq!(PublicKey::parse(&text), Err(KeyError::Weak), "{text}");
                assert_eq!(PublicKey::parse_kind(&text, kind), Err(KeyError::Weak));
                assert_eq!(PublicKey::from_elsewhere(kind, bytes), Err(KeyError::Weak));
                assert!(serde_json::from_value::<PublicKey>(text.into()).is_err());
            }
        }
        let strong = crate::sign::Seed::generate(KeyKind::Account).unwrap();
        let strong = crate::sign::Signer::public_key(&strong);
        assert_eq!(PublicKey::parse(&strong.to_string()), Ok(strong));
        // Not a point at all. No signature matches it, so it does no harm.
        let none = PublicKey::from_bytes(KeyKind::Account, [7; 32]);
        assert_eq!(PublicKey::parse(&none.to_string()), Ok(none));
    }
}
