//! Back to how an earlier push left it: what was pushed since is undone, push by push, and everything else stays.
//!
//! Each undone push is a three-way merge: from what it made back to what it found, on top of what is there now. So what
//! others changed between two of our pushes, or since, is kept, and what both changed is refused. A stage that was
//! perhaps never pushed does no harm: what it would have changed is found unchanged.

mod changes;
mod effects;
mod goal;
mod leads;
mod plan;
mod stages;
mod undo;

pub use effects::{Effects, Rollback, Unused};
pub use plan::rollback;
pub use undo::{Named, Undo};

#[cfg(test)]
mod tests;
