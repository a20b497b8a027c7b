//! Compares desired and observed state. The result has ordered changes, findings, and reports about what is left alone.
//!
//! A plan is data. It is made without I/O and holds no secret. Start with `account`, which assembles the plan of an
//! account: first `starts`, then `mappings`, `streams` and `consumers`, then `pushes`. `preflight` and `capacity` check
//! it. `file` and `record` store it.

mod account;
mod account_plan;
mod action;
mod allowable;
mod anew;
pub mod backfill;
pub mod capacity;
mod change;
mod claims_diff;
pub mod concurrent_updates;
pub(crate) mod conflicts;
pub mod consumers;
mod envelope;
mod exports_imports;
pub mod file;
mod listening;
pub mod mappings;
mod options;
pub mod own_jetstream;
pub mod preflight;
mod pushes;
pub mod record;
mod report;
pub mod rollback;
pub mod schedule;
mod starts;
mod stream_change;
mod stream_diff;
pub mod streams;
pub mod who;

pub use account::{destroy, downgrade_allowed, plan};
pub use account_plan::{AccountPlan, Plan};
pub use action::Action;
pub use allowable::{NSC_STORE_DIFFERS, allowable};
pub use change::FieldChange;
pub use claims_diff::claims_diff;
pub use envelope::MOST_BYTES;
pub use exports_imports::{ActivationRequest, ClaimChange, ClaimPart, Peer, claim_drift, left_open};
pub use options::Options;
pub use pushes::{Push, Reason, Stage};
pub use report::Report;
pub use starts::is_nowhere;
