//! Fields of streams, consumers, buckets and limits by their API names: tables of valid fields, and the conversion of
//! written fields to API values. To add a field of the API, add a line to a table.

mod bucket;
mod consumer;
mod convert;
mod field;
mod limits;
mod schema;
mod stream;
mod table;

pub(super) use bucket::BucketTable;
pub(super) use consumer::ConsumerTable;
pub(super) use convert::{config, regions};
pub(super) use field::{Field, Rule};
pub(super) use limits::LimitTable;
pub(super) use stream::{ReadTable, WriteTable};
pub(super) use table::{Fields, Table};
