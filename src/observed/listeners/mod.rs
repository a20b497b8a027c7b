//! Subscribers of subjects in an account, as the servers report them.
//!
//! They are read only before mappings are added. `CONNZ` lists clients, leaf nodes and MQTT sessions. It does not list
//! the server's own subscriptions, such as those of streams (nats-server 2.15 `server/monitor.go`; measured 2.10.26 and
//! 2.15.1).

use super::collect::{by_every_server, sender, until_all};
use super::{Deployment, RequestError, Requests};
use crate::model::nkey::PublicKey;
use crate::model::subject::SubjectFilter;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The subject on which the system account's user must be allowed to publish to read subscribers.
pub const SUBJECT: &str = "$SYS.REQ.SERVER.PING.CONNZ";

/// Most subjects that are queried one by one. For more subjects, all connections of the account are read.
const ONE_BY_ONE: usize = 16;

/// Connections of one server in one reply; the servers' own default.
const PAGE: usize = 1024;
/// Most pages that are read. A forged server may never send a short page, which would be the last.
const MOST_PAGES: usize = 256;

/// An account's subscriptions, as far as known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Listeners {
    /// Not needed, and therefore not read.
    #[default]
    NotAsked,
    /// All subscriptions that overlap the given subjects.
    Known(Vec<SubscribedSubject>),
    /// The subscriptions could not be read, for this reason.
    Unknown(RequestError),
}

/// A subject that clients are subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribedSubject {
    /// The subject, including wildcards.
    pub subject: String,
    /// The subscribers: `client orders on west-1, client 27 on east-2 and 3 more`.
    pub who: String,
}

/// Reads the subscriptions of an account that overlap one of `subjects`, on every server.
///
/// # Errors
/// [`RequestError`]
pub async fn subscriptions(
    requests: &impl Requests,
    deployment: &Deployment,
    account: &PublicKey,
    subjects: &[SubjectFilter],
    timeout: Duration,
) -> Result<Vec<SubscribedSubject>, RequestError> {
    let deadline = Instant::now() + timeout;
    let filters: Vec<Option<&SubjectFilter>> =
        if subjects.len() <= ONE_BY_ONE { subjects.iter().map(Some).collect() } else { vec![None] };
    let found: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::default();
    let look = |document: &Value| {
        let server = document.pointer("/server/name").and_then(Value::as_str).unwrap_or("a server");
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in connections(document) {
            for subject in connection["subscriptions_list"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let hit = SubjectFilter::parse(subject).is_ok_and(|f| subjects.iter().any(|s| s.overlaps(&f)));
                if hit {
                    found.entry(subject.to_owned()).or_default().insert(format!("{} on {server}", name(connection)));
                }
            }
        }
    };
    futures::stream::iter(filters)
        .map(|filter| {
            let mut body = json!({ "acc": account.to_string(), "subscriptions": true, "limit": PAGE });
            if let Some(filter) = filter {
                body["filter_subject"] = json!(filter.to_string());
            }
            ask(requests, deployment, body, deadline, look)
        })
        .buffer_unordered(ONE_BY_ONE)
        .try_collect::<Vec<()>>()
        .await?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(found.into_iter().map(|(subject, who)| SubscribedSubject { subject, who: some_of(&who) }).collect())
}

/// Reads pages of `CONNZ` up to the last page of the server with the most connections. Passes each page to `look` and
/// drops it.
async fn ask(
    requests: &impl Requests,
    deployment: &Deployment,
    mut body: Value,
    deadline: Instant,
    look: impl Fn(&Value),
) -> Result<(), RequestError> {
    let mut answered = BTreeSet::new();
    for offset in (0..).step_by(PAGE).take(MOST_PAGES) {
        body["offset"] = offset.into();
        let left = deadline.saturating_duration_since(Instant::now());
        let everyone = by_every_server(deployment);
        let replies = until_all(requests, SUBJECT, body.to_string().into_bytes(), left, everyone).await?;
        answered.extend(replies.iter().filter_map(sender).map(|sender| sender.id));
        let mut last = true;
        for reply in replies {
            let Ok(document) = serde_json::from_slice::<Value>(&reply.payload) else { continue };
            last &= connections(&document).count() < PAGE;
            look(&document);
        }
        if last {
            // Other clients may have answered, too.
            return match deployment.servers.iter().all(|server| answered.contains(&server.id)) {
                true => Ok(()),
                false => Err(RequestError::Timeout(SUBJECT.to_owned())),
            };
        }
    }
    Err(RequestError::TooMuch(SUBJECT.to_owned()))
}

fn connections(document: &Value) -> impl Iterator<Item = &Value> {
    document.pointer("/data/connections").and_then(Value::as_array).into_iter().flatten()
}

/// Returns a connection's name: `client orders`, `client 27`, `leaf node edge`.
fn name(connection: &Value) -> String {
    let kind = match connection["kind"].as_str() {
        Some("Leafnode") => "leaf node",
        _ => "client",
    };
    match connection["name"].as_str().filter(|name| !name.is_empty()) {
        Some(name) => format!("{kind} {name}"),
        None => format!("{kind} {}", connection["cid"]),
    }
}

fn some_of(who: &BTreeSet<String>) -> String {
    const SHOWN: usize = 2;
    let shown: Vec<&str> = who.iter().take(SHOWN).map(String::as_str).collect();
    match who.len().saturating_sub(SHOWN) {
        0 => shown.join(" and "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
