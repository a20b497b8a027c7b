//! The effects of a rollback.

use crate::plan::Plan;

/// The plan of a rollback, and its effects.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The pushes.
    pub plan: Plan,
    /// The effects.
    pub effects: Effects,
}

/// The effects of a rollback.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Changes of the claims of each account of the plan, line by line.
    pub diffs: Vec<Vec<String>>,
    /// Streams that no mapping leads to after the rollback.
    pub unused: Vec<Unused>,
    /// Accounts that undone pushes made. The accounts and their streams stay.
    pub left: Vec<String>,
}

/// The streams of a virtual stream to which mappings no longer lead. They keep their messages.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unused {
    /// The application's account.
    pub account: String,
    /// The virtual stream.
    pub virtual_stream: String,
    /// Names of the streams.
    pub streams: Vec<String>,
}
