//! Effects of a rollback.

use crate::plan::Plan;

/// A plan that goes back, and its effects.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The pushes.
    pub plan: Plan,
    /// The effects.
    pub effects: Effects,
}

/// Effects of a rollback.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Changes of the claims of each account of the plan, line by line.
    pub diffs: Vec<Vec<String>>,
    /// Streams that mappings no longer lead to.
    pub unused: Vec<Unused>,
    /// Accounts that undone pushes made. They stay, with their streams.
    pub left: Vec<String>,
}

/// The streams of a virtual stream that mappings no longer lead to. They keep their messages.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unused {
    /// The application's account.
    pub account: String,
    /// The virtual stream.
    pub virtual_stream: String,
    /// Names of the streams.
    pub streams: Vec<String>,
}
