//! Goes back to the state after an earlier push: undoes later pushes, one by one, and keeps everything else.
//!
//! Each undone push is a three-way merge: from the claims after the push back to those before it, applied to the
//! present claims. So edits of other tools between two of our pushes, or since, are kept, and conflicting edits are
//! refused. A stage that perhaps was never pushed does no harm: what it would have changed is found unchanged.
//!
//! Start with `undo`, which selects the pushes. Then `plan` puts the rollback together from `goal`, `stages` and `leads`.

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
