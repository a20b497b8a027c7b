//! File text → model: what a definition may say, and everything that is wrong with one.
//!
//! [`parse`] goes `yaml` (text → tree) → `merge` (files → one tree) → `read` (tree → the keys of `raw`) → `check`
//! (keys → model, with the tables of `fields`) → [`unbuilt`].

mod check;
mod fields;
mod merge;
mod nearest;
mod problem;
mod raw;
mod read;
mod reference;
mod schema;
mod secret;
mod unbuilt;
mod yaml;

pub use problem::{Position, Problems, Report};
pub use reference::reference;
pub use schema::json_schema;
pub use unbuilt::{Unbuilt, unbuilt};

use crate::model::nkey::PublicKey;
use crate::model::topology::{Tls, Topology};
use crate::model::virtual_stream::{Access, Account};
use problem::{Collected, Place, Problem};
use read::Read as _;
use std::path::{Path, PathBuf};

/// The most that the files of a definition may have together, in bytes.
pub const MAX_SIZE: usize = 8_000_000;

/// How the servers keep account tokens (nats-server `resolver`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// The NATS resolver, `full` or `cache`.
    Nats,
    /// An HTTP account server.
    Url,
    /// Tokens in the servers' configuration.
    Memory,
    /// A directory that something else distributes.
    Directory,
}

/// A definition whose checks were made: every name, subject, field and reference in it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Where account tokens go.
    pub resolver: Resolver,
    /// Access to the system account.
    pub system: Access,
    /// TLS towards all servers, unless a region has its own.
    pub tls: Option<Tls>,
    /// The nsc store that has copies of the tokens, if it is to be kept up to date.
    pub nsc_store: Option<PathBuf>,
    /// The pinned operator: whose signatures count.
    pub operator: Option<PublicKey>,
    /// Regions, clusters, servers.
    pub topology: Topology,
    /// In the order of the files.
    pub accounts: Vec<Account>,
}

/// The text of one file of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name as the user knows it; errors cite it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Parses a definition that is spread over `files`; paths in it are relative to `base`.
///
/// # Errors
/// All problems that can be told apart: where the YAML itself is broken, that; where keys or types are wrong, these;
/// else whatever is wrong with the values, and what is not built yet. Besides, each secret in the texts, comments included.
pub fn parse(files: &[SourceFile], base: &Path) -> Result<Definition, Problems> {
    let (mut problems, mut hidden) = (Collected::default(), Vec::new());
    let definition = read_all(files, base, &mut problems, &mut hidden);
    secret::report(files, &mut problems);
    match definition {
        Some(definition) if problems.is_empty() => Ok(definition),
        _ => Err(Problems::new(files, problems, hidden)),
    }
}

fn read_all(
    files: &[SourceFile],
    base: &Path,
    problems: &mut Collected,
    hidden: &mut Vec<Place>,
) -> Option<Definition> {
    let tree = read_trees(files, problems)?;
    hidden.extend(secret::hidden(&tree, files));
    let document = raw::Document::read(tree, problems)?;
    let shape = std::mem::take(problems);
    let clean = shape.is_empty();
    let definition = check::definition(document, base, problems);
    // What a misspelt key was meant to be is not missing, too.
    problems.retain(|problem| {
        let meant = |other: &Problem| other.code == "unknown-key" && problem.message.contains(other.meant());
        problem.code != "missing-key" || !shape.iter().any(meant)
    });
    problems.append(shape);
    let definition = definition?;
    let unbuilt = unbuilt(&definition);
    // A misspelt key reads as a default here, about which there is nothing to say.
    if clean && !unbuilt.is_empty() {
        let tree = read_trees(files, &mut Collected::default())?;
        for Unbuilt { path, what, instead } in unbuilt {
            let message = format!("{what} is not built yet");
            problems.push(Problem::new("not-built", tree.find(&path), message).help(instead));
        }
    }
    Some(definition)
}

/// All files as one tree.
fn read_trees(files: &[SourceFile], problems: &mut Collected) -> Option<yaml::Node> {
    let mut trees = Vec::new();
    for (index, file) in files.iter().enumerate() {
        match yaml::read(&file.text, index) {
            Ok(tree) => trees.push(tree),
            Err(problem) => problems.push(*problem),
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

#[cfg(test)]
mod tests;
