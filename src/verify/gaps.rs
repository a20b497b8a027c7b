//! Messages that a write stream has dropped before a region got them.
//!
//! What is lost is seen while it happens: the origin's first sequence is beyond what the source has got. Afterwards
//! the source goes on behind the hole, and only the count tells: a read stream's sequence grows by one for each
//! message of its sources, so it is behind the sum of the origins' sequences by what never arrived.

use super::streams::{Out, SILENCE, seconds};
use crate::desired::{DesiredAccount, DesiredStream, Role};
use crate::observed::jetstream::{ObservedJetStream, ObservedStream, SourceState, age};

/// Says what is lost, may be lost, or soon will be, of the sources of `found`.
pub(super) fn check(out: &mut Out, found: &ObservedStream, observed: &ObservedJetStream) {
    for source in &found.sources {
        let Some(origin) = observed.stream(&source.name).filter(|o| !o.offline) else { continue };
        let max_age = max_age(origin);
        let Some(got) = got(source, origin) else {
            if let (Some(active), Some(max_age)) = (source.active, max_age)
                && active > max_age / 2
            {
                out.warn(
                    "gap-ahead",
                    format!(
                        "has heard nothing from {} for {}, and that stream keeps messages for {}: older ones that \
                         were not sent on are lost",
                        source.name,
                        seconds(active),
                        seconds(max_age)
                    ),
                    "Bring the regions together.",
                );
            }
            continue;
        };
        if origin.state.first_seq > got + 1 {
            out.wrong(
                "gap",
                format!(
                    "will never get messages {} – {} of {}: they were dropped there before this region got them",
                    got + 1,
                    origin.state.first_seq - 1,
                    source.name
                ),
                "Look for them in the read streams of other regions; a larger max_age of the write streams covers \
                 longer outages.",
            );
        }
        let waiting = observed.waiting.iter().find(|w| w.stream == found.name && w.origin == source.name);
        if let (Some(waiting), Some(max_age)) = (waiting, max_age)
            && let Some(age) = age(&waiting.time, &origin.ts)
            && age > max_age / 2
        {
            out.warn(
                "gap-ahead",
                format!(
                    "message {} of {} has been waiting for {}, and is dropped there after {}",
                    waiting.sequence,
                    source.name,
                    seconds(age),
                    seconds(max_age)
                ),
                "Bring the regions together before that, or raise max_age of the write streams.",
            );
        }
    }
    past(out, found, observed);
}

/// Says how long a read stream that cannot be asked has been away, before its origins drop what waits for it. What it
/// has heard is not known then, but the other regions know for how long they have not heard from its region.
pub(super) fn away(
    out: &mut Out,
    stream: &DesiredStream<'_>,
    desired: &DesiredAccount<'_>,
    observed: &ObservedJetStream,
) {
    let siblings = || desired.streams.iter().filter(|s| s.virtual_stream == stream.virtual_stream);
    let Some(own) = siblings().find(|s| s.region == stream.region && s.role == Role::Write) else { return };
    let (mut silent, mut kept): (Option<u64>, Option<u64>) = (None, None);
    for other in siblings().filter(|s| s.region != stream.region) {
        let Some(found) = observed.stream(&other.name).filter(|found| !found.offline) else { continue };
        match other.role {
            Role::Write => kept = kept.into_iter().chain(max_age(found)).min(),
            Role::Read => {
                let heard = found.sources.iter().filter(|source| source.name == own.name);
                silent = silent.into_iter().chain(heard.filter_map(|source| source.active)).max();
            }
        }
    }
    if let (Some(silent), Some(kept)) = (silent, kept)
        && silent > kept / 2
    {
        out.warn(
            "gap-ahead",
            format!(
                "the other regions have heard nothing from this one for {}, and their write streams keep messages \
                 for {}: what has not arrived by then never will",
                seconds(silent),
                seconds(kept)
            ),
            "Bring the region back before that, or raise max_age of the write streams.",
        );
    }
}

fn max_age(stream: &ObservedStream) -> Option<u64> {
    stream.config.get("max_age").and_then(|v| v.as_u64()).filter(|ns| *ns > 0)
}

/// The origin's last sequence that arrived. Older servers do not say; there it follows from the lag, as long as the
/// source was heard from just now.
pub(crate) fn got(source: &SourceState, origin: &ObservedStream) -> Option<u64> {
    if source.seq.is_some() || origin.state.last_seq == 0 {
        return Some(source.seq.unwrap_or(0));
    }
    (source.active? < SILENCE).then(|| origin.state.last_seq.saturating_sub(source.lag))
}

/// What never arrived, by the count. Only said when nothing was published for some seconds, because the figures of
/// two streams are never of the same instant.
fn past(out: &mut Out, found: &ObservedStream, observed: &ObservedJetStream) {
    if found.sources.is_empty() || found.subjects().next().is_some() {
        return;
    }
    let mut sum = 0u64;
    for source in &found.sources {
        let Some(origin) = observed.stream(&source.name).filter(|o| !o.offline) else { return };
        let quiet = origin.state.last_seq == 0 || age(&origin.state.last_ts, &origin.ts).is_some_and(|a| a > QUIET);
        if source.lag > 0 || !quiet {
            return;
        }
        let Some(got) = got(source, origin) else { return };
        sum += got;
    }
    let first = found.config.get("first_seq").and_then(|v| v.as_u64()).unwrap_or(1).max(1);
    let stored = (found.state.last_seq + 1).saturating_sub(first);
    if sum > stored {
        out.warn(
            "messages-missing",
            format!(
                "{} messages of its sources never arrived here: its origins have stored {sum} in all, {stored} arrived",
                sum - stored
            ),
            "Compare with the read streams of other regions: an outage was longer than max_age. It is as expected when \
             the stream was made later than its origins, or messages were purged there before they were sent on.",
        );
    } else if sum < stored && observed_all_from_start(found, observed) {
        out.warn(
            "messages-doubled",
            format!(
                "{} messages arrived more often than once: its origins have stored {sum} in all, {stored} arrived",
                stored - sum
            ),
            "Look at the Nats-Stream-Source headers: a source was taken away and changed, or an origin was made anew.",
        );
    }
}

/// Whether every origin still is the stream that this one has always sourced: none was made anew with lower sequences.
fn observed_all_from_start(found: &ObservedStream, observed: &ObservedJetStream) -> bool {
    found.sources.iter().all(|s| observed.stream(&s.name).is_some_and(|o| s.seq.is_none_or(|q| q <= o.state.last_seq)))
}

const QUIET: u64 = 5_000_000_000;
