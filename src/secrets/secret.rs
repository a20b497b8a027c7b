//! The kinds of secrets, and a secret with its place in a text.

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
    /// The token of a user, with which a bearer can log in.
    UserToken,
    /// A password, or a token in its place, before the host of a URL.
    Password,
    /// The PIN of a hardware token.
    Pin,
}

impl Kind {
    /// With its article, for sentences.
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
    /// What it is.
    pub kind: Kind,
    /// Where, in bytes; begins and ends at characters.
    pub range: Range<usize>,
    /// Whether it can hardly be anything else. What is only likely is not shown, and refused nowhere.
    pub certain: bool,
}
