//! Checks that every acknowledged message arrived exactly once. Pure.

use serde::Serialize;
use std::collections::HashMap;

/// A published message with a unique text. Without an acknowledgement, it may be stored or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) region: String,
    pub(super) text: String,
    pub(super) acknowledged: bool,
}

/// All published messages.
#[derive(Debug, Default)]
pub(super) struct Published(Vec<Sent>);

impl Published {
    pub(super) fn add(&mut self, sent: Vec<Sent>) {
        self.0.extend(sent);
    }

    /// Returns the number of the region's next message, from 1.
    pub(super) fn next(&self, region: &str) -> usize {
        self.0.iter().filter(|sent| sent.region == region).count() + 1
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.0.iter().filter(|sent| sent.acknowledged).count()
    }
}

/// The result of a full read in every region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// `true` if every region has every acknowledged message exactly once, and nothing else.
    pub exactly_once: bool,
    /// Number of acknowledged messages in all regions.
    pub acknowledged: usize,
    /// Regions, in the definition's order.
    pub regions: Vec<RegionProof>,
}

/// The result of a full read in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionProof {
    /// The region's name.
    pub region: String,
    /// Number of messages read.
    pub read: usize,
    /// Acknowledged messages that are missing.
    pub missing: Vec<String>,
    /// Messages that occur more than once.
    pub doubled: Vec<String>,
    /// Messages that the demo did not publish.
    pub strange: Vec<String>,
}

impl Proof {
    /// Returns `true` if every region has every acknowledged message exactly once, and nothing else.
    pub fn holds(&self) -> bool {
        self.exactly_once
    }
}

/// Compares the messages that were read in each region with the published ones, one by one.
pub(super) fn judge(published: &Published, reads: &[(String, Vec<String>)]) -> Proof {
    let regions: Vec<RegionProof> = reads.iter().map(|(region, read)| judge_region(published, region, read)).collect();
    let good = |region: &RegionProof| {
        let RegionProof { region: _, read: _, missing, doubled, strange } = region;
        missing.is_empty() && doubled.is_empty() && strange.is_empty()
    };
    Proof {
        exactly_once: !regions.is_empty() && published.acknowledged() > 0 && regions.iter().all(good),
        acknowledged: published.acknowledged(),
        regions,
    }
}

fn judge_region(Published(published): &Published, region: &str, read: &[String]) -> RegionProof {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for text in read {
        *counts.entry(text).or_default() += 1;
    }
    let (mut missing, mut doubled) = (Vec::new(), Vec::new());
    for Sent { region: _, text, acknowledged } in published {
        match counts.remove(text.as_str()) {
            None if *acknowledged => missing.push(text.clone()),
            Some(count) if count > 1 => doubled.push(text.clone()),
            None | Some(_) => {}
        }
    }
    let mut strange: Vec<String> = counts.into_keys().map(str::to_owned).collect();
    strange.sort();
    RegionProof { region: region.to_owned(), read: read.len(), missing, doubled, strange }
}

#[cfg(test)]
mod tests {
    use super::{Published, Sent, judge};

    fn published() -> Published {
        let sent = |text: &str, acknowledged| Sent { region: "west".to_owned(), text: text.to_owned(), acknowledged };
        Published(vec![sent("west 1", true), sent("west 2", false), sent("west 3", true)])
    }

    fn read(texts: &[&str]) -> Vec<(String, Vec<String>)> {
        let all = ["west 1", "west 3"].map(str::to_owned).to_vec();
        vec![("west".to_owned(), all), ("east".to_owned(), texts.iter().map(|text| (*text).to_owned()).collect())]
    }

    #[test]
    fn every_acknowledged_message_once_is_a_proof() {
        assert!(judge(&published(), &read(&["west 3", "west 1"])).holds());
        assert!(judge(&published(), &read(&["west 1", "west 2", "west 3"])).holds(), "unacknowledged may be there");
    }

    #[test]
    fn a_lost_a_doubled_and_a_strange_message_are_named() {
        let lost = judge(&published(), &read(&["west 1"]));
        assert!(!lost.holds());
        assert_eq!(lost.regions[1].missing, ["west 3"]);
        let doubled = judge(&published(), &read(&["west 1", "west 3", "west 1"]));
        assert!(!doubled.holds());
        assert_eq!(doubled.regions[1].doubled, ["west 1"]);
        let twice_unacknowledged = judge(&published(), &read(&["west 1", "west 2", "west 2", "west 3"]));
        assert_eq!(twice_unacknowledged.regions[1].doubled, ["west 2"]);
        let strange = judge(&published(), &read(&["west 1", "west 3", "north 1"]));
        assert!(!strange.holds());
        assert_eq!(strange.regions[1].strange, ["north 1"]);
    }

    #[test]
    fn nothing_published_or_nothing_read_proves_nothing() {
        assert!(!judge(&Published::default(), &[("west".to_owned(), Vec::new())]).holds());
        assert!(!judge(&published(), &[]).holds());
    }

    #[test]
    fn numbers_go_on_where_they_were() {
        assert_eq!((published().next("west"), published().next("east")), (4, 1));
    }
}
