//! Streams and consumers as the servers describe them.

use super::api::ApiError;
use super::gaps::Arrivals;
use crate::desired::{Role, lease, metadata};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// JetStream of one account: limits, streams, and the consumers that were asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ObservedJetStream {
    /// The reply of `$JS.API.INFO`; with an `error` when JetStream is not enabled for the account.
    pub info: Value,
    /// All streams of the account, by name.
    pub streams: Vec<ObservedStream>,
    /// The write and home streams of the application's account, by name, for a regional account, whose streams source or
    /// mirror them.
    pub origins: Vec<ObservedStream>,
    /// Read streams of the same account's other regions, for a regional account of which something does not answer.
    pub siblings: Vec<ObservedStream>,
    /// Streams that exist but could not be described.
    pub unknown_streams: Vec<Unknown>,
    /// The consumers of interest.
    pub consumers: Vec<ObservedConsumer>,
    /// Consumers of interest that could not be asked; their absence from `consumers` means nothing.
    pub unknown_consumers: Vec<Unknown>,
    /// For sources that lag: what waits for them at the origin.
    pub waiting: Vec<Waiting>,
    /// For streams in which messages seem to be missing: what theirs say of it.
    pub arrivals: Vec<Arrivals>,
    /// Subjects on which the user may not ask for messages, though some were to be looked at.
    pub not_permitted: Vec<String>,
}

impl ObservedJetStream {
    /// Whether the account has JetStream.
    pub fn enabled(&self) -> bool {
        ApiError::of(&self.info).is_none()
    }

    /// A stream by its real name.
    pub fn stream(&self, name: &str) -> Option<&ObservedStream> {
        let place = self.streams.binary_search_by(|s| s.name.as_str().cmp(name)).ok()?;
        Some(&self.streams[place])
    }

    /// Returns a stream that streams of this account source or mirror: of the application's account, or one of its own. A
    /// bucket's mirror is called like its origin.
    pub fn origin(&self, name: &str) -> Option<&ObservedStream> {
        let outside = self.origins.binary_search_by(|s| s.name.as_str().cmp(name)).ok();
        outside.map(|place| &self.origins[place]).or_else(|| self.stream(name))
    }

    /// A consumer by stream and name.
    pub fn consumer(&self, stream: &str, name: &str) -> Option<&ObservedConsumer> {
        self.consumers.iter().find(|c| c.stream == stream && c.name == name)
    }

    /// What the messages of a stream say of its sources, if they were looked at.
    pub fn arrivals(&self, stream: &str) -> Option<&Arrivals> {
        self.arrivals.iter().find(|arrivals| arrivals.stream == stream)
    }

    /// The origin's last sequence that arrived in `stream`, if it can be known. Older servers do not say; there the
    /// messages do if they were looked at, and else it follows from the lag, as long as the source was heard from
    /// just now.
    pub fn got(&self, stream: &ObservedStream, source: &SourceState) -> Option<u64> {
        Some(self.last_got(stream, source)?.max(self.before_first(&source.name).unwrap_or(0)))
    }

    /// The sequence before the first that an origin can have: 0, unless it was made anew behind what was read. `None` where the
    /// origin cannot be asked.
    pub(super) fn before_first(&self, origin: &str) -> Option<u64> {
        self.origin(origin).map(|origin| origin.first_possible() - 1)
    }

    fn last_got(&self, stream: &ObservedStream, source: &SourceState) -> Option<u64> {
        // Sequences of a mirror are its origin's.
        if stream.is_mirror() {
            return Some(stream.state.last_seq);
        }
        let seen = || self.arrivals(&stream.name)?.last.get(&source.name).copied();
        if let Some(got) = source.seq.or_else(seen) {
            return Some(got);
        }
        let origin = self.origin(&source.name).filter(|origin| !origin.offline)?;
        let heard = origin.state.last_seq == 0 || source.active? < SILENCE;
        heard.then(|| origin.state.last_seq.saturating_sub(source.lag))
    }

    /// Returns whether `stream` has read more of a source than that has ever had: it was made anew, or restored from an older
    /// copy, and what is published there is skipped until it has come as far. A source gets over it on newer servers, which
    /// also tell; a mirror has its origin's sequences.
    ///
    /// Under traffic a reader looks ahead of an origin that was asked before it: a source that was heard from, and a mirror of
    /// an origin in which something was stored just now, are not.
    pub fn is_anew(&self, stream: &ObservedStream, source: &SourceState) -> bool {
        // Without a leader a follower answers, which may not have all.
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

    /// Takes it that sources have not heard from an origin that was made anew after their last word: that came from the former
    /// one, which had the same name.
    pub fn forget_former_origins(&mut self) {
        // Durations by one clock each: those of servers may differ.
        let former = |stream: &ObservedStream, source: &SourceState| -> Option<bool> {
            let origin = self.origin(&source.name)?;
            let old = in_seconds(&origin.ts)?.saturating_sub(origin.created?);
            Some(stream.created? < origin.created? && source.active?.div_ceil(1_000_000_000) > old)
        };
        let mut places = Vec::new();
        for (place, stream) in self.streams.iter().enumerate() {
            let former = |source: &SourceState| former(stream, source) == Some(true);
            let sources = stream.sources.iter().enumerate().filter(|(_, source)| former(source));
            places.extend(sources.map(|(source, _)| (place, source)));
        }
        for (stream, source) in places {
            self.streams[stream].sources[source].active = None;
        }
    }

    /// Why a stream could not be described, if it exists but could not.
    pub fn unknown_stream(&self, name: &str) -> Option<&Unknown> {
        self.unknown_streams.iter().find(|u| u.name == name)
    }
}

/// Something that exists, or may, and did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Stream, or `stream > consumer`.
    pub name: String,
    /// What stood in the way.
    pub reason: String,
}

/// Whom a stream belongs to, from its metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Owner {
    /// Virtual stream.
    pub virtual_stream: String,
    /// Region, as it was called when the stream was made.
    pub region: String,
    /// What it is for.
    pub role: Role,
}

impl Owner {
    /// From a config's `metadata`; all three keys have to be there.
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
    /// Name.
    pub name: String,
    /// The whole config, nothing dropped.
    pub config: Map<String, Value>,
    /// Whom it belongs to, when it is one of ours.
    pub owner: Option<Owner>,
    /// What it holds. Meaningless when [`offline`](Self::offline).
    pub state: StreamState,
    /// Where it lives.
    pub cluster: Placement,
    /// Its sources; of a mirror its origin.
    pub sources: Vec<SourceState>,
    /// When the reply was made (RFC 3339), by the clock of its server; empty when unknown.
    pub ts: String,
    /// When it was made, in seconds since 1970, by the clock of its server.
    pub created: Option<u64>,
    /// All its servers were offline: config as assigned, nothing else is known.
    pub offline: bool,
}

impl ObservedStream {
    /// From a stream info; `None` when it has no config.
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

    /// Returns whether it mirrors another stream.
    pub fn is_mirror(&self) -> bool {
        self.config.get("mirror").is_some_and(Value::is_object)
    }

    /// The sequence that its first message got, or will get.
    pub fn first_possible(&self) -> u64 {
        first_sequence(&self.config).unwrap_or(1).max(1)
    }

    /// Returns whether it never had a message.
    pub fn is_new(&self) -> bool {
        self.state.last_seq < self.first_possible()
    }

    /// Returns whether nothing was stored in it for some seconds.
    pub fn is_quiet(&self) -> bool {
        const QUIET: u64 = 5_000_000_000;
        self.is_new() || age(&self.state.last_ts, &self.ts).is_some_and(|age| age > QUIET)
    }

    /// Returns whether it was made after the last message of its mirror was stored, by clocks that may differ. A mirror keeps its
    /// origin's times.
    fn is_younger_than_last_of(&self, mirror: &Self) -> bool {
        const SKEW: u64 = 300;
        let last = in_seconds(&mirror.state.last_ts);
        last.zip(self.created).is_some_and(|(last, created)| last + SKEW < created)
    }

    /// How many more messages its sources have sent on, as far as is known, than it has ever stored; negative when
    /// fewer. `None` when that is not known of every source.
    pub fn missing_by_count(&self, observed: &ObservedJetStream) -> Option<i128> {
        let mut got = 0;
        for source in &self.sources {
            got += i128::from(observed.got(self, source)?) - i128::from(observed.before_first(&source.name)?);
        }
        Some(got - i128::from(self.state.last_seq) + i128::from(self.first_possible() - 1))
    }

    /// Whether it is the stream that says who is changing the account.
    pub fn is_lease(&self) -> bool {
        self.name == lease::STREAM && self.subjects().eq([lease::SUBJECT])
    }

    /// Whether all that it has came from its sources, so that their sequences tell what is missing. The read streams of
    /// regional accounts carry subjects that nobody publishes on; history that was taken along came from elsewhere.
    pub fn only_sources(&self) -> bool {
        let reads = self.owner.as_ref().is_some_and(|owner| owner.role == Role::Read);
        let moved = self.config.get("metadata").is_some_and(|marks| marks.get(metadata::HISTORY).is_some());
        !self.sources.is_empty() && !self.is_mirror() && !moved && (reads || self.subjects().next().is_none())
    }

    /// The subjects that it captures; none for a stream that only sources or mirrors.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.config.get("subjects").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// Sources and replicas are heard from every second; after this many nanoseconds of silence something is in the way.
pub const SILENCE: u64 = 10_000_000_000;
/// A source that was heard from within so many nanoseconds works: heartbeats come every second.
pub const HEARD: u64 = 3_000_000_000;

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StreamState {
    /// Messages stored.
    pub messages: u64,
    /// Bytes stored, of one replica.
    pub bytes: u64,
    /// First sequence; one above the last when empty.
    pub first_seq: u64,
    /// Time of the first message (RFC 3339).
    pub first_ts: String,
    /// Last sequence ever stored.
    pub last_seq: u64,
    /// Time of the last message (RFC 3339).
    pub last_ts: String,
    /// Consumers, those of applications included.
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

/// On which servers a stream or consumer lives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Placement {
    /// Cluster.
    pub cluster: String,
    /// Leader's server name; `None` when there is none.
    pub leader: Option<String>,
    /// The others.
    pub replicas: Vec<Replica>,
}

impl Placement {
    /// Whether nobody leads. Servers that are not clustered have no leader to name.
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
    /// Server name.
    pub server: String,
    /// Has what the leader has.
    pub current: bool,
    /// Its server is known to be away. One that was killed is not known to be for 150 s.
    pub offline: bool,
    /// Nanoseconds since the leader heard from it; 0 when it never did.
    pub active: u64,
    /// Raft entries behind the leader.
    pub lag: u64,
}

impl Replica {
    /// Whether it is away: its server is, or the leader has not heard from it for too long, or ever. One that led itself
    /// until its server was killed was never heard by who leads since.
    pub fn is_away(&self) -> bool {
        self.offline || (!self.current && (self.active == 0 || self.active >= SILENCE))
    }
}

/// How a source is doing, as the leader of the stream that has it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceState {
    /// The origin stream.
    pub name: String,
    /// Messages at the origin that have not arrived, as of the last contact.
    pub lag: u64,
    /// Last sequence of the origin that arrived; only newer servers say (2.15.1 does, 2.10.26 does not), and nobody
    /// does before the first message.
    pub seq: Option<u64>,
    /// Nanoseconds since the last contact (heartbeats come every second); `None` when there was none yet.
    pub active: Option<u64>,
    /// Why it does not work.
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

/// The next message at an origin that a source has not got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The stream that has the source.
    pub stream: String,
    /// The origin.
    pub origin: String,
    /// Sequence of the message at the origin.
    pub sequence: u64,
    /// When the origin stored it (RFC 3339).
    pub time: String,
}

/// A consumer as the servers describe it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ObservedConsumer {
    /// Its stream.
    pub stream: String,
    /// Name.
    pub name: String,
    /// The whole config.
    pub config: Map<String, Value>,
    /// Where it lives.
    pub cluster: Placement,
    /// Messages not delivered yet.
    pub pending: u64,
    /// Messages delivered and not acknowledged.
    pub ack_pending: u64,
}

impl ObservedConsumer {
    /// From a consumer info; `None` when it has no config or names.
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

/// The sequence at which a stream was made to begin, if that was said: by `first_seq`, or by the mark that takes its place.
pub fn first_sequence(config: &Map<String, Value>) -> Option<u64> {
    config.get("first_seq").and_then(Value::as_u64).or_else(|| began_at(config))
}

/// The sequence at which a stream began, where that is written in its metadata because `first_seq` has to go.
pub fn began_at(config: &Map<String, Value>) -> Option<u64> {
    config.get("metadata")?.get(metadata::FIRST)?.as_str()?.parse().ok()
}

/// The sources of a stream's config, or its mirror's origin.
pub fn origins(config: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let sources = config.get("sources").and_then(Value::as_array).into_iter().flatten();
    sources.chain(config.get("mirror").filter(|mirror| mirror.is_object()))
}

/// Seconds since 1970 of a time as servers write it (RFC 3339).
fn in_seconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<Timestamp>().ok()?.as_second()).ok()
}

/// Nanoseconds from `time` to `now`, both RFC 3339 as servers write it; `None` when one isn't or they run backwards.
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
