//! Copies the history of read streams whose account changes its layout, before mappings lead applications to them.
//!
//! Each new stream sources the old read stream until it has nearly all of it. Then the run removes that source, which
//! fixes the new stream's position in the old one. The new stream's sources start after the last message of each write
//! stream that the old stream had at that position. Each step is visible in the stream's config, so that any run can
//! continue where the last one stopped.

use super::clock::REQUEST_TIMEOUT;
use super::error::ApplyError;
use super::planned::Planned;
use super::report::{Applied, Provisioned};
use super::session::Session;
use super::{Deadline, Progress};
use crate::desired::{DesiredAccount, Role, metadata};
use crate::model::finding::Finding;
use crate::observed::Requests;
use crate::observed::jetstream::{Api, CallError, ObservedStream, SILENCE, SourceState, age, came_from, code};
use crate::plan::Action;
use crate::plan::backfill::{self, History, Phase};
use crate::plan::consumers::ConsumerChange;
use crate::plan::streams::StreamChange;
use crate::provision::{ItemError, RunOptions, run};
use crate::verify::streams::{Checked, StreamProblem, Verdict};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Number of streams that are backfilled at the same time.
const STREAMS: usize = 16;
/// Number of requests in flight for each stream.
const IN_FLIGHT: usize = 64;
/// Most consumers that are copied per stream. Servers report their number, so it needs a limit.
const MOST_CONSUMERS: u64 = 10_000;
/// Number of equal observations in a row after which a stream without lag counts as filled.
const STILL: u32 = 15;
/// Time without publishes in a region, in nanoseconds, after which no reported figure can be older.
const QUIET: u64 = 30_000_000_000;
/// Time without changes after which a stream without sources has received all messages in flight.
const STEADY_TIME: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Returns `true` if the backfill makes this change, or goes on with it after it was made.
pub(super) fn needs_backfill(change: &StreamChange) -> bool {
    change.history.is_some()
}

/// Returns the change as it is provisioned first, or `None` if there is nothing to make.
pub(super) fn initial_change(change: &StreamChange) -> Option<StreamChange> {
    match (&change.history, &change.after, change.action) {
        (None, ..) => Some(change.clone()),
        (Some(history), Some(after), Action::Create) => {
            Some(StreamChange { after: Some(backfill::filling(after, history)), ..change.clone() })
        }
        (Some(_), ..) => None,
    }
}

/// Waits until the streams that take over history have it, and lets them source the write streams from there on. Makes
/// their consumers at the positions of the old streams' consumers.
pub(super) async fn run_backfill<L: Requests>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    deadline: Deadline,
    applied: &mut Applied,
    progress: &dyn Progress,
) -> Result<(), ApplyError> {
    let mut moves = Vec::new();
    let mut application = None;
    for (index, account) in planned.plan.accounts.iter().enumerate() {
        if account.region.is_none() {
            application = session.api(index);
            continue;
        }
        let (Some(old), Some(new)) = (application, session.api(index)) else { continue };
        for change in account.streams.changes.iter().filter(|change| needs_backfill(change)) {
            let Some(history) = &change.history else { continue };
            let desired = &planned.desired[index];
            let consumers = account.consumers.changes.iter().filter(|consumer| consumer.stream == change.name);
            moves.push(StreamBackfill { old, new, desired, change, history, consumers: consumers.collect(), deadline });
        }
    }
    if moves.is_empty() {
        return Ok(());
    }
    let total = moves.len();
    progress.step("taking the history along", 0, total);
    let mut results = stream::iter(&moves).map(|one| async move { (one, one.run().await) }).buffer_unordered(STREAMS);
    let (mut done, mut problems) = (0, Vec::new());
    while let Some((one, result)) = results.next().await {
        match result {
            Ok(made) => applied.provisioned.extend(made),
            Err(Unfinished(message)) => problems.push(one.problem(message)),
        }
        done += 1;
        progress.step("taking the history along", done, total);
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort_by(|a, b| (&a.stream, &a.region).cmp(&(&b.stream, &b.region)));
    Err(ApplyError::NotCaughtUp { problems })
}

/// Reason why a stream does not have its history yet.
struct Unfinished(String);

impl From<CallError> for Unfinished {
    fn from(error: CallError) -> Self {
        Self(error.to_string())
    }
}

/// A stream that is being backfilled.
struct StreamBackfill<'m, L> {
    /// The application's account, with the old stream.
    old: Api<'m, L>,
    /// The regional account.
    new: Api<'m, L>,
    desired: &'m DesiredAccount<'m>,
    change: &'m StreamChange,
    history: &'m History,
    /// Consumers of the definition that do not exist yet.
    consumers: Vec<&'m ConsumerChange>,
    deadline: Deadline,
}

impl<L: Requests> StreamBackfill<'_, L> {
    async fn run(&self) -> Result<Vec<Provisioned>, Unfinished> {
        let name = &self.change.name;
        loop {
            let info = self.info(self.new, name).await?;
            match backfill::phase(&info.config) {
                Some((_, Phase::Filling)) => {
                    self.filled().await?;
                    self.update(&backfill::held(&info.config)).await?;
                }
                Some((_, Phase::Held)) => {
                    let end = self.end(info).await?;
                    let last = match end {
                        Some(end) => self.last_of_each(end).await?,
                        None => BTreeMap::new(),
                    };
                    let info = self.info(self.new, name).await?;
                    let Some(wanted) = &self.change.after else { return Ok(Vec::new()) };
                    let resumed = backfill::resumed(&info.config, wanted, &last);
                    // Consumers come before the sources: after a stop in between, the stream's sources show that the
                    // step is not done.
                    let made = self.take_consumers(&info).await?;
                    self.update(&resumed).await?;
                    return Ok(made);
                }
                Some((_, Phase::Done)) | None => return Ok(Vec::new()),
            }
        }
    }

    fn problem(&self, message: String) -> Checked {
        let place = format!("account {}, stream {}", self.desired.name, self.change.name);
        let finding =
            Finding::error("history-under-way", place, message, "Run apply again: it continues from here.".to_owned());
        Checked {
            virtual_stream: self.change.virtual_stream.clone(),
            region: self.change.region.clone(),
            role: Role::Read,
            stream: self.change.name.clone(),
            consumer: None,
            verdict: Verdict::Wrong,
            problems: vec![StreamProblem { verdict: Verdict::Wrong, finding }],
        }
    }

    async fn call(&self, api: Api<'_, L>, operation: &str, body: &Value) -> Result<Value, CallError> {
        loop {
            match api.call(operation, body, self.deadline.at_most(REQUEST_TIMEOUT)).await {
                Err(error) if error.is_transient() && !self.deadline.is_over() => {
                    tokio::time::sleep(LOOK_INTERVAL).await
                }
                result => return result,
            }
        }
    }

    async fn info(&self, api: Api<'_, L>, stream: &str) -> Result<ObservedStream, Unfinished> {
        let info = self.call(api, &format!("STREAM.INFO.{stream}"), &Value::Null).await?;
        ObservedStream::from_info(info).ok_or_else(|| Unfinished(format!("stream {stream} has no config")))
    }

    async fn update(&self, config: &Map<String, Value>) -> Result<(), Unfinished> {
        let mut config = config.clone();
        if let Some(Value::Object(marks)) = config.get_mut("metadata") {
            marks.retain(|key, _| !key.starts_with("_nats."));
        }
        self.call(self.new, &format!("STREAM.UPDATE.{}", self.change.name), &Value::Object(config)).await?;
        Ok(())
    }

    /// Returns the stream and sequence that the message at `sequence` came from. Returns `None` if the message is gone.
    async fn origin(&self, api: Api<'_, L>, stream: &str, sequence: u64) -> Result<Option<(String, u64)>, CallError> {
        match self.call(api, &format!("STREAM.MSG.GET.{stream}"), &json!({ "seq": sequence })).await {
            Ok(reply) => Ok(came_from(&reply)),
            Err(error) if error.err_code() == Some(code::NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until this stream has everything that the old stream had a moment ago, because write streams may no longer
    /// hold it.
    async fn filled(&self) -> Result<(), Unfinished> {
        let mut still = 0;
        let mut before = 0;
        // The last message of the old stream at the look before: newer ones are still on their way.
        let mut due = None;
        loop {
            let old = self.info(self.old, &self.history.from).await?;
            let new = self.info(self.new, &self.change.name).await?;
            let at = match new.state.messages {
                0 => None,
                _ => self.origin(self.new, &self.change.name, new.state.last_seq).await?,
            };
            let at = at.filter(|(from, _)| *from == self.history.from).map_or(0, |(_, sequence)| sequence);
            // The last messages of the old stream may have been deleted there.
            let waits = |source: &SourceState| source.lag > 0 || source.active.is_none_or(|ns| ns >= SILENCE);
            still = if new.state.last_seq == before && !new.sources.iter().any(waits) { still + 1 } else { 0 };
            before = new.state.last_seq;
            if at >= due.unwrap_or(old.state.last_seq) || still > STILL {
                return Ok(());
            }
            due = Some(old.state.last_seq);
            if self.deadline.is_over() {
                return Err(Unfinished(format!(
                    "has {} of the {} messages of {} so far; the rest is on its way",
                    new.state.messages, old.state.messages, self.history.from
                )));
            }
            tokio::time::sleep(self.deadline.at_most(LOOK_INTERVAL)).await;
        }
    }

    /// Returns the sequence of the old stream's last copied message, once no more messages are in flight. Returns
    /// `None` if none was copied.
    async fn end(&self, mut info: ObservedStream) -> Result<Option<u64>, Unfinished> {
        loop {
            tokio::time::sleep(STEADY_TIME).await;
            let again = self.info(self.new, &self.change.name).await?;
            let same = again.state.last_seq == info.state.last_seq && again.sources.is_empty();
            if same && again.cluster.leader.is_some() && again.cluster.leader == info.cluster.leader {
                break;
            }
            if self.deadline.is_over() {
                return Err(Unfinished("is not steady yet".to_owned()));
            }
            info = again;
        }
        if info.state.messages == 0 {
            return Ok(None);
        }
        let origin = self.origin(self.new, &self.change.name, info.state.last_seq).await?;
        match origin.filter(|(from, _)| *from == self.history.from) {
            Some((_, sequence)) => Ok(Some(sequence)),
            None => Err(Unfinished(format!(
                "its last message does not say where in {} it comes from: it cannot be told where its sources begin",
                self.history.from
            ))),
        }
    }

    /// Returns the last sequence of each write stream that the old read stream had up to the message `end`.
    async fn last_of_each(&self, end: u64) -> Result<BTreeMap<String, u64>, Unfinished> {
        let old = self.info(self.old, &self.history.from).await?;
        // After this pause, the old stream has stored the messages that were in flight to it.
        tokio::time::sleep(STEADY_TIME).await;
        let now = self.info(self.old, &self.history.from).await?;
        // The first message of each write stream after the end.
        let mut behind: BTreeMap<String, u64> = BTreeMap::new();
        let late = || {
            Unfinished(format!(
                "where the sources stand in {} was not found in time: a longer --timeout helps",
                self.history.from
            ))
        };
        let (mut next, mut block) = (end + 1, 64);
        while next <= now.state.last_seq && old.sources.iter().any(|source| !behind.contains_key(&source.name)) {
            let until = now.state.last_seq.min(next + block - 1);
            for (name, sequence) in self.origins(next, until).await? {
                let known = behind.entry(name).or_insert(sequence);
                *known = sequence.min(*known);
            }
            (next, block) = (until + 1, (block * 2).min(8192));
            if self.deadline.is_over() {
                return Err(late());
            }
        }
        let mut last = BTreeMap::new();
        let mut wanted = Vec::new();
        for source in &old.sources {
            let known = match (behind.get(&source.name), source.seq) {
                (Some(first), _) => Some(first - 1),
                (None, Some(sequence)) => Some(sequence),
                (None, None) => self.quiet(source).await?,
            };
            match known {
                Some(sequence) => drop(last.insert(source.name.clone(), sequence)),
                None => wanted.push(source.name.clone()),
            }
        }
        let (mut top, mut block) = (end, 64);
        while !wanted.is_empty() && top >= old.state.first_seq.max(1) {
            let bottom = top.saturating_sub(block).max(old.state.first_seq.saturating_sub(1));
            for (name, sequence) in self.origins(bottom + 1, top).await? {
                if wanted.contains(&name) {
                    let known = last.entry(name).or_insert(0);
                    *known = sequence.max(*known);
                }
            }
            wanted.retain(|name| !last.contains_key(name));
            (top, block) = (bottom, (block * 2).min(8192));
            if self.deadline.is_over() {
                return Err(late());
            }
        }
        if let (Some(name), true) = (wanted.first(), old.state.first_seq > 1) {
            return Err(Unfinished(format!(
                "{} has no message of {name} any more, and its servers do not say what came from there: bring that \
                 region back",
                self.history.from
            )));
        }
        Ok(last)
    }

    /// Returns the origins of these messages of the old stream. Omits messages that are gone.
    async fn origins(&self, first: u64, last: u64) -> Result<Vec<(String, u64)>, Unfinished> {
        let looks = (first..=last).map(|sequence| self.origin(self.old, &self.history.from, sequence));
        let found: Vec<Option<(String, u64)>> = stream::iter(looks).buffered(IN_FLIGHT).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Returns the last sequence of a write stream, if the old read stream has all of it and no client published since.
    async fn quiet(&self, source: &SourceState) -> Result<Option<u64>, Unfinished> {
        if source.lag > 0 || source.active.is_none_or(|ns| ns >= SILENCE) || source.error.is_some() {
            return Ok(None);
        }
        let info = self
            .old
            .call(&format!("STREAM.INFO.{}", source.name), &Value::Null, self.deadline.at_most(REQUEST_TIMEOUT))
            .await;
        let Some(origin) = info.ok().and_then(ObservedStream::from_info) else { return Ok(None) };
        let state = &origin.state;
        let quiet = state.last_seq == 0 || age(&state.last_ts, &origin.ts).is_some_and(|age| age > QUIET);
        Ok(quiet.then_some(state.last_seq))
    }

    /// Makes the old stream's durable consumers on the new stream, each at the same position.
    async fn take_consumers(&self, new: &ObservedStream) -> Result<Vec<Provisioned>, Unfinished> {
        let mut changes: Vec<ConsumerChange> = self.consumers.iter().map(|change| (*change).clone()).collect();
        for info in self.durables().await? {
            let Some(name) = info["name"].as_str() else { continue };
            let acknowledged = info["ack_floor"]["stream_seq"].as_u64().unwrap_or(0);
            let start = self.after(new, acknowledged).await?;
            let change = match changes.iter_mut().find(|change| change.name == name) {
                Some(change) => change,
                None => {
                    let mut config = info["config"].as_object().cloned().unwrap_or_default();
                    if let Some(Value::Object(marks)) = config.get_mut("metadata") {
                        marks.retain(|key, _| !key.starts_with("_nats."));
                    }
                    changes.push(ConsumerChange {
                        action: Action::Create,
                        stream: self.change.name.clone(),
                        name: name.to_owned(),
                        virtual_stream: self.change.virtual_stream.clone(),
                        region: self.change.region.clone(),
                        before: None,
                        after: config,
                        fields: Vec::new(),
                    });
                    let last = changes.len() - 1;
                    &mut changes[last]
                }
            };
            let config = &mut change.after;
            config.shift_remove("opt_start_time");
            config.insert("deliver_policy".to_owned(), "by_start_sequence".into());
            config.insert("opt_start_seq".to_owned(), start.into());
            let marks = config.entry("metadata").or_insert_with(|| json!({}));
            marks[metadata::POSITION] = format!("{} {acknowledged}", self.history.from).into();
        }
        let options = RunOptions { deadline: self.deadline.left(), ..RunOptions::default() };
        let outcomes = run(self.new, &[], &changes, options, |_| {}).await;
        let failed = outcomes.iter().find_map(|outcome| {
            outcome.result.as_ref().err().map(|error| format!("{}: {error}", outcome.item.place()))
        });
        if let Some(failed) = failed {
            return Err(Unfinished(failed));
        }
        Ok(outcomes
            .iter()
            .map(|outcome| Provisioned {
                place: outcome.item.place(),
                action: outcome.item.action(),
                done: outcome.result.as_ref().ok().copied(),
                error: outcome.result.as_ref().err().map(ItemError::to_string),
            })
            .collect())
    }

    /// Returns the server's information about the durable consumers of the old stream.
    async fn durables(&self) -> Result<Vec<Value>, Unfinished> {
        let operation = format!("CONSUMER.LIST.{}", self.history.from);
        let (mut all, mut seen) = (Vec::new(), 0);
        loop {
            let mut page = self.call(self.old, &operation, &json!({ "offset": seen })).await?;
            let total = page["total"].as_u64().unwrap_or(0);
            let Value::Array(consumers) = page["consumers"].take() else { break };
            seen += consumers.len() as u64;
            let last = consumers.is_empty() || seen >= total;
            if seen > MOST_CONSUMERS {
                let from = &self.history.from;
                return Err(Unfinished(format!("stream {from} has more than {MOST_CONSUMERS} consumers")));
            }
            all.extend(consumers.into_iter().filter(|info| info["config"]["durable_name"].is_string()));
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// Returns the sequence of the first message here that came after `sequence` of the old stream. Both streams have
    /// the same order, which allows a binary search.
    async fn after(&self, new: &ObservedStream, sequence: u64) -> Result<u64, Unfinished> {
        let (mut low, mut high) = (new.state.first_seq, new.state.last_seq.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            // Skips deleted messages.
            let mut at = middle;
            let origin = loop {
                match self.origin(self.new, &self.change.name, at).await? {
                    None if at + 1 < high => at += 1,
                    origin => break origin,
                }
            };
            match origin {
                Some((_, from)) if from <= sequence => low = at + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

#[cfg(test)]
mod tests;
