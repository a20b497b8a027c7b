//! Streams, consumers and limits of one account, read through its JetStream API.
//!
//! Start with `data`, then `read`, which fills it. `source_gaps` finds gaps, with a `search` in each stream.

mod api;
mod data;
mod gaps;
mod read;
mod search;
mod source_gaps;

pub use api::{Api, ApiError, Budget, CallError, DEFAULT_PREFIX, code};
pub use data::{
    HEARD, ObservedConsumer, ObservedJetStream, ObservedStream, Owner, Placement, Replica, SILENCE, SourceState,
    StreamState, Unknown, Waiting, age, began_at, first_sequence, origins,
};
pub use gaps::{Gap, Range, SourceGaps};
pub use read::{MOST_BYTES, ReadOptions, look_at_messages, read};
pub use search::came_from;
