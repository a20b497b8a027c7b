//! Finds messages that a write stream dropped before a region got them.
//!
//! While messages are being lost, the origin's first sequence is beyond the last one that the source has received.
//! Afterwards the source continues after the gap. Then the count shows that messages are missing, and the messages that
//! arrived show which ones. Without traffic, the count alone is proof.

use super::problem::{ProblemCollector, seconds};
use crate::desired::{DesiredAccount, DesiredStream, Role, metadata};
use crate::observed::jetstream::{Gap, ObservedJetStream, ObservedStream, Range, SourceGaps, SourceState, age};

/// Reports messages from the sources of `found` that are lost, may be lost, or soon will be.
pub(super) fn check(
    out: &mut ProblemCollector,
    stream: &DesiredStream<'_>,
    found: &ObservedStream,
    observed: &ObservedJetStream,
) {
    // A mirror is supposed to drop the messages that its origin drops.
    if found.is_mirror() {
        return;
    }
    for source in &found.sources {
        let Some(origin) = observed.origin(&source.name).filter(|o| !o.offline) else { continue };
        let max_age = max_age(origin);
        let Some(got) = observed.got(found, source) else {
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
                    "Connect the regions again.",
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
                "Connect the regions again before that, or raise max_age of the write streams.",
            );
        }
    }
    past(out, stream, found, observed);
}

/// Reports how long a read stream that does not answer has been away, before its origins drop messages that it lacks.
/// Its own position is unknown. But the other regions know for how long they have not heard from its region.
pub(super) fn away(
    out: &mut ProblemCollector,
    stream: &DesiredStream<'_>,
    desired: &DesiredAccount<'_>,
    observed: &ObservedJetStream,
) {
    let virtual_stream = desired.account.virtual_streams.iter().find(|v| v.name.as_str() == stream.virtual_stream);
    let Some(own) = virtual_stream.map(|virtual_stream| virtual_stream.write_name(stream.region)) else { return };
    let (mut silent, mut kept): (Option<u64>, Option<u64>) = (None, None);
    // In the layout `regional`, the other regions' streams are in other accounts.
    let all = observed.streams.iter().chain(&observed.origins).chain(&observed.siblings);
    for found in all.filter(|found| !found.offline) {
        let Some(owner) = &found.owner else { continue };
        if owner.virtual_stream != stream.virtual_stream || owner.region == stream.region.as_str() {
            continue;
        }
        match owner.role {
            Role::Home => {}
            Role::Write => kept = kept.into_iter().chain(max_age(found)).min(),
            Role::Read => {
                let heard = found.sources.iter().filter(|source| source.name == own);
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

/// Reports messages that never arrived, before the last message that did.
fn past(out: &mut ProblemCollector, stream: &DesiredStream<'_>, found: &ObservedStream, observed: &ObservedJetStream) {
    const NEXT: &str = "Look for them in the read streams of other regions; a larger max_age of the write streams covers \
                        longer outages. It is as expected when the stream was made later than its origins, or messages \
                        were deleted there before they were sent on.";
    if !found.only_sources() {
        return;
    }
    if let Some(source_gaps) = observed.source_gaps(&found.name) {
        if source_gaps.missing > 0 {
            out.warn("messages-missing", named(source_gaps, observed), NEXT);
        }
        return;
    }
    if !found.sources.iter().all(|source| is_quiet(source, observed)) {
        return;
    }
    let Some(missing) = found.missing_by_count(observed) else { return };
    let stored = found.state.last_seq + 1 - found.first_possible().min(found.state.last_seq + 1);
    let sum = i128::from(stored) + missing;
    if missing > 0 {
        out.warn(
            "messages-missing",
            format!(
                "{} never arrived here: its origins have stored {sum} in all, {stored} arrived",
                messages(missing.unsigned_abs())
            ),
            NEXT,
        );
    } else if missing < 0
        && stream.drops_messages().is_some()
        && observed_all_from_start(found, observed)
        && !has_former_origin(found, observed)
    {
        out.warn(
            "values-went-back",
            format!(
                "{} arrived a second time, after newer ones: its origins have stored {sum} in all, {stored} arrived. Values \
                 may be older than the newest, for good",
                messages(missing.unsigned_abs())
            ),
            "Compare the regions, and write again what has to be newer. Servers before 2.15 do so when a read stream gets \
             another leader: update them, or choose `consistency: mirrored`.",
        );
    } else if missing < 0
        && observed_all_from_start(found, observed)
        && !has_former_origin(found, observed)
        && !has_later_origin(found, observed)
    {
        out.warn(
            "messages-doubled",
            format!(
                "{} arrived more than once: its origins have stored {sum} in all, {stored} arrived",
                messages(missing.unsigned_abs())
            ),
            "Look at the Nats-Stream-Source headers: a source was removed and changed, or an origin was made anew.",
        );
    }
}

/// Returns the text that names the gaps, the newest first.
fn named(source_gaps: &SourceGaps, observed: &ObservedJetStream) -> String {
    const NAMED: usize = 20;
    let gaps = &source_gaps.gaps;
    let mut names: Vec<String> = gaps.iter().rev().take(NAMED).map(name).collect();
    if gaps.len() > NAMED {
        let more: u64 = gaps.iter().rev().skip(NAMED).map(|gap| gap.missing).sum();
        names.push(format!("and {more} more, before those"));
    }
    let mut text = format!("{} never arrived here: {}", messages(source_gaps.missing.into()), names.join("; "));
    let kept = gaps.iter().filter(|gap| gap.is_exact()).flat_map(|gap| &gap.among).find_map(|range| {
        let origin = observed.origin(&range.origin).filter(|origin| !origin.offline && origin.state.messages > 0)?;
        (range.last >= origin.state.first_seq).then_some(origin)
    });
    if let Some(origin) = kept {
        text += &format!(
            "; {} still keeps what came from {} on: what is missing of that was deleted there before it was sent on, or \
             dropped here as a duplicate",
            origin.name, origin.state.first_seq
        );
    }
    text
}

fn name(gap: &Gap) -> String {
    let among: Vec<String> = gap.among.iter().map(|range| format!("{} of {}", span(range), range.origin)).collect();
    let among = among.join(" and ");
    if gap.is_exact() {
        return among;
    }
    format!("{} of {among} (between messages {} and {} here)", gap.missing, gap.after, gap.before)
}

fn span(range: &Range) -> String {
    if range.first == range.last { range.first.to_string() } else { format!("{} – {}", range.first, range.last) }
}

fn messages(count: u128) -> String {
    if count == 1 { "1 message of its sources".to_owned() } else { format!("{count} messages of its sources") }
}

/// Checks that nothing was published for some seconds, and that everything has arrived. The figures of two streams are
/// never from the same instant, and match only then.
fn is_quiet(source: &SourceState, observed: &ObservedJetStream) -> bool {
    let origin = observed.origin(&source.name).filter(|origin| !origin.offline);
    source.lag == 0 && origin.is_some_and(ObservedStream::is_quiet)
}

/// Checks that every origin is still the stream that this one has always sourced, and was not recreated with lower
/// sequences.
fn observed_all_from_start(found: &ObservedStream, observed: &ObservedJetStream) -> bool {
    found.sources.iter().all(|s| observed.origin(&s.name).is_some_and(|o| s.seq.is_none_or(|q| q <= o.state.last_seq)))
}

/// Checks whether this tool recreated an origin. The messages from the former stream are counted here, but not at the
/// origin.
fn has_former_origin(found: &ObservedStream, observed: &ObservedJetStream) -> bool {
    let anew = |origin: &ObservedStream| {
        origin.config.get("metadata").is_some_and(|marks| marks.get(metadata::ANEW).is_some())
    };
    found.sources.iter().filter_map(|source| observed.origin(&source.name)).any(anew)
}

/// Checks whether an origin is younger than this stream. It may have been recreated. The messages from the former
/// stream are then counted here, but not at the origin.
fn has_later_origin(found: &ObservedStream, observed: &ObservedJetStream) -> bool {
    found.sources.iter().any(|source| {
        let origin = observed.origin(&source.name).and_then(|origin| origin.created);
        origin.zip(found.created).is_some_and(|(origin, reader)| origin > reader)
    })
}

#[cfg(test)]
mod tests;
