//! An `nsc` store: the copies of the accounts' tokens that `nsc` edits and pushes.
//!
//! A store is a folder with a folder for each operator; an operator's has `.nsc` (JSON with its name), `<operator>.jwt`
//! and `accounts/<NAME>/<NAME>.jwt` (nsc 2.15 `cmd/store/store.go`). Files are 0600, folders 0700.

mod error;
mod judge;
mod store;
mod survey;

pub use error::StoreError;
pub use judge::{Copy, judge};
pub use store::{Store, StoredAccount, folder_name, operator_tokens};
pub use survey::{Survey, Surveyed, keystore, survey};

#[cfg(test)]
mod tests;
