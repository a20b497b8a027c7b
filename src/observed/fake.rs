//! Servers that answer as real ones do, for tests that need more servers, or worse ones, than they can start.

use super::{Reply, RequestError, Requests};
use crate::model::claims::Token;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::sign::{Seed, SignedToken, Signer as _, issue};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// Sends one reply to each request. Its tests never ask for many replies.
pub(crate) trait Answers: Send + Sync {
    fn answer(&self, subject: &str, payload: &[u8]) -> Result<Value, RequestError>;
}

impl<A: Answers> Requests for A {
    async fn request(&self, subject: &str, payload: Vec<u8>, _: Duration) -> Result<Reply, RequestError> {
        let reply = self.answer(subject, &payload)?;
        Ok(Reply { headers: Vec::new(), payload: reply.to_string().into_bytes() })
    }

    async fn request_many(
        &self,
        _: &str,
        _: Vec<u8>,
        _: Duration,
        _: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        unreachable!("one reply is asked for")
    }
}

/// A deployment of `clusters` × `size` servers that trust one operator.
pub(crate) struct Fake {
    pub operator: Seed,
    pub servers: Mutex<Vec<FakeServer>>,
    /// The subjects of all requests.
    pub asked: Mutex<Vec<String>>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeServer {
    pub name: String,
    pub cluster: String,
    pub stored: BTreeMap<String, String>,
    pub live: BTreeMap<String, String>,
    /// Does not answer.
    pub down: bool,
    /// Leaves look-ups unanswered, although it lists the tokens that it holds.
    pub keeps_tokens: bool,
    /// Accepts updates and ignores them.
    pub deaf: bool,
    /// Drops this mapping when it applies a token.
    pub drops_mapping: Option<String>,
    /// Refuses updates with this text.
    pub refuses: Option<String>,
    /// A `cache` resolver: stores a pushed token only if the account is loaded.
    pub cache: bool,
    /// A `memory` or `url` resolver.
    pub no_resolver: bool,
}

impl FakeServer {
    pub(crate) fn id(&self) -> String {
        format!("N-{}", self.name)
    }

    fn stamp(&self) -> Value {
        json!({ "name": self.name, "id": self.id(), "cluster": self.cluster, "ver": "2.15.1" })
    }
}

pub(crate) fn account() -> PublicKey {
    Seed::generate(KeyKind::Account).unwrap().public_key()
}

pub(crate) fn claims(account: &PublicKey, mappings: Value) -> Value {
    json!({
        "sub": account.to_string(), "name": "APP",
        "nats": { "type": "account", "version": 2, "limits": { "subs": -1 }, "mappings": mappings }
    })
}

impl Fake {
    pub(crate) fn new(clusters: &[&str], size: usize) -> Self {
        let servers = clusters.iter().flat_map(|cluster| {
            (0..size).map(move |i| FakeServer {
                name: format!("{cluster}-{i}"),
                cluster: (*cluster).to_owned(),
                ..FakeServer::default()
            })
        });
        let operator = Seed::generate(KeyKind::Operator).unwrap();
        Self { operator, servers: Mutex::new(servers.collect()), asked: Mutex::default() }
    }

    pub(crate) fn sign(&self, claims: &Value, iat: u64) -> SignedToken {
        issue(claims, &self.operator, iat).unwrap()
    }

    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut FakeServer)) {
        change(self.servers.lock().unwrap().iter_mut().find(|server| server.name == name).unwrap());
    }

    fn trusts(&self, token: &str) -> bool {
        *Token::decode(token).unwrap().issuer() == self.operator.public_key()
    }

    fn answers(&self, subject: &str, payload: &[u8]) -> Option<Vec<Vec<u8>>> {
        self.asked.lock().unwrap().push(subject.to_owned());
        let mut servers = self.servers.lock().unwrap();
        let count = servers.len();
        let tokens: Vec<&str> = subject.split('.').collect();
        let mut listening = true;
        let answers = servers
            .iter_mut()
            .filter(|server| !server.down)
            .filter_map(|server| {
                let stamp = server.stamp();
                let answer = match tokens.as_slice() {
                    [.., "PING", "STATSZ"] => json!({ "server": stamp, "statsz": { "active_servers": count } }),
                    [.., "PING", "VARZ"] => json!({ "server": stamp, "data": {
                        "server_name": server.name, "version": "2.15.1", "max_payload": 1_048_576,
                        "gateway": { "name": server.cluster }, "system_account": "ASYS",
                        "trusted_operators_claim": [{ "sub": self.operator.public_key(), "name": "OP", "nats": {} }],
                    } }),
                    [.., "PING", "ACCOUNTZ"] => {
                        let body: Value = serde_json::from_slice(payload).unwrap();
                        let live = |id: &str| server.live.get(id);
                        match body["account"].as_str().map(live) {
                            None => json!({ "server": stamp, "data": { "accounts": server.live.keys().collect::<Vec<_>>() } }),
                            Some(Some(token)) => json!({ "server": stamp, "data": { "account_detail": detail(server, token) } }),
                            Some(None) => json!({ "server": stamp, "data": null, "error":
                                { "code": 500, "description": format!("Account {} does not exist", body["account"]) } }),
                        }
                    }
                    [.., "PING", "SUBSZ"] => {
                        let subject = "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP";
                        match server.cache || server.no_resolver {
                            true => json!({ "server": stamp, "data": { "total": 0 } }),
                            false => json!({ "server": stamp, "data": {
                                "total": 1, "subscriptions_list": [{ "subject": subject }] } }),
                        }
                    }
                    [.., _, "CLAIMS", "LOOKUP"] if server.keeps_tokens || server.cache => return None,
                    [.., id, "CLAIMS", "LOOKUP"] if !server.no_resolver => {
                        return Some(server.stored.get(*id).cloned().unwrap_or_default().into_bytes());
                    }
                    [.., "CLAIMS", "LIST"] if !server.no_resolver => {
                        json!({ "server": stamp, "data": server.stored.keys().collect::<Vec<_>>() })
                    }
                    [.., "CLAIMS", "UPDATE"] if !server.no_resolver => self.update(server, payload),
                    _ => {
                        listening = false;
                        return None;
                    }
                };
                Some(answer.to_string().into_bytes())
            })
            .collect();
        listening.then_some(answers)
    }

    fn update(&self, server: &mut FakeServer, payload: &[u8]) -> Value {
        let token = String::from_utf8(payload.to_vec()).unwrap();
        let id = Token::decode(&token).unwrap().subject().to_string();
        if let Some(text) = &server.refuses {
            return json!({ "server": server.stamp(), "error": { "account": id, "code": 500, "description": text } });
        }
        if server.cache && !server.live.contains_key(&id) {
            let skipped = "jwt update cache skipped";
            return json!({ "server": server.stamp(), "data": { "account": id, "code": 200, "message": skipped } });
        }
        if !server.deaf {
            server.stored.insert(id.clone(), token.clone());
            if server.live.contains_key(&id) && self.trusts(&token) {
                server.live.insert(id.clone(), token);
            }
        }
        json!({ "server": server.stamp(), "data": { "account": id, "code": 200, "message": "jwt updated" } })
    }
}

fn detail(server: &FakeServer, token: &str) -> Value {
    let claims = Token::decode(token).unwrap().into_claims();
    let mut mappings = Map::new();
    for (source, to) in claims["nats"]["mappings"].as_object().into_iter().flatten() {
        if server.drops_mapping.as_ref() != Some(source) {
            let mut to = to.as_array().unwrap().clone();
            to.iter_mut().for_each(|to| to["weight"] = 100.into());
            to.push(json!({ "subject": source, "weight": 100 }));
            mappings.insert(source.clone(), to.into());
        }
    }
    json!({ "jwt": token, "mappings": mappings, "complete": true, "expired": false })
}

impl Requests for Fake {
    async fn request(&self, subject: &str, payload: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
        let replies = self.request_many(subject, payload, timeout, |_| true).await?;
        replies.into_iter().next().ok_or_else(|| RequestError::Timeout(subject.to_owned()))
    }

    async fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        mut enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        let answers = self.answers(subject, &payload).ok_or_else(|| RequestError::NoResponders(subject.to_owned()))?;
        let mut replies = Vec::new();
        if hand_over(answers, &mut replies, &mut enough) {
            return Ok(replies);
        }
        tokio::time::sleep(timeout).await;
        Ok(replies)
    }
}

/// Passes on answers one by one until they are enough. Returns `true` if they are.
fn hand_over(
    payloads: impl IntoIterator<Item = Vec<u8>>,
    replies: &mut Vec<Reply>,
    enough: &mut impl FnMut(&[Reply]) -> bool,
) -> bool {
    payloads.into_iter().any(|payload| {
        replies.push(Reply { headers: Vec::new(), payload });
        enough(replies)
    })
}

/// A deployment, and another client that answers before its servers do, on subjects that end like this.
pub(crate) struct Crowd<'f> {
    pub fake: &'f Fake,
    pub subject: &'static str,
    /// The first answer is "no responders".
    pub nobody: bool,
    pub payloads: Vec<Vec<u8>>,
    /// Time until the servers answer.
    pub late: Duration,
}

impl Requests for Crowd<'_> {
    async fn request(&self, subject: &str, payload: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
        self.fake.request(subject, payload, timeout).await
    }

    async fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        mut enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        let mut replies = Vec::new();
        if self.nobody && subject.ends_with(self.subject) && enough(&[]) {
            return Err(RequestError::NoResponders(subject.to_owned()));
        }
        let strange = self.payloads.iter().filter(|_| subject.ends_with(self.subject)).cloned();
        if hand_over(strange, &mut replies, &mut enough) {
            return Ok(replies);
        }
        tokio::time::sleep(self.late).await;
        let answers = self.fake.answers(subject, &payload);
        if answers.is_none() && self.payloads.is_empty() {
            return Err(RequestError::NoResponders(subject.to_owned()));
        }
        if hand_over(answers.unwrap_or_default(), &mut replies, &mut enough) {
            return Ok(replies);
        }
        tokio::time::sleep(timeout.saturating_sub(self.late)).await;
        Ok(replies)
    }
}
