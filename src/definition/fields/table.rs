//! The fields that an object may have, and the fields in a definition.

use super::field::Field;
use crate::definition::problem::Collected;
use crate::definition::read::{Named, Read};
use crate::definition::yaml::{Node, Value};
use std::marker::PhantomData;

/// The fields that a key such as `write` accepts.
pub(in crate::definition) trait Table {
    /// The name of the object in messages: `a write stream`.
    const OF: &'static str;
    /// Name of the JSON Schema.
    const SCHEMA: &'static str;
    /// `true` if fields of newer servers may be given under `extra`.
    const EXTRA: bool = true;
    /// `true` if `regions` restricts the regions in which the object is provisioned.
    const REGIONS: bool = false;

    fn fields() -> Vec<Field>;
}

/// Fields as written, for the table `T`.
#[derive(Debug)]
pub(in crate::definition) struct Fields<T> {
    pub entries: Named<Node>,
    table: PhantomData<T>,
}

impl<T: Table> Read for Fields<T> {
    const WHAT: &'static str = "a mapping of fields";

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        let empty = matches!(node.value, Value::Null);
        let entries = if empty { Named::default() } else { Named::read(node, problems)? };
        Some(Self { entries, table: PhantomData })
    }
}
