//! JetStream of each account: streams, their messages and consumers, by the subjects of the JetStream API (nats-server
//! 2.15 `server/jetstream_api.go`).

use super::deployment::{Faults, State};
use crate::desired::lease::{self, Note};
use crate::model::nkey::PublicKey;
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::{DEFAULT_PREFIX, code, first_sequence, origins};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Time in which the API says that an account that was just loaded for the first time has no JetStream.
const ENABLES: Duration = Duration::from_millis(500);
/// Time that a source takes to get in touch with its origin.
const CONNECTS: Duration = Duration::from_millis(300);
/// Nanoseconds since the last contact with a working origin or replica.
const HEARD: u64 = 100_000_000;
/// Nanoseconds since the last contact with an origin or replica that is down.
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
const NOT_ENABLED: Refusal = (503, code::NOT_ENABLED_FOR_ACCOUNT);
/// Insufficient storage resources.
const NO_STORAGE: Refusal = (500, 10_047);

/// The answer to one request.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(Value),
    /// The subject has no subscriber.
    Nobody,
    /// The server that should answer is down.
    Silence,
}

/// The servers' state that an account's streams depend on.
struct Servers {
    /// The servers' time.
    time: Timestamp,
    /// `true` if most servers are up, so that there is a meta leader.
    has_meta_leader: bool,
    /// The servers of each cluster, and `true` for those that are up.
    clusters: BTreeMap<String, Vec<(String, bool)>>,
    disk_full: bool,
    /// The origins that sources reach, by the names of the stream and of the origin.
    origins: BTreeMap<(String, String), Origin>,
}

/// The origin of a source.
struct Origin {
    created: Timestamp,
    /// `true` if it has a leader.
    led: bool,
}

/// The streams of one account, by name.
#[derive(Debug, Default)]
pub(super) struct JetStream {
    streams: BTreeMap<String, Stream>,
    /// The time when a server loaded the account for the first time; `None` if that is long ago.
    enabled: Option<Timestamp>,
}

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
    /// Answers a request of a client of an account.
    pub(super) fn request(&mut self, account: &PublicKey, subject: &str, payload: &[u8]) -> Answer {
        let Some((account, subject)) = self.follow(account, subject) else { return Answer::Nobody };
        match subject.strip_prefix(DEFAULT_PREFIX).and_then(|rest| rest.strip_prefix('.')) {
            Some(operation) => self.jetstream(&account, operation, payload),
            None => Answer::Nobody,
        }
    }

    /// Publishes a client's message to the stream that captures it, if the last message there on the subject has the
    /// sequence `last`.
    pub(super) fn publish(&mut self, account: &PublicKey, subject: &str, last: u64, payload: Vec<u8>) -> Answer {
        let Some((account, subject)) = self.follow(account, subject) else { return Answer::Nobody };
        if self.faults.lease_silent && subject == lease::SUBJECT {
            return Answer::Silence;
        }
        let servers = self.servers(&account);
        let jetstream = self.jetstreams.get_mut(&account);
        jetstream.map_or(Answer::Nobody, |jetstream| jetstream.publish(&servers, &subject, last, payload))
    }

    /// Returns the account in which a client's message ends, and its subject there.
    fn follow(&mut self, account: &PublicKey, subject: &str) -> Option<(String, String)> {
        let (place, account) = (self.place_of_clients(), account.to_string());
        self.load(place, &account);
        self.nodes[place].follow(&account, subject)
    }

    /// Answers a request to the JetStream API of an account, and checks that no mapping in force leads to a stream that
    /// it deletes.
    fn jetstream(&mut self, account: &str, operation: &str, payload: &[u8]) -> Answer {
        let servers = self.servers(account);
        let Some(jetstream) = self.jetstreams.get_mut(account) else { return Answer::Nobody };
        let answer = jetstream.answer(&servers, operation, &serde_json::from_slice(payload).unwrap_or_default());
        if operation.starts_with("STREAM.DELETE.") {
            let in_force = self.nodes.iter().filter(|node| !node.old);
            let in_force = in_force.flat_map(|node| node.live.values().map(move |token| (node, token)));
            let nowhere = in_force.flat_map(|(node, token)| self.leads_nowhere(node, token));
            let says = |to: String| format!("{operation}: a mapping leads to {to}, and no stream is there any more");
            let violations: Vec<String> = nowhere.map(says).collect();
            self.violations.extend(violations);
        }
        answer
    }

    /// Returns what the streams of an account depend on.
    fn servers(&self, account: &str) -> Servers {
        let mut clusters: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
        for node in &self.nodes {
            clusters.entry(node.cluster.clone()).or_default().push((node.name.clone(), !node.silent));
        }
        let there = self.nodes.iter().filter(|node| !node.silent).count();
        let (time, Faults { disk_full, sources_stuck, .. }) = (self.time(), self.faults);
        let has_meta_leader = 2 * there > self.nodes.len();
        let mut servers = Servers { time, has_meta_leader, clusters, disk_full, origins: BTreeMap::new() };
        if !sources_stuck {
            servers.origins = self.origins(account, &servers);
        }
        servers
    }

    /// Returns the origins that the sources of an account's streams reach.
    fn origins(&self, account: &str, servers: &Servers) -> BTreeMap<(String, String), Origin> {
        let mut reached = BTreeMap::new();
        for (name, stream) in self.jetstreams.get(account).into_iter().flat_map(|jetstream| &jetstream.streams) {
            let leader = servers.leader_of(stream);
            let Some(node) = self.nodes.iter().find(|node| leader == Some(node.name.as_str())) else { continue };
            for source in origins(&stream.config) {
                let streams = node.origin_of(account, source).and_then(|id| self.jetstreams.get(&id));
                let origin = source["name"].as_str().unwrap_or_default();
                let Some(found) = streams.and_then(|jetstream| jetstream.streams.get(origin)) else { continue };
                let led = servers.leader_of(found).is_some();
                reached.insert((name.clone(), origin.to_owned()), Origin { created: found.created, led });
            }
        }
        reached
    }
}

impl Servers {
    /// The cluster of a stream: that of its placement, or the first.
    fn cluster_of(&self, stream: &Stream) -> (String, &[(String, bool)]) {
        let placed = stream.config.get("placement").and_then(|placement| placement["cluster"].as_str());
        let name = placed.or(self.clusters.keys().next().map(String::as_str)).unwrap_or_default();
        (name.to_owned(), self.clusters.get(name).map(Vec::as_slice).unwrap_or_default())
    }

    /// The server that leads a stream, if most of its servers are up.
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
    /// Returns the JetStream of an account that a server loads for the first time.
    pub(super) fn enabled_at(time: Timestamp) -> Self {
        Self { enabled: Some(time), ..Self::default() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.streams.keys().map(String::as_str)
    }

    pub(super) fn config(&self, name: &str) -> Option<&Map<String, Value>> {
        self.streams.get(name).map(|stream| &stream.config)
    }

    pub(super) fn has_consumer(&self, stream: &str, name: &str) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.consumers.contains_key(name))
    }

    /// Checks whether a stream captures all of a subject filter.
    pub(super) fn captures(&self, filter: &SubjectFilter) -> bool {
        self.streams.values().flat_map(Stream::subjects).any(|subject| subject.covers(filter))
    }

    /// Replaces the lease with the note of another run, if its stream exists.
    pub(super) fn steal_lease(&mut self, time: Timestamp) {
        let Some(stream) = self.streams.get_mut(lease::STREAM) else { return };
        let text = str::to_owned;
        let (id, holder, verb, tool) = (text("theirs"), text("other@host"), text("apply"), text("vstream-jwt"));
        let note = Note { id, holder, verb, tool, since: time.to_string(), released: false };
        stream.store(lease::SUBJECT, serde_json::to_vec(&note).unwrap(), time);
    }

    fn answer(&mut self, servers: &Servers, operation: &str, body: &Value) -> Answer {
        if self.enabled.is_some_and(|enabled| servers.time < enabled + ENABLES) {
            return reply(Err(NOT_ENABLED));
        }
        self.streams.values_mut().for_each(|stream| stream.expire(servers.time));
        let tokens: Vec<&str> = operation.split('.').collect();
        match tokens.as_slice() {
            ["STREAM", "INFO", name] => self.led(servers, name, |stream| Ok(stream.info(servers))),
            ["STREAM", "MSG", "GET", name] => self.led(servers, name, |stream| stream.message(body)),
            ["CONSUMER", "INFO", name, consumer] => self.led(servers, name, |stream| {
                let config = stream.consumers.get(*consumer).ok_or(NO_CONSUMER)?;
                Ok(consumer_info(servers, stream, config))
            }),
            ["CONSUMER", "LIST", name] => self.led(servers, name, |stream| {
                let all = stream.consumers.values().map(|config| consumer_info(servers, stream, config));
                Ok(json!({ "total": stream.consumers.len(), "consumers": all.collect::<Vec<_>>() }))
            }),
            _ if !servers.has_meta_leader => reply(Err(NO_META_LEADER)),
            ["INFO"] => {
                let count = self.streams.len();
                reply(Ok(json!({ "memory": 0, "storage": 0, "streams": count, "consumers": 0 })))
            }
            ["STREAM", "LIST"] => reply(Ok(self.list(servers, body))),
            ["STREAM", "NAMES"] => {
                let names: Vec<&str> = self.names().collect();
                reply(Ok(json!({ "total": names.len(), "streams": names })))
            }
            ["STREAM", "CREATE", name] => reply(self.create(servers, name, body)),
            ["STREAM", "UPDATE", name] => reply(self.update(servers, name, body)),
            ["STREAM", "DELETE", name] => {
                let gone = self.streams.remove(*name).ok_or(NO_STREAM);
                reply(gone.map(|_| json!({ "success": true })))
            }
            ["CONSUMER", "CREATE", stream, name] => reply(self.create_consumer(servers, stream, name, body)),
            _ => Answer::Nobody,
        }
    }

    /// Has the leader of a stream answer.
    fn led(&self, servers: &Servers, name: &str, answer: impl FnOnce(&Stream) -> ApiResult) -> Answer {
        match self.streams.get(name) {
            None => reply(Err(NO_STREAM)),
            Some(stream) if servers.leader_of(stream).is_none() => Answer::Silence,
            Some(stream) => reply(answer(stream)),
        }
    }

    fn list(&self, servers: &Servers, body: &Value) -> Value {
        let wanted = body["subject"].as_str().and_then(|subject| SubjectFilter::parse(subject).ok());
        let listed = |stream: &&Stream| {
            let captured = |wanted: &SubjectFilter| stream.subjects().any(|subject| subject.overlaps(wanted));
            wanted.as_ref().is_none_or(captured)
        };
        let (led, missing): (Vec<&Stream>, Vec<&Stream>) =
            self.streams.values().filter(listed).partition(|stream| servers.leader_of(stream).is_some());
        let missing: Vec<&Value> = missing.into_iter().filter_map(|stream| stream.config.get("name")).collect();
        // Everything is on one page.
        let first = body["offset"].as_u64().unwrap_or(0) == 0;
        let infos: Vec<Value> = led.into_iter().filter(|_| first).map(|stream| stream.info(servers)).collect();
        json!({ "total": infos.len() + missing.len(), "offset": 0, "limit": 256, "streams": infos, "missing": missing })
    }

    fn create(&mut self, servers: &Servers, name: &str, body: &Value) -> ApiResult {
        let config = body.as_object().cloned().unwrap_or_default();
        if let Some(stream) = self.streams.get(name) {
            let same = stream.config == config;
            return if same { Ok(stream.info(servers)) } else { Err(NAME_IN_USE) };
        }
        if servers.disk_full {
            return Err(NO_STORAGE);
        }
        let last_sequence = first_sequence(&config).map_or(0, |first| first.saturating_sub(1));
        let (created, consumers) = (servers.time, BTreeMap::new());
        let stream = Stream { config, created, messages: Vec::new(), last_sequence, consumers };
        let others = || self.streams.values().flat_map(Stream::subjects);
        if stream.subjects().any(|own| others().any(|other| other.overlaps(&own))) {
            return Err(OVERLAP);
        }
        let mut info = stream.info(servers);
        info["did_create"] = true.into();
        self.streams.insert(name.to_owned(), stream);
        Ok(info)
    }

    fn update(&mut self, servers: &Servers, name: &str, body: &Value) -> ApiResult {
        let stream = self.streams.get_mut(name).ok_or(NO_STREAM)?;
        stream.config = body.as_object().cloned().unwrap_or_default();
        Ok(stream.info(servers))
    }

    fn create_consumer(&mut self, servers: &Servers, stream: &str, name: &str, body: &Value) -> ApiResult {
        let stream = self.streams.get_mut(stream).ok_or(NO_STREAM)?;
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
        let captures = |stream: &&mut Stream| stream.subjects().any(|own| own.covers(&filter));
        let Some(stream) = self.streams.values_mut().find(captures) else { return Answer::Nobody };
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
    fn info(&self, servers: &Servers) -> Value {
        let source = |config: &Value| self.source(servers, config);
        let of_mirror = self.config.get("mirror").filter(|mirror| mirror.is_object());
        let sources = origins(&self.config).filter(|_| of_mirror.is_none()).map(source);
        let mut info = json!({
            "config": self.config, "created": self.created.to_string(), "state": self.state(),
            "cluster": servers.placement(self), "sources": sources.collect::<Vec<_>>(),
            "ts": servers.time.to_string(),
        });
        if let Some(mirror) = of_mirror {
            info["mirror"] = source(mirror);
        }
        info
    }

    /// The state of a source. One that does not reach its origin was never in touch with it.
    fn source(&self, servers: &Servers, config: &Value) -> Value {
        let mut state = json!({ "name": config["name"], "lag": 0 });
        let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (self.config.get("name").map(name).unwrap_or_default(), name(&config["name"]));
        if let Some(origin) = servers.origins.get(&key)
            && servers.time >= self.created.max(origin.created) + CONNECTS
        {
            let nanoseconds = if origin.led { HEARD } else { AWAY };
            state["active"] = nanoseconds.into();
        }
        state
    }

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

    fn message(&self, body: &Value) -> ApiResult {
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
type ApiResult = Result<Value, Refusal>;

fn reply(told: ApiResult) -> Answer {
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
