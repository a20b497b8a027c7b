//! Finds the messages of its sources that never arrived in a stream, by the messages that did.
//!
//! Servers write the origin into each sourced message (`Nats-Stream-Source: <origin> <sequence> …`, the same first two
//! words on 2.10.26 and 2.15.1, measured). A stream's sequence grows by one for each message. An origin's last arrived
//! sequence grows by one or, across a gap, by more. So the number of messages missing before a message is the sum of
//! the origins' last arrived sequences minus the message's sequence. That number never shrinks, so a binary search
//! finds the gaps.

use super::api::Api;
use super::data::{ObservedJetStream, ObservedStream, SILENCE};
use super::gaps::SourceGaps;
use super::search::{Limits, Search};
use crate::observed::Requests;
use futures::stream::{self, StreamExt};

/// Searches only streams in which messages are missing by the count, or whose sources' progress the servers do not
/// report. So the search costs nothing while all is well. Also returns the subjects on which the user may not publish.
pub(super) async fn find_source_gaps<R: Requests>(
    api: Api<'_, R>,
    observed: &ObservedJetStream,
    limits: Limits,
) -> (Vec<SourceGaps>, Vec<String>) {
    const AT_ONCE: usize = 8;
    let ends = tokio::time::Instant::now() + limits.time;
    let wanted = observed.streams.iter().filter(|stream| is_worth_searching(stream, observed)).take(limits.streams);
    // Collected first, because its borrows would make the future not `Send`.
    let wanted: Vec<&ObservedStream> = wanted.collect();
    let mut searches = Vec::with_capacity(wanted.len());
    for stream in wanted {
        let said = stream.sources.iter().map(|source| observed.got(stream, source)).collect();
        let before: Option<Vec<u64>> =
            stream.sources.iter().map(|source| observed.before_first(&source.name)).collect();
        // Without an origin's first sequence, its missing messages cannot be counted.
        let Some(before) = before else { continue };
        searches.push(Search::new(api, stream, said, before, limits, ends).run());
    }
    apart(stream::iter(searches).buffered(AT_ONCE).collect().await)
}

/// Separates the results from the subjects on which the user may not publish.
pub(super) fn apart<T>(results: Vec<Result<Option<T>, String>>) -> (Vec<T>, Vec<String>) {
    let (mut found, mut denied) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => found.extend(one),
            Err(subject) => denied.push(subject),
        }
    }
    (found, denied)
}

fn is_worth_searching(stream: &ObservedStream, observed: &ObservedJetStream) -> bool {
    if stream.offline || !stream.only_sources() || stream.state.messages == 0 {
        return false;
    }
    let missing = stream.missing_by_count(observed).is_some_and(|missing| missing > 0);
    let untold = stream.sources.iter().any(|source| {
        let dropped = || {
            observed
                .origin(&source.name)
                .is_some_and(|origin| !origin.offline && origin.state.first_seq > origin.first_possible())
        };
        source.seq.is_none() && source.active.is_none_or(|ns| ns >= SILENCE) && dropped()
    });
    missing || untold
}
