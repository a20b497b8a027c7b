//! Streams and consumers, made, changed and taken away: many requests in flight, each retried while the servers say
//! that it may work in a moment.
//!
//! A read stream waits for the write streams it sources, a consumer for its stream; nothing is deleted unless
//! everything before it worked. Stopped anywhere, planning again gives what is left to do.

mod attempt;
mod item;
mod options;
mod run;
#[cfg(test)]
mod tests;

pub use item::{Done, Event, Item, ItemError, Outcome};
pub use options::RunOptions;
pub use run::run;
