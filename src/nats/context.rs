//! Contexts of the `nats` CLI (jsm.go `natscontext/context.go`): `nats/context/<name>.json` in the user's
//! configuration folder.

use super::ConnectError;
use super::reference::{Secret, expand, find, home, scheme};
use crate::definition::server_url;
use crate::files::{FileReadError, closed_to_others, read_any_secret, read_secret};
use crate::model::topology::Tls;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Size of the largest context that is read, in bytes. It may contain a user's token.
const LARGEST: usize = 1 << 20;

/// The server of a context without `url`, as in the CLI.
const DEFAULT_SERVER: &str = "nats://127.0.0.1:4222";

/// The servers that a context of the `nats` CLI connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextServers {
    /// The servers of its `url`.
    pub urls: Vec<String>,
    /// The context's TLS settings, if any, with absolute paths.
    pub tls: Option<Tls>,
}

/// Reads the servers of a context's `url`, which are separated by commas, and its TLS settings.
///
/// # Errors
/// [`ConnectError`]; [`ConnectError::Credentials`] if a URL cannot be used. This includes a URL with a user or a
/// password, which must not get into a definition.
pub fn context_servers(name: &str) -> Result<ContextServers, ConnectError> {
    let mut context = Context::find(name)?;
    let unusable = |reason: &str| ConnectError::Credentials {
        place: context.place(),
        reason: format!("`url` cannot be used: {reason}"),
    };
    // Checked before the URLs are parsed, because a password may contain a comma.
    if context.urls.iter().any(|url| url.contains('@')) {
        return Err(unusable("it holds a user or a token; these belong into a credentials file"));
    }
    let normal = |url: &String| server_url(url).map_err(|reason| unusable(&reason));
    let urls = context.urls.iter().map(normal).collect::<Result<_, _>>()?;
    if let Some(tls) = &mut context.tls {
        for path in [&mut tls.ca, &mut tls.cert, &mut tls.key].into_iter().flatten() {
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
    }
    Ok(ContextServers { urls, tls: context.tls })
}

/// The fields of a context that a connection in operator mode needs.
pub(super) struct Context {
    path: PathBuf,
    urls: Vec<String>,
    pub creds: Option<Secret>,
    /// Token and seed, if the context has no credentials.
    pub user: Option<(Zeroizing<String>, Zeroizing<String>)>,
    pub inbox_prefix: Option<String>,
    pub tls: Option<Tls>,
    /// Fields by which the context logs in, but which operator mode cannot use.
    unusable: Vec<&'static str>,
}

impl Context {
    /// Finds the context by its name in `$XDG_CONFIG_HOME`, else in `~/.config`.
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
        let unread = |error: FileReadError| match error {
            FileReadError::Missing => not_found(),
            error => ConnectError::unread("context", &path, error),
        };
        let (text, mode) = read_any_secret(&path, LARGEST).map_err(unread)?;
        let fields: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| ConnectError::Credentials {
            place: format!("context {}", path.display()),
            reason: format!("is not JSON: line {}, column {}", error.line(), error.column()),
        })?;
        let scheme_of = |key: &str| Some(scheme(fields.get(key)?.as_str().filter(|value| !value.is_empty())?));
        // References with other schemes do not contain a secret.
        let holds_seed = scheme_of("user_seed").is_some_and(|scheme| scheme.is_none_or(|scheme| scheme == "data"));
        if holds_seed || scheme_of("creds").flatten().is_some_and(|scheme| scheme == "data") {
            closed_to_others(mode).map_err(unread)?;
        }
        Self::from_fields(path, &fields)
    }

    fn from_fields(path: PathBuf, fields: &Map<String, Value>) -> Result<Self, ConnectError> {
        let place = format!("context {}", path.display());
        let refuse = |key: &str, reason: String| ConnectError::Credentials {
            place: place.clone(),
            reason: format!("`{key}` {reason}"),
        };
        let text = |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let file = |key: &str| text(key).map(expand);
        // These settings determine how to reach the server, so a user of the context needs them.
        for key in ["socks_proxy", "windows_cert_store"] {
            if text(key).is_some() {
                return Err(refuse(key, "is not supported: name `credentials:` of its user, and `tls:`".to_owned()));
            }
        }
        let urls: Vec<&str> = text("url").unwrap_or(DEFAULT_SERVER).split(',').map(str::trim).collect();
        let refer = |key: &str, value: &str| find(value).map_err(|reason| refuse(key, reason));
        let creds = match (text("creds"), text("nsc")) {
            (Some(creds), _) => Some(refer("creds", creds)?.unwrap_or_else(|| Secret::File(expand(creds)))),
            (None, Some(nsc)) => refer("nsc", &format!("nsc://{}", nsc.strip_prefix("nsc://").unwrap_or(nsc)))?,
            (None, None) => None,
        };
        let itself = |key: &str, value: &str| match refer(key, value)? {
            None => Ok(Zeroizing::new(value.to_owned())),
            Some(Secret::Text(text)) => Ok(Zeroizing::new(text.trim().to_owned())),
            Some(Secret::File(path)) => {
                let unread = |error| ConnectError::unread("credentials", &path, error);
                let text = read_secret(&path, LARGEST).map_err(unread)?;
                let text = std::str::from_utf8(&text).map_err(|_| refuse(key, "is not text".to_owned()))?;
                Ok(Zeroizing::new(text.trim().to_owned()))
            }
        };
        let user = match (&creds, text("user_jwt").zip(text("user_seed"))) {
            (None, Some((jwt, seed))) => Some((itself("user_jwt", jwt)?, itself("user_seed", seed)?)),
            _ => None,
        };
        let tls = Tls {
            ca: file("ca"),
            cert: file("cert"),
            key: file("key"),
            first: fields.get("tls_first").and_then(Value::as_bool).unwrap_or(false),
        };
        let unusable = ["nkey", "token", "user", "password"];
        Ok(Self {
            creds,
            user,
            inbox_prefix: text("inbox_prefix").map(str::to_owned),
            tls: (tls != Tls::default()).then_some(tls),
            unusable: unusable.into_iter().filter(|key| text(key).is_some()).collect(),
            urls: urls.into_iter().filter(|url| !url.is_empty()).map(str::to_owned).collect(),
            path,
        })
    }

    /// Returns the name of the context for messages.
    pub(super) fn place(&self) -> String {
        format!("context {}", self.path.display())
    }

    /// Returns the error for a context that has neither credentials nor a user token with its seed.
    pub(super) fn unusable(&self) -> ConnectError {
        let reason = match self.unusable.as_slice() {
            [] => "has no `creds`".to_owned(),
            keys => format!("logs in by `{}`; servers in operator mode need `creds`", keys.join("`, `")),
        };
        ConnectError::Credentials { place: self.place(), reason }
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
        assert_eq!(context.creds, Some(Secret::File(PathBuf::from("/k/sys.creds"))));
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

    #[test]
    fn what_is_not_supported_of_a_context_is_named() {
        let of = |fields: Value| {
            let dir = folder(&[("c", fields)]);
            Context::in_folder(dir.path(), "c").map(|context| context.creds).map_err(|error| error.to_string())
        };
        for key in ["socks_proxy", "windows_cert_store"] {
            let mut fields = json!({ "creds": "/k/app.creds" });
            fields[key] = json!("x");
            assert!(of(fields).unwrap_err().contains(&format!("`{key}` is not supported")));
        }
        let error = of(json!({ "creds": "op://vault/item" })).unwrap_err();
        assert!(error.contains("context ") && error.contains("`creds` is a `op://` reference"), "{error}");
        // The CLI writes empty values.
        assert!(of(json!({ "creds": "/k/app.creds", "socks_proxy": "", "nsc": "" })).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_context_with_a_secret_in_it_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        for (fields, secret) in [
            (json!({ "user_jwt": "a.b.c", "user_seed": "SUA" }), true),
            (json!({ "creds": "data:;base64,c2VjcmV0" }), true),
            (json!({ "user_jwt": "a.b.c", "user_seed": "env://CARGO_PKG_NAME" }), false),
            (json!({ "creds": "/k/app.creds" }), false),
        ] {
            let dir = folder(&[("c", fields.clone())]);
            let mode = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(dir.path().join("c.json"), mode).unwrap();
            let refused = matches!(Context::in_folder(dir.path(), "c"), Err(ConnectError::OpenToOthers { .. }));
            assert_eq!(refused, secret, "{fields}");
        }
    }
}
