//! What a change does, as plan files and records have it.

use serde::{Deserialize, Serialize};

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes what is not there.
    Create,
    /// Changes what is there, in place.
    Update,
    /// Takes away what is there.
    Delete,
}
