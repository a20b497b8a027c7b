//! Searches in simulated streams with known gaps.

use super::super::data::ObservedStream;
use super::*;
use crate::observed::{RequestError, fake::Answers};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const NAMES: [&str; 3] = ["w", "c", "e"];

/// A stream with three sources. It has the messages from sequence `first` on, with `None` for a deleted one.
#[derive(Debug, Clone, Default)]
struct Simulated {
    messages: Vec<Option<Origin>>,
    /// The number of messages that each source has sent so far.
    sent: [u64; 3],
    gaps: Vec<(&'static str, u64, u64)>,
    first: u64,
}

impl Simulated {
    fn new() -> Self {
        Self { first: 1, ..Self::default() }
    }

    /// Adds messages of these sources: in each turn, as many of each as `weights` says.
    fn traffic(mut self, turns: u64, weights: [u64; 3]) -> Self {
        for _ in 0..turns {
            for (source, weight) in weights.into_iter().enumerate() {
                for _ in 0..weight {
                    self.sent[source] += 1;
                    self.messages.push(Some((source, self.sent[source])));
                }
            }
        }
        self
    }

    fn gap(mut self, source: usize, count: u64) -> Self {
        let first = self.sent[source] + 1;
        self.sent[source] += count;
        self.gaps.push((NAMES[source], first, self.sent[source]));
        self
    }

    fn expire(mut self, count: usize) -> Self {
        self.messages.drain(..count);
        self.first += count as u64;
        self
    }

    /// Returns the stream's info. With `tells`, servers report the last sequence of each source that arrived.
    fn info(&self, tells: bool) -> ObservedStream {
        let last = self.first + self.messages.len() as u64 - 1;
        let mut sources: Vec<Value> = NAMES.iter().map(|name| json!({ "name": name, "lag": 0, "active": 1 })).collect();
        for (source, seq) in self.messages.iter().flatten() {
            if tells {
                sources[*source]["seq"] = json!(seq);
            }
        }
        ObservedStream::from_info(json!({
            "config": { "name": "foo" },
            "state": { "messages": self.messages.len(), "bytes": self.messages.len() * 100,
                       "first_seq": self.first, "last_seq": last },
            "sources": sources,
        }))
        .unwrap()
    }

    async fn search(&self, tells: bool) -> (Option<SourceGaps>, usize) {
        self.search_from(tells, [0; 3]).await
    }

    /// Searches a stream whose origins' messages begin after these sequences.
    async fn search_from(&self, tells: bool, before: [u64; 3]) -> (Option<SourceGaps>, usize) {
        let requests = Answering { stream: self, asked: AtomicUsize::new(0) };
        let info = self.info(tells);
        let limits = Limits::new(Duration::from_secs(5));
        let ends = Instant::now() + Duration::from_secs(60);
        let said = self.sent.map(Some).to_vec();
        let found = Search::new(Api::new(&requests), &info, said, before.to_vec(), limits, ends).run().await.unwrap();
        (found, requests.asked.into_inner())
    }

    /// Asserts that the search finds exactly the gaps, with at most this many requests.
    async fn finds(&self, most: usize) {
        for tells in [true, false] {
            let (found, asked) = self.search(tells).await;
            let found = found.unwrap();
            let ranges: Vec<_> = found.gaps.iter().flat_map(|gap| &gap.among).collect();
            let named: Vec<_> = ranges.iter().map(|r| (r.origin.as_str(), r.first, r.last)).collect();
            assert_eq!(named, self.gaps, "{found:?}");
            assert!(found.gaps.iter().all(Gap::is_exact));
            assert!(asked <= most, "{asked} requests");
        }
    }
}

struct Answering<'a> {
    stream: &'a Simulated,
    asked: AtomicUsize,
}

impl Answers for Answering<'_> {
    fn answer(&self, subject: &str, payload: &[u8]) -> Result<Value, RequestError> {
        assert_eq!(subject, "$JS.API.STREAM.MSG.GET.foo");
        self.asked.fetch_add(1, Ordering::Relaxed);
        let body: Value = serde_json::from_slice(payload).unwrap();
        let place = body["seq"].as_u64().unwrap().checked_sub(self.stream.first);
        Ok(match place.and_then(|place| *self.stream.messages.get(place as usize)?) {
            Some((source, sequence)) => {
                let headers = format!(
                    "NATS/1.0\r\nNats-Stream-Source: {} {sequence} foo.a.> foo.> foo.a.x j0Y3EXgW\r\n\r\n",
                    NAMES[source]
                );
                json!({ "message": { "hdrs": STANDARD.encode(headers) } })
            }
            None => json!({ "error": { "code": 404, "err_code": 10037, "description": "no message found" } }),
        })
    }
}

#[tokio::test]
async fn nothing_missing_is_seen_with_one_look_at_the_end() {
    Simulated::new().traffic(100_000, [1, 1, 1]).finds(60).await;
    Simulated::new().traffic(1, [1, 0, 0]).finds(60).await;
}

#[tokio::test]
async fn one_region_was_away() {
    let before = || Simulated::new().traffic(50_000, [1, 1, 1]);
    before()
        .traffic(200_000, [0, 1, 1])
        .gap(0, 15)
        .traffic(10_000, [1, 0, 0])
        .traffic(50_000, [1, 1, 1])
        .finds(2000)
        .await;
    before().traffic(200_000, [0, 1, 1]).gap(0, 15).traffic(1, [1, 0, 0]).finds(2000).await;
    Simulated::new().gap(0, 15).traffic(50_000, [1, 1, 1]).finds(400).await;
}

#[tokio::test]
async fn this_region_was_away() {
    let cut_off = Simulated::new().traffic(50_000, [1, 1, 1]).traffic(200_000, [0, 0, 1]);
    let healed = cut_off.gap(0, 70_000).traffic(5000, [1, 0, 0]).gap(1, 60_000).traffic(5000, [0, 1, 0]);
    healed.finds(2000).await;
    healed.traffic(50_000, [1, 1, 1]).finds(2000).await;
}

#[tokio::test]
async fn one_source_hardly_ever_speaks() {
    let quiet = Simulated::new().traffic(3, [0, 1, 0]).traffic(100_000, [1, 0, 1]).traffic(2, [0, 1, 0]);
    let away = quiet.traffic(100_000, [0, 0, 1]).gap(0, 2_000_000);
    away.traffic(2000, [1, 0, 0]).traffic(50_000, [1, 0, 1]).finds(2000).await;
}

#[tokio::test]
async fn what_is_left_of_a_stream_with_limits() {
    let old = Simulated::new().traffic(1000, [1, 1, 1]).gap(0, 7).traffic(1000, [1, 1, 1]);
    let all = old.expire(4000).gap(2, 4).traffic(1000, [1, 1, 1]);
    let (found, asked) = all.search(true).await;
    let found = found.unwrap();
    assert_eq!((found.missing, found.gaps.len()), (11, 2));
    assert!(!found.gaps[0].is_exact() && found.gaps[0].missing == 7 && asked < 400, "{found:?}");
    assert_eq!(found.gaps[1].among, [Range { origin: "e".to_owned(), first: 1 + 4000 / 3 + 667, last: 2004 }]);
}

#[tokio::test]
async fn deleted_messages_leave_a_gap_less_exact() {
    let mut stream = Simulated::new().traffic(1000, [1, 1, 1]).gap(0, 15);
    let place = stream.messages.len();
    stream = stream.traffic(1000, [1, 1, 1]);
    stream.messages[place] = None;
    let (found, _) = stream.search(true).await;
    let found = found.unwrap();
    assert_eq!(found.gaps.iter().map(|gap| gap.missing).sum::<u64>(), 15);
    assert!(found.gaps.iter().all(|gap| !gap.is_exact()), "{found:?}");
    let among = found.gaps[0].among.iter().find(|range| range.origin == "w").unwrap();
    assert!(among.first <= 1001 && among.last >= 1015, "{found:?}");
}

/// An origin that was recreated to start after the messages read from the former one, and an origin of a region that
/// joined later.
#[tokio::test]
async fn origins_begin_where_they_began() {
    const BEFORE: u64 = 1_800_000_000_000_000;
    let mut later = Simulated::new();
    later.sent[1] = BEFORE;
    let later = later.traffic(1000, [1, 1, 1]).gap(1, 7).traffic(1000, [1, 1, 1]);
    for tells in [true, false] {
        let (found, asked) = later.search_from(tells, [0, BEFORE, 0]).await;
        let found = found.unwrap();
        let [gap] = &found.gaps[..] else { panic!("{found:?}") };
        assert_eq!(gap.among, [Range { origin: "c".to_owned(), first: BEFORE + 1001, last: BEFORE + 1007 }]);
        assert_eq!((found.missing, found.last["c"], found.last["w"]), (7, BEFORE + 2007, 2000));
        assert!(asked < 400, "{asked}");
    }
    // Messages of the former origin prove nothing about this one.
    let mut anew = Simulated::new().traffic(1000, [1, 1, 1]);
    anew.sent[1] = BEFORE;
    assert_eq!(anew.traffic(1000, [1, 1, 1]).search_from(true, [0, BEFORE, 0]).await.0, None);
}

#[tokio::test]
async fn what_does_not_add_up_is_not_told() {
    // A recreated origin whose sequences start again.
    let mut stream = Simulated::new().traffic(1000, [1, 1, 1]);
    stream.sent[0] = 0;
    let (found, _) = stream.traffic(50, [1, 1, 1]).search(true).await;
    assert_eq!(found, None);
    // A source that was removed later.
    let mut info = Simulated::new().traffic(10, [1, 1, 1]);
    info.messages.push(Some((0, 99)));
    let requests = Answering { stream: &info, asked: AtomicUsize::new(0) };
    let mut shown = info.info(true);
    shown.sources.remove(0);
    let ends = Instant::now() + Duration::from_secs(60);
    let limits = Limits::new(Duration::from_secs(5));
    assert_eq!(Search::new(Api::new(&requests), &shown, vec![None; 2], vec![0; 2], limits, ends).run().await, Ok(None));
}

#[tokio::test]
async fn too_many_gaps_are_told_in_part() {
    let mut stream = Simulated::new();
    for _ in 0..1000 {
        stream = stream.traffic(20, [1, 1, 1]).gap(1, 3);
    }
    stream = stream.traffic(20, [1, 1, 1]);
    let (found, asked) = stream.search(true).await;
    let found = found.unwrap();
    assert_eq!(found.missing, 3000);
    assert!(asked <= 2000 && found.gaps.iter().any(|gap| !gap.is_exact()) && found.gaps.last().unwrap().is_exact());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// With any traffic, every message of an exact gap is missing, and all gaps together have as many messages as are
    /// missing.
    #[test]
    fn nothing_that_arrived_is_called_missing(
        parts in prop::collection::vec(((0u64..400), [0u64..4, 0..4, 0..4], 0usize..3, prop_oneof![Just(0u64), 1u64..40]), 1..8)
    ) {
        let mut stream = Simulated::new();
        for (turns, weights, source, gap) in parts {
            if gap > 0 {
                stream = stream.gap(source, gap);
            }
            stream = stream.traffic(turns, weights);
        }
        prop_assume!(!stream.messages.is_empty());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for tells in [true, false] {
            let (found, asked) = runtime.block_on(stream.search(tells));
            prop_assert!(asked <= 2000);
            let Some(found) = found else { continue };
            let arrived: std::collections::HashSet<(&str, u64)> =
                stream.messages.iter().flatten().map(|(source, seq)| (NAMES[*source], *seq)).collect();
            let (mut missing, mut not_arrived) = (0, 0);
            for (name, sent) in NAMES.iter().zip(stream.sent) {
                let seqs = || arrived.iter().filter(|(origin, _)| origin == name).map(|(_, seq)| *seq);
                let last = seqs().max().unwrap_or(0);
                missing += last - seqs().count() as u64;
                not_arrived += sent - last;
            }
            // If servers do not report which messages arrived, dropped messages after the last arrived one may be
            // included. There, a missing message can look like one of a silent source.
            prop_assert!(!tells || (missing..=missing + not_arrived).contains(&found.missing), "{missing} and {not_arrived}: {found:?}");
            for gap in found.gaps.iter().filter(|gap| gap.is_exact()) {
                for range in &gap.among {
                    for seq in range.first..=range.last {
                        prop_assert!(!arrived.contains(&(range.origin.as_str(), seq)), "{found:?}");
                    }
                }
            }
        }
    }
}
