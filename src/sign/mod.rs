//! Signing of tokens.
//!
//! Start with [`Signer`], then read [`issue`], the only maker of signed tokens. The operator's key is a seed that
//! [`source`] reads, a [`command`], or a key of a PKCS#11 token. Accounts' keys are in the keys folder ([`keyring`]).

pub mod activation;
pub mod age;
pub mod command;
mod error;
pub mod file;
pub mod keyring;
pub mod memory;
pub mod patience;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
mod seed;
mod signer;
pub mod source;
mod token;
pub mod user;

pub use error::SignError;
pub use seed::{Seed, SeedError, looks_like_a_seed};
pub use signer::{Ask, Signer};
pub use token::{SignedToken, issue, issue_account, next_iat, verify};

#[cfg(test)]
pub(crate) mod tests;
