//! Checks whether an account and its clusters have room for what a plan makes.
//!
//! `check.rs` goes through it all; then one file each for the account's limits, consumers, and the servers.

mod account;
mod check;
mod consumers;
mod servers;

pub use check::capacity;
