//! Kinds of changes, as plan files and records have them.

use serde::{Deserialize, Serialize};

/// Kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes an object that does not exist.
    Create,
    /// Changes an object in place.
    Update,
    /// Deletes an object.
    Delete,
}
