//! On real servers: super-clusters in operator mode, started by the tests themselves.

#[path = "../support/mod.rs"]
mod support;

mod dev;
mod flow;
mod streams;
mod system;
