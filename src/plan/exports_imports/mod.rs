//! Edits an account's claims for the layout `regional`, other than mappings: exports, imports with their activation
//! tokens, and the initial claims of a regional account.
//!
//! The functions edit the claims in place, and return the changes.
//!
//! Start with `exports` and `imports`. `requests` closes the requests that the definition no longer opens, and `checks`
//! reports the changes that are left.

mod change;
mod checks;
mod exports;
mod imports;
mod regional_account;
mod removal;
mod requests;
mod user_permissions;

pub(super) use change::ClaimsEdit;
pub use change::{ActivationRequest, ClaimChange, ClaimPart, Peer, is_ours};
pub use checks::claim_drift;
pub(super) use checks::exceeded;
pub(super) use exports::exports;
pub(super) use imports::imports;
pub(super) use regional_account::{init_claims, initial_claims, signing_key};
pub(super) use removal::{remove_exports, remove_imports};
pub(super) use requests::close_exports;
pub use requests::left_open;
pub(super) use user_permissions::{reachable, restrict};

#[cfg(test)]
mod tests;
