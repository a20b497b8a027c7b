//! Streams, consumers and limits of one account, read through its JetStream API.

mod api;
mod data;
mod read;

pub use api::{Api, ApiError, CallError, DEFAULT_PREFIX, code};
pub use data::{
    ObservedConsumer, ObservedJetStream, ObservedStream, Owner, Placement, Replica, SourceState, StreamState, Unknown,
    Waiting, age,
};
pub use read::{ReadOptions, read};
