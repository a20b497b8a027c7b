//! Whether every source flows, as two looks at it tell.

use super::problem::{Out, seconds};
use super::status::{self, status};
use super::streams::{Checked, SOURCE_WAITING};
use crate::desired::DesiredAccount;
use crate::observed::jetstream::{HEARD, ObservedJetStream};
use std::collections::HashMap;

/// What was seen of each source since a run began to look, by account, stream and origin.
#[derive(Debug, Clone, Default)]
pub struct Flow(HashMap<(String, String, String), Seen>);

#[derive(Debug, Clone, Copy)]
enum Seen {
    /// It had got so much, and its origin had more.
    Behind(u64),
    /// It brought something, or there was nothing to bring.
    Flows,
}

impl Flow {
    /// The read streams with a source that does not flow: that was not heard from within three seconds, or that has been
    /// behind at each look and never came closer. What is wrong or unknown beyond that
    /// [`streams`](super::streams::streams) says.
    pub fn look(&mut self, desired: &DesiredAccount<'_>, observed: &ObservedJetStream) -> Vec<Checked> {
        let mut stopped = Vec::new();
        for stream in status(desired, observed).into_iter().filter(|stream| stream.seen == status::Seen::Here) {
            let mut out = Out::new(format!("account {}, stream {}", desired.name, stream.stream));
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
                    (Some(Seen::Flows), _, _) | (_, Some(0), _) => Seen::Flows,
                    (Some(Seen::Behind(before)), _, Some(got)) if got > *before => Seen::Flows,
                    (Some(Seen::Behind(before)), _, _) => Seen::Behind(*before),
                    (None, Some(_), Some(got)) => Seen::Behind(got),
                    // Nothing is known of it: that is said elsewhere.
                    (None, _, _) => continue,
                };
                self.0.insert(key, seen);
                if let (Seen::Behind(_), Some(lag)) = (seen, source.lag) {
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
