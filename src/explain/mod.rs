//! Follows a message that clients of one cluster publish through mappings, imports and streams, and to other regions.
//! If a message or request is lost, reports the reason.
//!
//! The order is that of servers. The mappings of the publisher's account come first, and only once; then permissions;
//! then the streams and imports that match the mapped subject. The exporting account maps a request from a service
//! import once more, but does not map a message from a stream import (nats-server 2.15 `server/client.go`,
//! `processServiceImport`; `server/accounts.go`, `selectMappedSubject`; measured).

mod request;
mod view;

use crate::model::claims::ExportKind;
use crate::model::mapping::{Destination, RawMapping};
use crate::model::prefixes::REGION_PREFIX;
use crate::model::subject::SubjectFilter;
use crate::model::transform::Transform;
use crate::model::virtual_stream::MapRequest;
use crate::observed::jetstream::origins;
use crate::plan::preflight::Verb;
use request::ApiRequest;
use serde::Serialize;
pub use view::{SourceView, StreamView, View, World};
use view::{carried, filter_covers, passed, services, streams_of, transformed};

/// Most accounts through which a message is followed: more than there ever are in a row.
const DEEPEST: usize = 8;

/// The next step if something is wrong or missing, or if a user lacks permissions.
const VERIFY: &str = "Run `vstream-jwt verify`: it says what is in the way.";
const PLAN: &str = "Run `vstream-jwt plan`: it shows what is missing.";
const ALLOW: &str = "Allow it: `vstream-jwt render permissions` has all that users need, after mapping.";

/// A message to follow.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    /// The index of the publisher's account in [`World::accounts`].
    pub account: usize,
    /// The subject that is published on.
    pub subject: &'q str,
    /// The subject on which the publisher expects an answer.
    pub reply_to: Option<&'q str>,
    /// Checks whether the user may publish on a subject, or subscribe to it. Returns `None` if unknown.
    pub may: &'q dyn Fn(Verb, &str) -> Option<bool>,
}

/// The path of a message, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The publisher's account.
    pub account: String,
    /// The cluster whose clients publish.
    pub cluster: String,
    /// The subject that is published on.
    pub subject: String,
    /// The steps, in order.
    pub steps: Vec<TraceStep>,
    /// The same JetStream request by a client behind a leaf node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf_node: Option<LeafNode>,
    /// The outcome.
    pub outcome: MessageOutcome,
}

/// A JetStream request by a client behind a leaf node. Requests on `$JS.API.>` do not cross a leaf node, unless its
/// servers and those of the cluster have JetStream domains (measured, 2.10.26 and 2.15.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeafNode {
    /// The subject to use instead; none without a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
}

/// Prefix of JetStream requests.
const API: &str = "$JS.API.";

/// Returns the request that a client behind a leaf node makes, if `subject` becomes `mapped` in a cluster with this
/// domain.
fn behind_a_leaf(subject: &str, mapped: &str, domain: Option<&str>) -> Option<LeafNode> {
    subject.strip_prefix(API)?;
    let asks = match mapped.strip_prefix(API) {
        // The servers map the domain's subject to `$JS.API.>` and do not map it again, so the subject names the real
        // stream.
        Some(request) => domain.map(|domain| format!("$JS.{domain}.API.{request}")),
        None => Some(mapped.to_owned()),
    };
    Some(LeafNode { asks })
}

/// The outcome of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum MessageOutcome {
    /// A stream stores it, or JetStream answers it.
    Arrives,
    /// The message arrives, but another receiver does not get it.
    Partly {
        /// The reason.
        why: String,
        /// The next step.
        next: String,
    },
    /// The message does not arrive.
    Lost {
        /// The reason.
        why: String,
        /// The next step.
        next: String,
    },
    /// No mapping, stream or import matches this subject. Only its subscribers receive the message.
    NotMapped,
    /// Part of the path could not be read.
    Unknown {
        /// The reason.
        why: String,
    },
}

/// A step on the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum TraceStep {
    /// A mapping of the account maps the subject.
    Mapped {
        /// The account.
        account: String,
        /// The mapping's source.
        source: String,
        /// The mapped subject.
        subject: String,
    },
    /// The user may not publish on the subject.
    Refused {
        /// The account.
        account: String,
        /// The mapped subject.
        subject: String,
    },
    /// The message crosses into another account.
    Crosses {
        /// The account that the message leaves.
        from: String,
        /// The account that it enters.
        to: String,
        /// The kind of the import.
        by: ExportKind,
        /// The subject in the other account.
        subject: String,
    },
    /// A stream stores the message.
    Stored {
        /// The account of the stream.
        account: String,
        /// The stream.
        stream: String,
        /// The stream's region.
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The subject under which it is stored.
        subject: String,
        /// Reason why the stream does not store it at the moment.
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// Another stream copies the message.
    Copied {
        /// The origin.
        from: String,
        /// The copying stream's account.
        account: String,
        /// The copying stream.
        stream: String,
        /// The region of the copying stream.
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The subject in the copying stream.
        subject: String,
        /// Number of messages that have not been copied yet, if known.
        #[serde(skip_serializing_if = "Option::is_none")]
        lag: Option<u64>,
        /// Reason why the stream copies nothing at the moment.
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// The account's JetStream handles the message, as a request or an acknowledgement.
    Asked {
        /// The account.
        account: String,
        /// `STREAM.INFO`, `ACK`, …
        request: String,
        /// The stream that the request names.
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
        /// The consumer that the request names.
        #[serde(skip_serializing_if = "Option::is_none")]
        consumer: Option<String>,
    },
    /// The answer comes back.
    Answered {
        /// The account that answers.
        account: String,
        /// The subject on which the publisher receives it.
        subject: String,
    },
}

/// Follows a message.
///
/// # Errors
/// The text of the error, if the subject of the message or of the answer is not valid.
pub fn explain(world: &World, question: Question<'_>) -> Result<Explained, String> {
    for subject in [Some(question.subject), question.reply_to].into_iter().flatten() {
        let filter = SubjectFilter::parse(subject).map_err(|error| format!("`{subject}`: {error}"))?;
        if !filter.is_literal() {
            return Err(format!("`{subject}` has wildcards: one message goes to one subject"));
        }
    }
    let mut trace = Trace::new(world, question);
    let mapped = trace.publish(question.account, question.subject.to_owned(), true, 0);
    let is_mapped = trace.steps.iter().any(|step| matches!(step, TraceStep::Mapped { .. }));
    let Trace { steps, taken, lost, missing, unread, uncovered, .. } = trace;
    let outcome = match (uncovered, lost, missing, unread) {
        (Some(source), lost, ..) if lost.is_some() || !taken => MessageOutcome::Lost {
            why: format!(
                "mapping {source} has no destination for clients of cluster {}, so that the subject stays as it is there",
                world.cluster
            ),
            next: "Add the cluster under `serves:` of a region, and apply it.".to_owned(),
        },
        (_, Some((why, next)), ..) => MessageOutcome::Lost { why, next },
        (_, None, Some((why, next)), _) => MessageOutcome::Partly { why, next },
        (_, None, None, Some(why)) => MessageOutcome::Unknown { why },
        (_, None, None, None) if taken => MessageOutcome::Arrives,
        (_, None, None, None) if is_mapped => {
            let (why, next) = why_not_mapped(question.subject, &mapped);
            MessageOutcome::Lost { why, next }
        }
        (_, None, None, None) => MessageOutcome::NotMapped,
    };
    let is_answered = !matches!(outcome, MessageOutcome::Lost { .. } | MessageOutcome::NotMapped);
    Ok(Explained {
        account: world.accounts[question.account].name.clone(),
        cluster: world.cluster.clone(),
        subject: question.subject.to_owned(),
        steps,
        leaf_node: behind_a_leaf(question.subject, &mapped, world.domain.as_deref()).filter(|_| is_answered),
        outcome,
    })
}

/// Returns the reason why a mapped message is lost if no stream or import matches it, and the next step.
fn why_not_mapped(subject: &str, mapped: &str) -> (String, String) {
    match ApiRequest::parse(subject) {
        // This is intended: such a request would change a real stream without the definition.
        Some(ApiRequest { operation, .. }) if mapped.starts_with(&format!("{REGION_PREFIX}.")) => {
            let opened = MapRequest::ALL.into_iter().any(|request| request.operation() == operation);
            let next = match opened {
                true => "Open it by `map_requests` of the virtual stream, if regions may differ by it, and apply it.",
                false => "Ask by the real stream's name below `$VSH.API.`, as a user who may.",
            };
            (format!("applications may not ask for {operation} of virtual streams: no server answers"), next.to_owned())
        }
        _ => (format!("no stream and no import takes {mapped}, so that it is stored nowhere"), PLAN.to_owned()),
    }
}

struct Trace<'w> {
    world: &'w World,
    question: Question<'w>,
    steps: Vec<TraceStep>,
    /// `true` if a stream stores the message, or JetStream answers it.
    taken: bool,
    /// Reason why the message is lost, and the next step.
    lost: Option<(String, String)>,
    /// Reason why another receiver does not get the message, and the next step.
    missing: Option<(String, String)>,
    /// Reason why a possible receiver could not be read.
    unread: Option<String>,
    /// The source of a mapping that has no destination for the cluster.
    uncovered: Option<String>,
}

impl<'w> Trace<'w> {
    fn new(world: &'w World, question: Question<'w>) -> Self {
        let (steps, taken) = (Vec::new(), false);
        Self { world, question, steps, taken, lost: None, missing: None, unread: None, uncovered: None }
    }

    /// Publishes in an account, whose mappings come first if `mapped`. Returns the mapped subject.
    fn publish(&mut self, index: usize, subject: String, mapped: bool, depth: usize) -> String {
        let view = &self.world.accounts[index];
        if let Some(problem) = &view.problem {
            let next = "Run `vstream-jwt verify`: it says what each server has.";
            self.miss(format!("account {}: {problem}", view.name), next);
        }
        let subject = if mapped { self.map(view, subject) } else { subject };
        if depth == 0 {
            match (self.question.may)(Verb::Publish, &subject) {
                Some(true) => {}
                Some(false) => {
                    self.steps.push(TraceStep::Refused { account: view.name.clone(), subject: subject.clone() });
                    let why = format!("the user may not publish on {subject}; servers check that after mapping");
                    self.lost = Some((why, ALLOW.to_owned()));
                    return subject;
                }
                None => {
                    let why = || {
                        format!(
                            "whether the user may publish on {subject} depends on its account's scopes and defaults"
                        )
                    };
                    self.unsure(why);
                }
            }
        }
        self.streams(index, &subject);
        self.request(index, &subject, depth);
        if depth < DEEPEST {
            self.cross(index, &subject, depth);
        }
        subject
    }

    /// Maps a subject by the account's mappings. Among several destinations, chooses the one with the greatest weight.
    fn map(&mut self, view: &View, subject: String) -> String {
        let mut covering = view.mappings.iter().filter(|mapping| filter_covers(&mapping.source, &subject));
        let Some(RawMapping { source, destinations }) = covering.next() else {
            return self.of_a_domain(view, subject);
        };
        if let Some(other) = covering.next() {
            let why = || {
                format!(
                    "mappings {source} and {} are both for {subject}: each server takes one by chance",
                    other.source
                )
            };
            self.unsure(why);
        }
        let of = |wanted: Option<&str>| destinations.iter().filter(|to| to.cluster.as_deref() == wanted).collect();
        let mut to: Vec<&Destination> = of(Some(&self.world.cluster));
        if to.is_empty() {
            to = of(None);
        }
        let Some(most) = to.iter().max_by_key(|to| to.weight) else {
            self.uncovered.get_or_insert_with(|| source.clone());
            return subject;
        };
        let transform = Transform::parse_mapping(source, &most.subject).ok();
        let Some(becomes) = transform.and_then(|transform| transform.apply(&subject)) else { return subject };
        if most.weight < 100 {
            let why = format!(
                "mapping {source} makes {} of 100 messages {becomes}, and the others something else",
                most.weight
            );
            self.miss(why, "Give it one destination per cluster, of weight 100.");
        }
        self.steps.push(TraceStep::Mapped {
            account: view.name.clone(),
            source: source.clone(),
            subject: becomes.clone(),
        });
        becomes
    }

    /// Maps a subject as servers with a JetStream domain do by themselves (nats-server `server/jetstream_api.go`,
    /// `generateJSMappingTable`).
    fn of_a_domain(&mut self, view: &View, subject: String) -> String {
        let Some(domain) = &self.world.domain else { return subject };
        let source = format!("$JS.{domain}.API.>");
        match subject.strip_prefix(source.trim_end_matches('>')) {
            Some(request) => {
                let subject = format!("$JS.API.{request}");
                self.steps.push(TraceStep::Mapped { account: view.name.clone(), source, subject: subject.clone() });
                subject
            }
            None => subject,
        }
    }

    /// Adds the streams of the account that capture the subject.
    fn streams(&mut self, index: usize, subject: &str) {
        let view = &self.world.accounts[index];
        let Some(streams) = &view.streams else {
            self.unsure(|| unread(view));
            return;
        };
        for stream in streams.iter().filter(|stream| stream.captures(subject)) {
            let stored = transformed(stream.config.get("subject_transform"), subject);
            self.taken = true;
            if let Some(problem) = &stream.problem {
                self.lose(format!("stream {} takes nothing: {problem}", stream.name), VERIFY);
            }
            if let Some(reason) = &stream.unread {
                self.unsure(|| format!("stream {} could not be looked at: {reason}", stream.name));
            }
            self.steps.push(TraceStep::Stored {
                account: view.name.clone(),
                stream: stream.name.clone(),
                region: stream.region.clone(),
                subject: stored.clone(),
                problem: stream.problem.clone(),
            });
            self.copies(index, &stream.name, &stored);
            self.acknowledged(index);
        }
    }

    /// Adds the stream's acknowledgement, if the publisher requests one.
    fn acknowledged(&mut self, index: usize) {
        let Some(reply) = self.question.reply_to.filter(|_| index == self.question.account) else { return };
        if (self.question.may)(Verb::Subscribe, reply) == Some(false) {
            let why = format!("the user may not subscribe to {reply}, so that it does not hear that it was stored");
            self.miss(why, ALLOW);
            return;
        }
        let account = self.world.accounts[index].name.clone();
        self.steps.push(TraceStep::Answered { account, subject: reply.to_owned() });
    }

    /// Adds the streams of all accounts that source or mirror a stream.
    fn copies(&mut self, index: usize, origin: &str, subject: &str) {
        for (other, view) in self.world.accounts.iter().enumerate() {
            for stream in view.streams.iter().flatten() {
                let is_itself = other == index && stream.name == origin;
                let copied = origins(&stream.config).find(|source| source["name"] == origin).filter(|_| !is_itself);
                let Some(subject) = copied.and_then(|source| passed(source, subject)) else { continue };
                let source = stream.sources.iter().find(|source| source.origin == origin);
                let problem = stream.problem.clone().or_else(|| source.and_then(|source| source.problem.clone()));
                let region = stream.region.as_deref().unwrap_or("another region");
                if let Some(problem) = &problem {
                    self.miss(
                        format!("stream {} in {region} does not copy from {origin}: {problem}", stream.name),
                        VERIFY,
                    );
                }
                if let Some(reason) = &stream.unread {
                    let why = || format!("stream {} in {region} could not be looked at: {reason}", stream.name);
                    self.unsure(why);
                }
                self.steps.push(TraceStep::Copied {
                    from: origin.to_owned(),
                    account: view.name.clone(),
                    stream: stream.name.clone(),
                    region: stream.region.clone(),
                    subject,
                    lag: source.and_then(|source| source.lag),
                    problem: problem.or_else(|| Some(format!("not looked at, {}", stream.unread.as_ref()?))),
                });
            }
        }
    }

    /// Adds the request that the account's JetStream handles.
    fn request(&mut self, index: usize, subject: &str, depth: usize) {
        let view = &self.world.accounts[index];
        let Some(ApiRequest { operation, stream, consumer }) = ApiRequest::parse(subject) else { return };
        // If the account imports the request, another account answers it.
        if services(&view.imports, subject).next().is_some() {
            return;
        }
        self.taken = true;
        self.steps.push(TraceStep::Asked {
            account: view.name.clone(),
            request: operation.clone(),
            stream: stream.clone(),
            consumer: consumer.clone(),
        });
        match (&stream, &view.streams) {
            (None, _) if !request::is_known(&operation) => {
                let next = "Compare it with the subjects of the JetStream API.";
                self.lose(format!("JetStream has no request {operation}"), next);
            }
            (None, _) => {}
            (Some(_), None) => {
                self.unsure(|| unread(view));
            }
            (Some(name), Some(streams)) => match streams.iter().find(|stream| stream.name == *name) {
                _ if request::makes_streams(&operation) => {}
                None => {
                    let why = format!("account {} has no stream {name}, which {operation} is about", view.name);
                    self.lose(why, PLAN);
                }
                Some(StreamView { problem: Some(problem), .. }) => {
                    self.lose(format!("stream {name} of {}: {problem}", view.name), VERIFY);
                }
                Some(StreamView { unread: Some(reason), .. }) => {
                    let why = || format!("stream {name} of {} could not be looked at: {reason}", view.name);
                    self.unsure(why);
                }
                Some(_) => {}
            },
        }
        let asked = ApiRequest::parse(self.question.subject).and_then(|asked| asked.stream);
        if let (Some(asked), Some(found)) = (asked, &stream)
            && asked != *found
            && request::names_its_stream(&operation)
        {
            let why = format!(
                "{operation} carries the stream's name in its body, too, which is {asked} and not {found}: servers refuse it \
                 (10056)"
            );
            let next =
                "Let the definition make it, or choose `layout: regional`, where read streams have the virtual name.";
            self.lose(why, next);
        }
        self.answer(index, &operation, depth);
    }

    /// Adds the path of an answer from the account's JetStream back to the publisher.
    fn answer(&mut self, index: usize, operation: &str, depth: usize) {
        let Some(reply) = self.question.reply_to.filter(|_| request::is_answered(operation)) else { return };
        let view = &self.world.accounts[index];
        let by_stream = self.steps.iter().any(|step| matches!(step, TraceStep::Crosses { by: ExportKind::Stream, .. }));
        let home = &self.world.accounts[self.question.account];
        let heard = |subject: String| TraceStep::Answered { account: view.name.clone(), subject };
        if (self.question.may)(Verb::Subscribe, reply) == Some(false) {
            let why = format!("the user may not subscribe to {reply}, so that it does not hear the answer");
            self.lose(why, ALLOW);
            return;
        }
        if depth == 0 || !by_stream || index == self.question.account {
            // A service import returns the answer by itself.
            self.steps.push(heard(reply.to_owned()));
            return;
        }
        match streams_of(&home.imports, &view.id).any(|import| filter_covers(&import.subject, reply)) {
            true => self.steps.push(heard(reply.to_owned())),
            false => {
                let prefix = reply.split('.').next().unwrap_or(reply);
                let why = format!(
                    "the answer is published on {reply} in account {}, from which account {} imports nothing of that kind",
                    view.name, home.name
                );
                let next = format!("Name its prefix in the definition, `inbox_prefixes: [{prefix}]`, and apply it.");
                self.lose(why, &next);
            }
        }
    }

    /// Follows imports of this account, and imports of other accounts from it.
    fn cross(&mut self, index: usize, subject: &str, depth: usize) {
        let world = self.world;
        let from = &world.accounts[index];
        let crosses = |to: String, by: ExportKind, subject: String| TraceStep::Crosses {
            from: from.name.clone(),
            to,
            by,
            subject,
        };
        let mut crossings: Vec<(usize, String, ExportKind)> = Vec::new();
        for (exporter, there) in services(&from.imports, subject) {
            match world.accounts.iter().position(|other| other.id == *exporter) {
                Some(other) => crossings.push((other, there, ExportKind::Service)),
                None => {
                    self.unsure(|| format!("account {exporter}, which answers it, is not looked at"));
                    self.steps.push(crosses(exporter.to_string(), ExportKind::Service, there));
                }
            }
        }
        for (other, importer) in world.accounts.iter().enumerate().filter(|(other, _)| *other != index) {
            let from_here = streams_of(&importer.imports, &from.id);
            let there = from_here.filter_map(|import| carried(&import.subject, import.local(), subject));
            crossings.extend(there.map(|there| (other, there, ExportKind::Stream)));
        }
        for (other, there, kind) in crossings {
            self.steps.push(crosses(world.accounts[other].name.clone(), kind, there.clone()));
            self.publish(other, there, kind == ExportKind::Service, depth + 1);
        }
    }

    /// Notes why the message is lost. The first reason counts.
    fn lose(&mut self, why: String, next: &str) {
        self.lost.get_or_insert((why, next.to_owned()));
    }

    /// Notes that a receiver does not get the message. The first reason counts.
    fn miss(&mut self, why: String, next: &str) {
        self.missing.get_or_insert((why, next.to_owned()));
    }

    /// Notes that something is unknown. The first reason counts.
    fn unsure(&mut self, why: impl FnOnce() -> String) {
        self.unread.get_or_insert_with(why);
    }
}

fn unread(view: &View) -> String {
    format!("the streams of account {} could not be read", view.name)
}

#[cfg(test)]
mod tests;
