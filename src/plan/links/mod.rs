//! What the regional layout needs in an account's claims beside mappings: exports, imports with their activation
//! tokens, and what a regional account is made with.
//!
//! Claims are edited in place; a change is what an edit changed.

mod change;
mod checks;
mod exports;
mod imports;
mod regional_account;
mod removal;
mod requests;
mod user_permissions;

pub(super) use change::Edited;
pub use change::{ActivationRequest, ClaimChange, ClaimPart, Peer, is_ours};
pub use checks::claim_drift;
pub(super) use checks::exceeded;
pub(super) use exports::exports;
pub(super) use imports::imports;
pub(super) use regional_account::{founding, furnish, signing_key};
pub(super) use removal::{remove_exports, remove_imports};
pub(super) use requests::close_exports;
pub use requests::left_open;
pub(super) use user_permissions::{reachable, restrict};

#[cfg(test)]
mod tests;
