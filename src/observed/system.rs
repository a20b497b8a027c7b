//! Reading the deployment and its accounts through the system account.
//!
//! Subjects and replies: nats-server 2.10.26 – 2.15.1, `server/events.go`, `server/accounts.go`, measured.

use super::lookup::{self, Answers};
use super::{AccountOnServer, ClockOffset, Deployment, Detail, Live, Reply, RequestError, Requests, Server};
use crate::model::claims::AccountClaims;
use crate::model::claims::OperatorClaims;
use crate::model::nkey::PublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a user of the system account must be allowed to publish for everything in this module.
pub const SUBJECTS: [&str; 5] = [
    "$SYS.REQ.SERVER.PING.STATSZ",
    "$SYS.REQ.SERVER.PING.VARZ",
    "$SYS.REQ.SERVER.PING.ACCOUNTZ",
    "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
    "$SYS.REQ.CLAIMS.LIST",
];

/// When servers have answered and no other does for this long, those that are missing are taken for dead: servers
/// that were stopped are counted as active for up to 150 s, and must not cost a whole timeout each time.
const QUIET: Duration = Duration::from_millis(1500);

/// Accounts that are asked for at a time: their replies together stay below a server's `max_pending` for a client.
const ACCOUNTS_AT_A_TIME: usize = 32;

/// Asks every server who it is (`$SYS.REQ.SERVER.PING.STATSZ` and `.VARZ`, at once).
///
/// Returns as soon as as many servers answered both as the servers themselves count (`active_servers`).
///
/// # Errors
/// [`RequestError`]; `Permission` or `NoResponders` when the connection is not to the system account.
pub async fn deployment(requests: &impl Requests, timeout: Duration) -> Result<Deployment, RequestError> {
    let asked = SystemTime::now();
    let (seen, complete) = (Mutex::new(Pings::default()), Notify::new());
    let ask = async |kind: Ping| {
        let mut known = 0;
        let heard = |replies: &[Reply]| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for reply in &replies[known..] {
                seen.take(kind, reply, asked);
            }
            known = replies.len();
            if seen.complete(Ping::Statsz) && seen.complete(Ping::Varz) {
                complete.notify_one();
            }
            seen.complete(kind)
        };
        until_quiet(requests, kind.subject(), Vec::new(), timeout, heard).await
    };
    tokio::select! {
        // STATSZ brings the count that VARZ waits for, and may come last.
        () = complete.notified() => {}
        both = futures::future::try_join(ask(Ping::Statsz), ask(Ping::Varz)) => { both?; }
    }
    let pings = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    if pings.varz.is_empty() {
        return Err(RequestError::Timeout(Ping::Varz.subject().to_owned()));
    }
    Ok(pings.into_deployment())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ping {
    Statsz,
    Varz,
}

impl Ping {
    fn subject(self) -> &'static str {
        match self {
            Self::Statsz => "$SYS.REQ.SERVER.PING.STATSZ",
            Self::Varz => "$SYS.REQ.SERVER.PING.VARZ",
        }
    }
}

#[derive(Default)]
struct Pings {
    statsz: HashSet<String>,
    varz: BTreeMap<String, (Value, Option<ClockOffset>)>,
    expected: usize,
}

impl Pings {
    fn take(&mut self, kind: Ping, reply: &Reply, asked: SystemTime) {
        let Ok(mut document) = serde_json::from_slice::<Value>(&reply.payload) else { return };
        let Some(id) = document.pointer("/server/id").and_then(Value::as_str).map(str::to_owned) else { return };
        if kind == Ping::Statsz {
            let active = document.pointer("/statsz/active_servers").and_then(Value::as_u64).unwrap_or(0);
            self.expected = self.expected.max(usize::try_from(active).unwrap_or(usize::MAX));
            self.statsz.insert(id);
        } else {
            let varz = document["data"].take();
            let clock = clock(&varz, asked, SystemTime::now());
            self.varz.insert(id, (varz, clock));
        }
    }

    fn complete(&self, kind: Ping) -> bool {
        let answered = if kind == Ping::Statsz { self.statsz.len() } else { self.varz.len() };
        self.expected > 0 && answered >= self.expected
    }

    fn into_deployment(self) -> Deployment {
        let answered = self.statsz.iter().chain(self.varz.keys()).collect::<HashSet<_>>().len();
        let expected = self.expected.max(answered);
        let mut servers: Vec<Server> =
            self.varz.into_iter().filter_map(|(id, (varz, clock))| server(id, varz, clock)).collect();
        servers.sort_by(|a, b| (&a.cluster, &a.name).cmp(&(&b.cluster, &b.name)));
        Deployment { servers, expected }
    }
}

/// The server's clock against ours, from an answer that was asked for and heard at these times.
fn clock(varz: &Value, asked: SystemTime, heard: SystemTime) -> Option<ClockOffset> {
    let now = varz["now"].as_str()?.parse::<Timestamp>().ok()?.as_millisecond();
    let millis = |time: SystemTime| Timestamp::try_from(time).ok().map(Timestamp::as_millisecond);
    Some(ClockOffset { least: now - millis(heard)?, most: now - millis(asked)? })
}

fn server(id: String, varz: Value, clock: Option<ClockOffset>) -> Option<Server> {
    let text = |pointer: &str| varz.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some(Server {
        name: text("/server_name").or_else(|| text("/server_id"))?,
        // Without gateways the cluster's own name counts.
        cluster: text("/gateway/name").or_else(|| text("/cluster/name")).unwrap_or_default(),
        version: text("/version").unwrap_or_default(),
        trusted_keys: trusted_keys(&varz),
        system_account: text("/system_account").unwrap_or_default(),
        max_payload: varz["max_payload"].as_u64().unwrap_or(0),
        domain: text("/jetstream/config/domain").filter(|domain| !domain.is_empty()),
        clock,
        id,
        varz,
    })
}

fn trusted_keys(varz: &Value) -> Vec<String> {
    let operators = varz["trusted_operators_claim"].as_array().into_iter().flatten();
    let operators = operators.filter_map(|claims| OperatorClaims::from_claims(claims).ok());
    operators.flat_map(|operator| operator.trusted_keys()).map(|key| key.to_string()).collect()
}

/// Reads accounts on every server, all at once: what the resolver stores and what is in force.
///
/// One entry per account in the order of `ids`, each with one [`AccountOnServer`] per server of the deployment.
/// Stored tokens come without the name of the server that holds them; they are attributed where that is certain
/// ([`super::Stored::Unclear`] where it is not).
///
/// # Errors
/// [`RequestError`] when a request as a whole failed. Servers without a resolver that answers look-ups (`url`,
/// `memory`) are [`super::Stored::NoAnswer`].
pub async fn accounts(
    requests: &impl Requests,
    deployment: &Deployment,
    ids: &[PublicKey],
    timeout: Duration,
) -> Result<Vec<Vec<AccountOnServer>>, RequestError> {
    let deadline = Instant::now() + timeout;
    let mut answers: Vec<(usize, Answers)> = futures::stream::iter(ids.iter().enumerate())
        .map(|(index, id)| async move { Ok((index, ask_account(requests, deployment, id, deadline).await?)) })
        .buffer_unordered(ACCOUNTS_AT_A_TIME)
        .collect::<Vec<Result<_, RequestError>>>()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    answers.sort_by_key(|(index, _)| *index);
    let holders = if answers.iter().any(|(_, answers)| answers.some_have_none()) {
        holders(requests, deployment, deadline).await?
    } else {
        HashMap::new()
    };
    Ok(answers
        .into_iter()
        .map(|(index, answers)| {
            let id = ids[index].to_string();
            lookup::attribute(deployment, answers, |server| Some(holders.get(server)?.contains(&id)))
        })
        .collect())
}

/// Says when each server of the deployment has answered, whoever else answers, and however often.
pub(crate) fn by_every_server(deployment: &Deployment) -> impl FnMut(&[Reply]) -> bool + Send {
    let mut open: HashSet<&str> = deployment.servers.iter().map(|server| server.id.as_str()).collect();
    let mut known = 0;
    move |replies| {
        for reply in &replies[known..] {
            if let Some(id) = sender(reply) {
                open.remove(id.as_str());
            }
        }
        known = replies.len();
        open.is_empty()
    }
}

/// The server that a reply says it is of.
pub(crate) fn sender(reply: &Reply) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Signed {
        server: Sender,
    }
    #[derive(serde::Deserialize)]
    struct Sender {
        id: String,
    }
    serde_json::from_slice::<Signed>(&reply.payload).ok().map(|signed| signed.server.id)
}

async fn ask_account(
    requests: &impl Requests,
    deployment: &Deployment,
    id: &PublicKey,
    deadline: Instant,
) -> Result<Answers, RequestError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let count = deployment.servers.len();
    let id_text = id.to_string();
    let stored = async {
        let subject = format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.LOOKUP");
        let (mut known, mut good) = (0, 0);
        let enough = |replies: &[Reply]| {
            good += replies[known..].iter().filter(|reply| is_copy(reply, &id_text)).count();
            known = replies.len();
            good >= count
        };
        match until_quiet(requests, &subject, Vec::new(), left, enough).await {
            Err(RequestError::NoResponders(_)) => Ok(Vec::new()),
            other => other,
        }
    };
    let live = async {
        let body = json!({ "account": id_text }).to_string().into_bytes();
        until_quiet(requests, "$SYS.REQ.SERVER.PING.ACCOUNTZ", body, left, by_every_server(deployment)).await
    };
    let (stored, live) = futures::future::try_join(stored, live).await?;
    let copies = stored.into_iter().filter(|reply| is_copy(reply, &id_text));
    let tokens = copies.map(|reply| String::from_utf8(reply.payload).ok().filter(|token| !token.is_empty()));
    Ok(Answers { stored: tokens.collect(), live: live.iter().filter_map(live_of).collect() })
}

/// Whether a reply to a look-up is what a server says: "none", or a token of the account. Whoever else is in the system
/// account may answer, too.
fn is_copy(reply: &Reply, id: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Subject {
        sub: String,
    }
    let subject = || {
        let token = std::str::from_utf8(&reply.payload).ok()?;
        let part = token.trim().split('.').nth(1)?;
        serde_json::from_slice::<Subject>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    reply.payload.is_empty() || subject().is_some_and(|claims| claims.sub == id)
}

/// Server id and what it has in force, from a reply to `ACCOUNTZ`.
fn live_of(reply: &Reply) -> Option<(String, Live)> {
    #[derive(serde::Deserialize)]
    struct Answer {
        data: Option<Data>,
        error: Option<Refusal>,
    }
    #[derive(serde::Deserialize)]
    struct Data {
        account_detail: Option<Detail>,
    }
    #[derive(serde::Deserialize)]
    struct Refusal {
        description: String,
    }
    let live = match serde_json::from_slice(&reply.payload) {
        Ok(Answer { data: Some(Data { account_detail: Some(detail) }), error: _ }) => match detail.jwt.is_empty() {
            true => Live::NotLoaded,
            false => Live::Loaded(detail),
        },
        Ok(Answer { error: Some(refusal), .. }) if refusal.description.ends_with("does not exist") => Live::NotLoaded,
        Ok(Answer { error: Some(refusal), .. }) => Live::Failed(refusal.description),
        Ok(_) => Live::Failed("an answer without account_detail".to_owned()),
        Err(error) => Live::Failed(format!("an answer that cannot be read: {error}")),
    };
    Some((sender(reply)?, live))
}

/// Which accounts each server's resolver holds, by server id (`$SYS.REQ.CLAIMS.LIST`, which names the server).
async fn holders(
    requests: &impl Requests,
    deployment: &Deployment,
    deadline: Instant,
) -> Result<HashMap<String, HashSet<String>>, RequestError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let everyone = by_every_server(deployment);
    let replies = match until_quiet(requests, "$SYS.REQ.CLAIMS.LIST", Vec::new(), left, everyone).await {
        Err(RequestError::NoResponders(_)) => Vec::new(),
        other => other?,
    };
    let lists = replies.iter().filter_map(|reply| {
        let document: Value = serde_json::from_slice(&reply.payload).ok()?;
        let id = document.pointer("/server/id")?.as_str()?.to_owned();
        Some((id, document["data"].as_array()?.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect()))
    });
    Ok(lists.collect())
}

/// The claims of all accounts that any server's resolver holds, as one server has them: to find an account by what it
/// says of itself. Tokens that cannot be read are left out.
///
/// # Errors
/// [`RequestError`]
pub async fn stored_claims(
    requests: &impl Requests,
    deployment: &Deployment,
    timeout: Duration,
) -> Result<Vec<AccountClaims>, RequestError> {
    let deadline = Instant::now() + timeout;
    let holders = holders(requests, deployment, deadline).await?;
    let ids: HashSet<&String> = holders.values().flatten().collect();
    let claims = futures::stream::iter(ids).map(|id| async move {
        let subject = format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.LOOKUP");
        let left = deadline.saturating_duration_since(Instant::now());
        // Every server answers; those that have no copy do so with nothing.
        let held = |replies: &[Reply]| replies.iter().any(|reply| !reply.payload.is_empty());
        match until_quiet(requests, &subject, Vec::new(), left, held).await {
            Err(RequestError::NoResponders(_)) => Ok(None),
            Err(error) => Err(error),
            Ok(replies) => {
                let mut tokens = replies.iter().filter_map(|reply| std::str::from_utf8(&reply.payload).ok());
                Ok(tokens.find_map(|token| AccountClaims::decode(token).ok()))
            }
        }
    });
    let found: Vec<Result<Option<AccountClaims>, RequestError>> =
        claims.buffer_unordered(ACCOUNTS_AT_A_TIME).collect().await;
    Ok(found.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Replies until `enough`, the timeout, or [`QUIET`] after the last reply.
pub(crate) async fn until_quiet(
    requests: &impl Requests,
    subject: &str,
    payload: Vec<u8>,
    timeout: Duration,
    mut enough: impl FnMut(&[Reply]) -> bool + Send,
) -> Result<Vec<Reply>, RequestError> {
    let (so_far, heard) = (Mutex::new(Vec::<Reply>::new()), Notify::new());
    let asking = requests.request_many(subject, payload, timeout, |replies| {
        let done = enough(replies);
        let mut so_far = so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let known = so_far.len();
        so_far.extend_from_slice(&replies[known..]);
        heard.notify_one();
        done
    });
    let quiet = async {
        heard.notified().await;
        while tokio::time::timeout(QUIET, heard.notified()).await.is_ok() {}
    };
    tokio::select! {
        biased;
        replies = asking => return replies,
        () = quiet => {}
    }
    Ok(so_far.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests;
