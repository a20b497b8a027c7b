//! What going back does.

use crate::plan::Plan;

/// What going back does.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The pushes.
    pub plan: Plan,
    /// What comes of them.
    pub effects: Effects,
}

/// What comes of going back.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Per account of the plan, what changes in its claims, line by line.
    pub diffs: Vec<Vec<String>>,
    /// Streams that no mapping leads to any more.
    pub unused: Vec<Unused>,
    /// Accounts that undone pushes made. They stay, with their streams.
    pub left: Vec<String>,
}

/// The streams of a virtual stream that no mapping leads to any more. They keep their messages.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unused {
    /// The application's account.
    pub account: String,
    /// The virtual stream.
    pub virtual_stream: String,
    /// Their names.
    pub streams: Vec<String>,
}
