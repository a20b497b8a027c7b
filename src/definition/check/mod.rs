//! Keys as written → model: checks every value, and combinations of values.

mod account;
mod checker;
mod document;
mod names;
mod overlap;
mod resolver;
mod subjects;
mod topology;
mod virtual_stream;

pub(super) use document::definition;
pub(crate) use topology::server_url;
