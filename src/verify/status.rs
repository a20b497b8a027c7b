//! How the streams are doing, for a person: per virtual stream and region what is stored, who leads, who is behind.

use crate::desired::{DesiredAccount, Role};
use crate::observed::jetstream::{ObservedJetStream, Placement, SILENCE};
use serde::Serialize;
use std::collections::HashMap;

/// One real stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamStatus {
    /// Virtual stream.
    pub virtual_stream: String,
    /// Region.
    pub region: String,
    /// What it is for.
    pub role: Role,
    /// Real name.
    pub stream: String,
    /// Whether it could be asked.
    pub seen: Seen,
    /// Messages stored.
    pub messages: u64,
    /// Bytes stored, of one replica.
    pub bytes: u64,
    /// First sequence.
    pub first_seq: u64,
    /// Last sequence.
    pub last_seq: u64,
    /// When the last message was stored (RFC 3339); empty when there was none.
    pub last_activity: String,
    /// Where it lives: leader, replicas, who is behind.
    pub cluster: Placement,
    /// Its sources, in the order of the definition's regions; of a mirror its origin.
    pub sources: Vec<SourceStatus>,
    /// Messages of all sources that have not arrived, as far as known.
    pub lag: u64,
    /// Consumers on it, those of applications included.
    pub consumers: u64,
}

/// Whether a stream could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// Yes.
    Here,
    /// It does not exist.
    Missing,
    /// It exists, and did not answer.
    Unknown,
}

/// One source of a read stream, or what it mirrors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// The origin, a write or home stream.
    pub origin: String,
    /// The origin's region.
    pub region: String,
    /// Messages at the origin that have not arrived; `None` when that cannot be known.
    pub lag: Option<u64>,
    /// Nanoseconds since the last contact; `None` when there was none.
    pub active: Option<u64>,
    /// Why it does not work.
    pub error: Option<String>,
    /// Origin's last sequence that arrived, when known.
    pub got: Option<u64>,
    /// Whether it has read more than the origin has ever had: that was made anew, or restored.
    pub anew: bool,
}

impl SourceStatus {
    /// Whether it works, and its origin was heard from just now.
    pub fn is_heard(&self) -> bool {
        self.error.is_none() && !self.anew && self.active.is_some_and(|ns| ns < SILENCE)
    }
}

/// One entry for each stream of the definition, in its order.
pub fn status(desired: &DesiredAccount<'_>, observed: &ObservedJetStream) -> Vec<StreamStatus> {
    let places: HashMap<&str, usize> =
        desired.streams.iter().enumerate().map(|(place, stream)| (stream.name.as_str(), place)).collect();
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
                // What a mirror does not get its origin may have deleted.
                (_, Some(_))
                    if found.is_mirror() && source.lag == 0 && source.active.is_some_and(|ns| ns < SILENCE) =>
                {
                    Some(0)
                }
                (Some(got), Some(origin)) => Some(origin.state.last_seq.saturating_sub(got)),
                // What it last heard may be long ago.
                _ => source.active.is_some_and(|ns| ns < SILENCE).then_some(source.lag),
            };
            // A bucket's mirror is called like its origin, which is in another account.
            let place = places.get(source.name.as_str()).copied().filter(|_| !found.is_mirror());
            sources.push((
                place.unwrap_or(usize::MAX),
                SourceStatus {
                    origin: source.name.clone(),
                    region: match (place, observed.origin(&source.name).and_then(|origin| origin.owner.as_ref())) {
                        (Some(place), _) => desired.streams[place].region.to_string(),
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
                Some(_) => Seen::Here,
                None if exists => Seen::Unknown,
                None => Seen::Missing,
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
