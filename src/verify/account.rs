//! Judges one account on one server: is the expected token stored, applied and live?
//!
//! Compares live mappings as well as the token, because servers before the fix of nats-server#8468 drop a mapping that
//! they reject, and report success.

use crate::model::claims::{AccountClaims, ImportSpec, Token, TrustAnchor, spelled_as_signed};
use crate::model::mapping::RawMapping;
use crate::model::units::format_time;
use crate::observed::{AccountOnServer, Detail, Live, Server, Stored};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The token that every server should have, decoded once.
#[derive(Debug)]
pub struct Expected {
    token: String,
    issued_at: u64,
    issuer: String,
    mappings: BTreeMap<String, BTreeSet<LiveDestination>>,
    imports: BTreeSet<String>,
    anchor: TrustAnchor,
}

impl Expected {
    /// Names the imports that must work, because the virtual streams need them.
    pub fn with_imports(mut self, imports: &[ImportSpec]) -> Self {
        self.imports = imports.iter().map(|import| import.local().to_owned()).collect();
        self
    }

    /// Returns the expectation of `token`, the text from which `claims` were decoded. Only tokens by a key of `anchor`
    /// can be newer.
    pub fn new(token: &str, claims: &AccountClaims, anchor: TrustAnchor) -> Self {
        Self {
            token: spelled_as_signed(token.trim()).into_owned(),
            issued_at: claims.issued_at(),
            issuer: claims.issuer().to_string(),
            mappings: claims.mappings().iter().map(|m| (m.source.clone(), applied(m))).collect(),
            imports: BTreeSet::new(),
            anchor,
        }
    }

    /// Checks whether `token` is the expected one. Another spelling of its signature does not matter.
    fn is(&self, token: &str) -> bool {
        spelled_as_signed(token.trim()) == self.token
    }
}

/// State of an account on one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum TokenState {
    /// Stored and in force, with the live mappings of the token.
    Confirmed,
    /// Stored, and signed by a key that the server trusts. The account is not loaded there, and will load on first use.
    StoredNotLoaded,
    /// The server's resolver is a `cache` without a copy of the account. It gets the token from a `full` resolver on
    /// first use.
    FetchedOnUse,
    /// The server's resolver is a `cache` with an unused copy of the account, which may be old. A push does not update
    /// that copy, and the server loads it on next use.
    CachedUnclear,
    /// Like `Confirmed`, but imports of the account do not work (`ACCOUNTZ` `complete: false`). The exporting account
    /// or its export is missing, or an activation token is not valid.
    ImportsIncomplete {
        /// Local subjects of the imports that the server calls invalid; empty if it names none.
        imports: Vec<String>,
    },
    /// In force, but imports that the virtual streams need do not work. The exporting account or its export is missing
    /// there, or an activation token is not valid.
    ImportsInvalid {
        /// Local subjects of these imports.
        imports: Vec<String>,
    },
    /// In force, but the live mappings differ from those of the token.
    MappingsDiffer {
        /// Sources that only the token has.
        missing: Vec<String>,
        /// Sources that only the server has.
        unexpected: Vec<String>,
        /// Sources with other destinations, weights or clusters.
        changed: Vec<String>,
    },
    /// Stored, but another token is still in force.
    NotInForce {
        /// `iat` of the token in force, in seconds since 1970.
        live_issued_at: u64,
    },
    /// The preload has the token, but the server, whose resolver is `memory`, has not reloaded it: another token is in
    /// force.
    NotReloaded {
        /// `iat` of the token in force, in seconds since 1970.
        live_issued_at: u64,
    },
    /// The preload has the token, and the server, whose resolver is `memory`, has not loaded the account. The server
    /// shows which preload it has only once it loads the account.
    PreloadUnread,
    /// Stored, but the server does not trust the key that signed it. The server does not apply the token, and cannot
    /// load the account after its next restart.
    Untrusted {
        /// The key that signed the token.
        issuer: String,
    },
    /// The account has expired.
    Expired,
    /// Another token is stored.
    OtherToken {
        /// The token's age by its date.
        age: Age,
        /// `iat` of the stored token, in seconds since 1970.
        issued_at: u64,
        /// The key that signed the token; empty if it cannot be read.
        issuer: String,
    },
    /// The server's resolver has no token of the account.
    NothingStored,
    /// Servers hold different tokens, and it is unknown which of them this server holds.
    StoredUnclear,
    /// The server did not answer.
    NoAnswer,
    /// The server answered with an error.
    Failed {
        /// The server's text.
        text: String,
    },
}

/// Age of another token, compared with the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Age {
    /// Issued before the expected token, or in the same second.
    Older,
    /// Issued after the expected token, by a trusted key.
    Newer,
    /// Dated after the expected token, but signed by a key that the anchor does not trust. Even if a server trusts such
    /// a key, its dates prove nothing.
    Unproven,
}

impl std::fmt::Display for TokenState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Confirmed => f.write_str("in force"),
            Self::StoredNotLoaded => f.write_str("stored; loads on first use"),
            Self::FetchedOnUse => f.write_str("gets the token from another server on first use (`cache` resolver)"),
            Self::CachedUnclear => f.write_str(
                "its `cache` resolver has a copy of the account that is not in use and may be an old one; where a URL of the \
                 definition leads to it, `apply` has it loaded, and pushes the token",
            ),
            Self::ImportsIncomplete { imports } => {
                write!(f, "in force, but imports do not resolve: {}", imports.join(", "))
            }
            Self::ImportsInvalid { imports } => {
                write!(f, "the token is in force, imports of it do not work: {}", imports.join(", "))
            }
            Self::MappingsDiffer { missing, unexpected, changed } => {
                f.write_str("the token is in force, its mappings are not:")?;
                for (what, sources) in [("missing", missing), ("unexpected", unexpected), ("different", changed)] {
                    if !sources.is_empty() {
                        write!(f, " {what} {}", sources.join(", "))?;
                    }
                }
                Ok(())
            }
            Self::NotInForce { live_issued_at: 0 } => f.write_str("stored, but not in force"),
            Self::NotInForce { live_issued_at } => {
                write!(f, "stored, but the token of {} is in force", format_time(*live_issued_at))
            }
            Self::NotReloaded { live_issued_at } => write!(
                f,
                "has not reloaded the preload: the token of {} is in force",
                format_time(*live_issued_at)
            ),
            Self::PreloadUnread => f.write_str(
                "has not loaded the account, so which preload it has is not known; where a URL of the definition leads to it, \
                 `apply` has it loaded",
            ),
            Self::Untrusted { issuer } => write!(f, "stored, but signed by {issuer}, which this server does not trust"),
            Self::Expired => f.write_str("the token has expired"),
            Self::OtherToken { issuer, .. } if issuer.is_empty() => {
                f.write_str("has something else than a token that can be read")
            }
            Self::OtherToken { age, issued_at, issuer } => {
                let age = match age {
                    Age::Older => "an older",
                    Age::Newer => "a newer",
                    Age::Unproven => "another",
                };
                write!(f, "has {age} token, issued {} by {issuer}", format_time(*issued_at))
            }
            Self::NothingStored => f.write_str("has no token of the account"),
            Self::StoredUnclear => {
                f.write_str("servers hold different tokens, and it is not certain which one this server has")
            }
            Self::NoAnswer => f.write_str("does not answer"),
            Self::Failed { text } => write!(f, "answers with an error: {text}"),
        }
    }
}

impl TokenState {
    /// Returns `true` if the token took effect, or will once the account is used there.
    pub fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed | Self::StoredNotLoaded | Self::FetchedOnUse | Self::ImportsIncomplete { .. })
    }

    /// Returns `true` if the preload has the token, and the server must still reload the preload, or show that it has.
    pub fn waits_for_reload(&self) -> bool {
        matches!(self, Self::NotReloaded { .. } | Self::PreloadUnread)
    }

    /// Returns `true` if no problem is known, but the server did not answer everything.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::NoAnswer | Self::StoredUnclear | Self::CachedUnclear | Self::PreloadUnread)
    }
}

/// Judges the state of an account on `server`.
pub fn judge(server: &Server, on_server: &AccountOnServer, expected: &Expected) -> TokenState {
    let AccountOnServer { server: _, cluster: _, stored, live } = on_server;
    match stored {
        Stored::Token(token) | Stored::Outside { token: Some(token), .. } if !expected.is(token) => {
            return other(server, token, expected);
        }
        Stored::Nothing | Stored::Outside { token: None, .. } => return TokenState::NothingStored,
        Stored::Unclear(_) => return TokenState::StoredUnclear,
        Stored::Token(_) | Stored::Outside { .. } | Stored::NotKept { .. } | Stored::NoAnswer => {}
    }
    let trusted = server.trusted_keys.contains(&expected.issuer);
    let by_reload = matches!(stored, Stored::Outside { by_reload: true, .. });
    match live {
        Live::Loaded(detail) if expected.is(&detail.jwt) => judge_live(detail, expected),
        Live::Loaded(_) if !trusted => TokenState::Untrusted { issuer: expected.issuer.clone() },
        Live::Loaded(detail) if matches!(stored, Stored::NoAnswer | Stored::NotKept { .. }) => {
            other(server, &detail.jwt, expected)
        }
        Live::Loaded(detail) if by_reload => TokenState::NotReloaded { live_issued_at: issued_at(&detail.jwt) },
        Live::Loaded(detail) => TokenState::NotInForce { live_issued_at: issued_at(&detail.jwt) },
        Live::NotLoaded if *stored == Stored::NoAnswer => TokenState::NoAnswer,
        Live::NotLoaded if *stored == (Stored::NotKept { cached: true }) => TokenState::CachedUnclear,
        Live::NotLoaded if trusted && by_reload => TokenState::PreloadUnread,
        Live::NotLoaded if trusted && *stored == (Stored::NotKept { cached: false }) => TokenState::FetchedOnUse,
        Live::NotLoaded if trusted => TokenState::StoredNotLoaded,
        Live::NotLoaded => TokenState::Untrusted { issuer: expected.issuer.clone() },
        Live::NoAnswer => TokenState::NoAnswer,
        Live::Failed(text) => TokenState::Failed { text: text.clone() },
    }
}

fn judge_live(detail: &Detail, expected: &Expected) -> TokenState {
    if detail.expired {
        return TokenState::Expired;
    }
    let live = live_mappings(detail);
    let named = |source: &String| source.clone();
    let missing: Vec<_> = expected.mappings.keys().filter(|source| !live.contains_key(*source)).map(named).collect();
    let unexpected: Vec<_> = live
        .iter()
        .filter(|(source, to)| !expected.mappings.contains_key(*source) && !is_of_a_domain(source, to))
        .map(|(source, _)| source.clone())
        .collect();
    let changed: Vec<_> = expected
        .mappings
        .iter()
        .filter(|(source, to)| live.get(*source).is_some_and(|live| live != *to))
        .map(|(source, _)| source.clone())
        .collect();
    if !(missing.is_empty() && unexpected.is_empty() && changed.is_empty()) {
        return TokenState::MappingsDiffer { missing, unexpected, changed };
    }
    let invalid = detail.imports.iter().filter(|import| import.invalid);
    let invalid: Vec<String> = invalid.map(|import| import.local().to_owned()).collect();
    if invalid.iter().any(|local| expected.imports.contains(local)) {
        return TokenState::ImportsInvalid { imports: invalid };
    }
    if detail.complete == Some(false) || !invalid.is_empty() {
        return TokenState::ImportsIncomplete { imports: invalid };
    }
    TokenState::Confirmed
}

/// Judges a token other than the expected one. A token is neither newer nor older if the server does not trust it, or
/// if only servers' answers call its key trusted. Its date then proves nothing.
fn other(server: &Server, token: &str, expected: &Expected) -> TokenState {
    let token = Token::decode(token.trim()).ok();
    let issuer = token.as_ref().map(|token| token.issuer().to_string()).unwrap_or_default();
    if !issuer.is_empty() && !server.trusted_keys.contains(&issuer) {
        return TokenState::Untrusted { issuer };
    }
    let issued_at = token.as_ref().map_or(0, date);
    let age = match token.is_some_and(|token| expected.anchor.trusts(token.issuer())) {
        _ if issued_at <= expected.issued_at => Age::Older,
        true => Age::Newer,
        false => Age::Unproven,
    };
    TokenState::OtherToken { age, issued_at, issuer }
}

fn issued_at(token: &str) -> u64 {
    Token::decode(token).as_ref().map_or(0, date)
}

fn date(token: &Token) -> u64 {
    token.claims()["iat"].as_u64().unwrap_or(0)
}

/// A destination with its own weight, not the cumulative one that servers report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LiveDestination {
    cluster: String,
    subject: String,
    weight: u64,
}

/// Returns a mapping as a server applies it. In each cluster, the remaining weight goes to the source itself, unless
/// the source is one of the destinations (nats-server 2.10 – 2.15 `accounts.go`, `AddWeightedMappings`).
fn applied(mapping: &RawMapping) -> BTreeSet<LiveDestination> {
    let mut shares: BTreeMap<String, u64> = BTreeMap::from([(String::new(), 0)]);
    let mut applied: BTreeSet<LiveDestination> = BTreeSet::new();
    for destination in &mapping.destinations {
        let cluster = destination.cluster.clone().unwrap_or_default();
        let weight = u64::from(destination.weight);
        *shares.entry(cluster.clone()).or_default() += weight;
        applied.insert(LiveDestination { cluster, subject: destination.subject.clone(), weight });
    }
    if !mapping.destinations.iter().any(|destination| destination.subject == mapping.source) {
        let itself = identity(&mapping.source);
        applied.extend(shares.into_iter().filter(|(_, share)| *share < 100).map(|(cluster, share)| LiveDestination {
            cluster,
            subject: itself.clone(),
            weight: 100 - share,
        }));
    }
    applied
}

/// Returns a source as a destination: `bar.$1` for `bar.*`.
fn identity(source: &str) -> String {
    let mut wildcards = 0;
    let tokens = source.split('.').map(|token| {
        if token == "*" {
            wildcards += 1;
            format!("${wildcards}")
        } else {
            token.to_owned()
        }
    });
    tokens.collect::<Vec<_>>().join(".")
}

/// Reads the live mappings. `ACCOUNTZ` lists destinations per cluster with the sum of the weights up to each.
fn live_mappings(detail: &Detail) -> BTreeMap<String, BTreeSet<LiveDestination>> {
    detail
        .mappings
        .iter()
        .map(|(source, destinations)| {
            let mut by_cluster: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
            for to in destinations {
                by_cluster.entry(&to.cluster).or_default().push((to.weight, &to.subject));
            }
            let mut shares = BTreeSet::new();
            for (cluster, mut entries) in by_cluster {
                entries.sort_by_key(|(sum, _)| *sum);
                let mut before = 0;
                for (sum, subject) in entries {
                    let weight = sum - before;
                    before = sum;
                    shares.insert(LiveDestination { cluster: cluster.to_owned(), subject: subject.to_owned(), weight });
                }
            }
            (source.clone(), shares)
        })
        .collect()
}

/// Checks for `$JS.<domain>.API.…`, a mapping that servers with a JetStream domain add (`jetstream_api.go`,
/// `generateJSMappingTable`).
fn is_of_a_domain(source: &str, to: &BTreeSet<LiveDestination>) -> bool {
    let mut tokens = source.split('.');
    let domain_api = tokens.next() == Some("$JS") && tokens.nth(1) == Some("API");
    domain_api && to.iter().all(|to| ["$JS.API.", "$KV.", "$OBJ."].iter().any(|prefix| to.subject.starts_with(prefix)))
}

#[cfg(test)]
mod tests;
