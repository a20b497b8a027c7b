//! Attributes tokens to the servers that hold them.
//!
//! A reply to `$SYS.REQ.ACCOUNT.<id>.CLAIMS.LOOKUP` is the raw token or empty, and does not name the server that sent
//! it (nats-server 2.15 `server/accounts.go`, measured 2.10.26 and 2.15.1). `ACCOUNTZ` names the server and the token
//! in force there, and `CLAIMS.LIST` names the server and the accounts that it holds. Together they nearly always show
//! which server holds which token.

use crate::model::claims::Token;
use crate::observed::{AccountOnServer, Deployment, Live, Stored};
use std::collections::HashMap;

/// All answers of servers about one account.
#[derive(Debug)]
pub(super) struct Answers {
    /// Replies to `CLAIMS.LOOKUP`; `None` means that a server has no token.
    pub stored: Vec<Option<String>>,
    /// Replies to `ACCOUNTZ`, by server id.
    pub live: Vec<(String, Live)>,
}

impl Answers {
    /// Checks whether some servers hold a token, and others hold none or do not answer. A server with a damaged token
    /// folder leaves look-ups unanswered, and lists no accounts (measured, 2.15.1).
    pub(super) fn some_have_none(&self) -> bool {
        self.stored.iter().any(Option::is_some) && (self.stored.iter().any(Option::is_none) || self.some_are_silent())
    }

    /// Checks whether fewer servers answer look-ups than answer other requests.
    pub(super) fn some_are_silent(&self) -> bool {
        self.stored.len() < self.live.len()
    }
}

/// A server as a holder of tokens, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    /// `true` if its resolver answers no look-ups.
    pub cache: bool,
    /// `true` if it holds a token of the account; `None` if that is not known.
    pub holds: Option<bool>,
}

/// Returns one entry per server of the deployment, in its order. `holder` returns what is known of a server, by its id.
pub(super) fn attribute(
    deployment: &Deployment,
    answers: Answers,
    holder: impl Fn(&str) -> Holder,
) -> Vec<AccountOnServer> {
    let mut live: HashMap<String, Live> = answers.live.into_iter().collect();
    let mut found: Vec<(Option<Stored>, Live)> =
        deployment.servers.iter().map(|server| (None, live.remove(&server.id).unwrap_or(Live::NoAnswer))).collect();
    let mut pool = answers.stored;

    for (server, (stored, live)) in deployment.servers.iter().zip(&mut found) {
        let Holder { cache, holds } = holder(&server.id);
        if cache && *live != Live::NoAnswer {
            *stored = Some(Stored::NotKept { cached: holds != Some(false) });
        }
    }
    // Servers that are down answer neither request.
    if pool.len() < found.len() {
        for (stored, live) in &mut found {
            if stored.is_none() && *live == Live::NoAnswer {
                *stored = Some(Stored::NoAnswer);
            }
        }
    }
    let open = |found: &[(Option<Stored>, Live)]| found.iter().filter(|(stored, _)| stored.is_none()).count();
    let mut silent = open(&found).saturating_sub(pool.len());
    if (silent > 0 || pool.contains(&None)) && pool.iter().any(Option::is_some) {
        for (server, (stored, _)) in deployment.servers.iter().zip(&mut found) {
            if stored.is_some() || holder(&server.id).holds != Some(false) {
                continue;
            }
            if let Some(at) = pool.iter().position(Option::is_none) {
                pool.swap_remove(at);
                *stored = Some(Stored::Nothing);
            } else if silent > 0 {
                silent -= 1;
                *stored = Some(Stored::Nothing);
            }
        }
    }
    if (distinct(&pool).len() > 1 || pool.len() < open(&found))
        && pool.iter().flatten().all(|token| trusted_everywhere(deployment, token))
    {
        take_what_is_live(&mut pool, &mut found);
    }
    let candidates = distinct(&pool);
    let open = open(&found);
    deployment
        .servers
        .iter()
        .zip(found)
        .map(|(server, (stored, live))| {
            let stored = stored.unwrap_or_else(|| match candidates.as_slice() {
                [] => Stored::NoAnswer,
                [only] if pool.len() >= open => match only {
                    Some(token) => Stored::Token(token.clone()),
                    None => Stored::Nothing,
                },
                several => Stored::Unclear(several.to_vec()),
            });
            AccountOnServer { server: server.name.clone(), cluster: server.cluster.clone(), stored, live }
        })
        .collect()
}

/// Attributes the tokens in force. A server that loaded the account stores the token in force there, if the server
/// would have accepted every stored token, because `full` applies at once what it stores. Done only if there are enough
/// copies of the token.
fn take_what_is_live(pool: &mut Vec<Option<String>>, found: &mut [(Option<Stored>, Live)]) {
    let mut by_token: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, (stored, live)) in found.iter().enumerate() {
        if let (None, Live::Loaded(detail)) = (stored, live) {
            by_token.entry(detail.jwt.clone()).or_default().push(index);
        }
    }
    for (token, servers) in by_token {
        let copies = pool.iter().filter(|answer| answer.as_deref() == Some(&token)).count();
        if copies < servers.len() {
            continue;
        }
        for index in servers {
            if let Some(at) = pool.iter().position(|answer| answer.as_deref() == Some(&token)) {
                pool.swap_remove(at);
            }
            found[index].0 = Some(Stored::Token(token.clone()));
        }
    }
}

fn distinct(pool: &[Option<String>]) -> Vec<Option<String>> {
    let mut distinct = pool.to_vec();
    distinct.sort();
    distinct.dedup();
    distinct
}

fn trusted_everywhere(deployment: &Deployment, token: &str) -> bool {
    Token::decode(token).is_ok_and(|token| {
        let issuer = token.issuer().to_string();
        deployment.servers.iter().all(|server| server.trusted_keys.contains(&issuer))
    })
}

#[cfg(test)]
mod tests;
