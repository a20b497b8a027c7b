//! Chooses the token from which an account's claims are edited, and reports copies that differ from it.

use super::clocks::CLOCK_SKEW;
use super::expiry;
use super::trust::named_by_all;
use crate::model::claims::{
    AccountClaims, ClaimsError, LastPush, TrustAnchor, TrustedClaims, Untrusted, spelled_as_signed,
};
use crate::model::finding::{Finding, Severity};
use crate::model::nkey::PublicKey;
use crate::model::units::format_time;
use crate::observed::survey::Observed;
use crate::observed::{AccountOnServer, Deployment, Live, Stored};
use crate::plan::allowable::KEPT_DIFFERS;
use crate::plan::claims_diff;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The finding about an account whose token has expired.
pub const ACCOUNT_EXPIRED: &str = "account-expired";

/// The finding about a token that an untrusted key signed.
pub const TOKEN_UNTRUSTED: &str = "token-untrusted";

/// The finding about a token that cannot be read.
pub const TOKEN_UNREADABLE: &str = "token-unreadable";

/// The finding about an old token that was pushed over a newer one.
pub const TOKEN_PUSHED_AGAIN: &str = "token-pushed-again";

/// The finding about servers that have not reloaded the preload.
pub const PRELOAD_NOT_RELOADED: &str = "preload-not-reloaded";

/// The finding about servers that do not show which preload they have.
pub const PRELOAD_UNREAD: &str = "preload-unread";

/// The token from which an account's new token is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    /// The newest token that a trusted key signed and that servers trust too, in its signer's spelling.
    pub token: String,
    /// The token's claims.
    pub claims: TrustedClaims,
    /// The greatest `iat` of any token by a trusted key; the next token must have a later one. Untrusted tokens do not
    /// count.
    pub newest_iat: u64,
}

/// The account whose tokens are checked.
#[derive(Debug, Clone, Copy)]
pub struct AccountRef<'a> {
    /// The account's name in the definition.
    pub name: &'a str,
    /// The account's public key.
    pub id: &'a PublicKey,
}

/// A token by a key that is not trusted.
struct UntrustedToken {
    claims: AccountClaims,
    holders: String,
    /// `true` if a server reports that it trusts the key.
    servers_trust: bool,
}

/// Finds the token to start from, and reports problems with the account's copies. `now` is in seconds since 1970.
///
/// Returns the newest trusted token, stored or in force. Without one, the account does not exist, which is an error.
pub fn base(
    account: AccountRef<'_>,
    anchor: &TrustAnchor,
    deployment: &Deployment,
    on_servers: &[AccountOnServer],
    now: u64,
) -> (Option<Base>, Vec<Finding>) {
    let place = format!("account {}", account.name);
    let mut findings = Vec::new();
    let mut holders: BTreeMap<Cow<'_, str>, Vec<&str>> = BTreeMap::new();
    for on_server in on_servers {
        for token in tokens(on_server) {
            holders.entry(spelled_as_signed(token.trim())).or_default().push(&on_server.server);
        }
    }
    let mut best: Option<((u64, usize), String, TrustedClaims)> = None;
    let mut newest_iat = 0;
    let mut strangers: Vec<UntrustedToken> = Vec::new();
    let mut unreadable: Vec<String> = Vec::new();
    for (token, servers) in &holders {
        let servers: BTreeSet<&str> = servers.iter().copied().collect();
        let copies = servers.len();
        let servers = servers.into_iter().collect::<Vec<_>>().join(", ");
        let claims = match verified(token, account.id, anchor) {
            Ok(claims) => claims,
            Err(Untrusted::Unreadable(error)) => {
                unreadable.push(format!("the token on {servers} is ignored: {error}"));
                continue;
            }
            Err(Untrusted::Stranger(claims)) => {
                let servers_trust = does_some_server_trust(deployment, claims.issuer());
                strangers.push(UntrustedToken { claims: *claims, holders: servers, servers_trust });
                continue;
            }
        };
        newest_iat = newest_iat.max(claims.issued_at());
        if !does_some_server_trust(deployment, claims.issuer()) {
            strangers.push(UntrustedToken { claims: (*claims).clone(), holders: servers, servers_trust: false });
            continue;
        }
        // If two tokens were issued in the same second, more servers have the one that was pushed last.
        let rank = (claims.issued_at(), copies);
        if best.as_ref().is_none_or(|(best, ..)| *best < rank) {
            best = Some((rank, token.clone().into_owned(), claims));
        }
    }
    let newest = best.as_ref().map(|(_, _, claims)| claims.issued_at());
    let next = what_to_do_about_others(newest);
    findings.extend(unreadable.into_iter().map(|message| Finding::warning(TOKEN_UNREADABLE, &place, message, next)));
    findings.extend(strangers.iter().map(|stranger| stranger.finding(&place, newest, anchor, deployment)));
    let Some((_, token, claims)) = best else {
        if !strangers.iter().any(|stranger| stranger.servers_trust) {
            findings.push(nowhere(&place, on_servers, &strangers));
        }
        return (None, findings);
    };
    findings.extend(stored_differently(&place, on_servers, &token, anchor));
    findings.extend(not_reloaded(&place, on_servers, &token));
    findings.extend(kept_differs(&place, on_servers, (&token, &claims), anchor));
    if is_kept_nowhere(on_servers) {
        findings.push(unreadable_stores(Severity::Warning, &place));
    }
    findings.extend(in_future(&place, newest_iat, now));
    findings.extend(expiry::account(&place, &claims, now));
    if let Some(at) = claims.expires().filter(|at| *at <= now) {
        let message = format!("its token expired {} s ago; servers refuse its users", now - at);
        findings.push(Finding::error(ACCOUNT_EXPIRED, &place, message, "Issue the account anew, then run again."));
    }
    (Some(Base { token, claims, newest_iat }), findings)
}

/// Returns the [`base`] of the observed account. Also reports an old token that was pushed again while no run was
/// active, as far as records of pushes show it.
pub fn observed_base(
    account: AccountRef<'_>,
    observed: &Observed,
    on_servers: &[AccountOnServer],
    now: u64,
) -> (Option<Base>, Vec<Finding>) {
    let (found, mut findings) = base(account, &observed.anchor, &observed.deployment, on_servers, now);
    let of_account = observed.pushed.iter().filter(|last| last.id == *account.id);
    let last = of_account.filter(|last| observed.anchor.trusts(&last.issuer)).max_by_key(|last| last.issued_at);
    findings.extend(found.as_ref().zip(last).and_then(|(base, last)| pushed_again(account, base, last)));
    (found, findings)
}

fn pushed_again(account: AccountRef<'_>, base: &Base, last: &LastPush) -> Option<Finding> {
    (base.newest_iat < last.issued_at).then(|| {
        let message = format!(
            "the newest token that servers have was issued {}; the one that was pushed from here was issued {} (record {}): \
             an old token was pushed again over it, and what was changed or revoked in between is undone",
            format_time(base.newest_iat),
            format_time(last.issued_at),
            last.record
        );
        let next = "Find out who pushed it. `apply` puts back what the definition says; changes and revocations of \
                    other tools since then must be made again.";
        Finding::warning(TOKEN_PUSHED_AGAIN, format!("account {}", account.name), message, next)
    })
}

/// Returns the token's claims, if the token belongs to the account and a trusted key signed it.
fn verified(token: &str, id: &PublicKey, anchor: &TrustAnchor) -> Result<TrustedClaims, Untrusted> {
    let claims = TrustedClaims::verify(token, anchor);
    let about = match &claims {
        Ok(claims) => claims.id(),
        Err(Untrusted::Stranger(claims)) => claims.id(),
        Err(Untrusted::Unreadable(_)) => return claims,
    };
    match about == id {
        true => claims,
        false => {
            Err(ClaimsError::Field { path: "sub".to_owned(), reason: format!("is {about}, another account") }.into())
        }
    }
}

/// Returns `true` if any server reports that it trusts the key.
pub fn does_some_server_trust(deployment: &Deployment, issuer: &PublicKey) -> bool {
    let issuer = issuer.to_string();
    deployment.servers.iter().any(|server| server.trusted_keys.contains(&issuer))
}

/// Returns the next step for a token that has no effect. `newest` is the issue time of the newest trusted token.
fn what_to_do_about_others(newest: Option<u64>) -> &'static str {
    match newest {
        Some(_) => "`apply` restores the newest trusted token; find out who pushed this one.",
        None => "Find out who pushed it.",
    }
}

impl UntrustedToken {
    /// Returns the finding. `newest` is the issue time of the newest trusted token.
    fn finding(&self, place: &str, newest: Option<u64>, anchor: &TrustAnchor, deployment: &Deployment) -> Finding {
        let Self { claims, holders, servers_trust } = self;
        let issuer = claims.issuer();
        if !servers_trust {
            let message = format!(
                "a token signed by {issuer}, which no server trusts, is stored on {holders}: it is not applied, and the \
                 account would not load after a restart"
            );
            return Finding::warning(TOKEN_UNTRUSTED, place, message, what_to_do_about_others(newest));
        }
        let next = anchor.how_to_trust(named_by_all(deployment).as_ref());
        if newest.is_some_and(|newest| newest > claims.issued_at()) {
            let message = format!(
                "an older token, issued {}, on {holders} is signed by {issuer}, which servers say they trust, but which {}",
                format_time(claims.issued_at()),
                anchor.why_not()
            );
            return Finding::warning(TOKEN_UNTRUSTED, place, message, next);
        }
        let message = format!(
            "its token on {holders} is signed by {issuer}, which servers say they trust, but which {}: nothing of it is \
             signed again",
            anchor.why_not()
        );
        Finding::error(TOKEN_UNTRUSTED, place, message, next)
    }
}

/// Seconds by which a token's date may be in the future: tokens that are pushed within one second get dates a second
/// apart.
const AHEAD: u64 = 5;

/// Reports a stored token with a date in the future: new tokens must get a later date.
fn in_future(place: &str, newest_iat: u64, now: u64) -> Option<Finding> {
    let ahead = newest_iat.checked_sub(now).filter(|ahead| *ahead > AHEAD)?;
    let message = format!(
        "a token issued {ahead} s in the future is stored (iat {newest_iat}); what is signed now is dated one second after it"
    );
    let next = "Check the clocks of the machines that sign tokens.";
    Some(match ahead > CLOCK_SKEW {
        false => Finding::warning("issued-in-future", place, message, next),
        true => Finding::error(
            "issued-in-future",
            place,
            format!(
                "{message}: so would every token be until then, and a push by any other tool would be undone by the \
                 servers' own synchronization"
            ),
            format!("{next} To go on from that date: `--allow issued-in-future`."),
        ),
    })
}

/// Returns every token that a server has, stored or in force.
pub(in crate::plan) fn tokens(on_server: &AccountOnServer) -> Vec<&str> {
    let AccountOnServer { server: _, cluster: _, stored, live } = on_server;
    let stored: Vec<&str> = match stored {
        Stored::Token(token) | Stored::Outside { token: Some(token), .. } => vec![token],
        Stored::Unclear(candidates) => candidates.iter().flatten().map(String::as_str).collect(),
        Stored::Nothing | Stored::Outside { token: None, .. } | Stored::NotKept { .. } | Stored::NoAnswer => Vec::new(),
    };
    let live = match live {
        Live::Loaded(detail) => Some(detail.jwt.as_str()),
        Live::NotLoaded | Live::NoAnswer | Live::Failed(_) => None,
    };
    stored.into_iter().chain(live).collect()
}

fn nowhere(place: &str, on_servers: &[AccountOnServer], strangers: &[UntrustedToken]) -> Finding {
    if !strangers.is_empty() {
        let issuers: BTreeSet<String> = strangers.iter().map(|stranger| stranger.claims.issuer().to_string()).collect();
        let issuers = issuers.into_iter().collect::<Vec<_>>().join(", ");
        return Finding::error(
            "account-of-another-operator",
            place,
            format!("servers store it, signed by {issuers}, which none of them trusts: an account of another operator"),
            "Check `id` of the account; or have its token signed by this operator, and pushed.",
        );
    }
    if !on_servers.is_empty() && on_servers.iter().all(|on| on.stored == Stored::NoAnswer) {
        return unreadable_stores(Severity::Error, place);
    }
    let next = "Check `id` of the account; push the account once with `nsc push` if it is new.";
    Finding::error("account-unknown", place, "no server has a token of it that servers trust", next)
}

/// Returns `true` if servers answer, but no resolver on them does.
fn is_kept_nowhere(on_servers: &[AccountOnServer]) -> bool {
    on_servers.iter().all(|on| on.stored == Stored::NoAnswer) && on_servers.iter().any(|on| on.live != Live::NoAnswer)
}

fn unreadable_stores(severity: Severity, place: &str) -> Finding {
    let message = "no server's resolver answers for it, so what servers would load after a restart is not known; only the \
                   `full` and `cache` resolvers answer";
    let next = "If the servers' configuration has `resolver: MEMORY` or `resolver: URL(…)`, write `resolver: { type: memory, \
                preload: FILE }` or `resolver: { type: url, url: … }` into the definition.";
    Finding { severity, ..Finding::error("account-unreadable", place, message, next) }
}

/// Warns of servers that use another token than the preload has, or do not show which token they would use.
fn not_reloaded(place: &str, on_servers: &[AccountOnServer], base: &str) -> Vec<Finding> {
    let is_base = |token: &str| spelled_as_signed(token.trim()) == base;
    let (mut older, mut unread) = (Vec::new(), Vec::new());
    for on in on_servers {
        match (&on.stored, &on.live) {
            (Stored::Outside { token: Some(token), by_reload: true }, _) if !is_base(token) => {}
            (Stored::Outside { token: Some(_), by_reload: true }, Live::Loaded(detail)) if !is_base(&detail.jwt) => {
                older.push(on.server.as_str());
            }
            (Stored::Outside { token: Some(_), by_reload: true }, Live::NotLoaded) => unread.push(on.server.as_str()),
            _ => {}
        }
    }
    let finding = |code, names: &[&str], what: &str, next: &str| {
        (!names.is_empty()).then(|| Finding::warning(code, place, format!("{what}: {}", names.join(", ")), next))
    };
    let next = "Copy the file with the preload to each of them, and reload it (`nats-server --signal reload`).";
    let older =
        finding(PRELOAD_NOT_RELOADED, &older, "servers that have not reloaded the preload use an older token", next);
    let next = "Run apply: it has servers load the account where a URL of the definition leads to them.";
    let what = "servers have not loaded the account, so which preload they have is not known";
    older.into_iter().chain(finding(PRELOAD_UNREAD, &unread, what, next)).collect()
}

/// Reports an older token on the account server or in the preload, if it has entries that the token in force lacks: one
/// of two edits would be lost. Also reports a missing token: the account server or preload may belong to another
/// deployment.
fn kept_differs(
    place: &str,
    on_servers: &[AccountOnServer],
    base: (&str, &AccountClaims),
    anchor: &TrustAnchor,
) -> Option<Finding> {
    let kept = on_servers.iter().find_map(|on| match &on.stored {
        Stored::Outside { token, by_reload } => Some((token.as_deref(), *by_reload)),
        _ => None,
    });
    let (token, by_reload) = kept?;
    let (keeper, key) =
        if by_reload { ("the file with the preload", "preload") } else { ("the account server", "url") };
    let next = format!(
        "Check `{key}` under `resolver:`. If it is the right one, put the token that servers have in force there; or go on \
         from that with --allow {KEPT_DIFFERS}."
    );
    let Some(token) = token else {
        let message = format!("{keeper} has no token of it, though servers have it in force");
        return Some(Finding::error(KEPT_DIFFERS, place, message, next));
    };
    let older = TrustedClaims::verify(token.trim(), anchor).ok()?;
    if spelled_as_signed(token.trim()) == base.0 || older.issued_at() > base.1.issued_at() {
        return None;
    }
    let mut lost = claims_diff(Some(older.value()), base.1.value());
    lost.retain(|line| !line.starts_with('+'));
    (!lost.is_empty()).then(|| Finding {
        lines: lost,
        ..Finding::error(
            KEPT_DIFFERS,
            place,
            format!(
                "{keeper} has an older token, issued {}, and the one that servers have in force removes or changes some of it: unless \
                 that was made from the older one, one of two edits would be lost",
                format_time(older.issued_at())
            ),
            next,
        )
    })
}

fn stored_differently(
    place: &str,
    on_servers: &[AccountOnServer],
    base: &str,
    anchor: &TrustAnchor,
) -> Option<Finding> {
    let first = on_servers.first()?;
    let is_base = |token: &str| spelled_as_signed(token.trim()) == base;
    if matches!(&first.stored, Stored::Token(token) if !is_base(token))
        && on_servers.iter().all(|other| other.stored == first.stored)
    {
        // All servers store the same token, which is not the base. It was already reported as untrusted or unreadable.
        return None;
    }
    // Servers keep the token that was pushed last, whatever its date. So pushing an old token again undoes every later
    // edit.
    let another = |token: &str| match TrustedClaims::verify(token.trim(), anchor) {
        _ if is_base(token) => "its signature in another spelling".to_owned(),
        Ok(claims) => format!("an older token, issued {}", format_time(claims.issued_at())),
        Err(_) => "another token".to_owned(),
    };
    let mut others: Vec<String> = Vec::new();
    for AccountOnServer { server, cluster: _, stored, live: _ } in on_servers {
        match stored {
            Stored::Token(token) if token.trim() != base => others.push(format!("{server} ({})", another(token))),
            Stored::Nothing => others.push(format!("{server} (none)")),
            Stored::Unclear(_) => others.push(format!("{server} (not certain)")),
            Stored::Token(_) | Stored::Outside { .. } | Stored::NotKept { .. } | Stored::NoAnswer => {}
        }
    }
    (!others.is_empty()).then(|| {
        let message = format!("servers do not all store its newest token: {}", others.join(", "));
        Finding::warning("stored-differently", place, message, "`apply` pushes one token to all of them.")
    })
}
