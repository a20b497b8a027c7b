//! Subject transforms of mappings and of stream sources.
//!
//! The rules and results are those of nats-server 2.15 (`server/subject_transform.go`; for mappings also
//! `ValidateMapping` in `server/sublist.go`).

mod error;
mod function;
mod subject_transform;

pub use error::TransformError;
pub use subject_transform::Transform;

#[cfg(test)]
mod tests;
