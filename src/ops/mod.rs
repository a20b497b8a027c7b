//! ops

pub mod confirm;
