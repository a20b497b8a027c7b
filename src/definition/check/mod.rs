//! The keys as written → the model: every check of a value, and of values against each other.

mod account;
mod names;
mod overlap;
mod resolver;
mod subjects;
mod topology;

pub(crate) use topology::server_url;
mod virtual_stream;

use super::problem::{Collected, Place, Problem};
use super::raw;
use super::read::At;
use super::secret::looks_like_seed;
use super::{Definition, Resolver};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::virtual_stream::Access;
use std::path::{Path, PathBuf};

/// What the checks share.
struct Checker<'a> {
    /// Relative paths are relative to it.
    base: &'a Path,
    problems: &'a mut Collected,
}

/// Checks the whole; `None` when what was reported leaves no definition.
pub(super) fn definition(document: raw::Document, base: &Path, problems: &mut Collected) -> Option<Definition> {
    let mut checker = Checker { base, problems };
    let raw::Document {
        place,
        version,
        resolver,
        system,
        nsc_store,
        operator,
        tls,
        regions,
        stretch,
        clusters_without_clients,
        accounts,
    } = document;
    if let Some(version) = version.filter(|version| version.value != 1) {
        let message = format!("version {} is not known", version.value);
        checker.report("unknown-value", version.place, message, "write `version: 1`");
    }
    let system = match system {
        Some(raw::SystemAccess { place, credentials, key, context }) => {
            checker.access("the system account", place, credentials, key, context)
        }
        None => checker.missing(place, "system", "add `system: { credentials: FILE }`, access to the system account"),
    };
    let tls = tls.map(|tls| checker.tls(tls));
    let nsc_store = nsc_store.and_then(|path| checker.path(path));
    let operator = operator.and_then(|key| {
        let help = "write the operator's public key, O and 55 more characters; `nsc describe operator` shows it";
        checker.public_key(&key, KeyKind::Operator, help)
    });
    let topology = match regions {
        Some(regions) => checker.topology(regions, stretch, clusters_without_clients),
        None => checker.missing(place, "regions", "add `regions:`, with a name, and `servers:`, for each"),
    };
    let accounts = match accounts {
        Some(accounts) => checker.accounts(accounts, topology.as_ref()),
        None => checker.missing(place, "accounts", "add `accounts:`, with a name, and `id:`, for each"),
    };
    let resolver = match resolver {
        Some(resolver) => checker.resolver(resolver, accounts.as_deref().unwrap_or_default()),
        None => Some(Resolver::Nats),
    };
    Some(Definition {
        resolver: resolver?,
        system: system?,
        nsc_store,
        operator,
        tls,
        topology: topology?,
        accounts: accounts?,
    })
}

impl Checker<'_> {
    fn report(&mut self, code: &'static str, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(code, place, message).help(help));
    }

    fn missing<T>(&mut self, place: Place, key: &str, help: &str) -> Option<T> {
        self.report("missing-key", place, format!("the key `{key}` is missing"), help);
        None
    }

    /// A path relative to the definition.
    fn path(&mut self, path: At<String>) -> Option<PathBuf> {
        if looks_like_seed(&path.value) || path.value.contains("-----BEGIN") {
            let help = "put it into a file of mode 0600, name the file here, and replace the key if this was shared";
            self.report("secret", path.place, "this is a secret itself, where the path of a file belongs", help);
            return None;
        }
        if path.value.is_empty() {
            self.report("wrong-value", path.place, "the path is empty", "name a file");
            return None;
        }
        Some(self.base.join(path.value))
    }

    fn public_key(&mut self, key: &At<String>, kind: KeyKind, help: &str) -> Option<PublicKey> {
        if key.value.ends_with("...") || key.value.ends_with('…') {
            self.report("bad-key", key.place, "the key is still a placeholder", help);
            return None;
        }
        match PublicKey::parse_kind(&key.value, kind) {
            Ok(key) => Some(key),
            Err(error) => {
                self.report("bad-key", key.place, format!("the key {error}"), help);
                None
            }
        }
    }

    fn access(
        &mut self,
        of: &str,
        place: Place,
        credentials: Option<At<String>>,
        key: Option<At<String>>,
        context: Option<At<String>>,
    ) -> Option<Access> {
        let given = [credentials.as_ref(), key.as_ref(), context.as_ref()];
        let places: Vec<Place> = given.into_iter().flatten().map(|at| at.place).collect();
        if let [first, second, ..] = places[..] {
            let message = format!("more than one way into {of} is given");
            self.problems.push(
                Problem::new("conflict", second, message)
                    .also(first, "the first of them")
                    .help("keep one of `credentials`, `key` and `context`"),
            );
            return None;
        }
        match (credentials, key, context) {
            (Some(path), ..) => self.path(path).map(Access::Credentials),
            (_, Some(path), _) => self.path(path).map(Access::Key),
            (.., Some(name)) if !name.value.trim().is_empty() => Some(Access::Context(name.value)),
            (.., Some(name)) => {
                self.report("wrong-value", name.place, "the context has no name", "name a context of the `nats` CLI");
                None
            }
            _ => {
                let help = "add `credentials: FILE`, or `key: FILE` (a seed), or `context: NAME` (of the `nats` CLI)";
                self.report("missing-key", place, format!("there is no way into {of}"), help);
                None
            }
        }
    }
}
