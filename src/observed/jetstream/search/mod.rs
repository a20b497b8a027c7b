//! Searches for gaps in one stream. Reads few of its messages, many at a time.

use super::api::{Api, CallError, code};
use super::data::{ObservedStream, SourceState};
use super::gaps::{Gap, Range, SourceGaps};
use crate::observed::Requests;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// Limits on the messages that a run reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Messages read from one stream. One gap takes a few hundred, however long the stream is.
    pub messages: usize,
    /// Streams that are searched. For the others only the count is known.
    pub streams: usize,
    /// Bytes of messages read from one stream.
    pub bytes: u64,
    /// Time for each request.
    pub timeout: Duration,
    /// Time for all requests.
    pub time: Duration,
}

impl Limits {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { messages: 2000, streams: 100, bytes: 64 << 20, timeout, time: timeout }
    }
}

/// A position in the stream, and the last sequence of each source that had arrived by then.
#[derive(Debug, Clone)]
struct SearchPoint {
    at: u64,
    got: Vec<u64>,
}

/// A message's origin: the index of the source, and the message's sequence there.
type Origin = (usize, u64);

/// The last sequence of each source that arrived, if known.
type Known = Vec<Option<u64>>;

/// Reason why a search ends early.
enum Stop {
    /// A limit is reached.
    Spent,
    /// A request failed, or a message does not come from one of the sources.
    Failed,
    /// The numbers contradict each other.
    Contradiction,
}

pub(super) struct Search<'a, R> {
    api: Api<'a, R>,
    stream: &'a ObservedStream,
    /// The last sequences that arrived, as the servers report them.
    said: Known,
    /// The sequence before each origin's first possible one. Inside the search, sequences are counted from there.
    before: Vec<u64>,
    limits: Limits,
    ends: Instant,
    left: usize,
    seen: HashMap<u64, Option<Origin>>,
    /// The subject on which the user may not publish.
    denied: Option<String>,
}

const IN_FLIGHT: usize = 32;
/// No stream reaches this sequence, and sums of sequences below it do not overflow.
const HIGHEST: u64 = 1 << 56;
/// Number of messages that are read to check a gap. If there are fewer since the last one of its source, all are read.
const LOOKS: u64 = 256;
/// Sizes of the blocks in which the search looks for each source, message by message. A source that is in none of them
/// is silent at that position.
const BLOCKS: [u64; 4] = [4, 8, 16, 32];

impl<'a, R: Requests> Search<'a, R> {
    /// Makes a search. `said` has the last sequence of each source that arrived according to the servers, `before` the
    /// sequence before its origin's first.
    pub(super) fn new(
        api: Api<'a, R>,
        stream: &'a ObservedStream,
        said: Known,
        before: Vec<u64>,
        limits: Limits,
        ends: Instant,
    ) -> Self {
        let counted = |(said, before): (Option<u64>, &u64)| said.map(|said| said.saturating_sub(*before));
        let said = said.into_iter().zip(&before).map(counted).collect();
        let size = (stream.state.bytes / stream.state.messages.max(1)).max(1);
        let left = limits.messages.min(usize::try_from(limits.bytes / size).unwrap_or(usize::MAX));
        Self { api, stream, said, before, limits, ends, left, seen: HashMap::new(), denied: None }
    }

    /// Finds the missing messages. Returns `None` if the messages do not show them.
    ///
    /// # Errors
    /// The subject on which the user may not publish.
    pub(super) async fn run(mut self) -> Result<Option<SourceGaps>, String> {
        let found = self.find().await;
        self.denied.map_or(Ok(found), Err)
    }

    async fn find(&mut self) -> Option<SourceGaps> {
        let state = &self.stream.state;
        let told = self.told().chain(self.said.iter().copied()).flatten().chain(self.before.iter().copied());
        if told.chain([self.stream.first_possible(), state.first_seq, state.last_seq]).any(|seq| seq > HIGHEST) {
            return None;
        }
        let start = self.start().await.ok().flatten()?;
        let end = self.end(&start).await.ok().flatten()?;
        let names = self.stream.sources.iter().map(|source| source.name.clone());
        let last = end.got.iter().zip(&self.before).map(|(got, before)| got + before);
        let last = names.zip(last).collect();
        let mut gaps = match self.missing(&start) {
            ..0 => return None,
            0 => Vec::new(),
            missing => vec![self.before(&start, missing)],
        };
        match self.missing(&end) - self.missing(&start) {
            ..0 => return None,
            missing => match self.gaps(&start, &end).await {
                Ok(found) => gaps.extend(found),
                Err(Stop::Failed) => return None,
                // A contradiction means that a coincidence misled the search. The total is still certain.
                Err(_) => gaps.push(self.between(&start, &end, missing)),
            },
        }
        gaps.sort_by_key(|gap| gap.after);
        let missing = gaps.iter().map(|gap| gap.missing).sum();
        Some(SourceGaps { stream: self.stream.name.clone(), last, missing, gaps })
    }

    /// Finds the gaps between two positions. Bisects the ranges in which messages are missing, the newest half first.
    async fn gaps(&mut self, start: &SearchPoint, end: &SearchPoint) -> Result<Vec<Gap>, Stop> {
        let mut gaps = Vec::new();
        let mut open = vec![(start.clone(), end.clone())];
        while let Some((low, high)) = open.pop() {
            match self.missing(&high) - self.missing(&low) {
                ..0 => return Err(Stop::Contradiction),
                0 => continue,
                missing if high.at - low.at == 1 => {
                    let found = self.step(&low, &high, missing)?;
                    if let Some(gap) = &found {
                        self.check(gap).await?;
                    }
                    gaps.extend(found);
                }
                missing => match self.split(&low, &high).await {
                    Ok(Some(middle)) => open.extend([(low, middle.clone()), (middle, high)]),
                    Ok(None) | Err(Stop::Spent) => gaps.push(self.between(&low, &high, missing)),
                    Err(stop) => return Err(stop),
                },
            }
        }
        Ok(gaps)
    }

    /// Returns the number of messages that are missing before a position.
    fn missing(&self, place: &SearchPoint) -> i128 {
        let got: i128 = place.got.iter().map(|&got| i128::from(got)).sum();
        got - i128::from(place.at) + i128::from(self.stream.first_possible() - 1)
    }

    /// Returns the gap among the messages before the first one that still exists.
    fn before(&self, start: &SearchPoint, missing: i128) -> Gap {
        let among = self.ranges(|i| (1, start.got[i]));
        Gap { after: self.stream.first_possible() - 1, before: start.at + 1, missing: count(missing), among }
    }

    /// Returns the gap directly before the message at `high`.
    fn step(&self, low: &SearchPoint, high: &SearchPoint, missing: i128) -> Result<Option<Gap>, Stop> {
        let Some(&Some((source, sequence))) = self.seen.get(&high.at) else {
            return Ok(Some(self.between(low, high, missing)));
        };
        let among = self.ranges(|i| (low.got[i] + 1, if i == source { sequence - 1 } else { 0 }));
        let gap = Gap { after: low.at, before: high.at, missing: count(missing), among };
        match gap.is_exact() {
            true => Ok(Some(gap)),
            // The servers may have counted messages that came after this one.
            false if high.at == self.stream.state.last_seq => Ok(None),
            false => Err(Stop::Contradiction),
        }
    }

    /// Looks for the messages that a gap lists as missing, between the last message of their source and the message
    /// after the gap. If messages of this source were not read, the same number of another source may be missing
    /// instead.
    async fn check(&mut self, gap: &Gap) -> Result<(), Stop> {
        let stream = self.stream;
        for range in gap.among.iter().filter(|_| gap.is_exact()) {
            let index = stream.sources.iter().position(|source| source.name == range.origin);
            let of = |origin: &Option<Origin>| origin.and_then(|(i, seq)| (Some(i) == index).then_some(seq));
            let before = index.map_or(0, |index| self.before[index]);
            let (first, last) = (range.first - before, range.last - before);
            let earlier = self.seen.iter().filter(|(at, origin)| **at <= gap.after && of(origin).is_some());
            let from = earlier.map(|(at, _)| *at).max().unwrap_or(stream.state.first_seq.saturating_sub(1));
            let every = gap.after.saturating_sub(from).div_ceil(LOOKS).max(1);
            let every = usize::try_from(every).unwrap_or(usize::MAX);
            match self.fetch((from + 1..=gap.after).step_by(every)).await {
                Ok(()) | Err(Stop::Spent) => {}
                Err(stop) => return Err(stop),
            }
            if self.seen.values().filter_map(of).any(|seq| (first..=last).contains(&seq)) {
                return Err(Stop::Contradiction);
            }
        }
        Ok(())
    }

    fn between(&self, low: &SearchPoint, high: &SearchPoint, missing: i128) -> Gap {
        // The last sequences up to `high` have arrived.
        let among = self.ranges(|i| (low.got[i] + 1, high.got[i].saturating_sub(1)));
        Gap { after: low.at, before: high.at, missing: count(missing), among }
    }

    /// Returns the last sequence of each source that arrived, if servers report it directly.
    fn told(&self) -> impl Iterator<Item = Option<u64>> {
        let told = |(source, before): (&SourceState, &u64)| source.seq.map(|seq| seq.saturating_sub(*before));
        self.stream.sources.iter().zip(&self.before).map(told)
    }

    fn ranges(&self, of: impl Fn(usize) -> (u64, u64)) -> Vec<Range> {
        let all = self.stream.sources.iter().zip(&self.before).enumerate().map(|(i, (source, before))| {
            let (first, last) = of(i);
            Range { origin: source.name.clone(), first: first + before, last: last + before }
        });
        all.filter(|range| range.first <= range.last).collect()
    }

    /// Returns the position before the first message that still exists.
    async fn start(&mut self) -> Result<Option<SearchPoint>, Stop> {
        let base = self.stream.first_possible() - 1;
        let (first, last) = (self.stream.state.first_seq, self.stream.state.last_seq);
        if first <= base + 1 {
            return Ok(Some(SearchPoint { at: base, got: vec![0; self.said.len()] }));
        }
        // Messages of a source before its first one in the stream count as arrived, or as missing earlier.
        let mut got: Known = self.said.iter().map(|said| said.filter(|&said| said == 0)).collect();
        let mut from = first;
        for size in BLOCKS {
            let to = from.saturating_add(size - 1).min(last);
            self.fetch(from..=to).await?;
            for (source, sequence) in (from..=to).filter_map(|at| self.seen[&at]) {
                got[source].get_or_insert(sequence.saturating_sub(1));
            }
            from = to.saturating_add(1);
        }
        Ok(got.into_iter().collect::<Option<Vec<_>>>().map(|got| SearchPoint { at: first - 1, got }))
    }

    /// Returns the position of the last message.
    async fn end(&mut self, start: &SearchPoint) -> Result<Option<SearchPoint>, Stop> {
        let at = self.stream.state.last_seq;
        // The servers' report about a silent source is right. About a busy one, it may be newer than the message at
        // `at`.
        let mut got: Known = self.told().map(|told| told.filter(|&seq| seq == 0)).collect();
        let mut from = at;
        for size in BLOCKS {
            let to = from.saturating_sub(size).max(start.at);
            if self.look(from, to, &mut got).await? {
                break;
            }
            from = to;
        }
        let mut got: Known = got.into_iter().zip(self.told()).map(|(got, told)| got.or(told)).collect();
        if got.iter().any(Option::is_none) {
            match self.place(at, vec![None; got.len()], start, None).await? {
                Some(place) => return Ok(Some(place)),
                None => got = got.iter().zip(&self.said).map(|(got, said)| got.or(*said)).collect(),
            }
        }
        Ok(got.into_iter().collect::<Option<Vec<_>>>().map(|got| SearchPoint { at, got }))
    }

    /// Returns a certain position between the two, near the middle if possible.
    async fn split(&mut self, low: &SearchPoint, high: &SearchPoint) -> Result<Option<SearchPoint>, Stop> {
        let width = high.at - low.at;
        for eighths in [4, 3, 5, 2, 6] {
            let at = low.at + (width * eighths / 8).clamp(1, width - 1);
            if let Some(place) = self.place(at, vec![None; low.got.len()], low, Some(high)).await?
                && (0..place.got.len()).all(|i| low.got[i] <= place.got[i] && place.got[i] <= high.got[i])
                && self.missing(low) <= self.missing(&place)
                && self.missing(&place) <= self.missing(high)
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Returns the position at `at`. Returns `None` if it cannot be found, for instance because messages were deleted
    /// there. `hint` is used for sources that cannot be found otherwise.
    fn place<'s>(
        &'s mut self,
        at: u64,
        hint: Known,
        low: &'s SearchPoint,
        high: Option<&'s SearchPoint>,
    ) -> BoxFuture<'s, Result<Option<SearchPoint>, Stop>> {
        Box::pin(async move {
            let still = |i: usize| high.map(|high| high.got[i]).filter(|&got| got == low.got[i]);
            let mut got: Known = (0..low.got.len()).map(still).collect();
            let mut from = at;
            for size in BLOCKS {
                let to = from.saturating_sub(size).max(low.at);
                if !self.look(from, to, &mut got).await? && self.is_absent(to, from) {
                    return Ok(None);
                }
                if to == low.at {
                    fill(&mut got, &low.got);
                } else if at - to > BLOCKS[1] {
                    self.reckon(at, &mut got, low, high).await?;
                }
                if let Some(got) = got.iter().copied().collect() {
                    return Ok(Some(SearchPoint { at, got }));
                }
                from = to;
            }
            for (got, hint) in got.iter_mut().zip(hint) {
                *got = got.or(hint);
            }
            self.reckon(at, &mut got, low, high).await?;
            if got.iter().any(Option::is_none) {
                let Some((last, then)) = self.last_of_silent(at, low, &got).await? else { return Ok(None) };
                let Some(place) = self.place(last, then, low, high).await? else { return Ok(None) };
                fill(&mut got, &place.got);
            }
            Ok(got.into_iter().collect::<Option<Vec<_>>>().map(|got| SearchPoint { at, got }))
        })
    }

    /// Fills in the sources that `got` lacks, if the count shows that they sent nothing before `at`, or nothing after
    /// it.
    async fn reckon(
        &mut self,
        at: u64,
        got: &mut Known,
        low: &SearchPoint,
        high: Option<&SearchPoint>,
    ) -> Result<(), Stop> {
        if let Some(high) = high
            && at - low.at == arrived(got, low) + unseen(got, low, high)
        {
            // No message is missing if all that these sources sent up to `high` has already arrived.
            fill(got, &high.got);
        } else if at - low.at == arrived(got, low) && self.are_silent(low.at, at, got).await? {
            fill(got, &low.got);
        } else if let Some(high) = high
            && high.at - at == arrives(got, high)
            && self.are_silent(at, high.at, got).await?
        {
            fill(got, &high.got);
        }
        Ok(())
    }

    /// Checks that none of the sources that `got` lacks appears at samples from `low` to `high`. The count alone could
    /// mislead, because the same number of messages of the other sources may be missing.
    async fn are_silent(&mut self, low: u64, high: u64, got: &Known) -> Result<bool, Stop> {
        let width = high - low;
        let ends = (1..8).chain((3..63).map(|power| 1 << power).take_while(|&step| step < width));
        let between = (1..8).flat_map(|eighth| (0..3).map(move |more| width * eighth / 8 + more));
        let steps = ends.flat_map(|step| [step, width - step.min(width)]).chain(between);
        let places: BTreeSet<u64> = steps.filter(|step| (1..width).contains(step)).map(|step| low + step).collect();
        self.fetch(places.iter().copied()).await?;
        Ok(places.iter().all(|at| self.seen[at].is_some_and(|(source, _)| got[source].is_some())))
    }

    /// Finds the last message up to `at` of the sources that `got` lacks, and the last sequences of the other sources
    /// at that position. After it, all messages are from the other sources.
    async fn last_of_silent(&mut self, at: u64, low: &SearchPoint, got: &Known) -> Result<Option<(u64, Known)>, Stop> {
        let (mut before, mut behind, mut then) = (low.at, at, got.clone());
        while behind - before > BLOCKS[1] {
            let middle = before + (behind - before) / 2;
            let mut there: Known = vec![None; got.len()];
            let mut from = middle;
            for size in BLOCKS {
                let to = from.saturating_sub(size).max(low.at);
                self.look(from, to, &mut there).await?;
                if to == low.at {
                    fill(&mut there, &low.got);
                }
                let silent = || (got.iter().zip(&there)).any(|(got, there)| got.is_none() && there.is_some());
                let busy = (got.iter().zip(&there)).all(|(got, there)| got.is_none() || there.is_some());
                if busy || (middle - to > BLOCKS[1] && silent()) {
                    break;
                }
                from = to;
            }
            // The fewest and the most messages that the other sources can have sent from there to `at`.
            let pairs =
                || got.iter().zip(&low.got).zip(&there).filter_map(|((got, low), there)| Some(((*got)?, low, there)));
            let least: u64 = pairs().map(|(got, _, there)| got.saturating_sub(there.unwrap_or(got))).sum();
            let most: u64 = pairs().map(|(got, low, there)| got.saturating_sub(there.unwrap_or(*low))).sum();
            let silent = (got.iter().zip(&there)).any(|(got, there)| got.is_none() && there.is_some());
            if least >= at - middle {
                behind = middle;
                then = got.iter().zip(&there).map(|(got, there)| got.and(there.or(*got))).collect();
            } else if most < at - middle || silent {
                before = middle;
            } else {
                return Ok(None);
            }
        }
        // A few missing messages of the other sources may have shifted the result slightly.
        let (from, to) = (before.saturating_sub(BLOCKS[2]).max(low.at) + 1, (behind + BLOCKS[3]).min(at));
        self.fetch(from..=to).await?;
        if self.is_absent(from - 1, to) {
            return Ok(None);
        }
        let origins = (from..=to).rev().map(|place| (place, self.seen[&place]));
        for (place, (source, sequence)) in origins.filter_map(|(place, origin)| Some((place, origin?))) {
            if got[source].is_some() {
                then[source] = Some(sequence - 1);
            } else {
                return Ok(self.are_silent(place, at, got).await?.then_some((place, then)));
            }
        }
        Ok(None)
    }

    /// Reads the messages from `from` down to the one after `to`. Returns `true` if `got` is then complete. Stops at a
    /// deleted message, which may have been of any source.
    async fn look(&mut self, from: u64, to: u64, got: &mut Known) -> Result<bool, Stop> {
        self.fetch(to + 1..=from).await?;
        for at in (to + 1..=from).rev() {
            match self.seen[&at] {
                Some((source, sequence)) => _ = got[source].get_or_insert(sequence),
                None => break,
            }
            if got.iter().all(Option::is_some) {
                return Ok(true);
            }
        }
        Ok(got.iter().all(Option::is_some))
    }

    fn is_absent(&self, to: u64, from: u64) -> bool {
        (to + 1..=from).any(|at| self.seen[&at].is_none())
    }

    /// Reads those of the messages that were not read yet.
    async fn fetch(&mut self, places: impl Iterator<Item = u64>) -> Result<(), Stop> {
        let new: Vec<u64> = places.filter(|at| !self.seen.contains_key(at)).collect();
        if new.len() > self.left || (!new.is_empty() && Instant::now() >= self.ends) {
            return Err(Stop::Spent);
        }
        self.left -= new.len();
        let (api, timeout) = (self.api, self.limits.timeout);
        let operation = format!("STREAM.MSG.GET.{}", self.stream.name);
        let asked: Vec<_> = (new.into_iter())
            .map(|at| {
                let (body, operation) = (json!({ "seq": at }), operation.as_str());
                async move { (at, api.call(operation, &body, timeout).await) }
            })
            .collect();
        let replies: Vec<_> = stream::iter(asked).buffered(IN_FLIGHT).collect().await;
        for (at, reply) in replies {
            let origin = match reply {
                Ok(reply) => Some(self.origin(&reply).ok_or(Stop::Failed)?),
                Err(error) if gone(&error) => None,
                Err(error) => {
                    self.denied = error.denied().map(str::to_owned);
                    return Err(Stop::Failed);
                }
            };
            self.seen.insert(at, origin);
        }
        Ok(())
    }

    fn origin(&self, reply: &Value) -> Option<Origin> {
        let (name, sequence) = came_from(reply)?;
        let index = self.stream.sources.iter().position(|source| source.name == name)?;
        // A message from a former stream of the same name proves nothing.
        let counted = sequence.checked_sub(self.before[index]).filter(|counted| *counted > 0)?;
        Some((index, counted))
    }
}

/// Returns the origin of a sourced message and its sequence there, from a reply of `STREAM.MSG.GET`; `None` for any
/// other message.
pub fn came_from(reply: &Value) -> Option<(String, u64)> {
    let headers = STANDARD.decode(reply["message"]["hdrs"].as_str()?).ok()?;
    let headers = String::from_utf8_lossy(&headers);
    let value = headers.lines().find_map(|line| line.strip_prefix("Nats-Stream-Source:"))?;
    let mut words = value.split_whitespace();
    // A source in another account or domain is `<name>:<hash>` (nats-server 2.15 `stream.go`).
    let name = words.next()?.split(':').next()?;
    let sequence = words.next()?.parse().ok().filter(|sequence| (1..=HIGHEST).contains(sequence))?;
    Some((name.to_owned(), sequence))
}

fn gone(error: &CallError) -> bool {
    error.err_code() == Some(code::NO_MESSAGE)
}

fn count(missing: i128) -> u64 {
    u64::try_from(missing).unwrap_or(0)
}

fn fill(got: &mut Known, from: &[u64]) {
    for (got, from) in got.iter_mut().zip(from) {
        got.get_or_insert(*from);
    }
}

/// Returns the number of messages of the known sources that arrived since `low`.
fn arrived(got: &Known, low: &SearchPoint) -> u64 {
    got.iter().zip(&low.got).map(|(got, low)| got.map_or(0, |got| got.saturating_sub(*low))).sum()
}

/// Returns the number of messages of the known sources that arrive until `high`.
fn arrives(got: &Known, high: &SearchPoint) -> u64 {
    got.iter().zip(&high.got).map(|(got, high)| got.map_or(0, |got| high.saturating_sub(got))).sum()
}

/// Returns the number of messages of the unknown sources that arrive from `low` to `high`.
fn unseen(got: &Known, low: &SearchPoint, high: &SearchPoint) -> u64 {
    let arrives = got.iter().zip(low.got.iter().zip(&high.got)).filter(|(got, _)| got.is_none());
    arrives.map(|(_, (low, high))| high.saturating_sub(*low)).sum()
}

#[cfg(test)]
mod tests;
