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

pub(crate) use check::server_url;
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
/// The most files of a definition.
const MOST_FILES: usize = 10_000;
/// The longest name of a file, in bytes: as long as a path may be.
const LONGEST_NAME: usize = 4096;
/// The next step when it is too large.
const SPREAD: &str = "spread its accounts over several definitions";

/// How the servers keep account tokens (nats-server `resolver`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// The NATS resolver, `full` or `cache`.
    Nats,
    /// An HTTP account server, by the URL below which each account's token is. It ends with a slash.
    Url(String),
    /// Tokens in the servers' configuration, by the file with `resolver_preload` that it includes.
    Memory(PathBuf),
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

/// Checks how large a definition is, before its texts are read or copied: the names of its files with their sizes in bytes.
///
/// # Errors
/// More than [`MAX_SIZE`] bytes, or too many files, or one with too long a name.
pub fn check_size<'f>(files: impl IntoIterator<Item = (&'f str, usize)>) -> Result<(), Problems> {
    let mut bytes: usize = 0;
    for (index, (name, size)) in files.into_iter().enumerate() {
        bytes = bytes.saturating_add(size);
        let what = match () {
            () if name.len() > LONGEST_NAME => format!("the name of this file has more than {LONGEST_NAME} bytes"),
            () if index >= MOST_FILES => format!("with this file the definition has more than {MOST_FILES} files"),
            () if bytes > MAX_SIZE => {
                format!("with this file the definition has more than {} MB", MAX_SIZE / 1_000_000)
            }
            () => continue,
        };
        let file = SourceFile { name: name.chars().take(LONGEST_NAME / 4).collect(), text: String::new() };
        let mut problems = Collected::default();
        let start = Place { line: 1, column: 1, ..Place::default() };
        problems.push(Problem::new("too-large", start, what).help(SPREAD));
        return Err(Problems::new(&[file], problems, Vec::new()));
    }
    Ok(())
}

/// Parses a definition that is spread over `files`; paths in it are relative to `base`.
///
/// # Errors
/// The problem that [`check_size`] finds. Without one:
/// all problems that can be told apart: where the YAML itself is broken, that; where keys or types are wrong, these;
/// else whatever is wrong with the values, and what is not built yet. Besides, each secret in the texts, comments included.
pub fn parse(files: &[SourceFile], base: &Path) -> Result<Definition, Problems> {
    check_size(files.iter().map(|file| (file.name.as_str(), file.text.len())))?;
    let (mut problems, mut found) = (Collected::default(), secret::Found::default());
    let definition = read_all(files, base, &mut problems, &mut found);
    secret::report(files, &found, &mut problems);
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
    found: &mut secret::Found,
) -> Option<Definition> {
    let tree = read_trees(files, problems)?;
    *found = secret::look(&tree, files);
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

#[cfg(test)]
mod tests;
