//! Checks whether every source flows, by comparing two observations of it.

use super::problem::{ProblemCollector, seconds};
use super::status::{self, status};
use super::streams::{Checked, SOURCE_WAITING};
use crate::desired::DesiredAccount;
use crate::observed::jetstream::{HEARD, ObservedJetStream};
use std::collections::HashMap;

/// State of each source since the run's first observation, by account, stream and origin.
#[derive(Debug, Clone, Default)]
pub struct Flow(HashMap<(String, String, String), SourceFlow>);

#[derive(Debug, Clone, Copy)]
enum SourceFlow {
    /// The source had received this many messages, and its origin had more.
    Behind(u64),
    /// Messages arrived from the source, or there were none to send.
    Flows,
}

impl Flow {
    /// Returns the read streams with a source that does not flow. Either the source had no contact within three
    /// seconds, or it was behind in each observation without progress. [`streams`](super::streams::streams) reports
    /// other problems, and what is unknown.
    pub fn look(&mut self, desired: &DesiredAccount<'_>, observed: &ObservedJetStream) -> Vec<Checked> {
        let mut stopped = Vec::new();
        for stream in status(desired, observed).into_iter().filter(|stream| stream.seen == status::StreamAnswer::Here) {
            let mut out = ProblemCollector::new(format!("account {}, stream {}", desired.name, stream.stream));
            for source in &stream.sources {
                let origin = &source.origin;
                match source.active {
                    None => out.cant_tell(SOURCE_WAITING, format!("has not heard from {origin} yet"), WAIT),
                    Some(ns) if ns >= HEARD => {
                        let message = format!("has not heard from {origin} for {}", seconds(ns));
                        out.cant_tell(SOURCE_WAITING, message, WAIT);
                    }
                    Some(_) => {}
                }
                let key = (desired.name.clone(), stream.stream.clone(), origin.clone());
                let seen = match (self.0.get(&key), source.lag, source.got) {
                    (Some(SourceFlow::Flows), _, _) | (_, Some(0), _) => SourceFlow::Flows,
                    (Some(SourceFlow::Behind(before)), _, Some(got)) if got > *before => SourceFlow::Flows,
                    (Some(SourceFlow::Behind(before)), _, _) => SourceFlow::Behind(*before),
                    (None, Some(_), Some(got)) => SourceFlow::Behind(got),
                    // The source is unknown, which other checks report.
                    (None, _, _) => continue,
                };
                self.0.insert(key, seen);
                if let (SourceFlow::Behind(_), Some(lag)) = (seen, source.lag) {
                    let message = format!("lacks {lag} messages of {origin}, and got none of them between two looks");
                    out.cant_tell("source-behind", message, LOOK);
                }
            }
            if !out.problems.is_empty() {
                stopped.push(Checked::of_read_stream(stream, out.problems));
            }
        }
        stopped
    }
}

const WAIT: &str = "Wait: servers try again after 30 s, later every 2 min.";
const LOOK: &str = "Look again with `status`: if it stays so, see the logs of the servers that lead the two streams.";
