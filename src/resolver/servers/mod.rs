//! Reads accounts on every server: the tokens that the servers' resolvers store, and those in force.
//!
//! Subjects and replies: nats-server 2.10.26 – 2.15.1, `server/events.go`, `server/accounts.go`, measured.

use super::lookup::{self, Answers, Holder};
use crate::model::claims::claimed_subject;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::observed::collect::{Far, Question, Sender, beside_named, by_every_server, sender, until_all};
use crate::observed::system::STATSZ;
use crate::observed::{AccountOnServer, Deployment, Detail, Live, Reply, RequestError, Requests, Server, Stored};
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// The subjects on which a user of the system account must be allowed to publish for everything in this module.
pub const SUBJECTS: [&str; 4] = [ACCOUNTS, LOOK_UPS, LIST, SUBSCRIPTIONS];

/// The subject on which servers report the loaded state of an account, or list their accounts.
pub(super) const ACCOUNTS: &str = "$SYS.REQ.SERVER.PING.ACCOUNTZ";

/// Accounts that are read at a time: the replies together stay below a server's `max_pending` for a client.
const ACCOUNTS_AT_A_TIME: usize = 32;

/// Reads accounts on every server, all at once: the tokens that the resolver stores and those in force.
///
/// Returns one entry per account in the order of `ids`, each with one [`AccountOnServer`] per server of the deployment.
/// Stored tokens come without the name of the server that holds them. They are attributed where that is certain
/// ([`Stored::Unclear`] elsewhere).
///
/// # Errors
/// [`RequestError`] when a request as a whole failed. Servers without a resolver that answers look-ups (`url`,
/// `memory`) are [`Stored::NoAnswer`].
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
    // The list also shows whether a cache has a copy of its own.
    let holders = match answers.iter().any(|(_, answers)| answers.some_have_none() || answers.some_are_silent()) {
        true => holders(requests, deployment, deadline).await?,
        false => HashMap::new(),
    };
    // `memory` and `url` list nothing and answer no look-ups; nor does a server whose folder of tokens is damaged.
    let unclear =
        deployment.servers.iter().any(|server| holders.contains_key(&server.id) && server.look_ups.is_unknown());
    if unclear && answers.iter().any(|(_, answers)| answers.stored.len() < holders.len().min(deployment.answering())) {
        learn_caches(requests, deployment, deadline).await?;
    }
    let known = deployment.servers.iter().filter(|server| server.look_ups.are_left());
    let caches: HashSet<&str> = known.map(|server| server.id.as_str()).collect();
    Ok(answers
        .into_iter()
        .map(|(index, answers)| {
            lookup::attribute(deployment, answers, |server| {
                let holds = holders.get(server).map(|held| held.contains(&ids[index]));
                Holder { cache: caches.contains(server) && holds.is_some(), holds }
            })
        })
        .collect())
}

/// Reads only the tokens in force, for servers that have tokens from elsewhere (`url`, `memory`). These answer no
/// look-ups, though an account server may; so the stored token is [`Stored::NoAnswer`].
///
/// # Errors
/// [`RequestError`] when a request as a whole failed.
pub async fn live_accounts(
    requests: &impl Requests,
    deployment: &Deployment,
    ids: &[PublicKey],
    timeout: Duration,
) -> Result<Vec<Vec<AccountOnServer>>, RequestError> {
    let deadline = Instant::now() + timeout;
    let asked = ids.iter().map(|id| async move {
        let body = json!({ "account": id.to_string() }).to_string().into_bytes();
        let replies = of_every_server(requests, deployment, ACCOUNTS, body, deadline).await?;
        let mut live: HashMap<String, Live> = replies.iter().filter_map(live_of).collect();
        let on = |server: &Server| AccountOnServer {
            server: server.name.clone(),
            cluster: server.cluster.clone(),
            stored: Stored::NoAnswer,
            live: live.remove(&server.id).unwrap_or(Live::NoAnswer),
        };
        Ok(deployment.servers.iter().map(on).collect())
    });
    futures::stream::iter(asked).buffered(ACCOUNTS_AT_A_TIME).collect::<Vec<_>>().await.into_iter().collect()
}

/// Returns the name of a server of the deployment that lists the accounts that it stores: its resolver is `full` or
/// `cache`.
///
/// # Errors
/// [`RequestError`]
pub async fn keeps_tokens<'d>(
    requests: &impl Requests,
    deployment: &'d Deployment,
    timeout: Duration,
) -> Result<Option<&'d str>, RequestError> {
    let lists = holders(requests, deployment, Instant::now() + timeout).await?;
    let keeps = deployment.servers.iter().find(|server| lists.contains_key(&server.id));
    Ok(keeps.map(|server| server.name.as_str()))
}

async fn ask_account(
    requests: &impl Requests,
    deployment: &Deployment,
    id: &PublicKey,
    deadline: Instant,
) -> Result<Answers, RequestError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let (count, id_text) = (deployment.answering(), id.to_string());
    let (mut known, mut copies) = (0, 0);
    let lookup = Question {
        subject: &lookup_subject(id),
        payload: Vec::new(),
        far: |replies: &[Reply]| {
            copies += replies[known..].iter().filter(|reply| is_copy(reply, &id_text)).count();
            known = replies.len();
            if copies >= count { Far::All } else { Far::Some }
        },
    };
    let body = json!({ "account": id_text }).to_string().into_bytes();
    let live = named_by_every_server(ACCOUNTS, body, deployment);
    let [stored, live] = beside_named(requests, lookup, live, left).await?;
    let copies = stored.into_iter().filter(|reply| is_copy(reply, &id_text));
    let tokens = copies.map(|reply| String::from_utf8(reply.payload).ok().filter(|token| !token.is_empty()));
    Ok(Answers { stored: tokens.collect(), live: live.iter().filter_map(live_of).collect() })
}

/// Returns the subject of look-ups of one account.
fn lookup_subject(id: &PublicKey) -> String {
    LOOK_UPS.replace('*', &id.to_string())
}

/// Returns a request that each server of the deployment answers in its own name.
fn named_by_every_server<'q>(
    subject: &'q str,
    payload: Vec<u8>,
    deployment: &Deployment,
) -> Question<'q, impl FnMut(&[Reply]) -> Far + Send> {
    let mut everyone = by_every_server(deployment);
    Question { subject, payload, far: move |replies: &[Reply]| if everyone(replies) { Far::All } else { Far::Some } }
}

/// Returns replies to a look-up of an account until one is `wanted`. Otherwise until there are `all`, and each server
/// has answered a small request sent at the same time. The replies do not name their servers, and another client in the
/// system account can send as many. By number alone, that client's replies would end the look-up before the servers'
/// replies come.
pub(crate) async fn look_up(
    requests: &impl Requests,
    deployment: &Deployment,
    id: &PublicKey,
    timeout: Duration,
    all: impl Fn(&[Reply]) -> bool + Send,
    wanted: impl Fn(&Reply) -> bool + Send,
) -> Result<Vec<Reply>, RequestError> {
    let lookup = Question {
        subject: &lookup_subject(id),
        payload: Vec::new(),
        far: move |replies: &[Reply]| match replies.last() {
            Some(last) if wanted(last) => Far::Found,
            _ if all(replies) => Far::All,
            _ => Far::Some,
        },
    };
    let beside = named_by_every_server(STATSZ, Vec::new(), deployment);
    let [replies, _] = beside_named(requests, lookup, beside, timeout).await?;
    Ok(replies)
}

/// Checks whether a reply to a look-up can be a server's: "none", or a token of the account. Other clients in the
/// system account may answer, too.
fn is_copy(reply: &Reply, id: &str) -> bool {
    let subject = || claimed_subject(std::str::from_utf8(&reply.payload).ok()?);
    reply.payload.is_empty() || subject().is_some_and(|subject| subject == id)
}

/// Returns a server's id and the account in force there, from a reply to `ACCOUNTZ`.
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
    Some((sender(reply)?.id, live))
}

/// Returns the servers' answers in their own names, until each server has answered; empty without responders.
///
/// # Errors
/// [`RequestError`]
async fn of_every_server(
    requests: &impl Requests,
    deployment: &Deployment,
    subject: &str,
    payload: Vec<u8>,
    deadline: Instant,
) -> Result<Vec<Reply>, RequestError> {
    let left = deadline.saturating_duration_since(Instant::now());
    match until_all(requests, subject, payload, left, by_every_server(deployment)).await {
        Err(RequestError::NoResponders(_)) => Ok(Vec::new()),
        replies => replies,
    }
}

/// The subject on which servers list the accounts that they hold.
const LIST: &str = "$SYS.REQ.CLAIMS.LIST";
/// The most accounts that are looked up because servers list them: any client in the system account can list any.
const MOST_HELD: usize = 100_000;
/// The most lists from servers that did not answer before.
const MOST_STRANGERS: usize = 16;

/// Returns the accounts that each server's resolver holds, by server id ([`LIST`], which names the server). Skips
/// entries that are not accounts' keys. The result may contain a few servers that did not answer before.
///
/// # Errors
/// [`RequestError`]; [`RequestError::TooMuch`] when there are more lists, or a list is longer than [`MOST_HELD`].
async fn holders(
    requests: &impl Requests,
    deployment: &Deployment,
    deadline: Instant,
) -> Result<HashMap<String, HashSet<PublicKey>>, RequestError> {
    let replies = of_every_server(requests, deployment, LIST, Vec::new(), deadline).await?;
    #[derive(serde::Deserialize)]
    struct List {
        server: Sender,
        data: Vec<String>,
    }
    let mut lists = HashMap::new();
    for reply in &replies {
        let Ok(List { server, data }) = serde_json::from_slice(&reply.payload) else { continue };
        let held: HashSet<PublicKey> =
            data.iter().filter_map(|id| PublicKey::parse_kind(id, KeyKind::Account).ok()).collect();
        lists.insert(server.id, held);
        if data.len() > MOST_HELD || lists.len() > deployment.servers.len() + MOST_STRANGERS {
            return Err(RequestError::TooMuch(LIST.to_owned()));
        }
    }
    Ok(lists)
}

/// Lists the accounts that any server has loaded.
///
/// # Errors
/// [`RequestError`]; [`RequestError::Timeout`] when a server does not answer; [`RequestError::TooMuch`] when a server
/// lists more accounts than are looked up.
pub async fn loaded_accounts(
    requests: &impl Requests,
    deployment: &Deployment,
    timeout: Duration,
) -> Result<HashSet<PublicKey>, RequestError> {
    let replies = of_every_server(requests, deployment, ACCOUNTS, b"{}".to_vec(), Instant::now() + timeout).await?;
    if !by_every_server(deployment)(&replies) {
        return Err(RequestError::Timeout(ACCOUNTS.to_owned()));
    }
    let mut loaded = HashSet::new();
    for reply in &replies {
        let Ok(answer) = serde_json::from_slice::<Value>(&reply.payload) else { continue };
        let ids = answer["data"]["accounts"].as_array().into_iter().flatten().filter_map(Value::as_str);
        loaded.extend(ids.filter_map(|id| PublicKey::parse_kind(id, KeyKind::Account).ok()));
        if loaded.len() > MOST_HELD {
            return Err(RequestError::TooMuch(ACCOUNTS.to_owned()));
        }
    }
    Ok(loaded)
}

/// The subject on which servers report subscriptions, including their own.
const SUBSCRIPTIONS: &str = "$SYS.REQ.SERVER.PING.SUBSZ";
/// The subject of look-ups of accounts' tokens. Of the resolvers only `full` subscribes to it (nats-server 2.10 – 2.15
/// `server/accounts.go`; measured, 2.15.1).
pub(crate) const LOOK_UPS: &str = "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP";

/// Learns which servers that answer [`LIST`] have a resolver that answers no look-ups: a `cache`. It keeps copies of
/// tokens that were used, and gets the rest from `full` resolvers. A server that does not answer this counts as none.
///
/// # Errors
/// [`RequestError`]
async fn learn_caches(
    requests: &impl Requests,
    deployment: &Deployment,
    deadline: Instant,
) -> Result<(), RequestError> {
    let Some(system) = deployment.servers.first().map(|server| server.system_account.as_str()) else { return Ok(()) };
    let test = LOOK_UPS.replace('*', system);
    let body = json!({ "subscriptions": true, "account": system, "test": test }).to_string().into_bytes();
    let replies = of_every_server(requests, deployment, SUBSCRIPTIONS, body, deadline).await?;
    for reply in &replies {
        let Ok(answer) = serde_json::from_slice::<Value>(&reply.payload) else { continue };
        // Without subscriptions the server leaves out the list.
        let listed = answer["data"]["subscriptions_list"].as_array().map_or(&[][..], Vec::as_slice);
        let answers = !answer["data"]["total"].is_u64() || listed.iter().any(|one| one["subject"] == LOOK_UPS);
        let Some(sender) = sender(reply) else { continue };
        let asked = deployment.servers.iter().filter(|server| server.id == sender.id);
        asked.for_each(|server| server.look_ups.learn(answers));
    }
    Ok(())
}

/// Time for servers to list the accounts that they hold.
const LISTS: Duration = Duration::from_secs(4);
/// Pause between two requests for lists.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns the claims of all accounts that any server's resolver holds, each from the first token that `read` accepts:
/// to find an account by its own claims. A run would make an account again that it takes for missing, so a missing
/// answer ends nothing here.
///
/// # Errors
/// [`RequestError`]; [`RequestError::Timeout`] when a server lists an account and no answer shows it in time;
/// [`RequestError::TooMuch`] when servers list more accounts than are looked up.
pub async fn stored_claims<C>(
    requests: &impl Requests,
    deployment: &Deployment,
    timeout: Duration,
    read: impl Fn(&str) -> Option<C> + Sync,
) -> Result<Vec<C>, RequestError> {
    let (deadline, listed) = (Instant::now() + timeout, Instant::now() + LISTS.min(timeout / 2));
    let mut lists = holders(requests, deployment, listed).await?;
    while Instant::now() < listed && !deployment.servers.iter().all(|server| lists.contains_key(&server.id)) {
        // Without responders the result comes at once, so pause.
        tokio::time::sleep(PAUSE).await;
        lists.extend(holders(requests, deployment, listed).await?);
    }
    // An account that only caches have a copy of does not exist any more. Caches are known once accounts were read.
    let is_cache = |id: &str| deployment.servers.iter().any(|server| server.id == id && server.look_ups.are_left());
    lists.retain(|server, _| !is_cache(server));
    let answering = deployment.answering();
    let mut ids: HashMap<&PublicKey, usize> = HashMap::new();
    lists.values().flatten().for_each(|id| *ids.entry(id).or_default() += 1);
    if ids.len() > MOST_HELD || lists.len() > deployment.servers.len() + MOST_STRANGERS {
        return Err(RequestError::TooMuch(LIST.to_owned()));
    }
    let read = &read;
    let claims = futures::stream::iter(ids).map(|(id, copies)| async move {
        let left = deadline.saturating_duration_since(Instant::now());
        // Every server answers; those without a copy send an empty reply.
        let claims = |reply: &Reply| read(std::str::from_utf8(&reply.payload).ok()?.trim());
        let all = |replies: &[Reply]| {
            let shown = replies.iter().filter(|reply| !reply.payload.is_empty()).count();
            shown >= copies || replies.len() >= answering
        };
        let replies = look_up(requests, deployment, id, left, all, |reply| claims(reply).is_some()).await?;
        match replies.iter().rev().find_map(claims) {
            None if !all(&replies) => Err(RequestError::Timeout(lookup_subject(id))),
            claims => Ok(claims),
        }
    });
    let found: Vec<Result<Option<C>, RequestError>> = claims.buffer_unordered(ACCOUNTS_AT_A_TIME).collect().await;
    Ok(found.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;
