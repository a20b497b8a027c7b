//! Tests on real servers: super-clusters in operator mode, which the tests start.

mod access;
mod activations;
mod bad_plan_files;
mod bad_pushes;
mod deliveries;
mod deployments;
mod dev;
mod explain;
mod faults;
mod flow;
mod foreign;
mod history;
mod json;
mod keys;
mod layouts;
mod leaf_nodes;
#[cfg(target_os = "linux")]
mod memory;
mod mirrored;
mod outages;
mod permissions;
mod planfile;
mod refusals;
mod regional;
mod resolvers;
mod shown;
mod streams;
mod system;
mod together;
mod trust;
mod users;
