//! The JSON Schema of the fields.

use super::field::{Field, Fixed, Rule, Shape};
use super::table::{Fields, Table};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

const DURATION_PATTERN: &str = "^([0-9]+(\\.[0-9]+)?(d|h|m|s|ms|us|µs|ns))+$";

impl<T: Table> JsonSchema for Fields<T> {
    fn schema_name() -> Cow<'static, str> {
        T::SCHEMA.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut properties = object(&T::fields());
        if T::REGIONS {
            let doc = "Regions that have it. Default: all.";
            properties.insert(
                "regions".to_owned(),
                json!({ "type": "array", "items": { "type": "string" }, "description": doc }),
            );
        }
        if T::EXTRA {
            let doc = "Fields of newer servers, passed on as they are.";
            properties.insert("extra".to_owned(), json!({ "type": "object", "description": doc }));
        }
        schemars::json_schema!({
            "type": ["object", "null"],
            "description": format!("Fields of {}, by their API names.", T::OF),
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// Returns the JSON Schema properties of the fields that may be set.
fn object(fields: &[Field]) -> Map<String, Value> {
    let settable = fields.iter().filter(|field| !matches!(field.rule, Rule::Refused(_)));
    settable
        .map(|field| {
            let mut schema = match field.rule {
                Rule::Only(Fixed::Int(0), _) if matches!(field.shape, Shape::Duration) => json!({ "enum": [0, "0s"] }),
                Rule::Only(fixed, _) => json!({ "const": fixed.json() }),
                _ => schema(field.shape),
            };
            schema["description"] = field.doc.into();
            (field.name.to_owned(), schema)
        })
        .collect()
}

fn schema(shape: Shape) -> Value {
    let duration = || json!({ "anyOf": [{ "type": "string", "pattern": DURATION_PATTERN }, { "const": 0 }] });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int(least, most) if most == i64::MAX => json!({ "type": "integer", "minimum": least }),
        Shape::Int(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Size => json!({ "anyOf": [{ "type": "integer", "minimum": -1 }, { "type": "string" }] }),
        Shape::Duration => duration(),
        Shape::Time => json!({ "type": "string", "format": "date-time" }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Durations => json!({ "type": "array", "items": duration() }),
        Shape::TextMap => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Shape::Object(fields) => {
            json!({ "type": "object", "properties": object(fields), "additionalProperties": false })
        }
        Shape::Any => json!({}),
    }
}
