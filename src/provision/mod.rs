//! Creates, updates and deletes streams and consumers. Many requests are in flight; each is repeated while the servers
//! say that it may work in a moment.
//!
//! A read stream waits for the write streams that it sources, and a consumer for its stream. Nothing is deleted unless
//! everything before it worked. A run may stop anywhere: the next plan has what is left to do.
//!
//! Start with `run`, which orders the items; `attempt` carries out one of them.

mod attempt;
mod item;
mod options;
mod run;
#[cfg(test)]
mod tests;

pub use item::{Done, Event, Item, ItemError, Outcome};
pub use options::RunOptions;
pub use run::run;
