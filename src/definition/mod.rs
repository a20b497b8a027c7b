//! Text → model: reads a definition, and reports all its problems.
//!
//! [`parse()`] goes `yaml` (text → tree) → `merge` (files → one tree) → `read` (tree → the keys of `raw`) → `check`
//! (keys → model, with the tables of `fields`) → [`unbuilt`].

mod check;
mod fields;
mod leak;
mod merge;
mod nearest;
mod parse;
mod parsed;
mod place;
mod problem;
mod raw;
mod read;
mod reference;
mod schema;
mod secret;
mod size;
mod source_file;
mod unbuilt;
mod yaml;

pub(crate) use check::server_url;
pub use parse::parse;
pub use parsed::{Definition, ResolverConfig};
pub use problem::{DefinitionReport, Position, Problems};
pub use reference::reference;
pub use schema::json_schema;
pub use size::{MAX_SIZE, check_size};
pub use source_file::SourceFile;
pub use unbuilt::{Unbuilt, unbuilt};

#[cfg(test)]
mod tests;
