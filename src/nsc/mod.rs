//! An `nsc` store: the copies of the accounts' tokens that `nsc` edits and pushes.
//!
//! A store has a folder for each operator. That folder has `.nsc` (JSON with the operator's name), `<operator>.jwt` and
//! `accounts/<NAME>/<NAME>.jwt` (nsc 2.15 `cmd/store/store.go`). Files are 0600, folders 0700.
//!
//! Start with [`Store`], which reads and writes the copies. Then read `judge`, which compares a copy with the servers'
//! token, and `survey`, which `init --from-nsc` uses.

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
