//! Compares JSON documents with docs/reference/json.md: every field is documented, and no top-level field is missing.

use serde_json::Value;
use std::collections::BTreeSet;

/// Returns the text of the section under `heading`, up to the next heading of its level or above. It includes the
/// sections below only if `deep`.
pub fn section<'t>(text: &'t str, heading: &str, deep: bool) -> Option<&'t str> {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let start = text.find(&format!("\n{heading}\n"))? + heading.len() + 2;
    let rest = &text[start..];
    let end = rest.match_indices("\n#").map(|(at, _)| at).find(|at| {
        let here = rest[at + 1..].chars().take_while(|c| *c == '#').count();
        !deep || here <= level
    });
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// A documented path, in parts; `…` at its end includes everything below.
struct Documented {
    parts: Vec<String>,
    open: bool,
    optional: bool,
}

/// Returns the fields that a section of json.md documents.
fn documented(heading: &str) -> Vec<Documented> {
    let text = include_str!("../../../docs/reference/json.md");
    let section = section(text, heading, false).unwrap_or_else(|| panic!("json.md has no `{heading}`"));
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let fields = rows.flat_map(|row| {
        let mut cells = row.trim_start_matches("| ").split(" | ");
        let (names, meaning) = (cells.next().unwrap(), cells.next().unwrap_or_default());
        names
            .split(", ")
            .map(|name| {
                let name = name.trim_matches('`');
                let (path, open) = name.strip_suffix('…').map_or((name, false), |path| (path, true));
                let path = path.replace("[]", ".[]");
                let parts = path.trim_start_matches('.').split('.').map(str::to_owned).collect();
                Documented { parts, open, optional: meaning.starts_with("*optional*") }
            })
            .collect::<Vec<_>>()
    });
    fields.collect()
}

/// Compares a document with its documentation: every field is documented, and no top-level field is missing.
pub fn compare(heading: &str, value: &Value) {
    let documented = documented(heading);
    let mut wrong = Vec::new();
    let mut walk = vec![(Vec::<String>::new(), value)];
    let mut tops = BTreeSet::new();
    while let Some((path, value)) = walk.pop() {
        let known = path.is_empty()
            || documented.iter().any(|field| {
                let same = |(part, here): (&String, &String)| part == here || part == "*";
                let shared = field.parts.len().min(path.len());
                let fits = field.parts.iter().zip(&path).take(shared).all(same);
                fits && (path.len() <= field.parts.len() || field.open)
            });
        if !known {
            wrong.push(format!("not documented: {}", path.join(".")));
            continue;
        }
        let below = |part: &str| path.iter().cloned().chain([part.to_owned()]).collect::<Vec<_>>();
        match value {
            Value::Object(fields) => {
                if path.iter().all(|part| part == "[]") {
                    tops.extend(fields.keys().cloned());
                }
                walk.extend(fields.iter().map(|(name, value)| (below(name), value)));
            }
            Value::Array(items) => walk.extend(items.iter().map(|item| (below("[]"), item))),
            _ => {}
        }
    }
    for field in documented.iter().filter(|field| !field.optional) {
        let Some(top) = field.parts.iter().find(|part| *part != "[]") else { continue };
        if top != "*" && !tops.contains(top) {
            wrong.push(format!("documented, but not there: {top}"));
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{heading} of docs/reference/json.md\n  {}\n{value:#}", wrong.join("\n  "));
}
