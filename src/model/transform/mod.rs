//! Subject transforms: what the destination of a mapping or of a stream source makes of a subject.
//!
//! Rules and results are those of nats-server 2.15 (`server/subject_transform.go`; for mappings also
//! `ValidateMapping` in `server/sublist.go`).

mod error;
mod function;
mod subject_transform;

pub use error::TransformError;
pub use subject_transform::Transform;

#[cfg(test)]
mod tests;
