//! The desired state of a definition: mappings, streams and consumers, for comparison with the deployment.
//!
//! `derive` is the entry. It puts each `account` together from `mappings`, `exports_imports`, `permissions`, and the
//! streams and consumers whose configs are in `recipes` and `consumer`.

mod account;
pub mod api;
mod checks;
mod consumer;
mod derive;
mod error;
pub mod exports_imports;
pub mod lease;
mod mappings;
mod members;
pub mod metadata;
mod options;
pub mod permissions;
mod recipes;
pub mod regional;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

pub use crate::model::virtual_stream::Role;
pub use account::DesiredAccount;
pub use consumer::DesiredConsumer;
pub use derive::{accounts, desired, desired_with};
pub use error::DesiredError;
pub use mappings::own_js_mapping;
pub(crate) use members::members;
pub use options::DesiredOptions;
pub use recipes::KEEPS_POSITION;
pub use stream::DesiredStream;
