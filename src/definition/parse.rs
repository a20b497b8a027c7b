//! The steps from the text of a definition to the model.

use super::place::Place;
use super::problem::{Collected, Problem, Problems};
use super::read::Read as _;
use super::unbuilt::{Unbuilt, unbuilt};
use super::{Definition, SourceFile, check, check_size, leak, merge, raw, yaml};
use std::path::Path;

/// Parses a definition that is spread over `files`. Paths in it are relative to `base`.
///
/// # Errors
/// The problem that [`check_size`] finds. Otherwise the problems of the first step that fails: invalid YAML, then wrong
/// keys and types, then wrong values. The last step also reports features that are not built yet. Each secret in the
/// texts is a problem too, even in comments.
pub fn parse(files: &[SourceFile], base: &Path) -> Result<Definition, Problems> {
    check_size(files.iter().map(|file| (file.name.as_str(), file.text.len())))?;
    let (mut problems, mut found) = (Collected::default(), leak::Found::default());
    let definition = read_all(files, base, &mut problems, &mut found);
    leak::report(files, &found, &mut problems);
    let hidden = found.into_hidden();
    match definition {
        Some(definition) if problems.is_empty() => Ok(definition),
        _ => Err(Problems::new(files, problems, hidden)),
    }
}

fn read_all(
    files: &[SourceFile],
    base: &Path,
    problems: &mut Collected,
    found: &mut leak::Found,
) -> Option<Definition> {
    let tree = read_trees(files, problems)?;
    *found = leak::look(&tree, files);
    let document = raw::Document::read(tree, problems)?;
    let shape = std::mem::take(problems);
    let clean = shape.is_empty();
    let definition = check::definition(document, base, problems);
    // A key that was only misspelled is not reported as missing, too.
    problems.retain(|problem| {
        let meant = |other: &Problem| other.code == "unknown-key" && problem.message.contains(other.meant());
        problem.code != "missing-key" || !shape.iter().any(meant)
    });
    problems.append(shape);
    let definition = definition?;
    let unbuilt = unbuilt(&definition);
    // A misspelled key has its default here, which needs no report.
    if clean && !unbuilt.is_empty() {
        let tree = read_trees(files, &mut Collected::default())?;
        for Unbuilt { path, what, instead } in unbuilt {
            let message = format!("{what} is not built yet");
            problems.push(Problem::new("not-built", tree.find(&path), message).help(instead));
        }
    }
    Some(definition)
}

/// Reads all files into one tree.
fn read_trees(files: &[SourceFile], problems: &mut Collected) -> Option<yaml::Node> {
    let (mut trees, mut left) = (Vec::new(), yaml::Budget::default());
    for (index, file) in files.iter().enumerate() {
        match yaml::read(&file.text, index, &mut left) {
            Ok(tree) => trees.push(tree),
            Err(problem) => problems.push(*problem),
        }
        if left.is_spent() && !problems.is_empty() {
            break;
        }
    }
    if !problems.is_empty() {
        return None;
    }
    let tree = merge::merge(trees, problems);
    if tree.is_none() {
        let start = Place { line: 1, column: 1, ..Place::default() };
        let problem = Problem::new("empty", start, "the definition is empty");
        problems.push(problem.help("`vstream-jwt init` writes an example"));
    }
    tree
}
