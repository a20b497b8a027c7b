//! Account claims that are edited in place. Everything that this code does not know stays unchanged.
//!
//! The document is the JSON of the token itself (`serde_json` with `preserve_order` and `arbitrary_precision`). The
//! typed views are read from it and never written back.

mod account;
mod activation;
mod anchor;
mod describe;
mod edit;
mod error;
mod exports_imports;
mod format;
mod json;
mod merge;
mod operator;
mod restore;
mod schema;
mod token;
mod trusted;
mod views;

pub use account::AccountClaims;
pub use activation::{Activation, ActivationFault};
pub use anchor::{Basis, LastPush, NamedOperator, OperatorToken, OperatorsDiffer, Trust, TrustAnchor};
pub use describe::{canonical, field_in_words, in_json, in_words, key_in_words};
pub use error::ClaimsError;
pub use exports_imports::{ExportKind, ExportSpec, ImportSpec, covers};
pub(crate) use format::HEADER;
pub use format::MAX_TOKEN_SIZE;
pub(crate) use json::write_as_go;
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

#[cfg(test)]
mod tests;
