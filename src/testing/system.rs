//! The servers' answers to the system account, and pushes (nats-server 2.15 `server/events.go`, `server/accounts.go`).

use super::accounts::AccountToken;
use super::deployment::{InMemory, Node, State};
use crate::model::claims::Import;
use crate::model::mapping::RawMapping;
use crate::observed::connection::{Delivery, ReceivedMessage};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until};

/// Time that a request takes to the nearest servers. The latency to the others is up to three times as long.
pub(super) const NEAR: Duration = Duration::from_millis(1);

/// Subjects with these endings have subscribers.
const SERVED: [&str; 8] = [
    "SERVER.PING.STATSZ",
    "SERVER.PING.VARZ",
    "SERVER.PING.ACCOUNTZ",
    "SERVER.PING.SUBSZ",
    "SERVER.PING.CONNZ",
    "CLAIMS.LOOKUP",
    "CLAIMS.LIST",
    "CLAIMS.UPDATE",
];

/// The sender of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Run,
    AnotherTool,
    /// Another tool, whose push no run notices.
    Unheard,
}

impl InMemory {
    /// Sends a request to all servers, which handle it even if its sender no longer waits. Returns their answers as
    /// they come. Returns `None` if the subject has no subscriber.
    pub(super) fn ask_all(&self, subject: &str, payload: Vec<u8>, by: By) -> Option<UnboundedReceiver<Vec<u8>>> {
        if !SERVED.iter().any(|ending| subject.ends_with(ending)) {
            return None;
        }
        let is_push = subject.ends_with("CLAIMS.UPDATE");
        let order = {
            let mut state = self.state();
            if is_push {
                state.notes_push(&payload, by == By::Run);
            }
            let way = |(index, node): (usize, &Node)| (NEAR * (1 + index as u32 % 3) + node.late, index);
            let mut order: Vec<(Duration, usize)> = state.nodes.iter().enumerate().map(way).collect();
            order.sort_unstable();
            order
        };
        let (sender, receiver) = unbounded_channel();
        let (world, subject, sent) = (self.clone(), subject.to_owned(), Instant::now());
        tokio::spawn(async move {
            if is_push && by != By::Unheard {
                sleep_until(sent + NEAR).await;
                world.state().tell(&subject, &payload);
            }
            for (way, index) in order {
                sleep_until(sent + way).await;
                let answer = world.state().answer(index, &subject, &payload, by);
                if let Some(answer) = answer {
                    // The sender of the request may no longer exist.
                    let _ = sender.send(answer);
                }
            }
        });
        Some(receiver)
    }
}

impl State {
    /// Notes a push, and checks that a run logged its token before.
    fn notes_push(&mut self, payload: &[u8], by_run: bool) {
        self.pushes.by_anyone = Some(Instant::now());
        if by_run {
            let token = String::from_utf8_lossy(payload);
            if !self.logged.contains(token.as_ref()) {
                self.violations.push("a token was sent that is not in the log".to_owned());
            }
        }
    }

    /// Delivers a push to every subscriber.
    fn tell(&mut self, subject: &str, payload: &[u8]) {
        let message = || ReceivedMessage { subject: subject.to_owned(), payload: payload.to_vec() };
        self.senders.retain(|sender| sender.send(message()) != Delivery::Closed);
    }

    /// Has one server handle a request; `None` if it does not answer.
    fn answer(&mut self, index: usize, subject: &str, payload: &[u8], by: By) -> Option<Vec<u8>> {
        let count = self.nodes.len();
        let node = self.nodes.get(index).filter(|node| !node.silent)?;
        let tokens: Vec<&str> = subject.split('.').collect();
        let data = match tokens.as_slice() {
            [.., "PING", "STATSZ"] => {
                let statsz = json!({ "active_servers": count });
                return Some(json!({ "server": stamp(node), "statsz": statsz }).to_string().into_bytes());
            }
            [.., "PING", "VARZ"] => self.varz(node),
            [.., "PING", "ACCOUNTZ"] => {
                let body: Value = serde_json::from_slice(payload).unwrap_or_default();
                match body["account"].as_str() {
                    None => json!({ "accounts": node.live.keys().collect::<Vec<_>>() }),
                    Some(id) => match node.live.get(id) {
                        Some(token) => json!({ "account_detail": detail(node, token) }),
                        None => return Some(refusal(node, &format!("Account {id} does not exist"))),
                    },
                }
            }
            [.., "PING", "SUBSZ"] => {
                let subject = "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP";
                json!({ "total": 1, "subscriptions_list": [{ "subject": subject }] })
            }
            [.., "PING", "CONNZ"] => json!({ "connections": [] }),
            [.., id, "CLAIMS", "LOOKUP"] => {
                let text = node.stored.get(*id).map(|token| token.text.as_bytes());
                return Some(text.unwrap_or_default().to_vec());
            }
            [.., "CLAIMS", "LIST"] => json!(node.stored.keys().collect::<Vec<_>>()),
            [.., "CLAIMS", "UPDATE"] => return Some(self.update(index, payload, by)),
            _ => return None,
        };
        Some(json!({ "server": stamp(node), "data": data }).to_string().into_bytes())
    }

    fn varz(&self, node: &Node) -> Value {
        json!({
            "server_name": node.name, "version": "2.15.1", "max_payload": 1_048_576,
            "gateway": { "name": node.cluster }, "system_account": self.system.to_string(),
            "jetstream": { "config": {} },
            "trusted_operators_claim": [{ "sub": self.operator.to_string(), "name": "OP", "nats": {} }],
        })
    }

    /// Stores a token on one server, as the `full` resolver does: before the server checks who signed it. The server
    /// applies it to an account that it has loaded.
    fn update(&mut self, index: usize, payload: &[u8], by: By) -> Vec<u8> {
        let Some(token) = self.read(&String::from_utf8_lossy(payload)) else {
            return refusal(&self.nodes[index], "jwt update resulted in error");
        };
        let id = token.id();
        if self.faults.disk_full {
            return refusal(&self.nodes[index], "jwt update resulted in error - no space left on device");
        }
        self.firsts.entry(id.clone()).or_insert_with(|| token.clone());
        let is_application = token.claims.id() == &self.account;
        let node = &mut self.nodes[index];
        node.stored.insert(id.clone(), token.clone());
        node.old &= !is_application;
        if node.live.contains_key(&id) && *token.claims.issuer() == self.operator {
            self.apply(index, token);
            self.audit(index, by);
        }
        let done = json!({ "account": id, "code": 200, "message": "jwt updated" });
        json!({ "server": stamp(&self.nodes[index]), "data": done }).to_string().into_bytes()
    }
}

fn stamp(node: &Node) -> Value {
    let Node { name, cluster, .. } = node;
    json!({ "name": name, "id": format!("N-{name}"), "cluster": cluster, "ver": "2.15.1" })
}

fn refusal(node: &Node, text: &str) -> Vec<u8> {
    let error = json!({ "code": 500, "description": text });
    json!({ "server": stamp(node), "error": error }).to_string().into_bytes()
}

/// An account as `ACCOUNTZ` describes it.
fn detail(node: &Node, token: &AccountToken) -> Value {
    let mappings = token.mappings.iter().map(|mapping| (mapping.source.clone(), in_force(mapping)));
    let mappings: Map<String, Value> = mappings.collect();
    let invalid = |import: &Import| {
        let Import { subject, local_subject, .. } = import;
        json!({ "subject": subject, "local_subject": local_subject, "invalid": true })
    };
    let broken: Vec<Value> = node.broken_imports(token).map(invalid).collect();
    json!({
        "jwt": token.text, "mappings": mappings, "complete": broken.is_empty(), "imports": broken, "expired": false,
    })
}

/// The destinations of a mapping, with the sums of their weights per cluster. The remaining weight goes to the source
/// (nats-server `server/accounts.go`, `AddWeightedMappings`).
fn in_force(mapping: &RawMapping) -> Value {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::from([("", 0)]);
    let mut all: Vec<Value> = Vec::new();
    for to in &mapping.destinations {
        let cluster = to.cluster.as_deref().unwrap_or_default();
        let sum = sums.entry(cluster).or_default();
        *sum += u64::from(to.weight);
        all.push(json!({ "subject": to.subject, "weight": *sum, "cluster": cluster }));
    }
    let itself = identity(&mapping.source);
    if mapping.destinations.iter().all(|to| to.subject != mapping.source) {
        let rest = sums.into_iter().filter(|(_, sum)| *sum < 100);
        all.extend(rest.map(|(cluster, _)| json!({ "subject": itself, "weight": 100, "cluster": cluster })));
    }
    all.into()
}

/// A source as a destination: `bar.$1` for `bar.*`.
fn identity(source: &str) -> String {
    let mut wildcards = 0;
    let token = |token: &str| match token {
        "*" => {
            wildcards += 1;
            format!("${wildcards}")
        }
        token => token.to_owned(),
    };
    source.split('.').map(token).collect::<Vec<_>>().join(".")
}
