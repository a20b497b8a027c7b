//! Runs all items in the order that their dependencies require.

use super::attempt::ItemAttempt;
use super::item::{Event, Item, ItemError, ItemOutcome};
use super::options::RunOptions;
use crate::observed::Requests;
use crate::observed::jetstream::Api;
use crate::plan::Action;
use crate::plan::consumers::ConsumerChange;
use crate::plan::streams::StreamChange;
use futures::stream::{self, StreamExt};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// Applies the changes. Returns one outcome for each, in order: streams, consumers, deletions.
///
/// The changes must be in the order of a plan: a stream before those that source it.
pub async fn run<'a, R: Requests>(
    api: Api<'_, R>,
    streams: &'a [StreamChange],
    consumers: &'a [ConsumerChange],
    options: RunOptions,
    progress: impl FnMut(Event<'_>) + Send,
) -> Vec<ItemOutcome<'a>> {
    let (deletions, making): (Vec<&StreamChange>, Vec<&StreamChange>) =
        streams.iter().partition(|change| change.action == Action::Delete);
    let making: Vec<Item> = making.into_iter().map(Item::Stream).chain(consumers.iter().map(Item::Consumer)).collect();
    let deletions: Vec<Item> = deletions.into_iter().map(Item::Stream).collect();
    let run = Run { api, options, until: Instant::now() + options.deadline, progress: Mutex::new(progress) };
    run.tell(Event::Total(making.len() + deletions.len()));
    let mut outcomes = run.all(making).await;
    if outcomes.iter().all(|outcome| outcome.result.is_ok()) {
        outcomes.extend(run.all(deletions).await);
    } else {
        let reason = "something before it failed, and deletions come last";
        outcomes.extend(deletions.into_iter().map(|item| run.finished(not_begun(item, reason))));
    }
    outcomes
}

fn not_begun<'a>(item: Item<'a>, reason: &str) -> ItemOutcome<'a> {
    ItemOutcome { item, result: Err(ItemError::NotBegun(reason.to_owned())), requests: 0 }
}

/// `Some(true)` once the item that others wait for is done, `Some(false)` if it failed, `None` until then.
type Ready = Option<bool>;

struct Run<'r, R, P> {
    api: Api<'r, R>,
    options: RunOptions,
    until: Instant,
    progress: Mutex<P>,
}

impl<R: Requests, P: FnMut(Event<'_>) + Send> Run<'_, R, P> {
    fn tell(&self, event: Event<'_>) {
        let mut progress = self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        progress(event);
    }

    fn finished<'a>(&self, outcome: ItemOutcome<'a>) -> ItemOutcome<'a> {
        self.tell(Event::Finished(&outcome));
        outcome
    }

    /// Runs all items. They queue in order, so that an item starts only after the items that it waits for.
    async fn all<'a>(&self, items: Vec<Item<'a>>) -> Vec<ItemOutcome<'a>> {
        let mut ready: HashMap<&str, watch::Receiver<Ready>> = HashMap::new();
        let mut readers_gone: Vec<(&str, watch::Receiver<Ready>)> = Vec::new();
        let hands_over = |item: &Item<'a>| match item {
            Item::Stream(change) if change.hands_over => Some(change.name.as_str()),
            Item::Stream(_) | Item::Consumer(_) => None,
        };
        let handing: Vec<&str> = items.iter().filter_map(hands_over).collect();
        let mut queue = Vec::with_capacity(items.len());
        for (number, item) in items.into_iter().enumerate() {
            let mut needs: Vec<(String, watch::Receiver<Ready>)> = Vec::new();
            let (done, receiver) = watch::channel(None);
            match item {
                Item::Stream(change) if change.action == Action::Delete => {
                    // The streams that source a stream are deleted before it.
                    needs.extend(
                        readers_gone
                            .iter()
                            .filter(|(reader, _)| *reader != change.name)
                            .map(|(reader, gone)| ((*reader).to_owned(), gone.clone())),
                    );
                    if !sources(change).is_empty() {
                        readers_gone.push((&change.name, receiver));
                        needs.clear();
                    }
                }
                Item::Stream(change) => {
                    // Subjects that other streams hand over are free once those streams are updated.
                    let handed = if change.hands_over { &[][..] } else { &handing[..] };
                    needs.extend(
                        (sources(change).into_iter().chain(handed.iter().copied()))
                            .filter_map(|name| ready.get(name).map(|r| (name.to_owned(), r.clone()))),
                    );
                    ready.insert(&change.name, receiver);
                }
                Item::Consumer(change) => {
                    needs.extend(ready.get(change.stream.as_str()).map(|r| (change.stream.clone(), r.clone())));
                }
            }
            queue.push((number, item, needs, done));
        }
        let mut outcomes: Vec<(usize, ItemOutcome)> = stream::iter(queue)
            .map(|(number, item, needs, done)| async move {
                let outcome = self.one(item, needs).await;
                // No item may be waiting.
                let _ = done.send(Some(outcome.result.is_ok()));
                (number, self.finished(outcome))
            })
            .buffer_unordered(self.options.concurrency.max(1))
            .collect()
            .await;
        outcomes.sort_by_key(|(number, _)| *number);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn one<'a>(&self, item: Item<'a>, needs: Vec<(String, watch::Receiver<Ready>)>) -> ItemOutcome<'a> {
        for (name, mut need) in needs {
            let there = need.wait_for(Option::is_some).await.is_ok_and(|ready| *ready == Some(true));
            if !there {
                return not_begun(item, &format!("stream {name} failed"));
            }
        }
        if Instant::now() >= self.until {
            return not_begun(item, "the time was up");
        }
        let retrying = |error: &_| self.tell(Event::Retrying { item, error });
        let mut attempt = ItemAttempt::new(self.api, self.options, self.until, &retrying);
        let result = attempt.run(item).await;
        ItemOutcome { item, result, requests: attempt.requests() }
    }
}

/// Returns the origins of a change's stream.
fn sources(change: &StreamChange) -> HashSet<&str> {
    let config = change.after.as_ref().or(change.before.as_ref());
    let sources = config.and_then(|c| c.get("sources")).and_then(|s| s.as_array());
    let mirrored = config.and_then(|c| c.get("mirror"));
    sources.into_iter().flatten().chain(mirrored).filter_map(|s| s["name"].as_str()).collect()
}
