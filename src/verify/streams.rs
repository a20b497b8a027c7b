//! Checks streams and consumers against the definition.
//!
//! Distinguishes unknown from wrong: if a region is down, the state of its streams is unknown.

use super::gaps;
use super::problem::{ProblemCollector, seconds};
pub use super::problem::{StreamProblem, Verdict};
use super::status::StreamStatus;
use crate::desired::{DesiredAccount, DesiredConsumer, DesiredStream, Role};
use crate::model::finding::Severity;
use crate::model::virtual_stream::Account;
use crate::observed::jetstream::{ApiError, ObservedJetStream, ObservedStream, Placement, SILENCE, SourceState, code};
use crate::plan::backfill;
use crate::plan::conflicts::other_level;
use crate::plan::consumers::consumer_differences;
use crate::plan::streams::{Difference, differences, source_differences};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// The finding about a source that servers will retry by themselves.
pub(super) const SOURCE_WAITING: &str = "source-waiting";
const SOURCE_SILENT: &str = "source-silent";
const SOURCE_STALLED: &str = "source-stalled";
const NO_LEADER: &str = "no-leader";

/// The finding about a source whose origin no longer has the messages that the source has read.
pub const ANEW: &str = "origin-anew";

/// The finding about a mirror that is ahead of its origin.
const AHEAD: &str = "mirror-ahead";

/// Returns the reason why a source is refused, if waiting does not help: code, cause, and next step.
fn refusal(error: &ApiError) -> Option<(&'static str, &'static str, &'static str)> {
    match error.err_code {
        code::NO_TIER => Some((
            "source-without-tier",
            "consumers that sources make have one replica, and the origin's account has no limits for that tier",
            "Give that account limits of tier R1 too: `nsc edit account NAME --js-tier 1 --js-disk-storage -1 --js-streams -1 \
             --js-consumer -1`, and push it.",
        )),
        code::MAXIMUM_CONSUMERS => Some((
            "source-consumer-limit",
            "the origin's account, or the origin itself, takes no more consumers",
            "Raise that limit: `nsc edit account NAME --js-consumer N`, and push it.",
        )),
        _ => None,
    }
}

/// The result for one stream or consumer of the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Virtual stream.
    pub virtual_stream: String,
    /// Region.
    pub region: String,
    /// Role of the stream. A consumer's stream is a read stream.
    pub role: Role,
    /// Real name of the stream.
    pub stream: String,
    /// The consumer, if the result is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// The worst of the problems.
    pub verdict: Verdict,
    /// The problems: wrong, unknown, or worth a warning.
    pub problems: Vec<StreamProblem>,
}

impl Checked {
    /// Returns the result for a read stream.
    pub(super) fn of_read_stream(stream: StreamStatus, problems: Vec<StreamProblem>) -> Self {
        let StreamStatus { virtual_stream, region, role, stream, .. } = stream;
        let verdict = problems.iter().map(|problem| problem.verdict).max().unwrap_or(Verdict::Ok);
        Self { virtual_stream, region, role, stream, consumer: None, verdict, problems }
    }

    /// Returns `true` if servers will fix all remaining problems by themselves. After a region's return, they elect
    /// leaders and retry sources.
    pub fn waits_for_sources(&self) -> bool {
        let heals = |code| [SOURCE_WAITING, SOURCE_SILENT, SOURCE_STALLED, NO_LEADER].contains(&code);
        self.problems.iter().all(|one| one.verdict == Verdict::Ok || heals(one.finding.code))
    }
}

/// Checks every stream and consumer of the definition, in order.
pub fn streams(desired: &DesiredAccount<'_>, observed: &ObservedJetStream) -> Vec<Checked> {
    let account = &desired.name;
    if let Some(error) = ApiError::of(&observed.info) {
        let mut out = ProblemCollector::new(format!("account {account}"));
        out.wrong(
            "jetstream-not-enabled",
            format!("the account has no JetStream ({error})"),
            "Set JetStream limits in the account's claims, push, then run apply.",
        );
        let problems = out.problems;
        return desired.streams.iter().map(|s| checked(s, None, problems.clone())).collect();
    }
    let streams = desired.streams.iter().map(|stream| {
        let mut out = ProblemCollector::new(format!("account {account}, stream {}", stream.name));
        out.stream(stream, desired, observed);
        checked(stream, None, out.problems)
    });
    let by_name: HashMap<&str, &DesiredStream<'_>> = desired.streams.iter().map(|s| (s.name.as_str(), s)).collect();
    let consumers = desired.consumers.iter().filter_map(|consumer| {
        let stream = by_name.get(consumer.stream.as_str())?;
        let mut out =
            ProblemCollector::new(format!("account {account}, stream {}, consumer {}", consumer.stream, consumer.name));
        out.consumer(consumer, observed);
        Some(checked(stream, Some(consumer.name.clone()), out.problems))
    });
    streams.chain(consumers).collect()
}

fn checked(stream: &DesiredStream<'_>, consumer: Option<String>, problems: Vec<StreamProblem>) -> Checked {
    Checked {
        virtual_stream: stream.virtual_stream.to_owned(),
        region: stream.region.to_string(),
        role: stream.role,
        stream: stream.name.clone(),
        consumer,
        verdict: problems.iter().map(|p| p.verdict).max().unwrap_or(Verdict::Ok),
        problems,
    }
}

/// Nanoseconds without contact after which a stream has retried its source and failed.
const RETRY: u64 = 180_000_000_000;

const LOOK: &str = "See which servers are down: `nats server report jetstream`.";

impl ProblemCollector {
    fn stream(&mut self, stream: &DesiredStream<'_>, desired: &DesiredAccount<'_>, observed: &ObservedJetStream) {
        if let Some(unknown) = observed.unknown_stream(&stream.name) {
            let what = if observed.info.is_null() { "cannot be looked at:" } else { "exists, but" };
            self.cant_tell("stream-unknown", format!("{what} {}", unknown.reason), LOOK);
            return self.away(stream, desired, observed);
        }
        let Some(found) = observed.stream(&stream.name) else {
            return self.wrong("stream-missing", "does not exist", "Run apply.");
        };
        self.config(stream, found, desired.account);
        if found.offline {
            self.cant_tell("stream-offline", "all its servers are offline", LOOK);
            return self.away(stream, desired, observed);
        }
        if found.cluster.cluster != stream.cluster.as_str() && !found.cluster.cluster.is_empty() {
            let placed = found.config.get("placement").is_some_and(|p| p["cluster"] == stream.cluster.as_str());
            self.wrong(
                "in-other-cluster",
                format!("lives in cluster {}, should be in {}", found.cluster.cluster, stream.cluster),
                if placed { "Wait: it is being moved." } else { "Run plan, which shows the effect of moving it back." },
            );
        }
        self.placement(&found.cluster, "takes no messages");
        if found.cluster.is_leaderless() {
            // A follower's report about sources may be old.
            return self.away(stream, desired, observed);
        }
        for source in &found.sources {
            self.source(source, found, observed, stream.goes_back());
        }
        gaps::check(self, stream, found, observed);
    }

    fn away(&mut self, stream: &DesiredStream<'_>, desired: &DesiredAccount<'_>, observed: &ObservedJetStream) {
        if stream.sources() {
            gaps::away(self, stream, desired, observed);
        }
    }

    fn config(&mut self, stream: &DesiredStream<'_>, found: &ObservedStream, account: &Account) {
        match &found.owner {
            Some(owner)
                if owner.virtual_stream == stream.virtual_stream
                    && owner.role == stream.role
                    && owner.region == stream.region.as_str() => {}
            Some(owner) => self.wrong(
                "belongs-to-another",
                format!(
                    "is marked as the {} stream of virtual stream {} in region {}",
                    owner.role.as_str(),
                    owner.virtual_stream,
                    owner.region
                ),
                "Run plan, which shows what is in the way.",
            ),
            None => self.wrong(
                "not-ours",
                "exists, but without our metadata",
                "Run apply --adopt to take it over, or change `names` of the virtual stream.",
            ),
        }
        if let Some(finding) = other_level(stream, found, account) {
            return self.problems.push(StreamProblem { verdict: Verdict::Wrong, finding });
        }
        // Until the backfill ends, its sources are not yet the final ones.
        let under_way = backfill::phase(&found.config).filter(|(_, phase)| *phase != backfill::Phase::Done);
        if let Some((from, phase)) = under_way {
            let message = match phase {
                backfill::Phase::Held => format!("has no sources, as while the history of {from} is copied"),
                _ => format!("does not have all the history of {from} yet"),
            };
            let message = format!("{message}; what is published now arrives after that");
            self.wrong("history-under-way", message, "Run apply: it continues from here.");
        }
        let mut fields = Vec::new();
        for difference in differences(&stream.config(), &found.config) {
            match difference {
                Difference::Sources(_) if under_way.is_some() => {}
                Difference::Field { key, .. } if under_way.is_some() && key == "duplicate_window" => {}
                Difference::Field { key, before, after } => fields.push(differs(&key, before.as_ref(), after.as_ref())),
                Difference::Placement { before, after } => {
                    fields.push(differs("placement", before.as_ref(), Some(&after)));
                }
                Difference::Sources(sources) => {
                    for change in sources.fields {
                        let name = change.path.trim_start_matches("sources.").to_owned();
                        match (change.before, change.after) {
                            (None, _) => self.wrong(
                                "source-missing",
                                format!("does not source {name}: what is published there does not arrive"),
                                "Run apply.",
                            ),
                            (Some(_), None) => self.wrong(
                                "source-extra",
                                format!("sources {name}, which the definition doesn't have"),
                                "Run plan, which shows the effect of removing it.",
                            ),
                            (Some(before), Some(after)) => {
                                let fields = source_differences(&before, &after);
                                let fields = fields.map(|key| differs(key, before.get(key), after.get(key)));
                                self.wrong(
                                    "source-changed",
                                    format!("sources {name} in another way: {}", fields.collect::<Vec<_>>().join("; ")),
                                    "Run plan, which shows the effect of changing it back.",
                                );
                            }
                        }
                    }
                }
            }
        }
        if !fields.is_empty() {
            self.wrong("config-differs", fields.join("; "), "Run apply.");
        }
    }

    fn placement(&mut self, cluster: &Placement, without_leader: &str) {
        if cluster.is_leaderless() {
            self.wrong(NO_LEADER, format!("has no leader: {without_leader} until most of its servers are back"), LOOK);
        }
        for replica in &cluster.replicas {
            // Without a leader, followers answer, and they do not hear from each other.
            let away = if cluster.is_leaderless() { replica.offline } else { replica.is_away() };
            if away {
                self.warn(
                    "replica-offline",
                    format!("its replica on {} does not answer the leader", replica.server),
                    "Bring that server back: its replicas catch up by themselves.",
                );
            } else if !cluster.is_leaderless() && !replica.current && replica.lag > 1000 {
                self.warn(
                    "replica-behind",
                    format!("its replica on {} is {} entries behind", replica.server, replica.lag),
                    "Wait: it catches up by itself. If it does not, see that server's log.",
                );
            }
        }
    }

    /// Checks a source of `reader`. `goes_back` is `true` if a new leader would restore old values.
    fn source(&mut self, source: &SourceState, reader: &ObservedStream, observed: &ObservedJetStream, goes_back: bool) {
        let origin = &source.name;
        let word = if reader.is_mirror() { "origin" } else { "source" };
        if let Some(error) = &source.error
            && let Some((code, cause, next)) = refusal(error)
        {
            return self.wrong(code, format!("cannot read its {word} {origin}: {cause} ({error})"), next);
        }
        if observed.is_anew(reader, source) && reader.is_mirror() {
            let (here, there) =
                (reader.state.last_seq, observed.origin(origin).map_or(0, |origin| origin.state.last_seq));
            return self.wrong(
                AHEAD,
                format!(
                    "is at sequence {here}, and its origin {origin} only at {there}: the origin was recreated, or \
                     restored from an older copy, and its messages up to {here} are skipped here, for good"
                ),
                "Delete this mirror, with the messages that only it has, and run apply, which recreates it from its \
                 origin.",
            );
        }
        if observed.is_anew(reader, source) {
            return self.wrong(
                ANEW,
                format!("has read more of its {word} {origin} than that has: it was made anew, and is not read yet"),
                "Wait: servers notice within a minute. Then look whether messages were lost with the former stream.",
            );
        }
        if source.active.is_some_and(|ns| ns < SILENCE) && source.error.is_none() {
            return;
        }
        let silence = match source.active {
            Some(ns) => format!("has not heard from its {word} {origin} for {}", seconds(ns)),
            None => format!("has not heard from its {word} {origin} yet"),
        };
        let why = source.error.as_ref().map(|e| format!(" ({e})")).unwrap_or_default();
        if observed.origin(origin).is_none_or(|o| o.offline || o.cluster.is_leaderless()) {
            return self.cant_tell(
                SOURCE_SILENT,
                format!("{silence}{why}, and {origin} does not answer either"),
                "Bring that region back; what waits there arrives then, unless it is older than max_age.",
            );
        }
        let waiting = source.active.map(|_| format!("; {} messages were waiting there then", source.lag));
        let message = format!("{silence}{why}{}", waiting.unwrap_or_default());
        // Servers retry after 30 s, and then less often, up to every 2 min. Until then it counts as lag.
        match source.active {
            Some(ns) if ns > RETRY && goes_back => self.wrong(
                SOURCE_STALLED,
                message,
                "Wait: servers try again every 2 min. Another leader would do so at once, but bring old values back, on servers \
                 before 2.15.",
            ),
            Some(ns) if ns > RETRY => self.wrong(
                SOURCE_STALLED,
                message,
                "Let another server lead it: `nats stream cluster step-down STREAM`.",
            ),
            _ if goes_back => {
                self.cant_tell(SOURCE_WAITING, message, "Wait: servers try again after 30 s, later every 2 min.");
            }
            _ => self.cant_tell(
                SOURCE_WAITING,
                message,
                "Wait: servers try again after 30 s, later every 2 min. If it lasts for 5 min, let another server lead the \
                 stream: `nats stream cluster step-down STREAM`.",
            ),
        }
    }

    fn consumer(&mut self, consumer: &DesiredConsumer, observed: &ObservedJetStream) {
        let asked = format!("{} > {}", consumer.stream, consumer.name);
        if let Some(unknown) = observed.unknown_consumers.iter().find(|u| u.name == asked) {
            return self.cant_tell("consumer-unknown", format!("could not be asked: {}", unknown.reason), LOOK);
        }
        let Some(found) = observed.consumer(&consumer.stream, &consumer.name) else {
            if observed.unknown_stream(&consumer.stream).is_some() {
                return self.cant_tell("consumer-unknown", "its stream does not answer", LOOK);
            }
            return self.wrong("consumer-missing", "does not exist", "Run apply.");
        };
        let fields: Vec<String> = consumer_differences(&consumer.config, &found.config)
            .into_iter()
            .map(|(key, before, after)| differs(key, before.as_ref(), after.as_ref()))
            .collect();
        if !fields.is_empty() {
            self.wrong("config-differs", fields.join("; "), "Run apply.");
        }
        self.placement(&found.cluster, "delivers nothing");
    }
}

fn differs(key: &str, is: Option<&Value>, should: Option<&Value>) -> String {
    let show = |value: Option<&Value>| value.map_or("unset".to_owned(), Value::to_string);
    format!("`{key}` is {}, should be {}", show(is), show(should))
}

/// Numbers of results by verdict, and of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// As defined.
    pub ok: usize,
    /// Unknown.
    pub cant_tell: usize,
    /// Not as defined.
    pub wrong: usize,
    /// Warnings, with any verdict.
    pub warnings: usize,
}

/// Counts the verdicts.
pub fn counts(checked: &[Checked]) -> Counts {
    let of = |verdict| checked.iter().filter(|c| c.verdict == verdict).count();
    let warning = |p: &&StreamProblem| p.verdict == Verdict::Ok && p.finding.severity == Severity::Warning;
    Counts {
        ok: of(Verdict::Ok),
        cant_tell: of(Verdict::CantTell),
        wrong: of(Verdict::Wrong),
        warnings: checked.iter().flat_map(|c| &c.problems).filter(warning).count(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
