//! Gaps: messages that never arrived in a stream from its sources.

use serde::Serialize;
use std::collections::BTreeMap;

/// What the messages of one stream say about its sources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Arrivals {
    /// The stream that has the sources.
    pub stream: String,
    /// The last sequence of each origin that arrived.
    pub last: BTreeMap<String, u64>,
    /// How many messages never arrived, up to the last one that did.
    pub missing: u64,
    /// Where they are missing, in the stream's order; together they miss [`missing`](Self::missing).
    pub gaps: Vec<Gap>,
}

/// Messages that are missing between two places of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Sequence in the stream before the gap.
    pub after: u64,
    /// Sequence in the stream behind the gap.
    pub before: u64,
    /// How many.
    pub missing: u64,
    /// Among which messages. As many as are missing when the search could tell exactly.
    pub among: Vec<Range>,
}

/// Messages of one origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The origin.
    pub origin: String,
    /// First sequence.
    pub first: u64,
    /// Last sequence.
    pub last: u64,
}

impl Gap {
    /// Whether all messages of [`among`](Self::among) are missing, and not only some of them.
    pub fn is_exact(&self) -> bool {
        self.among.iter().map(|range| range.last + 1 - range.first).sum::<u64>() == self.missing
    }
}
