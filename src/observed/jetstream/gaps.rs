//! Gaps: messages that never arrived in a stream from its sources.

use serde::Serialize;
use std::collections::BTreeMap;

/// The arrivals and gaps of one stream, as its messages show them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Arrivals {
    /// The stream that has the sources.
    pub stream: String,
    /// The last sequence that arrived, of each origin.
    pub last: BTreeMap<String, u64>,
    /// Number of messages that never arrived, up to the last one that did.
    pub missing: u64,
    /// The places where they are missing, in the stream's order; together they lack [`missing`](Self::missing)
    /// messages.
    pub gaps: Vec<Gap>,
}

/// Messages that are missing between two places of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Sequence in the stream before the gap.
    pub after: u64,
    /// Sequence in the stream after the gap.
    pub before: u64,
    /// Number of missing messages.
    pub missing: u64,
    /// The messages among which they are. They are exactly the missing ones if the search could find that out.
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
    /// Checks whether all messages of [`among`](Self::among) are missing, and not only some of them.
    pub fn is_exact(&self) -> bool {
        self.among.iter().map(|range| range.last + 1 - range.first).sum::<u64>() == self.missing
    }
}
