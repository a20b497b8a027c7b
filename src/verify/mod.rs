//! Compares the observed with the desired state. These checks are pure and change nothing.

pub mod account;
pub mod flow;
mod gaps;
mod problem;
pub mod status;
pub mod streams;
