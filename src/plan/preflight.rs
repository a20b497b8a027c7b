//! What must hold before anything is signed or pushed: trust, sizes, clusters, and that the account is what we think.

use crate::model::claims::{AccountClaims, MAX_TOKEN_SIZE, OperatorClaims};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::topology::Topology;
use crate::observed::{AccountOnServer, Deployment, Live, RequestError, Server, Stored};
use std::collections::{BTreeMap, BTreeSet};

/// A token issued this much in the future, in seconds, is not explained by clocks that differ a little.
const CLOCK_SKEW: u64 = 60;

/// Codes of the findings that `--allow` may admit.
pub const ALLOWABLE: [&str; 3] = ["region-missing", "cluster-uncovered", REGIONAL_KEY_MISSING];

/// No key of a regional account is at hand; allowed, the operator gives it a new signing key.
pub const REGIONAL_KEY_MISSING: &str = "regional-key-missing";

/// The oldest server that cluster-scoped mappings and the streams' recipe were proved on.
const OLDEST: (u64, u64) = (2, 10);

/// Why the system account could not be asked, as a finding. `account` is the one that the credentials are of.
pub fn system_account_silent(account: &PublicKey, error: &RequestError) -> Finding {
    let place = "system account";
    match error {
        RequestError::NoResponders(_) => Finding::error(
            "system-account",
            place,
            format!("the system credentials are of account {account}, which is not the servers' system account"),
            "Name credentials of the system account under `system:`.",
        ),
        RequestError::Permission(subject) => Finding::error(
            "system-permissions",
            place,
            format!("the system user may not publish on {subject}"),
            "Allow the system user to publish on `$SYS.REQ.>` and to subscribe to its inbox.",
        ),
        RequestError::Timeout(_) | RequestError::Connection(_) => Finding::error(
            "system-silent",
            place,
            format!("no server answered: {error}"),
            "Check that servers are up, or give them more time with `--timeout`.",
        ),
    }
}

/// Checks of the deployment as a whole: its servers, clusters and system account.
pub fn deployment(topology: &Topology, deployment: &Deployment, account: &PublicKey) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(other_system_account(deployment, account));
    findings.extend(too_old(deployment));
    findings.extend(missing_servers(deployment));
    findings.extend(missing_regions(topology, deployment));
    findings.extend(uncovered_clusters(topology, deployment));
    findings.extend(domains(deployment));
    findings
}

/// Virtual streams are made in accounts of applications.
pub fn not_the_system_account(account: &str, id: &PublicKey, system: &PublicKey) -> Option<Finding> {
    (id == system).then(|| {
        Finding::error(
            "is-system-account",
            format!("account {account}"),
            format!("{id} is the servers' system account, which has no JetStream and is not for applications"),
            "Name the account of the applications under `id:`, with credentials of its own.",
        )
    })
}

fn other_system_account(deployment: &Deployment, account: &PublicKey) -> Option<Finding> {
    let account = account.to_string();
    let others: Vec<&Server> = deployment.servers.iter().filter(|server| server.system_account != account).collect();
    let first = others.first()?;
    Some(Finding::error(
        "system-account",
        names(&others),
        format!("the system account is {}, the system credentials are of account {account}", first.system_account),
        "Name credentials of the system account under `system:`.",
    ))
}

fn too_old(deployment: &Deployment) -> Option<Finding> {
    let version = |server: &Server| {
        let mut numbers = server.version.split('.').map(|part| part.parse::<u64>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    let old: Vec<&Server> =
        deployment.servers.iter().filter(|server| version(server).is_some_and(|version| version < OLDEST)).collect();
    let first = old.first()?;
    Some(Finding::error(
        "server-too-old",
        names(&old),
        format!("runs nats-server {}; virtual streams need 2.10 or newer on every server", first.version),
        "Update the servers.",
    ))
}

fn missing_servers(deployment: &Deployment) -> Option<Finding> {
    deployment.missing_text().map(|missing| {
        Finding::warning(
            "servers-missing",
            "deployment",
            format!("{missing}; nothing can be proved there"),
            "Start them, and run again. One that was removed for good, or came back, is counted as missing for up to 150 s.",
        )
    })
}

fn missing_regions(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    let live = deployment.clusters();
    let known: BTreeSet<&str> = known_clusters(topology);
    let missing = topology.regions.iter().filter(|region| !live.contains(&region.cluster.as_str()));
    missing
        .map(|region| {
            let unclaimed: Vec<&str> = live.iter().copied().filter(|cluster| !known.contains(cluster)).collect();
            let place = format!("region {}", region.name);
            let next = match nearest(region.cluster.as_str(), &unclaimed) {
                Some(cluster) => format!("Did you mean `cluster: {cluster}`?"),
                None => "Start its servers; or go on without the region: `--allow region-missing`.".to_owned(),
            };
            let message = format!(
                "no server of cluster {} answers; those that do are in {}",
                region.cluster,
                if live.is_empty() { "no cluster".to_owned() } else { live.join(", ") }
            );
            Finding::error("region-missing", place, message, next)
        })
        .collect()
}

fn uncovered_clusters(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    let known = known_clusters(topology);
    let uncovered = deployment.clusters().into_iter().filter(|cluster| !known.contains(cluster));
    uncovered
        .map(|cluster| {
            let message = "no region of the definition covers this cluster: what its clients publish on virtual subjects \
                           would be captured by no stream, and their requests by virtual names would fail";
            let next = format!("Add a region with `cluster: {cluster}`; or, if it has no such clients, `--allow cluster-uncovered`.");
            Finding::error("cluster-uncovered", format!("cluster {cluster}"), message, next)
        })
        .collect()
}

fn known_clusters(topology: &Topology) -> BTreeSet<&str> {
    let Topology { regions, stretch } = topology;
    let served = regions.iter().flat_map(|region| std::iter::once(&region.cluster).chain(&region.serves));
    served.chain(stretch).map(|cluster| cluster.as_str()).collect()
}

fn domains(deployment: &Deployment) -> Option<Finding> {
    let domains: BTreeSet<&str> = deployment.servers.iter().filter_map(|server| server.domain.as_deref()).collect();
    let domain = domains.first()?;
    Some(Finding::warning(
        "jetstream-domain",
        format!("JetStream domain {domain}"),
        format!("clients that ask with the prefix `$JS.{domain}.API` do not find virtual streams; those without it do"),
        "Let clients of virtual streams connect without a domain.",
    ))
}

/// Does every server trust the key that is about to sign?
pub fn signer(deployment: &Deployment, signer: &PublicKey) -> Option<Finding> {
    let key = signer.to_string();
    let distrust: Vec<&Server> =
        deployment.servers.iter().filter(|server| !server.trusted_keys.contains(&key)).collect();
    let first = distrust.first()?;
    let operators: Vec<OperatorClaims> = operators(first);
    let (message, next) = match operators.iter().find(|operator| operator.identity == *signer) {
        Some(operator) => (
            format!("{key} is the identity of operator {}, and strict signing key usage is on", operator.name),
            format!("Sign with one of its signing keys: {}.", list(&operator.signing_keys)),
        ),
        None => (
            format!(
                "{key} is not a key of the operator that these servers trust ({}): they would store the token, \
                 not apply it, and not load the account after their next restart",
                operators.iter().map(|operator| operator.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
            format!(
                "Sign with one of: {}. A new signing key has to be in every server's configuration first.",
                list(&operators.iter().flat_map(OperatorClaims::trusted_keys).collect::<Vec<_>>())
            ),
        ),
    };
    Some(Finding::error("signer-untrusted", names(&distrust), message, next))
}

fn operators(server: &Server) -> Vec<OperatorClaims> {
    let claims = server.varz["trusted_operators_claim"].as_array().into_iter().flatten();
    claims.filter_map(|claims| OperatorClaims::from_claims(claims).ok()).collect()
}

/// Will every server take a token of `size` bytes?
pub fn size(account: &str, size: usize, deployment: &Deployment) -> Option<Finding> {
    let place = format!("account {account}");
    let next = "Use fewer or shorter mappings: virtual streams with a common root of subjects, or several accounts.";
    if size > MAX_TOKEN_SIZE {
        let message = format!("its token would have {size} bytes; servers refuse tokens over {MAX_TOKEN_SIZE} bytes");
        return Some(Finding::error("token-too-large", place, message, next));
    }
    let small: Vec<&Server> = deployment.servers.iter().filter(|server| server.max_payload < size as u64).collect();
    let least = small.iter().map(|server| server.max_payload).min()?;
    let message = format!("its token would have {size} bytes; max_payload of {} is {least} bytes", names(&small));
    Some(Finding::error("token-too-large", place, message, format!("{next} Or raise max_payload.")))
}

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
            continue;
        }
        // Of two that were issued in one second, the one that more servers have is the one that was pushed last.
        let rank = (claims.issued_at(), copies);
        if best.as_ref().is_none_or(|(best, ..)| *best < rank) {
            best = Some((rank, (*token).to_owned(), claims));
        }
    }
    let Some((_, token, claims)) = best else {
        findings.push(nowhere(&place, on_servers));
        return (None, findings);
    };
    findings.extend(stored_differently(&place, on_servers, &token));
    if newest_iat > now + CLOCK_SKEW {
        let message = format!(
            "a token issued {} s in the future is stored; what is signed now is dated after it",
            newest_iat - now
        );
        findings.push(Finding::warning("issued-in-future", &place, message, "Check the clocks of who signs tokens."));
    }
    if let Some(at) = claims.expires().filter(|at| *at <= now) {
        let message = format!("its token expired {} s ago; servers refuse its users", now - at);
        findings.push(Finding::error("account-expired", &place, message, "Issue the account anew, then run again."));
    }
    (Some(Base { token, claims, newest_iat }), findings)
}

/// Every token that a server has, stored or in force.
pub(super) fn tokens(on_server: &AccountOnServer) -> Vec<&str> {
    let AccountOnServer { server: _, cluster: _, stored, live } = on_server;
    let stored: Vec<&str> = match stored {
        Stored::Token(token) => vec![token],
        Stored::Unclear(candidates) => candidates.iter().flatten().map(String::as_str).collect(),
        Stored::Nothing | Stored::NoAnswer => Vec::new(),
    };
    let live = match live {
        Live::Loaded(detail) => detail["jwt"].as_str(),
        Live::NotLoaded | Live::NoAnswer | Live::Failed(_) => None,
    };
    stored.into_iter().chain(live).collect()
}

fn nowhere(place: &str, on_servers: &[AccountOnServer]) -> Finding {
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

fn names(servers: &[&Server]) -> String {
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    let kind = if names.len() == 1 { "server" } else { "servers" };
    format!("{kind} {}", names.join(", "))
}

fn list(keys: &[PublicKey]) -> String {
    keys.iter().map(PublicKey::to_string).collect::<Vec<_>>().join(", ")
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let rated = known.iter().map(|known| (similar::TextDiff::from_chars(*known, name).ratio(), *known));
    rated.filter(|(ratio, _)| *ratio > 0.6).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
