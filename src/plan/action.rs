//! Kinds of changes, as plan files and records have them.

use serde::{Deserialize, Serialize};

/// Kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes something that is not there.
    Create,
    /// Changes something in place.
    Update,
    /// Deletes something.
    Delete,
}
