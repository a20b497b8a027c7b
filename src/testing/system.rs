//! Answers of the servers to the system account, and pushes (nats-server 2.15 `server/events.go`,
//! `server/accounts.go`).

use super::audit::leads_nowhere;
use super::deployment::{InMemory, Node, State};
use crate::model::claims::{AccountClaims, Token};
use crate::model::mapping::RawMapping;
use crate::observed::link::{Heard, Told};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until};

/// Time that a request takes to the nearest servers. The way to others is up to three times as long.
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
    /// Another tool, whose push no run hears of.
    Unheard,
}

impl InMemory {
    /// Sends a request to all servers, which handle it whether or not its sender still waits. Returns their answers as
    /// they come; `None` if the subject has no subscriber.
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
            let way = |(place, node): (usize, &Node)| (NEAR * (1 + place as u32 % 3) + node.late, place);
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
            for (way, place) in order {
                sleep_until(sent + way).await;
                let answer = world.state().answer(place, &subject, &payload);
                if let Some(answer) = answer {
                    // The sender of the request may be gone.
                    let _ = sender.send(answer);
                }
            }
        });
        Some(receiver)
    }
}

impl State {
    /// Notes a push, and that a run logged its token before.
    fn notes_push(&mut self, payload: &[u8], by_run: bool) {
        self.pushes.by_anyone = Some(Instant::now());
        if by_run {
            let token = String::from_utf8_lossy(payload);
            if !self.logged.contains(token.as_ref()) {
                self.violations.push("a token was sent that is not in the log".to_owned());
            }
        }
    }

    /// Brings a push to everyone who listens.
    fn tell(&mut self, subject: &str, payload: &[u8]) {
        let heard = || Heard { subject: subject.to_owned(), payload: payload.to_vec() };
        self.voices.retain(|voice| voice.tell(heard()) != Told::Nobody);
    }

    /// Has one server handle a request; `None` if it does not answer.
    fn answer(&mut self, place: usize, subject: &str, payload: &[u8]) -> Option<Vec<u8>> {
        let count = self.nodes.len();
        let node = self.nodes.get(place).filter(|node| !node.silent)?;
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
                        Some(token) => json!({ "account_detail": detail(token) }),
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
                return Some(node.stored.get(*id).cloned().unwrap_or_default().into_bytes());
            }
            [.., "CLAIMS", "LIST"] => json!(node.stored.keys().collect::<Vec<_>>()),
            [.., "CLAIMS", "UPDATE"] => return Some(self.update(place, payload)),
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

    /// Stores a token on one server, as the `full` resolver does: before the server checks who signed it.
    fn update(&mut self, place: usize, payload: &[u8]) -> Vec<u8> {
        let token = String::from_utf8_lossy(payload).into_owned();
        let node = &mut self.nodes[place];
        let Ok(claims) = Token::decode(&token) else { return refusal(node, "jwt update resulted in error") };
        let id = claims.subject().to_string();
        if self.faults.disk_full {
            return refusal(node, "jwt update resulted in error - no space left on device");
        }
        node.stored.insert(id.clone(), token.clone());
        node.old = false;
        if node.live.contains_key(&id) && *claims.issuer() == self.operator {
            node.live.insert(id.clone(), token.clone());
            let streams = self.jetstreams.get(&id);
            let nowhere = streams.map(|streams| leads_nowhere(&token, streams)).unwrap_or_default();
            let says = |to: String| format!("{}: a mapping leads to {to}, and no stream is there", node.name);
            self.violations.extend(nowhere.into_iter().map(says));
        }
        let done = json!({ "account": id, "code": 200, "message": "jwt updated" });
        json!({ "server": stamp(node), "data": done }).to_string().into_bytes()
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
fn detail(token: &str) -> Value {
    let mappings = AccountClaims::decode(token).map(|claims| claims.mappings()).unwrap_or_default();
    let mappings: Map<String, Value> =
        mappings.into_iter().map(|mapping| (mapping.source.clone(), in_force(&mapping))).collect();
    json!({ "jwt": token, "mappings": mappings, "complete": true, "expired": false })
}

/// The destinations of a mapping, with the sums of their weights per cluster. What is left over goes to the source
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
