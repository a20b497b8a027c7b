//! State that all checks share, and checks of values that several keys have in common.

use crate::definition::place::Place;
use crate::definition::problem::{Collected, Problem};
use crate::definition::read::At;
use crate::definition::secret::looks_like_seed;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::virtual_stream::Access;
use std::path::{Path, PathBuf};

/// State that all checks share.
pub(super) struct Checker<'a> {
    /// The folder that relative paths start from.
    pub base: &'a Path,
    pub problems: &'a mut Collected,
}

impl Checker<'_> {
    pub(super) fn report(
        &mut self,
        code: &'static str,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::new(code, place, message).help(help));
    }

    pub(super) fn missing<T>(&mut self, place: Place, key: &str, help: &str) -> Option<T> {
        self.report("missing-key", place, format!("the key `{key}` is missing"), help);
        None
    }

    /// Checks a path, and resolves it against the definition's folder.
    pub(super) fn path(&mut self, path: At<String>) -> Option<PathBuf> {
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

    pub(super) fn public_key(&mut self, key: &At<String>, kind: KeyKind, help: &str) -> Option<PublicKey> {
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

    pub(super) fn access(
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
