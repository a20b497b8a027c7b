//! Kinds of secrets, and a secret with its position in a text.

use std::ops::Range;

/// A kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An nkey seed (`SO…`, `SA…`, `SU…`, …).
    Seed,
    /// An identity that opens age files.
    AgeIdentity,
    /// A private key in PEM.
    PrivateKey,
    /// The token of a user, with which its holder can log in.
    UserToken,
    /// A password or token before the host of a URL.
    Password,
    /// The PIN of a hardware token.
    Pin,
}

impl Kind {
    /// Returns the kind with its article, for sentences.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Seed => "a seed",
            Self::AgeIdentity => "an age identity",
            Self::PrivateKey => "a private key",
            Self::UserToken => "a user's token",
            Self::Password => "a password",
            Self::Pin => "a PIN",
        }
    }
}

/// A secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The kind of the secret.
    pub kind: Kind,
    /// The range in bytes. It begins and ends at character boundaries.
    pub range: Range<usize>,
    /// `true` if the text is almost certainly a secret. A merely likely secret is hidden in output, but does not make a
    /// text invalid.
    pub certain: bool,
}
