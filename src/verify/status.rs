//! The status of streams per virtual stream and region: stored messages, the leader, and replicas and sources that lag.

use crate::desired::{DesiredAccount, Role};
use crate::observed::jetstream::{ObservedJetStream, Placement, SILENCE};
use serde::Serialize;
use std::collections::HashMap;

/// Status of a real stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamStatus {
    /// Virtual stream.
    pub virtual_stream: String,
    /// Region.
    pub region: String,
    /// Role of the stream.
    pub role: Role,
    /// Real name.
    pub stream: String,
    /// The result of requesting the stream's info.
    pub seen: StreamAnswer,
    /// Messages stored.
    pub messages: u64,
    /// Bytes stored, of one replica.
    pub bytes: u64,
    /// First sequence.
    pub first_seq: u64,
    /// Last sequence.
    pub last_seq: u64,
    /// Time when the last message was stored (RFC 3339); empty if there was none.
    pub last_activity: String,
    /// Leader and replicas, including those that lag.
    pub cluster: Placement,
    /// The sources, in the order of the definition's regions; for a mirror, its origin.
    pub sources: Vec<SourceStatus>,
    /// Messages of all sources that have not arrived, as far as known.
    pub lag: u64,
    /// Number of the stream's consumers, including those of applications.
    pub consumers: u64,
}

/// The result of requesting a stream's info.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamAnswer {
    /// The stream answered.
    Here,
    /// There is no such stream.
    Missing,
    /// The stream exists, but did not answer.
    Unknown,
}

/// A source of a read stream, or the origin of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// The origin, a write or home stream.
    pub origin: String,
    /// The origin's region.
    pub region: String,
    /// Messages at the origin that have not arrived; `None` if unknown.
    pub lag: Option<u64>,
    /// Nanoseconds since the last contact; `None` if there was none.
    pub active: Option<u64>,
    /// Reason why the source does not work.
    pub error: Option<String>,
    /// The origin's last sequence that arrived, if known.
    pub got: Option<u64>,
    /// `true` if the source has read beyond the origin's last sequence: the origin was recreated or restored.
    pub anew: bool,
}

impl SourceStatus {
    /// Returns `true` if the source works and had contact with its origin just now.
    pub fn is_heard(&self) -> bool {
        self.error.is_none() && !self.anew && self.active.is_some_and(|ns| ns < SILENCE)
    }
}

/// Returns one entry for each stream of the definition, in order.
pub fn status(desired: &DesiredAccount<'_>, observed: &ObservedJetStream) -> Vec<StreamStatus> {
    let places: HashMap<&str, usize> =
        desired.streams.iter().enumerate().map(|(index, stream)| (stream.name.as_str(), index)).collect();
    let entries = desired.streams.iter().map(|stream| {
        let found = observed.stream(&stream.name).filter(|s| !s.offline);
        let exists = observed.stream(&stream.name).is_some() || observed.unknown_stream(&stream.name).is_some();
        let mut sources: Vec<(usize, SourceStatus)> = Vec::new();
        for (found, source) in found.iter().flat_map(|f| f.sources.iter().map(move |source| (f, source))) {
            let origin = observed.origin(&source.name).filter(|o| !o.offline);
            let got = origin.and_then(|_| observed.got(found, source));
            let anew = observed.is_anew(found, source);
            let lag = match (got, origin) {
                _ if anew => None,
                // Before the first delivery a source reports a lag of 0 (measured, 2.15.1).
                (_, Some(origin)) if found.state.last_seq == 0 && source.active.is_some() => {
                    Some(origin.state.messages)
                }
                // The origin may have deleted messages that a mirror does not receive.
                (_, Some(_))
                    if found.is_mirror() && source.lag == 0 && source.active.is_some_and(|ns| ns < SILENCE) =>
                {
                    Some(0)
                }
                (Some(got), Some(origin)) => Some(origin.state.last_seq.saturating_sub(got)),
                // Its last report may be old.
                _ => source.active.is_some_and(|ns| ns < SILENCE).then_some(source.lag),
            };
            // A bucket's mirror has the name of its origin, which is in another account.
            let index = places.get(source.name.as_str()).copied().filter(|_| !found.is_mirror());
            sources.push((
                index.unwrap_or(usize::MAX),
                SourceStatus {
                    origin: source.name.clone(),
                    region: match (index, observed.origin(&source.name).and_then(|origin| origin.owner.as_ref())) {
                        (Some(index), _) => desired.streams[index].region.to_string(),
                        (None, Some(owner)) => owner.region.clone(),
                        (None, None) => String::new(),
                    },
                    lag,
                    active: source.active,
                    error: source.error.as_ref().map(ToString::to_string),
                    got,
                    anew,
                },
            ));
        }
        sources.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.origin.cmp(&other.origin)));
        let sources: Vec<SourceStatus> = sources.into_iter().map(|(_, source)| source).collect();
        let state = found.map(|f| f.state.clone()).unwrap_or_default();
        StreamStatus {
            virtual_stream: stream.virtual_stream.to_owned(),
            region: stream.region.to_string(),
            role: stream.role,
            stream: stream.name.clone(),
            seen: match found {
                Some(_) => StreamAnswer::Here,
                None if exists => StreamAnswer::Unknown,
                None => StreamAnswer::Missing,
            },
            messages: state.messages,
            bytes: state.bytes,
            first_seq: state.first_seq,
            last_seq: state.last_seq,
            last_activity: if found.is_none_or(|found| found.is_new()) { String::new() } else { state.last_ts },
            cluster: found.map(|f| f.cluster.clone()).unwrap_or_default(),
            lag: sources.iter().filter_map(|s| s.lag).sum(),
            sources,
            consumers: state.consumers,
        }
    });
    entries.collect()
}
