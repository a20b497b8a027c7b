//! verify

pub mod account;
