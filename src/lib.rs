//! Virtual streams for multi-region NATS in operator mode.
//!
//! The flow, each stage a module:
//! [`definition`] (file text) → [`model`] → [`desired`] + [`observed`] → [`plan`] → [`sign`] → [`provision`]
//! and [`push`] → [`verify`].

#![forbid(unsafe_code)]

pub mod cli;
pub mod definition;
pub mod desired;
pub mod dev;
pub mod lint;
pub mod model;
pub mod nats;
pub mod observed;
pub mod ops;
pub mod plan;
pub mod provision;
pub mod push;
pub mod sign;
pub mod verify;
