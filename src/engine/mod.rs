//! Carries out a plan of any verb: signs, pushes, provisions, and checks every server afterwards.
//!
//! A verb is a [`Planner`]: it reads the deployment through a [`session`] and makes a plan. [`run`] then takes the
//! lease and executes the [`steps`] of the plan. If another tool or run changed the accounts meanwhile, the planner
//! plans again. The [`report`] is complete even if the run fails ([`error`]).

pub mod backfill;
pub mod caches;
pub mod claims_updates;
pub mod clock;
pub mod confirm;
pub mod deliveries;
pub mod error;
pub mod identify;
pub mod intents;
pub mod lease;
pub mod nsc_sync;
pub mod planned;
pub mod progress;
pub mod push;
pub mod push_log;
pub mod regional_keys;
pub mod report;
pub mod run;
pub mod session;
pub mod signed_plan;
pub mod signing;
pub mod steps;
pub mod streams;
pub mod tokens;
pub mod user_permissions;

pub use crate::observed::connection::{ConnectionError, Connector};
pub use clock::Deadline;
pub use planned::Planner;
pub use progress::{Progress, Silent};

#[cfg(test)]
mod tests;
