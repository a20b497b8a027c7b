//! Account claims that are edited in place. Everything that this code does not know stays unchanged.
//!
//! The document is the JSON of the token itself (`serde_json` with `preserve_order` and `arbitrary_precision`). The
//! typed views are read from it and never written back.

mod account;
mod activation;
mod anchor;
mod edit;
mod error;
mod format;
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
pub(crate) use format::HEADER;
pub use format::MAX_TOKEN_SIZE;
pub(crate) use json::write_as_go;
pub use link::{ExportSpec, ImportSpec, LinkKind, covers};
pub use merge::{Conflict, merge};
pub use operator::OperatorClaims;
pub use restore::{with_credentials_of, with_entries_of};
pub use schema::{LATEST, check};
pub use token::{Token, claimed_subject, spelled_as_signed};
pub use trusted::{TrustedClaims, Unmergeable, Untrusted};
pub use views::{
    AccountLimits, Export, Import, JetStreamLimits, JetStreamTier, Permission, Permissions, Revocation, Scope,
    SigningKey,
};
pub use words::{canonical, field_in_words, in_json, in_words, key_in_words};

#[cfg(test)]
mod tests;
