//! Streams and consumers to make, change or delete, and what became of each.

use crate::observed::jetstream::CallError;
use crate::plan::Action;
use crate::plan::consumers::ConsumerChange;
use crate::plan::streams::StreamChange;
use serde::Serialize;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// To a stream.
    Stream(&'a StreamChange),
    /// To a consumer.
    Consumer(&'a ConsumerChange),
}

impl Item<'_> {
    /// `stream foo-write-west`, `consumer worker of stream foo-read-west`
    pub fn place(&self) -> String {
        match self {
            Self::Stream(change) => format!("stream {}", change.name),
            Self::Consumer(change) => format!("consumer {} of stream {}", change.name, change.stream),
        }
    }

    /// Create, update or delete.
    pub fn action(&self) -> Action {
        match self {
            Self::Stream(change) => change.action,
            Self::Consumer(change) => change.action,
        }
    }
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<'a> {
    /// The item.
    pub item: Item<'a>,
    /// Done, or why not.
    pub result: Result<Done, ItemError>,
    /// Requests that it took, look-ups included.
    pub requests: u32,
}

/// How an item was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Made by this run.
    Created,
    /// Changed by this run.
    Updated,
    /// Taken away by this run.
    Deleted,
    /// It was so already: by an earlier run, or a request whose answer got lost.
    AlreadySo,
}

/// Why an item was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// The servers refused, or never answered within the deadline; this is the last that was heard.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What is there is not what the plan was made from: someone else changed it meanwhile.
    #[error("was changed by someone else since the plan was made ({0})")]
    Changed(String),
    /// Not begun, because something that it needs failed, or the time was up.
    #[error("not begun: {0}")]
    NotBegun(String),
}

impl ItemError {
    /// Stable name, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Call(CallError::Request(_)) => "no-answer",
            Self::Call(CallError::Api { .. }) => "refused",
            Self::Call(CallError::Malformed { .. }) => "malformed-reply",
            Self::Changed(_) => "changed-meanwhile",
            Self::NotBegun(_) => "not-begun",
        }
    }
}

/// What happens while it runs, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'e> {
    /// So many items there are.
    Total(usize),
    /// One is finished, well or not.
    Finished(&'e Outcome<'e>),
    /// One has to wait for the servers and will be tried again.
    Retrying {
        /// Which.
        item: Item<'e>,
        /// What was heard.
        error: &'e CallError,
    },
}
