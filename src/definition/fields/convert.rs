//! Converts fields as written to fields in the API's form.

use super::field::{Field, Fixed, Rule, Shape};
use super::table::{Fields, Table};
use crate::definition::nearest::{nearest, suggestion};
use crate::definition::place::Place;
use crate::definition::problem::{Collected, Problem};
use crate::definition::read::{At, Named, Read, wrong_type};
use crate::definition::yaml::{Node, Value as Yaml};
use crate::model::units::{parse_duration, parse_size};
use serde_json::{Map, Value};

/// Prefixes of metadata keys that are reserved for the tool and the servers.
const RESERVED_METADATA: [&str; 2] = ["vstream.", "_nats"];

/// Converts fields by their table. `one_region` is `true` if the object exists in only one region.
pub(in crate::definition) fn config<T: Table>(
    fields: &Fields<T>,
    one_region: bool,
    problems: &mut Collected,
) -> Map<String, Value> {
    let table = T::fields();
    let mut config = Map::new();
    let mut extra = None;
    for (key, node) in &fields.entries.0 {
        match key.value.as_str() {
            "extra" if T::EXTRA => extra = Some(node),
            "regions" if T::REGIONS => {}
            name => {
                if let Some(value) = field(key, node, &table, T::OF, T::EXTRA, one_region, problems) {
                    config.insert(name.to_owned(), value);
                }
            }
        }
    }
    if let Some(extra) = extra.filter(|extra| !matches!(extra.value, Yaml::Null)) {
        let Some(Named(entries)) = Named::<Node>::read(extra.clone(), problems) else { return config };
        for (key, node) in entries {
            match table.iter().find(|field| field.name == key.value) {
                Some(Field { rule: Rule::Refused(why), .. }) => problems.push(refuse(&key, T::OF, why)),
                Some(_) => problems.push(
                    Problem::new("known-field", key.place, format!("`{}` is a known field of {}", key.value, T::OF))
                        .help("move it out of `extra`"),
                ),
                None => {
                    config.insert(key.value, json(&node));
                }
            }
        }
    }
    config
}

/// Returns the `regions` among the fields, if given.
pub(in crate::definition) fn regions<T: Table>(
    fields: &Fields<T>,
    problems: &mut Collected,
) -> Option<At<Vec<At<String>>>> {
    let (_, node) = fields.entries.0.iter().find(|(key, _)| T::REGIONS && key.value == "regions")?;
    At::read(node.clone(), problems)
}

fn refuse(key: &At<String>, of: &str, why: &str) -> Problem {
    Problem::new("refused-field", key.place, format!("`{}` of {of} cannot be set: {why}", key.value))
        .help(format!("remove `{}`", key.value))
}

fn field(
    key: &At<String>,
    node: &Node,
    table: &[Field],
    of: &str,
    extra: bool,
    one_region: bool,
    problems: &mut Collected,
) -> Option<Value> {
    let Some(field) = table.iter().find(|field| field.name == key.value) else {
        let settable = table.iter().filter(|field| !matches!(field.rule, Rule::Refused(_))).map(|field| field.name);
        let mut help = match nearest(&key.value, settable.clone()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if extra => String::new(),
            None => suggestion(&key.value, settable),
        };
        if extra {
            let separator = if help.is_empty() { "" } else { " " };
            help += &format!("{separator}A field of a newer server goes under `extra:`");
        }
        problems.push(
            Problem::new("unknown-field", key.place, format!("unknown field `{}` of {of}", key.value)).help(help),
        );
        return None;
    };
    match field.rule {
        Rule::Refused(why) => {
            problems.push(refuse(key, of, why));
            None
        }
        Rule::OneRegion(why) if !one_region => {
            problems.push(
                Problem::new(
                    "refused-field",
                    key.place,
                    format!("`{}` cannot be set in several regions: {why}", key.value),
                )
                .help("give the consumer one region: `regions: [NAME]`"),
            );
            None
        }
        Rule::Only(fixed, why) => {
            let shape = match fixed {
                // A message about a refused word gives the reason, and does not call the word unknown.
                Fixed::Word(_) => Shape::Text,
                Fixed::Int(_) => field.shape,
            };
            let value = convert(node, shape, problems)?;
            if value != fixed.json() {
                let message = format!("`{}` of {of} can only be {}", key.value, fixed.json());
                problems.push(
                    Problem::new("refused-field", node.place, message).help(format!("{why} Remove `{}`", key.value)),
                );
                return None;
            }
            Some(value)
        }
        Rule::Allowed | Rule::OneRegion(_) => {
            let value = convert(node, field.shape, problems)?;
            if field.name == "metadata" {
                metadata(node, problems);
            }
            Some(value)
        }
    }
}

fn metadata(node: &Node, problems: &mut Collected) {
    let Yaml::Map(entries) = &node.value else { return };
    for (key, _) in entries {
        let reserved = key.text().and_then(|name| RESERVED_METADATA.into_iter().find(|r| name.starts_with(r)));
        if let Some(reserved) = reserved {
            let message =
                format!("metadata keys that begin with `{reserved}` cannot be set: they say what a stream is for");
            problems.push(Problem::new("refused-field", key.place, message).help("choose another name for the key"));
        }
    }
}

fn convert(node: &Node, shape: Shape, problems: &mut Collected) -> Option<Value> {
    match (shape, &node.value) {
        (Shape::Text, Yaml::Text(text)) => Some(text.clone().into()),
        (Shape::Bool, Yaml::Bool(value)) => Some((*value).into()),
        (Shape::Int(least, most), Yaml::Int(value)) => match i64::try_from(*value) {
            Ok(value) if (least..=most).contains(&value) => Some(value.into()),
            _ => {
                let wanted = shape.describe();
                problems.push(Problem::new("wrong-value", node.place, format!("expected a {wanted}, found `{value}`")));
                None
            }
        },
        (Shape::Size, Yaml::Int(value)) => unit(node.place, parse_size(&value.to_string()), problems),
        (Shape::Size, Yaml::Text(text)) => unit(node.place, parse_size(text), problems),
        (Shape::Duration, Yaml::Int(0)) => Some(0.into()),
        (Shape::Duration, Yaml::Int(value)) => {
            let message = format!("`{value}` is a number without a unit, where a duration belongs");
            problems.push(
                Problem::new("wrong-value", node.place, message)
                    .help(format!("write `{value}s` for seconds, or another unit: d, h, m, s, ms, us, ns")),
            );
            None
        }
        (Shape::Duration, Yaml::Text(text)) => unit(node.place, parse_duration(text), problems),
        (Shape::Time, Yaml::Text(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(_) => Some(text.clone().into()),
            Err(_) => {
                let message = format!("`{text}` is not a time");
                let help = "write it like 2026-01-31T12:00:00Z (RFC 3339)";
                problems.push(Problem::new("wrong-value", node.place, message).help(help));
                None
            }
        },
        (Shape::Word(words), Yaml::Text(text)) => {
            if words.contains(&text.as_str()) {
                return Some(text.clone().into());
            }
            let message = format!("`{text}` is not valid here");
            let help = suggestion(text, words.iter().copied());
            problems.push(Problem::new("unknown-value", node.place, message).help(help));
            None
        }
        (Shape::Texts, Yaml::List(items)) => list(items, Shape::Text, problems),
        (Shape::Durations, Yaml::List(items)) => list(items, Shape::Duration, problems),
        (Shape::TextMap, Yaml::Map(_)) => {
            let Named(entries) = Named::<String>::read(node.clone(), problems)?;
            let object: Map<_, _> = entries.into_iter().map(|(key, text)| (key.value, text.into())).collect();
            Some(object.into())
        }
        (Shape::Object(fields), Yaml::Map(_)) => {
            let Named(entries) = Named::<Node>::read(node.clone(), problems)?;
            let mut object = Map::new();
            for (key, node) in entries {
                if let Some(value) = field(&key, &node, fields, "this object", false, false, problems) {
                    object.insert(key.value, value);
                }
            }
            Some(object.into())
        }
        (Shape::Any, _) => Some(json(node)),
        _ => {
            wrong_type(node, &format!("a {}", shape.describe()).replace("a `", "`"), problems);
            None
        }
    }
}

fn list(items: &[Node], shape: Shape, problems: &mut Collected) -> Option<Value> {
    let items: Vec<Option<Value>> = items.iter().map(|item| convert(item, shape, problems)).collect();
    items.into_iter().collect()
}

fn unit(place: Place, parsed: Result<i64, crate::model::units::UnitError>, problems: &mut Collected) -> Option<Value> {
    match parsed {
        Ok(value) => Some(value.into()),
        Err(error) => {
            problems.push(Problem::new("wrong-value", place, error.to_string()));
            None
        }
    }
}

/// Converts YAML to JSON without changes.
fn json(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => (*value).into(),
        Yaml::Int(value) => serde_json::Number::from_i128(*value).map_or(Value::Null, Value::Number),
        Yaml::Float(value) => (*value).into(),
        Yaml::Text(text) => text.clone().into(),
        Yaml::List(items) => items.iter().map(json).collect(),
        Yaml::Map(entries) => Value::Object(
            entries.iter().map(|(key, value)| (key.text().unwrap_or_default().to_owned(), json(value))).collect(),
        ),
    }
}
