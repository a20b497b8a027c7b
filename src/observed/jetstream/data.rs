//! Streams and consumers as the servers describe them.

use super::api::ApiError;
use super::gaps::SourceGaps;
use crate::desired::{Role, lease, metadata};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// JetStream of one account: limits, streams, and the consumers that were asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ObservedJetStream {
    /// The reply of `$JS.API.INFO`. It has an `error` if JetStream is not enabled for the account.
    pub info: Value,
    /// All streams of the account, sorted by name.
    pub streams: Vec<ObservedStream>,
    /// For a regional account, the write and home streams of the application's account, sorted by name. The regional
    /// account's streams source or mirror them.
    pub origins: Vec<ObservedStream>,
    /// For a regional account that did not answer completely, the read streams in the other regions.
    pub siblings: Vec<ObservedStream>,
    /// Streams that exist but could not be described.
    pub unknown_streams: Vec<Unknown>,
    /// The consumers of interest.
    pub consumers: Vec<ObservedConsumer>,
    /// Consumers of interest that could not be read; their absence from `consumers` means nothing.
    pub unknown_consumers: Vec<Unknown>,
    /// The next message at the origin, for each source that lags.
    pub waiting: Vec<Waiting>,
    /// The arrivals and gaps of streams in which messages seem to be missing, as their messages show them.
    pub source_gaps: Vec<SourceGaps>,
    /// Subjects of needed messages on which the user may not publish.
    pub not_permitted: Vec<String>,
}

impl ObservedJetStream {
    /// Checks whether the account has JetStream.
    pub fn enabled(&self) -> bool {
        ApiError::of(&self.info).is_none()
    }

    /// Returns a stream by its real name.
    pub fn stream(&self, name: &str) -> Option<&ObservedStream> {
        let index = self.streams.binary_search_by(|s| s.name.as_str().cmp(name)).ok()?;
        Some(&self.streams[index])
    }

    /// Returns a stream of the application's account or of this account that streams of this account source or mirror.
    /// A bucket's mirror has the same name as its origin.
    pub fn origin(&self, name: &str) -> Option<&ObservedStream> {
        let outside = self.origins.binary_search_by(|s| s.name.as_str().cmp(name)).ok();
        outside.map(|index| &self.origins[index]).or_else(|| self.stream(name))
    }

    /// Returns a consumer by stream and name.
    pub fn consumer(&self, stream: &str, name: &str) -> Option<&ObservedConsumer> {
        self.consumers.iter().find(|c| c.stream == stream && c.name == name)
    }

    /// Returns the arrivals and gaps that a stream's messages show, if they were read.
    pub fn source_gaps(&self, stream: &str) -> Option<&SourceGaps> {
        self.source_gaps.iter().find(|source_gaps| source_gaps.stream == stream)
    }

    /// Returns the origin's last sequence that arrived in `stream`, if it can be known. Newer servers report it.
    /// Otherwise the stream's messages show it, if they were read. If they were not, it follows from the lag, provided
    /// that the source was heard from just now.
    pub fn got(&self, stream: &ObservedStream, source: &SourceState) -> Option<u64> {
        Some(self.last_got(stream, source)?.max(self.before_first(&source.name).unwrap_or(0)))
    }

    /// Returns the sequence before an origin's first possible one. It is 0, unless the origin was recreated to start
    /// after the messages that readers had read. Returns `None` if the origin cannot be read.
    pub(super) fn before_first(&self, origin: &str) -> Option<u64> {
        self.origin(origin).map(|origin| origin.first_possible() - 1)
    }

    fn last_got(&self, stream: &ObservedStream, source: &SourceState) -> Option<u64> {
        // A mirror has its origin's sequences.
        if stream.is_mirror() {
            return Some(stream.state.last_seq);
        }
        let seen = || self.source_gaps(&stream.name)?.last.get(&source.name).copied();
        if let Some(got) = source.seq.or_else(seen) {
            return Some(got);
        }
        let origin = self.origin(&source.name).filter(|origin| !origin.offline)?;
        let heard = origin.state.last_seq == 0 || source.active? < SILENCE;
        heard.then(|| origin.state.last_seq.saturating_sub(source.lag))
    }

    /// Checks whether `stream` has read beyond the last sequence of a source's origin. Then the origin was recreated,
    /// or restored from an older copy, and its messages are skipped until it has caught up. Newer servers report this,
    /// and their sources recover. A mirror has its origin's sequences.
    ///
    /// Under traffic, a reader seems to be ahead of an origin whose state was read a moment earlier. So the result is
    /// `false` for a source that was heard from just now, and for a mirror whose origin has just stored a message.
    pub fn is_anew(&self, stream: &ObservedStream, source: &SourceState) -> bool {
        // Without a leader, a follower answers, which may lack messages.
        let Some(origin) = self.origin(&source.name).filter(|o| !o.offline && !o.cluster.is_leaderless()) else {
            return false;
        };
        if stream.is_mirror() {
            let ahead = stream.state.last_seq > origin.state.last_seq;
            return ahead && (origin.is_quiet() || origin.is_younger_than_last_of(stream));
        }
        let heard = source.active.is_some_and(|ns| ns < HEARD);
        !heard && source.seq.is_some_and(|seq| seq > origin.state.last_seq)
    }

    /// Resets the last contact of sources whose origin was recreated after it: the contact was with a former origin of
    /// the same name.
    pub fn forget_former_origins(&mut self) {
        // Each duration uses the clock of one server, because clocks may differ.
        let former = |stream: &ObservedStream, source: &SourceState| -> Option<bool> {
            let origin = self.origin(&source.name)?;
            let old = in_seconds(&origin.ts)?.saturating_sub(origin.created?);
            Some(stream.created? < origin.created? && source.active?.div_ceil(1_000_000_000) > old)
        };
        let mut places = Vec::new();
        for (index, stream) in self.streams.iter().enumerate() {
            let former = |source: &SourceState| former(stream, source) == Some(true);
            let sources = stream.sources.iter().enumerate().filter(|(_, source)| former(source));
            places.extend(sources.map(|(source, _)| (index, source)));
        }
        for (stream, source) in places {
            self.streams[stream].sources[source].active = None;
        }
    }

    /// Returns why a stream could not be read, if it exists.
    pub fn unknown_stream(&self, name: &str) -> Option<&Unknown> {
        self.unknown_streams.iter().find(|u| u.name == name)
    }
}

/// A stream or consumer that exists or may exist, but could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Stream, or `stream > consumer`.
    pub name: String,
    /// Reason why it could not be read.
    pub reason: String,
}

/// The virtual stream that a stream belongs to, from the stream's metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Owner {
    /// Virtual stream.
    pub virtual_stream: String,
    /// The region, by its name when the stream was made.
    pub region: String,
    /// The stream's role.
    pub role: Role,
}

impl Owner {
    /// Reads the owner from a config's `metadata`. Returns `None` unless all three keys exist.
    pub fn of(config: &Map<String, Value>) -> Option<Self> {
        let metadata = config.get("metadata")?;
        let text = |key: &str| metadata.get(key).and_then(Value::as_str);
        let role = Role::parse(text(metadata::ROLE)?)?;
        Some(Self {
            virtual_stream: text(metadata::NAME)?.to_owned(),
            region: text(metadata::REGION)?.to_owned(),
            role,
        })
    }
}

/// A stream as `STREAM.LIST` and `STREAM.INFO` describe it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ObservedStream {
    /// The stream's name.
    pub name: String,
    /// The whole config; nothing is dropped.
    pub config: Map<String, Value>,
    /// The virtual stream that the stream belongs to, if this tool made it.
    pub owner: Option<Owner>,
    /// The stream's content. It is meaningless if the stream is [`offline`](Self::offline).
    pub state: StreamState,
    /// The servers of the stream.
    pub cluster: Placement,
    /// The sources, or the origin of a mirror.
    pub sources: Vec<SourceState>,
    /// Time of the reply (RFC 3339) by the server's clock; empty if unknown.
    pub ts: String,
    /// Time of creation, in seconds since 1970, by the server's clock.
    pub created: Option<u64>,
    /// `true` if all its servers are offline, and only the assigned config is known.
    pub offline: bool,
}

impl ObservedStream {
    /// Reads a stream info. Returns `None` if it has no config.
    pub fn from_info(mut info: Value) -> Option<Self> {
        let config = match info.get_mut("config").map(Value::take) {
            Some(Value::Object(config)) => config,
            _ => return None,
        };
        Some(Self {
            name: config.get("name")?.as_str()?.to_owned(),
            owner: Owner::of(&config),
            config,
            state: StreamState::from_value(&info["state"]),
            cluster: Placement::from_value(&info["cluster"]),
            sources: (list(&info["sources"]).chain(Some(&info["mirror"]).filter(|mirror| mirror.is_object())))
                .map(SourceState::from_value)
                .collect(),
            ts: info["ts"].as_str().unwrap_or_default().to_owned(),
            created: info["created"].as_str().and_then(in_seconds),
            offline: false,
        })
    }

    /// Checks whether the stream mirrors another one.
    pub fn is_mirror(&self) -> bool {
        self.config.get("mirror").is_some_and(Value::is_object)
    }

    /// Returns the sequence of the stream's first message, past or future.
    pub fn first_possible(&self) -> u64 {
        first_sequence(&self.config).unwrap_or(1).max(1)
    }

    /// Checks whether the stream never had a message.
    pub fn is_new(&self) -> bool {
        self.state.last_seq < self.first_possible()
    }

    /// Checks whether the stream has stored nothing for some seconds.
    pub fn is_quiet(&self) -> bool {
        const QUIET: u64 = 5_000_000_000;
        self.is_new() || age(&self.state.last_ts, &self.ts).is_some_and(|age| age > QUIET)
    }

    /// Checks whether the stream was made after its mirror's last message was stored, by clocks that may differ. A
    /// mirror keeps its origin's times.
    fn is_younger_than_last_of(&self, mirror: &Self) -> bool {
        const SKEW: u64 = 300;
        let last = in_seconds(&mirror.state.last_ts);
        last.zip(self.created).is_some_and(|(last, created)| last + SKEW < created)
    }

    /// Returns how many more messages its sources have sent than it has ever stored; negative if fewer. Returns `None`
    /// if the number is unknown for any source.
    pub fn missing_by_count(&self, observed: &ObservedJetStream) -> Option<i128> {
        let mut got = 0;
        for source in &self.sources {
            got += i128::from(observed.got(self, source)?) - i128::from(observed.before_first(&source.name)?);
        }
        Some(got - i128::from(self.state.last_seq) + i128::from(self.first_possible() - 1))
    }

    /// Checks whether the stream is that of the lease, which names the run that is changing the account.
    pub fn is_lease(&self) -> bool {
        self.name == lease::STREAM && self.subjects().eq([lease::SUBJECT])
    }

    /// Checks whether all messages of the stream came from its sources, so that their sequences show the missing ones.
    /// The read streams of regional accounts capture subjects on which no client publishes. Backfilled messages came
    /// from elsewhere.
    pub fn only_sources(&self) -> bool {
        let reads = self.owner.as_ref().is_some_and(|owner| owner.role.serves());
        let moved = self.config.get("metadata").is_some_and(|marks| marks.get(metadata::HISTORY).is_some());
        !self.sources.is_empty() && !self.is_mirror() && !moved && (reads || self.subjects().next().is_none())
    }

    /// Returns the subjects that the stream captures. A stream with only sources, or a mirror, has none.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.config.get("subjects").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// Nanoseconds of silence after which a source or replica counts as cut off. Heartbeats come every second.
pub const SILENCE: u64 = 10_000_000_000;
/// Nanoseconds since the last contact within which a source counts as working. Heartbeats come every second.
pub const HEARD: u64 = 3_000_000_000;

/// The content of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StreamState {
    /// Number of stored messages.
    pub messages: u64,
    /// Number of stored bytes of one replica.
    pub bytes: u64,
    /// First sequence; one above the last if the stream is empty.
    pub first_seq: u64,
    /// Time of the first message (RFC 3339).
    pub first_ts: String,
    /// Last sequence ever stored.
    pub last_seq: u64,
    /// Time of the last message (RFC 3339).
    pub last_ts: String,
    /// Number of consumers, including those of applications.
    pub consumers: u64,
}

impl StreamState {
    fn from_value(value: &Value) -> Self {
        Self {
            messages: number(value, "messages"),
            bytes: number(value, "bytes"),
            first_seq: number(value, "first_seq"),
            first_ts: text(value, "first_ts"),
            last_seq: number(value, "last_seq"),
            last_ts: text(value, "last_ts"),
            consumers: number(value, "consumer_count"),
        }
    }
}

/// The servers of a stream or consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Placement {
    /// The cluster's name.
    pub cluster: String,
    /// The leader's server name; `None` if there is no leader.
    pub leader: Option<String>,
    /// The followers.
    pub replicas: Vec<Replica>,
}

impl Placement {
    /// Checks whether the leader is missing. Servers that are not clustered do not name a leader.
    pub fn is_leaderless(&self) -> bool {
        self.leader.is_none() && !self.cluster.is_empty()
    }

    fn from_value(value: &Value) -> Self {
        Self {
            cluster: text(value, "name"),
            leader: value["leader"].as_str().filter(|leader| !leader.is_empty()).map(str::to_owned),
            replicas: list(&value["replicas"])
                .map(|r| Replica {
                    server: text(r, "name"),
                    current: r["current"].as_bool().unwrap_or(false),
                    offline: r["offline"].as_bool().unwrap_or(false),
                    active: number(r, "active"),
                    lag: number(r, "lag"),
                })
                .collect(),
        }
    }
}

/// A follower.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Replica {
    /// The server's name.
    pub server: String,
    /// `true` if the follower has everything that the leader has.
    pub current: bool,
    /// `true` if its server is known to be offline. Other servers notice a killed server only after 150 s.
    pub offline: bool,
    /// Nanoseconds since the leader heard from it; 0 if the leader never did.
    pub active: u64,
    /// Raft entries by which the follower lags behind the leader.
    pub lag: u64,
}

impl Replica {
    /// Checks whether the follower is away: its server is offline, or the leader has not heard from it for too long, or
    /// never. The present leader never heard from a former leader whose server was killed.
    pub fn is_away(&self) -> bool {
        self.offline || (!self.current && (self.active == 0 || self.active >= SILENCE))
    }
}

/// The state of a source, as the leader of its stream sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceState {
    /// The origin stream.
    pub name: String,
    /// Messages at the origin that had not arrived at the last contact.
    pub lag: u64,
    /// Last sequence of the origin that arrived. Only newer servers report it (2.15.1 does, 2.10.26 does not), and none
    /// does so before the first message.
    pub seq: Option<u64>,
    /// Nanoseconds since the last contact; `None` if there was none yet. Heartbeats come every second.
    pub active: Option<u64>,
    /// Reason why the source does not work.
    pub error: Option<ApiError>,
}

impl SourceState {
    fn from_value(value: &Value) -> Self {
        Self {
            name: text(value, "name"),
            lag: number(value, "lag"),
            seq: value["seq"].as_u64(),
            active: value["active"].as_u64(),
            error: ApiError::of(value),
        }
    }
}

/// The next message at an origin that has not arrived through a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The stream that has the source.
    pub stream: String,
    /// The origin.
    pub origin: String,
    /// Sequence of the message at the origin.
    pub sequence: u64,
    /// Time when the origin stored it (RFC 3339).
    pub time: String,
}

/// A consumer as the servers describe it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ObservedConsumer {
    /// The consumer's stream.
    pub stream: String,
    /// The consumer's name.
    pub name: String,
    /// The whole config.
    pub config: Map<String, Value>,
    /// The servers of the consumer.
    pub cluster: Placement,
    /// Number of messages that were not delivered yet.
    pub pending: u64,
    /// Number of messages that were delivered and not acknowledged.
    pub ack_pending: u64,
}

impl ObservedConsumer {
    /// Reads a consumer info. Returns `None` if it lacks a config or a name.
    pub fn from_info(mut info: Value) -> Option<Self> {
        let config = match info.get_mut("config").map(Value::take) {
            Some(Value::Object(config)) => config,
            _ => return None,
        };
        Some(Self {
            stream: info["stream_name"].as_str()?.to_owned(),
            name: info["name"].as_str()?.to_owned(),
            config,
            cluster: Placement::from_value(&info["cluster"]),
            pending: number(&info, "num_pending"),
            ack_pending: number(&info, "num_ack_pending"),
        })
    }
}

/// Returns the configured first sequence of a stream, if any: `first_seq`, or its copy in the metadata.
pub fn first_sequence(config: &Map<String, Value>) -> Option<u64> {
    config.get("first_seq").and_then(Value::as_u64).or_else(|| began_at(config))
}

/// Returns the first sequence of a stream from its metadata, which keeps it when `first_seq` is removed.
pub fn began_at(config: &Map<String, Value>) -> Option<u64> {
    config.get("metadata")?.get(metadata::FIRST)?.as_str()?.parse().ok()
}

/// Returns the sources of a stream's config, or its mirror's origin.
pub fn origins(config: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let sources = config.get("sources").and_then(Value::as_array).into_iter().flatten();
    sources.chain(config.get("mirror").filter(|mirror| mirror.is_object()))
}

/// Converts a time in the servers' format (RFC 3339) to seconds since 1970.
fn in_seconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<Timestamp>().ok()?.as_second()).ok()
}

/// Returns the nanoseconds from `time` to `now`, both in the servers' format (RFC 3339). Returns `None` if either is
/// invalid, or if `now` is earlier.
pub fn age(time: &str, now: &str) -> Option<u64> {
    let (time, now): (Timestamp, Timestamp) = (time.parse().ok()?, now.parse().ok()?);
    u64::try_from(now.as_nanosecond() - time.as_nanosecond()).ok()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or(0)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
