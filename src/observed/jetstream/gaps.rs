//! Gaps: messages that never arrived in a stream from its sources.

use serde::Serialize;
use std::collections::BTreeMap;

/// The arrivals and gaps of one stream, as its messages show them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceGaps {
    /// The stream that has the sources.
    pub stream: String,
    /// The last sequence of each origin that arrived.
    pub last: BTreeMap<String, u64>,
    /// Number of messages that never arrived, before the last one that did.
    pub missing: u64,
    /// The gaps, in the stream's order. Together they lack [`missing`](Self::missing) messages.
    pub gaps: Vec<Gap>,
}

/// Messages that are missing between two messages of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Sequence in the stream before the gap.
    pub after: u64,
    /// Sequence in the stream after the gap.
    pub before: u64,
    /// Number of missing messages.
    pub missing: u64,
    /// The messages among which the missing ones are. If the search could find out, these are exactly the missing ones.
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
    /// Checks whether all messages of [`among`](Self::among) are missing.
    pub fn is_exact(&self) -> bool {
        self.among.iter().map(|range| range.last + 1 - range.first).sum::<u64>() == self.missing
    }
}
