//! What we say of mappings against what a real `nats-server` says of them, in its configuration check.

#![allow(missing_docs)]

mod corpus;
mod rendered;
pub mod server;
