//! The JSON Schema of a definition, for editors.

use super::raw::Document;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// Returns the JSON Schema (draft 2020-12) of a definition, from the keys, their doc comments and the tables of fields.
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>();
    schema.insert("title".to_owned(), "vstream-jwt definition".into());
    schema.to_value()
}
