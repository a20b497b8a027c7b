//! A local super-cluster in operator mode on real `nats-server` processes, for experiments and tests.
//!
//! Everything is in one folder: configuration, keys, JetStream stores, an example definition, contexts of the `nats`
//! CLI. A supervisor process owns the servers and the forwarders between the regions; [`SuperCluster`] sends it
//! requests. Everything listens on 127.0.0.1 only.
//!
//! Start with `options`, `layout` and [`SuperCluster`]. Then read `prepare`, which makes the folder, and `supervisor`.

mod binary;
mod config;
mod control;
mod error;
mod files;
mod forwarder;
mod identity;
mod layout;
mod options;
mod pins;
mod ports;
mod prepare;
mod program;
mod ready;
mod super_cluster;
mod supervisor;
#[cfg(test)]
mod tests;
mod tls;

pub use binary::nats_server;
pub use control::ServerState;
pub use error::DevError;
pub use layout::{DevServer, STRETCH};
pub use options::{DEFAULT_FOLDER, DevOptions, Lifetime};
pub use pins::DEFAULT_VERSION;
pub use super_cluster::{ServerStatus, Status, SuperCluster};
pub use supervisor::{Ending, supervise};
