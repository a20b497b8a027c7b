//! Reads the servers of a deployment through the system account.
//!
//! Subjects and replies: nats-server 2.10.26 – 2.15.1, `server/events.go`, measured.

use super::collect::{AnswerProgress, Far};
use super::{ClockOffset, Deployment, Reply, RequestError, Requests, Server};
use crate::model::claims::OperatorClaims;
use crate::model::json;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The subjects on which a user of the system account must be allowed to publish for this.
pub const SUBJECTS: [&str; 2] = [STATSZ, VARZ];

/// The subject on which each server reports its state. The reply is small.
pub(crate) const STATSZ: &str = "$SYS.REQ.SERVER.PING.STATSZ";
/// The subject on which each server reports its settings, and more of its state.
const VARZ: &str = "$SYS.REQ.SERVER.PING.VARZ";

/// Requests every server's identity and state (`$SYS.REQ.SERVER.PING.STATSZ` and `.VARZ`, at once).
///
/// Any client in the system account may forge an answer, and the count of servers in it (`active_servers`). So this
/// function waits until all servers that the answers mention, by count and by name, have answered, and no other answer
/// comes for a moment.
///
/// # Errors
/// [`RequestError`]; [`RequestError::Permission`] or [`RequestError::NoResponders`] if the connection is not to the
/// system account, [`RequestError::TwoAnswers`] if two answers in one server's name differ.
pub async fn deployment(requests: &impl Requests, timeout: Duration) -> Result<Deployment, RequestError> {
    let asked = SystemTime::now();
    let seen = Mutex::new(Pings::default());
    let progress = AnswerProgress::new();
    let ask = async |kind: Ping| {
        let mut known = 0;
        let heard = |replies: &[Reply]| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.nobody |= replies.is_empty();
            for reply in &replies[known..] {
                seen.take(kind, reply, asked);
            }
            known = replies.len();
            if seen.nobody || seen.has_both() {
                progress.heard(seen.far());
            }
            seen.error.is_some()
        };
        requests.request_many(kind.subject(), Vec::new(), timeout, heard).await
    };
    tokio::select! {
        biased;
        both = futures::future::try_join(ask(Ping::Statsz), ask(Ping::Varz)) => { both?; }
        () = progress.ends() => {}
    }
    let mut pings = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = pings.error.take() {
        return Err(error);
    }
    if pings.ids(Ping::Varz).is_empty() {
        let subject = Ping::Varz.subject().to_owned();
        return Err(if pings.nobody { RequestError::NoResponders(subject) } else { RequestError::Timeout(subject) });
    }
    Ok(pings.deployment())
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Ping {
    Statsz,
    Varz,
}

impl Ping {
    fn subject(self) -> &'static str {
        match self {
            Self::Statsz => STATSZ,
            Self::Varz => VARZ,
        }
    }
}

/// Most values (numbers, strings, lists, …) in all answers together. A server's answers have some hundreds, and a meta
/// leader's have five more for each other server.
const MOST_VALUES: usize = 2_000_000;
/// Most servers that may answer.
const MOST_SERVERS: usize = 1024;

#[derive(Default)]
struct Pings {
    /// Digests of the answers, by request and server id.
    answers: HashMap<(Ping, String), Vec<u8>>,
    /// The number of values in the answers.
    values: usize,
    /// The servers that answered `VARZ`, and the largest count of active servers in an answer.
    found: Deployment,
    /// `true` if "no responders" came before any answer to one of the requests.
    nobody: bool,
    error: Option<RequestError>,
}

impl Pings {
    fn take(&mut self, kind: Ping, reply: &Reply, asked: SystemTime) {
        let Some(values) = json::count(&reply.payload) else { return };
        if self.values.saturating_add(values) > MOST_VALUES {
            return self.error = Some(RequestError::TooMuch(kind.subject().to_owned()));
        }
        let Ok(mut document) = serde_json::from_slice::<Value>(&reply.payload) else { return };
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let Some(id) = text("/server/id") else { return };
        let digest = ring::digest::digest(&ring::digest::SHA256, &reply.payload).as_ref().to_vec();
        if let Some(first) = self.answers.get(&(kind, id.clone())) {
            if *first != digest {
                let (subject, server) = (kind.subject().to_owned(), text("/server/name").unwrap_or(id));
                self.error = Some(RequestError::TwoAnswers { subject, server });
            }
            return;
        }
        self.values += values;
        self.answers.insert((kind, id.clone()), digest);
        if self.answers.len() > 2 * MOST_SERVERS {
            return self.error = Some(RequestError::TooMuch(kind.subject().to_owned()));
        }
        if kind == Ping::Statsz {
            let active = document.pointer("/statsz/active_servers").and_then(Value::as_u64).unwrap_or(0);
            self.found.expected = self.found.expected.max(usize::try_from(active).unwrap_or(usize::MAX));
        } else {
            let varz = document["data"].take();
            let clock = clock(&varz, asked, SystemTime::now());
            self.found.servers.extend(server(id, varz, clock));
        }
    }

    fn ids(&self, kind: Ping) -> HashSet<&str> {
        self.answers.keys().filter(|(of, _)| *of == kind).map(|(_, id)| id.as_str()).collect()
    }

    /// Checks whether some server has answered each of the two requests.
    fn has_both(&self) -> bool {
        [Ping::Statsz, Ping::Varz].into_iter().all(|kind| self.answers.keys().any(|(of, _)| *of == kind))
    }

    fn far(&self) -> Far {
        match self.answers.is_empty() {
            true => Far::NoneAnswered,
            false if self.is_complete() => Far::All,
            false => Far::Some,
        }
    }

    /// Checks whether all servers that the answers mention have answered both requests.
    fn is_complete(&self) -> bool {
        let answered = self.ids(Ping::Varz);
        self.found.expected > 0
            && answered.len() >= self.found.expected
            && self.ids(Ping::Statsz) == answered
            && self.found.known_missing() == 0
    }

    fn deployment(self) -> Deployment {
        let answered = self.ids(Ping::Statsz).union(&self.ids(Ping::Varz)).count();
        let Deployment { mut servers, expected } = self.found;
        servers.sort_by(|a, b| (&a.cluster, &a.name, &a.id).cmp(&(&b.cluster, &b.name, &b.id)));
        Deployment { servers, expected: expected.max(answered) }
    }
}

/// Returns the difference of a server's clock, from an answer to a request. `asked` is when the request was sent, and
/// `heard` when the answer came.
fn clock(varz: &Value, asked: SystemTime, heard: SystemTime) -> Option<ClockOffset> {
    let now = varz["now"].as_str()?.parse::<Timestamp>().ok()?.as_millisecond();
    let millis = |time: SystemTime| Timestamp::try_from(time).ok().map(Timestamp::as_millisecond);
    Some(ClockOffset { least: now - millis(heard)?, most: now - millis(asked)? })
}

fn server(id: String, varz: Value, clock: Option<ClockOffset>) -> Option<Server> {
    let text = |pointer: &str| varz.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some(Server {
        name: text("/server_name").or_else(|| text("/server_id"))?,
        // Without gateways, the name of the cluster itself counts.
        cluster: text("/gateway/name").or_else(|| text("/cluster/name")).unwrap_or_default(),
        version: text("/version").unwrap_or_default(),
        trusted_keys: trusted_keys(&varz),
        system_account: text("/system_account").unwrap_or_default(),
        max_payload: varz["max_payload"].as_u64().unwrap_or(0),
        domain: text("/jetstream/config/domain").filter(|domain| !domain.is_empty()),
        clock,
        id,
        varz,
        look_ups: super::LookUps::default(),
    })
}

fn trusted_keys(varz: &Value) -> Vec<String> {
    let operators = varz["trusted_operators_claim"].as_array().into_iter().flatten();
    let operators = operators.filter_map(|claims| OperatorClaims::from_claims(claims).ok());
    operators.flat_map(|operator| operator.trusted_keys()).map(|key| key.to_string()).collect()
}

#[cfg(test)]
mod tests;
