//! JetStream of one account: streams, their messages and consumers, by the subjects of the JetStream API (nats-server
//! 2.15 `server/jetstream_api.go`).

use super::deployment::{Faults, State};
use crate::desired::lease::{self, Note};
use crate::model::nkey::PublicKey;
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::{code, origins};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Time that a source takes to get in touch with its origin.
const CONNECTS: Duration = Duration::from_millis(300);
/// Nanoseconds since the last contact with an origin or a replica that works.
const HEARD: u64 = 100_000_000;
/// Nanoseconds since the last contact with one that is away.
const AWAY: u64 = 20_000_000_000;

/// The code and the number of an error.
type Refusal = (u64, u64);

const NO_STREAM: Refusal = (404, code::STREAM_NOT_FOUND);
const NO_CONSUMER: Refusal = (404, code::CONSUMER_NOT_FOUND);
const NO_MESSAGE: Refusal = (404, code::NO_MESSAGE);
const NAME_IN_USE: Refusal = (400, code::STREAM_NAME_IN_USE);
const OTHER_CONSUMER: Refusal = (400, code::CONSUMER_EXISTS);
const OVERLAP: Refusal = (400, code::SUBJECTS_OVERLAP);
const WRONG_LAST: Refusal = (400, code::WRONG_LAST_SEQUENCE);
const NO_META_LEADER: Refusal = (503, code::NOT_AVAILABLE);
/// Insufficient storage resources.
const NO_STORAGE: Refusal = (500, 10_047);

/// The answer to one request.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(Value),
    /// The subject has no subscriber.
    Nobody,
    /// The server that would answer is away.
    Silence,
}

/// What an account's streams depend on.
struct Servers {
    /// The servers' time.
    time: Timestamp,
    /// `true` if most servers are there, and so a meta leader.
    has_meta_leader: bool,
    /// The servers of each cluster, and `true` for those that are there.
    clusters: BTreeMap<String, Vec<(String, bool)>>,
    disk_full: bool,
    sources_stuck: bool,
}

/// The streams of one account, by name.
#[derive(Debug, Default)]
pub(super) struct JetStream(BTreeMap<String, Stream>);

#[derive(Debug)]
struct Stream {
    config: Map<String, Value>,
    created: Timestamp,
    messages: Vec<Message>,
    last_sequence: u64,
    consumers: BTreeMap<String, Map<String, Value>>,
}

#[derive(Debug)]
struct Message {
    sequence: u64,
    subject: String,
    payload: Vec<u8>,
    time: Timestamp,
}

impl State {
    /// Answers a request to the JetStream API of an account, and checks that no mapping in force leads to a stream that
    /// it deletes.
    pub(super) fn jetstream(&mut self, account: &PublicKey, operation: &str, payload: &[u8]) -> Answer {
        let (servers, id) = (self.servers(), account.to_string());
        let Some(jetstream) = self.jetstreams.get_mut(&id) else { return Answer::Nobody };
        let answer = jetstream.answer(&servers, operation, &serde_json::from_slice(payload).unwrap_or_default());
        if operation.starts_with("STREAM.DELETE.") {
            let in_force = self.nodes.iter().filter(|node| !node.old).filter_map(|node| node.live.get(&id));
            let nowhere = in_force.flat_map(|token| super::audit::leads_nowhere(token, jetstream));
            let says = |to: String| format!("{operation}: a mapping leads to {to}, and no stream is there any more");
            self.violations.extend(nowhere.map(says));
        }
        answer
    }

    /// Publishes to the stream that captures a subject, if its last message on the subject has the sequence `last`.
    pub(super) fn publish(&mut self, account: &PublicKey, subject: &str, last: u64, payload: Vec<u8>) -> Answer {
        let servers = self.servers();
        if self.faults.lease_silent && subject == lease::SUBJECT {
            return Answer::Silence;
        }
        let jetstream = self.jetstreams.get_mut(&account.to_string());
        jetstream.map_or(Answer::Nobody, |jetstream| jetstream.publish(&servers, subject, last, payload))
    }

    fn servers(&self) -> Servers {
        let mut clusters: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
        for node in &self.nodes {
            clusters.entry(node.cluster.clone()).or_default().push((node.name.clone(), !node.silent));
        }
        let there = self.nodes.iter().filter(|node| !node.silent).count();
        let (time, Faults { disk_full, sources_stuck, .. }) = (self.time(), self.faults);
        Servers { time, has_meta_leader: 2 * there > self.nodes.len(), clusters, disk_full, sources_stuck }
    }
}

impl Servers {
    /// The cluster of a stream: the one of its placement, or the first.
    fn cluster_of(&self, stream: &Stream) -> (String, &[(String, bool)]) {
        let placed = stream.config.get("placement").and_then(|placement| placement["cluster"].as_str());
        let name = placed.or(self.clusters.keys().next().map(String::as_str)).unwrap_or_default();
        (name.to_owned(), self.clusters.get(name).map(Vec::as_slice).unwrap_or_default())
    }

    /// The server that leads a stream, if most of its servers are there.
    fn leader_of(&self, stream: &Stream) -> Option<&str> {
        let (_, servers) = self.cluster_of(stream);
        let mut there = servers.iter().filter(|(_, there)| *there);
        let most = 2 * there.clone().count() > servers.len();
        there.next().filter(|_| most).map(|(name, _)| name.as_str())
    }

    fn placement(&self, stream: &Stream) -> Value {
        let (cluster, servers) = self.cluster_of(stream);
        let leader = self.leader_of(stream).unwrap_or_default();
        let followers = servers.iter().filter(|(name, _)| name != leader);
        let replica = |(name, there): &(String, bool)| json!({ "name": name, "current": there, "active": if *there { HEARD } else { AWAY } });
        json!({ "name": cluster, "leader": leader, "replicas": followers.map(replica).collect::<Vec<_>>() })
    }
}

impl JetStream {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn config(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).map(|stream| &stream.config)
    }

    pub(super) fn has_consumer(&self, stream: &str, name: &str) -> bool {
        self.0.get(stream).is_some_and(|stream| stream.consumers.contains_key(name))
    }

    /// Checks if a stream captures all of a subject filter.
    pub(super) fn captures(&self, filter: &SubjectFilter) -> bool {
        self.0.values().flat_map(Stream::subjects).any(|subject| subject.covers(filter))
    }

    /// Puts the note of another run in place of the lease, if there is a stream for it.
    pub(super) fn steal_lease(&mut self, time: Timestamp) {
        let Some(stream) = self.0.get_mut(lease::STREAM) else { return };
        let text = str::to_owned;
        let (id, holder, verb, tool) = (text("theirs"), text("other@host"), text("apply"), text("vstream-jwt"));
        let note = Note { id, holder, verb, tool, since: time.to_string(), released: false };
        stream.store(lease::SUBJECT, serde_json::to_vec(&note).unwrap(), time);
    }

    fn answer(&mut self, servers: &Servers, operation: &str, body: &Value) -> Answer {
        self.0.values_mut().for_each(|stream| stream.expire(servers.time));
        let tokens: Vec<&str> = operation.split('.').collect();
        match tokens.as_slice() {
            ["STREAM", "INFO", name] => self.led(servers, name, |all, stream| Ok(all.info(servers, stream))),
            ["STREAM", "MSG", "GET", name] => self.led(servers, name, |_, stream| stream.message(body)),
            ["CONSUMER", "INFO", name, consumer] => self.led(servers, name, |_, stream| {
                let config = stream.consumers.get(*consumer).ok_or(NO_CONSUMER)?;
                Ok(consumer_info(servers, stream, config))
            }),
            ["CONSUMER", "LIST", name] => self.led(servers, name, |_, stream| {
                let all = stream.consumers.values().map(|config| consumer_info(servers, stream, config));
                Ok(json!({ "total": stream.consumers.len(), "consumers": all.collect::<Vec<_>>() }))
            }),
            _ if !servers.has_meta_leader => reply(Err(NO_META_LEADER)),
            ["INFO"] => reply(Ok(json!({ "memory": 0, "storage": 0, "streams": self.0.len(), "consumers": 0 }))),
            ["STREAM", "LIST"] => reply(Ok(self.list(servers, body))),
            ["STREAM", "NAMES"] => {
                let names: Vec<&str> = self.names().collect();
                reply(Ok(json!({ "total": names.len(), "streams": names })))
            }
            ["STREAM", "CREATE", name] => reply(self.create(servers, name, body)),
            ["STREAM", "UPDATE", name] => reply(self.update(servers, name, body)),
            ["STREAM", "DELETE", name] => {
                let gone = self.0.remove(*name).ok_or(NO_STREAM);
                reply(gone.map(|_| json!({ "success": true })))
            }
            ["CONSUMER", "CREATE", stream, name] => reply(self.create_consumer(servers, stream, name, body)),
            _ => Answer::Nobody,
        }
    }

    /// Has the leader of a stream answer.
    fn led(&self, servers: &Servers, name: &str, answer: impl FnOnce(&Self, &Stream) -> Told) -> Answer {
        match self.0.get(name) {
            None => reply(Err(NO_STREAM)),
            Some(stream) if servers.leader_of(stream).is_none() => Answer::Silence,
            Some(stream) => reply(answer(self, stream)),
        }
    }

    fn list(&self, servers: &Servers, body: &Value) -> Value {
        let wanted = body["subject"].as_str().and_then(|subject| SubjectFilter::parse(subject).ok());
        let listed = |stream: &&Stream| {
            let captured = |wanted: &SubjectFilter| stream.subjects().any(|subject| subject.overlaps(wanted));
            wanted.as_ref().is_none_or(captured)
        };
        let (led, missing): (Vec<&Stream>, Vec<&Stream>) =
            self.0.values().filter(listed).partition(|stream| servers.leader_of(stream).is_some());
        let missing: Vec<&Value> = missing.into_iter().filter_map(|stream| stream.config.get("name")).collect();
        // All of it is one page.
        let first = body["offset"].as_u64().unwrap_or(0) == 0;
        let infos: Vec<Value> = led.into_iter().filter(|_| first).map(|stream| self.info(servers, stream)).collect();
        json!({ "total": infos.len() + missing.len(), "offset": 0, "limit": 256, "streams": infos, "missing": missing })
    }

    fn info(&self, servers: &Servers, stream: &Stream) -> Value {
        let source = |config: &Value| self.source(servers, stream, config);
        let of_mirror = stream.config.get("mirror").filter(|mirror| mirror.is_object());
        let sources = origins(&stream.config).filter(|_| of_mirror.is_none()).map(source);
        let mut info = json!({
            "config": stream.config, "created": stream.created.to_string(), "state": stream.state(),
            "cluster": servers.placement(stream), "sources": sources.collect::<Vec<_>>(),
            "ts": servers.time.to_string(),
        });
        if let Some(mirror) = of_mirror {
            info["mirror"] = source(mirror);
        }
        info
    }

    /// The state of a source. One whose origin is missing was never in touch with it.
    fn source(&self, servers: &Servers, reader: &Stream, config: &Value) -> Value {
        let mut state = json!({ "name": config["name"], "lag": 0 });
        let Some(origin) = config["name"].as_str().and_then(|name| self.0.get(name)) else { return state };
        if !servers.sources_stuck && servers.time >= reader.created.max(origin.created) + CONNECTS {
            let nanoseconds = if servers.leader_of(origin).is_some() { HEARD } else { AWAY };
            state["active"] = nanoseconds.into();
        }
        state
    }

    fn create(&mut self, servers: &Servers, name: &str, body: &Value) -> Told {
        let config = body.as_object().cloned().unwrap_or_default();
        if let Some(stream) = self.0.get(name) {
            let same = stream.config == config;
            return if same { Ok(self.info(servers, stream)) } else { Err(NAME_IN_USE) };
        }
        if servers.disk_full {
            return Err(NO_STORAGE);
        }
        let consumers = BTreeMap::new();
        let stream = Stream { config, created: servers.time, messages: Vec::new(), last_sequence: 0, consumers };
        let taken = |own: SubjectFilter| self.0.values().flat_map(Stream::subjects).any(|other| other.overlaps(&own));
        if stream.subjects().any(taken) {
            return Err(OVERLAP);
        }
        let mut info = self.info(servers, &stream);
        info["did_create"] = true.into();
        self.0.insert(name.to_owned(), stream);
        Ok(info)
    }

    fn update(&mut self, servers: &Servers, name: &str, body: &Value) -> Told {
        let stream = self.0.get_mut(name).ok_or(NO_STREAM)?;
        stream.config = body.as_object().cloned().unwrap_or_default();
        self.0.get(name).map(|stream| self.info(servers, stream)).ok_or(NO_STREAM)
    }

    fn create_consumer(&mut self, servers: &Servers, stream: &str, name: &str, body: &Value) -> Told {
        let stream = self.0.get_mut(stream).ok_or(NO_STREAM)?;
        let config = body["config"].as_object().cloned().unwrap_or_default();
        if body["action"] == "create" && stream.consumers.get(name).is_some_and(|found| *found != config) {
            return Err(OTHER_CONSUMER);
        }
        if servers.disk_full {
            return Err(NO_STORAGE);
        }
        stream.consumers.insert(name.to_owned(), config.clone());
        Ok(consumer_info(servers, stream, &config))
    }

    fn publish(&mut self, servers: &Servers, subject: &str, last: u64, payload: Vec<u8>) -> Answer {
        let Ok(filter) = SubjectFilter::parse(subject) else { return Answer::Nobody };
        let mut capturing = self.0.values_mut().filter(|stream| stream.subjects().any(|own| own.covers(&filter)));
        let Some(stream) = capturing.next() else { return Answer::Nobody };
        if servers.leader_of(stream).is_none() {
            return Answer::Silence;
        }
        stream.expire(servers.time);
        let newest = stream.messages.iter().rev().find(|message| message.subject == subject);
        if newest.map_or(0, |message| message.sequence) != last {
            return reply(Err(WRONG_LAST));
        }
        stream.store(subject, payload, servers.time);
        reply(Ok(json!({ "stream": stream.config.get("name"), "seq": stream.last_sequence })))
    }
}

impl Stream {
    fn subjects(&self) -> impl Iterator<Item = SubjectFilter> {
        let subjects = self.config.get("subjects").and_then(Value::as_array).into_iter().flatten();
        subjects.filter_map(|subject| SubjectFilter::parse(subject.as_str()?).ok())
    }

    fn store(&mut self, subject: &str, payload: Vec<u8>, time: Timestamp) {
        self.last_sequence += 1;
        self.messages.push(Message { sequence: self.last_sequence, subject: subject.to_owned(), payload, time });
        let most = self.config.get("max_msgs").and_then(Value::as_u64).filter(|most| *most > 0);
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        self.messages.drain(..self.messages.len().saturating_sub(most));
    }

    fn expire(&mut self, time: Timestamp) {
        let age = self.config.get("max_age").and_then(Value::as_u64).filter(|age| *age > 0);
        let Some(age) = age else { return };
        self.messages.retain(|message| time.duration_since(message.time).as_nanos() < i128::from(age));
    }

    fn message(&self, body: &Value) -> Told {
        let found = match (body["last_by_subj"].as_str(), body["seq"].as_u64()) {
            (Some(subject), _) => self.messages.iter().rev().find(|message| message.subject == subject),
            (None, Some(sequence)) if body["next_by_subj"].is_string() => {
                self.messages.iter().find(|message| message.sequence >= sequence)
            }
            (None, Some(sequence)) => self.messages.iter().find(|message| message.sequence == sequence),
            (None, None) => None,
        };
        let Message { sequence, subject, payload, time } = found.ok_or(NO_MESSAGE)?;
        let message =
            json!({ "subject": subject, "seq": sequence, "data": B64.encode(payload), "time": time.to_string() });
        Ok(json!({ "message": message }))
    }

    fn state(&self) -> Value {
        let time = |message: Option<&Message>| message.map(|message| message.time.to_string()).unwrap_or_default();
        let (first, last) = (self.messages.first(), self.messages.last());
        let after_last = if self.last_sequence == 0 { 0 } else { self.last_sequence + 1 };
        json!({
            "messages": self.messages.len(),
            "bytes": self.messages.iter().map(|message| message.payload.len()).sum::<usize>(),
            "first_seq": first.map_or(after_last, |message| message.sequence), "first_ts": time(first),
            "last_seq": self.last_sequence, "last_ts": time(last),
            "consumer_count": self.consumers.len(),
        })
    }
}

/// A reply, or an error.
type Told = Result<Value, Refusal>;

fn reply(told: Told) -> Answer {
    Answer::Reply(told.unwrap_or_else(|(code, number)| {
        json!({ "error": { "code": code, "err_code": number, "description": format!("error {number}") } })
    }))
}

fn consumer_info(servers: &Servers, stream: &Stream, config: &Map<String, Value>) -> Value {
    json!({
        "stream_name": stream.config.get("name"), "name": config.get("name"), "config": config,
        "created": stream.created.to_string(), "cluster": servers.placement(stream),
        "num_pending": 0, "num_ack_pending": 0,
    })
}
