//! Why a token was refused.

use crate::model::nkey::PublicKey;

/// Why a token or its claims were refused. Names the part or field; never repeats the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Over 1 MiB.
    #[error("the token has {size} bytes; NATS refuses tokens over {} bytes", super::format::MAX_TOKEN_SIZE)]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Not `header.claims.signature`.
    #[error("not a token: it has {found} part(s) between dots where header, claims and signature are expected")]
    Parts {
        /// How many parts there are.
        found: usize,
    },
    /// A part is not base64url.
    #[error("the token's {part} is damaged or cut short (not base64url)")]
    Encoding {
        /// Which part.
        part: &'static str,
    },
    /// Not the header of a NATS token.
    #[error("the token's header is not that of a NATS token: {reason}")]
    Header {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Claims of version 1 (before nats-io/jwt v2, 2020).
    #[error("the token has claims of version 1, which are not supported; issue it again with nsc 2 or newer")]
    Version1,
    /// Claims of a version that is not known here.
    #[error("the token has claims of version {found}; only version 2 is known here, so it is left alone")]
    UnknownVersion {
        /// `nats.version` as it was.
        found: String,
    },
    /// Broken JSON.
    #[error("the token's {part}: {reason}")]
    Json {
        /// Which part.
        part: &'static str,
        /// What is wrong and where.
        reason: String,
    },
    /// The same name twice in one object: which one counts depends on the reader.
    #[error("the token's {part} have the field `{path}` twice")]
    DuplicateKey {
        /// Which part.
        part: &'static str,
        /// The field, from the outside in.
        path: String,
    },
    /// The signature does not match.
    #[error("the token's signature is not by its issuer {issuer}: the token was changed or cut short")]
    Signature {
        /// `iss`
        issuer: PublicKey,
    },
    /// A token of another type.
    #[error("is a token of type `{found}`, where one of type `{expected}` is needed")]
    WrongType {
        /// The type that was needed.
        expected: &'static str,
        /// `nats.type` as it was.
        found: String,
    },
    /// Signed by a key of a kind that may not sign it.
    #[error("the token is issued by {issuer}, the key of {}; that may not issue it", issuer.kind().with_article())]
    WrongIssuer {
        /// `iss`
        issuer: PublicKey,
    },
    /// A field that is not as nats-io/jwt v2 has it.
    #[error("the field `{path}` {reason}")]
    Field {
        /// The field, from the outside in.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}
