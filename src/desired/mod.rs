//! The desired state of a definition: mappings, streams and consumers, ready to be compared with the deployment.
//!
//! `derive` is the entry. It puts each `account` together from `mappings`, `links`, `permissions`, and the streams and
//! consumers whose configs are in `recipe`, `bucket` and `consumer`.

mod account;
pub mod api;
mod bucket;
mod checks;
mod consumer;
mod derive;
mod error;
pub mod lease;
pub mod links;
mod mappings;
mod members;
pub mod metadata;
mod options;
pub mod permissions;
mod recipe;
pub mod regional;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

pub use crate::model::virtual_stream::Role;
pub use account::DesiredAccount;
pub use consumer::DesiredConsumer;
pub use derive::{accounts, desired, desired_with};
pub use error::DesiredError;
pub use mappings::way_back;
pub(crate) use members::members;
pub use options::Options;
pub use recipe::KEEPS_POSITION;
pub use stream::DesiredStream;
