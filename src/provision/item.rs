//! Streams and consumers to make, change or delete, and the results.

use crate::observed::jetstream::CallError;
use crate::plan::Action;
use crate::plan::consumers::ConsumerChange;
use crate::plan::streams::StreamChange;
use serde::Serialize;

/// A change to carry out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// A change of a stream.
    Stream(&'a StreamChange),
    /// A change of a consumer.
    Consumer(&'a ConsumerChange),
}

impl Item<'_> {
    /// Returns a name for messages: `stream foo-write-west`, `consumer worker of stream foo-read-west`.
    pub fn place(&self) -> String {
        match self {
            Self::Stream(change) => format!("stream {}", change.name),
            Self::Consumer(change) => format!("consumer {} of stream {}", change.name, change.stream),
        }
    }

    /// Returns the kind of the change: create, update or delete.
    pub fn action(&self) -> Action {
        match self {
            Self::Stream(change) => change.action,
            Self::Consumer(change) => change.action,
        }
    }
}

/// The result for one item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemOutcome<'a> {
    /// The item.
    pub item: Item<'a>,
    /// The way in which the item was done, or the reason why it was not.
    pub result: Result<Done, ItemError>,
    /// Number of requests for the item, including look-ups.
    pub requests: u32,
}

/// Way in which an item was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// This run created it.
    Created,
    /// This run updated it.
    Updated,
    /// This run deleted it.
    Deleted,
    /// The item was already as planned, because of an earlier run or of a request whose reply was lost.
    AlreadySo,
}

/// Reason why an item was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// The servers refused, or never replied before the deadline; this is the last error.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The stream or consumer is not the one that the plan was made from: another tool or run changed it meanwhile.
    #[error("was changed by another tool or run since the plan was made ({0})")]
    Changed(String),
    /// The run did not start the item, because something that it needs failed, or the time was up.
    #[error("not begun: {0}")]
    NotBegun(String),
}

impl ItemError {
    /// Returns the stable name, for scripts.
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

/// Progress of a run, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'e> {
    /// The number of items in the run.
    Total(usize),
    /// An item is finished, successfully or not.
    Finished(&'e ItemOutcome<'e>),
    /// An item waits for the servers, and the run will repeat its request.
    Retrying {
        /// The item.
        item: Item<'e>,
        /// The last error.
        error: &'e CallError,
    },
}
