//! The token that an account's claims are edited from, and what is odd about its copies.

use super::{CLOCK_SKEW, expiry};
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::observed::{AccountOnServer, Deployment, Live, Stored};
use std::collections::{BTreeMap, BTreeSet};

/// The account's token has expired.
pub const ACCOUNT_EXPIRED: &str = "account-expired";

/// What an account's token is to be made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    /// The newest token that the servers trust.
    pub token: String,
    /// Its claims.
    pub claims: AccountClaims,
    /// The greatest `iat` on any server, of tokens that are not trusted too; what is signed next has to be above.
    pub newest_iat: u64,
}

/// Finds the token to start from, and says what is odd about the account's copies. `now` in seconds since 1970.
///
/// The newest trusted token counts, stored or in force. Without any, the account is not there: an error.
pub fn base(
    account: &str,
    deployment: &Deployment,
    on_servers: &[AccountOnServer],
    now: u64,
) -> (Option<Base>, Vec<Finding>) {
    let place = format!("account {account}");
    let mut findings = Vec::new();
    let mut holders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for on_server in on_servers {
        for token in tokens(on_server) {
            holders.entry(token.trim()).or_default().push(&on_server.server);
        }
    }
    let mut best: Option<((u64, usize), String, AccountClaims)> = None;
    let mut newest_iat = 0;
    let mut strangers: BTreeSet<String> = BTreeSet::new();
    for (token, servers) in &holders {
        let copies = servers.len();
        let servers = servers.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
        let claims = match AccountClaims::decode(token) {
            Ok(claims) => claims,
            Err(error) => {
                let message = format!("the token on {servers} is ignored: {error}");
                findings.push(Finding::warning("token-unreadable", &place, message, "Push the account's token again."));
                continue;
            }
        };
        newest_iat = newest_iat.max(claims.issued_at());
        let issuer = claims.issuer().to_string();
        if !deployment.servers.iter().any(|server| server.trusted_keys.contains(&issuer)) {
            let message = format!(
                "a token signed by {issuer}, which no server trusts, is stored on {servers}: \
                 it is not applied, and the account would not load after a restart"
            );
            let next = "The next push replaces it; find out who pushed it.";
            findings.push(Finding::warning("token-untrusted", &place, message, next));
            strangers.insert(issuer);
            continue;
        }
        // Of two that were issued in one second, the one that more servers have is the one that was pushed last.
        let rank = (claims.issued_at(), copies);
        if best.as_ref().is_none_or(|(best, ..)| *best < rank) {
            best = Some((rank, (*token).to_owned(), claims));
        }
    }
    let Some((_, token, claims)) = best else {
        findings.push(nowhere(&place, on_servers, strangers));
        return (None, findings);
    };
    findings.extend(stored_differently(&place, on_servers, &token));
    findings.extend(in_future(&place, newest_iat, now));
    findings.extend(expiry::account(&place, &claims, now));
    if let Some(at) = claims.expires().filter(|at| *at <= now) {
        let message = format!("its token expired {} s ago; servers refuse its users", now - at);
        findings.push(Finding::error(ACCOUNT_EXPIRED, &place, message, "Issue the account anew, then run again."));
    }
    (Some(Base { token, claims, newest_iat }), findings)
}

/// Tokens that are pushed within one second are dated a second later each, so some seconds are nothing.
const AHEAD: u64 = 5;

/// A stored token that is dated in the future: what is signed now is dated after it.
fn in_future(place: &str, newest_iat: u64, now: u64) -> Option<Finding> {
    let ahead = newest_iat.checked_sub(now).filter(|ahead| *ahead > AHEAD)?;
    let message = format!(
        "a token issued {ahead} s in the future is stored (iat {newest_iat}); what is signed now is dated one second after it"
    );
    let next = "Check the clocks of who signs tokens.";
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

/// Every token that a server has, stored or in force.
pub(in crate::plan) fn tokens(on_server: &AccountOnServer) -> Vec<&str> {
    let AccountOnServer { server: _, cluster: _, stored, live } = on_server;
    let stored: Vec<&str> = match stored {
        Stored::Token(token) => vec![token],
        Stored::Unclear(candidates) => candidates.iter().flatten().map(String::as_str).collect(),
        Stored::Nothing | Stored::NoAnswer => Vec::new(),
    };
    let live = match live {
        Live::Loaded(detail) => Some(detail.jwt.as_str()),
        Live::NotLoaded | Live::NoAnswer | Live::Failed(_) => None,
    };
    stored.into_iter().chain(live).collect()
}

fn nowhere(place: &str, on_servers: &[AccountOnServer], strangers: BTreeSet<String>) -> Finding {
    if !strangers.is_empty() {
        let issuers = strangers.into_iter().collect::<Vec<_>>().join(", ");
        return Finding::error(
            "account-of-another-operator",
            place,
            format!("servers store it, signed by {issuers}, which none of them trusts: an account of another operator"),
            "Check `id` of the account; or have its token signed by this operator, and pushed.",
        );
    }
    if !on_servers.is_empty() && on_servers.iter().all(|on_server| on_server.stored == Stored::NoAnswer) {
        let message = "no server's resolver answers for it; only the `full` and `cache` resolvers do";
        return Finding::error("account-unreadable", place, message, "Check `resolver` of the servers' configuration.");
    }
    let next = "Check `id` of the account; push the account once with `nsc push` if it is new.";
    Finding::error("account-unknown", place, "no server has a token of it that servers trust", next)
}

fn stored_differently(place: &str, on_servers: &[AccountOnServer], base: &str) -> Option<Finding> {
    let first = on_servers.first()?;
    if matches!(first.stored, Stored::Token(_)) && on_servers.iter().all(|other| other.stored == first.stored) {
        // All the same and not the base: it was called untrusted or unreadable.
        return None;
    }
    let mut others: Vec<String> = Vec::new();
    for AccountOnServer { server, cluster: _, stored, live: _ } in on_servers {
        match stored {
            Stored::Token(token) if token.trim() != base => others.push(format!("{server} (another token)")),
            Stored::Nothing => others.push(format!("{server} (none)")),
            Stored::Unclear(_) => others.push(format!("{server} (not certain)")),
            Stored::Token(_) | Stored::NoAnswer => {}
        }
    }
    (!others.is_empty()).then(|| {
        let message = format!("servers do not all store its newest token: {}", others.join(", "));
        Finding::warning("stored-differently", place, message, "`apply` pushes one token to all of them.")
    })
}
