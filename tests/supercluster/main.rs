//! On real servers: super-clusters in operator mode, started by the tests themselves.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/documented.rs"]
mod documented;

mod dev;
mod flow;
mod json;
mod streams;
mod system;
