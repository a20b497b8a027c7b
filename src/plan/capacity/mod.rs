//! Checks whether an account and its clusters have room for what a plan makes.
//!
//! `check.rs` runs all checks. The account's limits, the consumers and the servers have one file each.

mod account;
mod check;
mod consumers;
mod servers;

pub use check::capacity;
