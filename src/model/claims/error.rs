//! Reasons for refusing a token.

use crate::model::nkey::PublicKey;

/// Reason why a token or its claims were refused. Names the part or field, and never repeats the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// The token is larger than 1 MiB.
    #[error("the token has {size} bytes; NATS refuses tokens over {} bytes", super::format::MAX_TOKEN_SIZE)]
    TooLarge {
        /// The size in bytes.
        size: usize,
    },
    /// The text is not `header.claims.signature`.
    #[error("not a token: it has {found} part(s) between dots where header, claims and signature are expected")]
    Parts {
        /// The number of parts.
        found: usize,
    },
    /// A part is not base64url.
    #[error("the token's {part} is damaged or cut short (not base64url)")]
    Encoding {
        /// The part.
        part: &'static str,
    },
    /// The header is not that of a NATS token.
    #[error("the token's header is not that of a NATS token: {reason}")]
    Header {
        /// The defect.
        reason: &'static str,
    },
    /// Claims of version 1 (before nats-io/jwt v2, 2020).
    #[error("the token has claims of version 1, which are not supported; issue it again with nsc 2 or newer")]
    Version1,
    /// Claims of a version that this tool does not know.
    #[error("the token has claims of version {found}; only version 2 is known here, so it is left alone")]
    UnknownVersion {
        /// The value of `nats.version`.
        found: String,
    },
    /// Invalid JSON.
    #[error("the token's {part}: {reason}")]
    Json {
        /// The part.
        part: &'static str,
        /// The defect and its position.
        reason: String,
    },
    /// The same name occurs twice in one object. Decoders differ in which one they use.
    #[error("the token's {part} have the field `{path}` twice")]
    DuplicateKey {
        /// The part.
        part: &'static str,
        /// The path of the field, from the outside in.
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
        /// The value of `nats.type`.
        found: String,
    },
    /// The issuer's key is of a kind that may not sign the token.
    #[error("the token is issued by {issuer}, the key of {}; that may not issue it", issuer.kind().with_article())]
    WrongIssuer {
        /// `iss`
        issuer: PublicKey,
    },
    /// A field differs from its type in nats-io/jwt v2.
    #[error("the field `{path}` {reason}")]
    Field {
        /// The path of the field, from the outside in.
        path: String,
        /// The defect.
        reason: String,
    },
}
