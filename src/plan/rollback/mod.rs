//! Returns to the state after an earlier push: undoes each later push, and keeps everything else.
//!
//! Each undone push is a three-way merge. It applies the difference from the claims after the push to those before it,
//! to the present claims. So edits of other tools, between our pushes or since, are kept. Conflicting edits are
//! refused. Undoing a stage that may not have been pushed is harmless, because the merge finds nothing to undo.
//!
//! Start with `undo`, which selects the pushes. `plan` then assembles the rollback from `goal`, `stages` and
//! `mapping_targets`.

mod changes;
mod effects;
mod goal;
mod mapping_targets;
mod plan;
mod stages;
mod undo;

pub use effects::{Effects, Rollback, Unused};
pub use plan::rollback;
pub use undo::{Named, Undo};

#[cfg(test)]
mod tests;
