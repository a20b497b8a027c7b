//! What is, against what is defined: pure checks that change nothing.

pub mod account;
mod gaps;
mod problem;
pub mod status;
pub mod streams;
