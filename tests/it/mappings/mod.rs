//! Compares our verdict about mappings with that of a real `nats-server`, from its configuration check.

#![allow(missing_docs)]

mod corpus;
mod rendered;
pub mod server;
