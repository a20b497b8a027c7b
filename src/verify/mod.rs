//! Compares what is with what is defined: pure checks that change nothing.

pub mod account;
pub mod flow;
mod gaps;
mod problem;
pub mod status;
pub mod streams;
