//! Checks of the resolver, which keeps account tokens.

use super::checker::Checker;
use crate::definition::ResolverConfig;
use crate::definition::problem::Problem;
use crate::definition::raw;
use crate::definition::read::At;
use crate::model::virtual_stream::{Account, Layout};

impl Checker<'_> {
    pub(super) fn resolver(&mut self, resolver: raw::Resolver, accounts: &[Account]) -> Option<ResolverConfig> {
        let raw::Resolver { place: _, r#type, preload, url } = resolver;
        let of = |kind: raw::ResolverType| r#type.value == kind;
        let others = [
            ("preload", preload.as_ref().filter(|_| !of(raw::ResolverType::Memory)), "memory"),
            ("url", url.as_ref().filter(|_| !of(raw::ResolverType::Url)), "url"),
        ];
        for (key, given, kind) in others {
            if let Some(given) = given {
                let message = format!("`{key}` goes with `type: {kind}`");
                self.problems.push(
                    Problem::new("conflict", given.place, message)
                        .also(r#type.place, "the type")
                        .help(format!("remove `{key}`, or write `type: {kind}`")),
                );
            }
        }
        match r#type.value {
            raw::ResolverType::Nats => Some(ResolverConfig::Nats),
            raw::ResolverType::Memory => {
                self.only_shared(&r#type, accounts);
                let help =
                    "add `preload: FILE`, the file with `resolver_preload` that the servers' configuration includes";
                match preload {
                    Some(preload) => self.path(preload).map(ResolverConfig::Memory),
                    None => self.missing(r#type.place, "preload", help),
                }
            }
            raw::ResolverType::Url => match url {
                Some(url) => self.account_server(url),
                None => {
                    let help = "add `url: URL`, as the servers' `resolver: URL(…)` has it";
                    self.missing(r#type.place, "url", help)
                }
            },
        }
    }

    /// Refuses the layout `regional` with the resolver type `memory`. It pushes several tokens in sequence, and all
    /// servers would have to reload before each one.
    fn only_shared(&mut self, kind: &At<raw::ResolverType>, accounts: &[Account]) {
        if let Some(account) = accounts.iter().find(|account| account.layout == Layout::Regional) {
            let message = format!(
                "resolver type `memory` supports only layout `shared`, but account {} has layout `regional`",
                account.name
            );
            let help = format!(
                "write `layout: shared` for account {}, or set `resolver {{ type: full }}` on the servers and write `type: nats` here",
                account.name
            );
            self.report("memory-layout", kind.place, message, help);
        }
    }

    fn account_server(&mut self, url: At<String>) -> Option<ResolverConfig> {
        match account_server_url(&url.value) {
            Ok(url) => Some(ResolverConfig::Url(url)),
            Err(reason) => {
                let help = "write it as in the servers' `resolver: URL(…)`, `https://host/jwt/v1/accounts/`";
                self.report(
                    "bad-url",
                    url.place,
                    format!("the URL of the account server is not valid: {reason}"),
                    help,
                );
                None
            }
        }
    }
}

/// Returns the URL with a trailing slash, or the reason why it is not valid.
fn account_server_url(url: &str) -> Result<String, String> {
    let rest = match url.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some((scheme, _)) => return Err(format!("scheme `{scheme}` is neither `http` nor `https`")),
        None => return Err("it begins neither with `http://` nor with `https://`".to_owned()),
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err("it holds a user or a password, which servers and logs would show".to_owned());
    }
    if host.is_empty() || host.starts_with(':') {
        return Err("it has no host".to_owned());
    }
    match url.chars().find(|c| c.is_whitespace() || c.is_control() || !c.is_ascii() || "?#\\\"<>{}|^`".contains(*c)) {
        Some(c) => Err(format!("it contains {c:?}")),
        None if url.ends_with('/') => Ok(url.to_owned()),
        None => Ok(format!("{url}/")),
    }
}
