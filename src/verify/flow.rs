//! Whether every source flows, as two looks at it tell.

use super::problem::{Out, seconds};
use super::status::{Seen, status};
use super::streams::{Checked, SOURCE_WAITING};
use crate::desired::DesiredAccount;
use crate::observed::jetstream::{HEARD, ObservedJetStream};
use std::collections::HashMap;

/// What each source had got at the last look, by its stream and origin.
#[derive(Debug, Clone, Default)]
pub struct Flow(HashMap<(String, String), u64>);

impl Flow {
    /// The read streams with a source that does not flow: that was not heard from within three seconds, or that is behind
    /// and was not further behind at the look before. What is wrong or unknown beyond that
    /// [`streams`](super::streams::streams) says.
    pub fn look(&mut self, desired: &DesiredAccount<'_>, observed: &ObservedJetStream) -> Vec<Checked> {
        let mut stopped = Vec::new();
        for stream in status(desired, observed).into_iter().filter(|stream| stream.seen == Seen::Here) {
            let mut out = Out::new(format!("account {}, stream {}", desired.name, stream.stream));
            for source in &stream.sources {
                let origin = &source.origin;
                let key = (stream.stream.clone(), origin.clone());
                let before = source.got.and_then(|got| self.0.insert(key, got));
                match source.active {
                    None => out.cant_tell(SOURCE_WAITING, format!("has not heard from {origin} yet"), WAIT),
                    Some(ns) if ns >= HEARD => {
                        let message = format!("has not heard from {origin} for {}", seconds(ns));
                        out.cant_tell(SOURCE_WAITING, message, WAIT);
                    }
                    Some(_) => {}
                }
                let comes_closer = before.zip(source.got).is_some_and(|(before, now)| now > before);
                if let Some(lag) = source.lag.filter(|lag| *lag > 0 && !comes_closer) {
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
