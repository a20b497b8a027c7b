//! Creates, updates and deletes streams and consumers. Many requests are in flight, and each is repeated while the
//! servers report a temporary error.
//!
//! A read stream waits for the write streams that it sources, and a consumer for its stream. Nothing is deleted unless
//! everything before it succeeded. A run may stop at any point, and the next plan has the rest.
//!
//! Start with `run`, which orders the items; `attempt` carries out one of them.

mod attempt;
mod item;
mod options;
mod run;
#[cfg(test)]
mod tests;

pub use item::{Done, Event, Item, ItemError, ItemOutcome};
pub use options::RunOptions;
pub use run::run;
