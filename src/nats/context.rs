//! Contexts of the `nats` CLI (jsm.go `natscontext/context.go`): `nats/context/<name>.json` in the user's
//! configuration folder.

use super::ConnectError;
use crate::files::{ReadError, closed_to_others, read_any_secret};
use crate::model::topology::Tls;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest context that is read, in bytes: one may have a user's token in it.
const LARGEST: usize = 1 << 20;
/// The field that is a secret itself and is used; others name files.
const SECRET: &str = "user_seed";

/// What a context says that a connection in operator mode needs.
pub(super) struct Context {
    path: PathBuf,
    pub creds: Option<PathBuf>,
    /// Token and seed, given in the context itself.
    pub user: Option<(String, Zeroizing<String>)>,
    pub inbox_prefix: Option<String>,
    pub tls: Option<Tls>,
    /// Fields by which the context logs in, and that operator mode cannot use.
    unusable: Vec<&'static str>,
}

impl Context {
    /// Finds the context by its name: in `$XDG_CONFIG_HOME`, else `~/.config`.
    pub(super) fn find(name: &str) -> Result<Self, ConnectError> {
        let base = std::env::var_os("XDG_CONFIG_HOME")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .or_else(|| home().map(|home| home.join(".config")))
            .unwrap_or_default();
        Self::in_folder(&base.join("nats").join("context"), name)
    }

    fn in_folder(folder: &Path, name: &str) -> Result<Self, ConnectError> {
        let path = folder.join(format!("{name}.json"));
        let not_found = || {
            let nearest = nearest_name(folder, name);
            ConnectError::ContextNotFound { name: name.to_owned(), folder: folder.to_owned(), nearest }
        };
        if name.is_empty() || name.contains(['/', '\\']) {
            return Err(not_found());
        }
        let unread = |error: ReadError| match error {
            ReadError::Missing => not_found(),
            error => ConnectError::unread("context", &path, error),
        };
        let (text, mode) = read_any_secret(&path, LARGEST).map_err(unread)?;
        let fields: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| ConnectError::Credentials {
            place: format!("context {}", path.display()),
            reason: format!("is not JSON: line {}, column {}", error.line(), error.column()),
        })?;
        if fields.get(SECRET).is_some_and(|value| *value != json!("")) {
            closed_to_others(mode).map_err(unread)?;
        }
        Ok(Self::from_fields(path, &fields))
    }

    fn from_fields(path: PathBuf, fields: &Map<String, Value>) -> Self {
        let text = |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let file = |key: &str| text(key).map(expand_home);
        let tls = Tls {
            ca: file("ca"),
            cert: file("cert"),
            key: file("key"),
            first: fields.get("tls_first").and_then(Value::as_bool).unwrap_or(false),
        };
        let unusable = ["nsc", "nkey", "token", "user", "password", "socks_proxy"];
        Self {
            creds: file("creds"),
            user: text("user_jwt").zip(text("user_seed")).map(|(jwt, seed)| (jwt.to_owned(), seed.to_owned().into())),
            inbox_prefix: text("inbox_prefix").map(str::to_owned),
            tls: (tls != Tls::default()).then_some(tls),
            unusable: unusable.into_iter().filter(|key| text(key).is_some()).collect(),
            path,
        }
    }

    /// For messages.
    pub(super) fn place(&self) -> String {
        format!("context {}", self.path.display())
    }

    /// The error for a context that has neither credentials nor a user token with its seed.
    pub(super) fn unusable(&self) -> ConnectError {
        let reason = match self.unusable.as_slice() {
            [] => "has no `creds`".to_owned(),
            keys => format!("logs in by `{}`; servers in operator mode need `creds`", keys.join("`, `")),
        };
        ConnectError::Credentials { place: self.place(), reason }
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn nearest_name(folder: &Path, name: &str) -> Option<String> {
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .map(|known| (similar::TextDiff::from_chars(known.as_str(), name).ratio(), known))
        .filter(|(ratio, _)| *ratio > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder(contexts: &[(&str, Value)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, fields) in contexts {
            std::fs::write(dir.path().join(format!("{name}.json")), fields.to_string()).unwrap();
        }
        dir
    }

    #[test]
    fn a_context_is_found_by_name() {
        let fields = json!({ "url": "nats://h:4222", "creds": "/k/sys.creds", "ca": "/k/ca.pem", "tls_first": true, "inbox_prefix": "_I.x", "token": "" });
        let dir = folder(&[("sc-sys", fields)]);
        let context = Context::in_folder(dir.path(), "sc-sys").unwrap();
        assert_eq!(context.creds, Some(PathBuf::from("/k/sys.creds")));
        assert_eq!(context.inbox_prefix.as_deref(), Some("_I.x"));
        assert_eq!(context.tls, Some(Tls { ca: Some("/k/ca.pem".into()), first: true, ..Tls::default() }));
        let error = Context::in_folder(dir.path(), "sc-sis").err().unwrap().to_string();
        assert!(error.contains("there is no context `sc-sis`") && error.contains("did you mean `sc-sys`?"), "{error}");
        assert!(Context::in_folder(dir.path(), "../sc-sys").is_err());
    }

    #[test]
    fn logins_that_operator_mode_cannot_use_are_named() {
        let dir = folder(&[("pw", json!({ "user": "u", "password": "hunter2" })), ("bad", json!([]))]);
        let error = Context::in_folder(dir.path(), "pw").unwrap().unusable().to_string();
        assert!(error.contains("logs in by `user`, `password`") && !error.contains("hunter2"), "{error}");
        assert!(Context::in_folder(dir.path(), "bad").is_err());
    }
}
