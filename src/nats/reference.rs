//! References to secrets in a context of the `nats` CLI: to a file, an environment variable, text in the context
//! itself, or `nsc` (jsm.go `natscontext/resolver_*.go`).

use crate::sign::memory;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use serde::Deserialize;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Time for `nsc`, which only reads a folder.
const NSC_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval for checking whether `nsc` has ended.
const EXIT_INTERVAL: Duration = Duration::from_millis(5);
/// Time to wait for the rest of its output.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// Most bytes of its output that are read.
const SAID: u64 = 64 << 10;

/// A secret, or the file with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Secret {
    /// The file with the secret.
    File(PathBuf),
    /// The secret.
    Text(Zeroizing<String>),
}

/// Resolves `reference`. Returns `None` if it is the value itself. The error is the reason, as a phrase that follows
/// the name of a field.
pub(super) fn find(reference: &str) -> Result<Option<Secret>, String> {
    let Some(scheme) = scheme(reference) else { return Ok(None) };
    let rest = &reference[scheme.len() + 1..];
    let name = rest.strip_prefix("//").unwrap_or(rest);
    match scheme.as_str() {
        "file" => Ok(Some(Secret::File(expand(name)))),
        "env" => match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Some(Secret::Text(Zeroizing::new(value)))),
            _ => Err(format!("is in the environment variable {name}, which is not set")),
        },
        "data" => {
            let (header, payload) = rest.split_once(',').ok_or("is `data:` without a comma")?;
            if !header.split(';').any(|part| part.trim() == "base64") {
                return Err("is `data:` without `;base64`".to_owned());
            }
            let bytes = Zeroizing::new(B64.decode(payload.trim()).map_err(|_| "is `data:` that is not base64")?);
            let text = std::str::from_utf8(&bytes).map_err(|_| "is `data:` that is not text")?;
            Ok(Some(Secret::Text(Zeroizing::new(text.to_owned()))))
        }
        "nsc" => profile(&format!("nsc://{name}")).map(|path| Some(Secret::File(path))),
        scheme if rest.starts_with("//") => {
            Err(format!("is a `{scheme}://` reference, which is not supported; `file`, `env`, `data` and `nsc` are"))
        }
        _ => Ok(None),
    }
}

/// Returns the scheme of a reference, in lower case.
pub(super) fn scheme(reference: &str) -> Option<String> {
    let (scheme, _) = reference.split_once(':')?;
    // A single letter is a Windows drive.
    let is_scheme = scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric());
    is_scheme.then(|| scheme.to_ascii_lowercase())
}

/// Runs `nsc` for the credentials file of `nsc://OPERATOR/ACCOUNT/USER`, as the `nats` CLI does.
fn profile(url: &str) -> Result<PathBuf, String> {
    #[derive(Deserialize)]
    struct Profile {
        user_creds: Option<PathBuf>,
    }
    let mut nsc = memory::command("nsc");
    nsc.args(["generate", "profile", url]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = nsc.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("is {url}, and there is no `nsc` on the PATH to ask"),
        _ => format!("is {url}, and `nsc` does not start: {error}"),
    })?;
    let (out, err) = (running.stdout.take().map(hear), running.stderr.take().map(hear));
    let started = Instant::now();
    let ended = loop {
        match running.try_wait().map_err(|error| format!("is {url}, and `nsc` is not heard of: {error}"))? {
            Some(ended) => break ended,
            None if started.elapsed() > NSC_TIMEOUT => {
                let _ = (running.kill(), running.wait());
                return Err(format!(
                    "is {url}, and `nsc generate profile` took longer than {} s",
                    NSC_TIMEOUT.as_secs()
                ));
            }
            None => std::thread::sleep(EXIT_INTERVAL),
        }
    };
    // A child process of `nsc` may still have the pipes open.
    let said = |pipe: Option<Receiver<String>>| pipe.and_then(|pipe| pipe.recv_timeout(OUTPUT_TIMEOUT).ok());
    if !ended.success() {
        let said = said(err).unwrap_or_default();
        let why = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
        return Err(format!("is {url}, and `nsc generate profile` failed: {}", why.trim()));
    }
    let profile: Result<Profile, _> = serde_json::from_str(&said(out).unwrap_or_default());
    let creds = profile.ok().and_then(|profile| profile.user_creds).filter(|path| !path.as_os_str().is_empty());
    creds.ok_or_else(|| {
        format!("is {url}, for which `nsc generate profile` names no credentials: is it nsc://OPERATOR/ACCOUNT/USER?")
    })
}

/// Reads a pipe on a separate thread.
fn hear(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, heard) = channel();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = pipe.take(SAID).read_to_end(&mut said);
        let _ = send.send(String::from_utf8_lossy(&said).into_owned());
    });
    heard
}

/// Expands `~` and `$NAME` or `${NAME}` in a path. An unset variable is empty.
pub(super) fn expand(path: &str) -> PathBuf {
    let mut expanded = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, following) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => after.split_at(after.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(after.len())),
        };
        match name {
            "" => expanded.push('$'),
            name => expanded.push_str(&std::env::var(name).unwrap_or_default()),
        }
        rest = following;
    }
    expanded.push_str(rest);
    match (expanded.strip_prefix('~'), home()) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(expanded),
    }
}

/// Returns the user's home folder.
pub(super) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_where_a_context_says() {
        let text = |text: &str| Ok(Some(Secret::Text(Zeroizing::new(text.to_owned()))));
        let file = |path: &str| Ok(Some(Secret::File(PathBuf::from(path))));
        assert_eq!(find("/k/app.creds"), Ok(None));
        assert_eq!(find("eyJ0eXAi.e30.sig"), Ok(None));
        assert_eq!(find("C:\\keys\\app.creds"), Ok(None));
        assert_eq!(find("file:///k/app.creds"), file("/k/app.creds"));
        assert_eq!(find("FILE:///k/app.creds"), file("/k/app.creds"));
        assert_eq!(find("env://CARGO_PKG_NAME"), text("vstream-jwt"));
        assert_eq!(find("data:;base64,c2VjcmV0"), text("secret"));
        for (reference, reason) in [
            ("env://VSTREAM_NOT_SET", "VSTREAM_NOT_SET, which is not set"),
            ("data:;base64", "without a comma"),
            ("data:,secret", "without `;base64`"),
            ("data:;base64,secre!", "not base64"),
            ("op://vault/item/field", "`op://` reference, which is not supported"),
        ] {
            let error = find(reference).unwrap_err();
            assert!(error.contains(reason) && !error.contains("secre!"), "{reference}: {error}");
        }
    }

    #[test]
    fn paths_are_expanded_as_a_shell_would() {
        let home = home().unwrap();
        assert_eq!(expand("~/k/app.creds"), home.join("k/app.creds"));
        assert_eq!(expand("~"), home);
        assert_eq!(expand("~other/x"), PathBuf::from("~other/x"));
        assert_eq!(expand("/k/$CARGO_PKG_NAME/a"), PathBuf::from("/k/vstream-jwt/a"));
        assert_eq!(expand("/k/${CARGO_PKG_NAME}.creds"), PathBuf::from("/k/vstream-jwt.creds"));
        assert_eq!(expand("/k/$VSTREAM_NOT_SET/$"), PathBuf::from("/k//$"));
    }
}
