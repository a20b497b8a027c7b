//! What is, against what is defined: pure checks that change nothing.

pub mod account;
mod gaps;
pub mod status;
pub mod streams;
