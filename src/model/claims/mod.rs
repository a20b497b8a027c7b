//! Account claims that are edited in place: what this code doesn't know stays as it was.
//!
//! The document is the JSON of the token itself (`serde_json` with `preserve_order` and `arbitrary_precision`);
//! the typed views are read from it and never written back.

mod account;
mod activation;
mod anchor;
mod edit;
mod error;
mod json;
mod link;
mod merge;
mod operator;
mod restore;
mod schema;
mod token;
mod trusted;
mod views;
mod words;

pub use account::AccountClaims;
pub use activation::{Activation, ActivationFault};
pub use anchor::{Basis, LastPush, NamedOperator, OperatorToken, OperatorsDiffer, Trust, TrustAnchor};
pub use error::ClaimsError;
pub(crate) use json::write_as_go;
pub use link::{ExportSpec, ImportSpec, LinkKind, covers};
pub use merge::{Conflict, merge};
pub use operator::OperatorClaims;
pub use restore::{with_credentials_of, with_entries_of};
pub use schema::{LATEST, check};
pub use token::{MAX_TOKEN_SIZE, Token, claimed_subject, spelled_as_signed};
pub use trusted::{TrustedClaims, Unmergeable, Untrusted};
pub use views::{
    AccountLimits, Export, Import, JetStreamLimits, JetStreamTier, Permission, Permissions, Revocation, Scope,
    SigningKey,
};
pub use words::{canonical, field_in_words, in_json, in_words, key_in_words};

/// The header of every token that is made here (nats-io/jwt v2 `header.go`).
pub(crate) const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

#[cfg(test)]
mod tests;
