//! The pure types of the domain: subjects, keys, topology, virtual streams, mappings, claims.
//!
//! This module does no I/O, reads no clock and contacts no server. A value of its types proves that the value was
//! checked (parse, don't validate).

pub mod claims;
pub mod finding;
pub(crate) mod json;
pub mod mapping;
pub mod names;
pub mod nkey;
pub mod prefixes;
pub mod server_version;
pub mod shown;
pub mod subject;
pub mod subject_trie;
pub mod topology;
pub mod transform;
pub mod units;
pub mod virtual_stream;
