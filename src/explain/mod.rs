//! Where a message or a request goes that clients of one cluster publish: by which mapping, import and stream, to which
//! other regions; or where it is lost, and why.
//!
//! As servers do it: the mappings of the publisher's account first, once; then permissions; then whoever takes the subject
//! that came of it: streams, imports of this account and of others. What comes by a service import is mapped once more in
//! the exporting account, what comes by a stream import is not (nats-server 2.15 `server/client.go`, `processServiceImport`;
//! `server/accounts.go`, `selectMappedSubject`; measured).

mod request;
mod view;

use crate::model::claims::LinkKind;
use crate::model::mapping::{Destination, RawMapping};
use crate::model::prefixes::NEAR;
use crate::model::subject::SubjectFilter;
use crate::model::transform::Transform;
use crate::model::virtual_stream::MapRequest;
use crate::observed::jetstream::origins;
use crate::plan::preflight::Verb;
use request::Request;
use serde::Serialize;
pub use view::{SourceView, StreamView, View, World};
use view::{carried, filter_covers, passed, services, streams_of, transformed};

/// The most accounts that a message is followed through: more than there are in a row.
const DEEPEST: usize = 8;

/// The next step where something is not as it should be, where something is not there, and where a user lacks permissions.
const VERIFY: &str = "Run `vstream-jwt verify`: it says what is in the way.";
const PLAN: &str = "Run `vstream-jwt plan`: it shows what is missing.";
const ALLOW: &str = "Allow it: `vstream-jwt render permissions` has all that users need, after mapping.";

/// What is asked.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    /// The place of the publisher's account.
    pub account: usize,
    /// What is published on.
    pub subject: &'q str,
    /// Where an answer is expected.
    pub reply_to: Option<&'q str>,
    /// Whether the user may publish on a subject, or subscribe to it; `None` where that is not known.
    pub may: &'q dyn Fn(Verb, &str) -> Option<bool>,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The publisher's account.
    pub account: String,
    /// The cluster whose clients publish.
    pub cluster: String,
    /// What is published on.
    pub subject: String,
    /// What happens, in this order.
    pub steps: Vec<Step>,
    /// The same request of JetStream by a client behind a leaf node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf_node: Option<LeafNode>,
    /// The end of it.
    pub outcome: Outcome,
}

/// Requests on `$JS.API.>` do not cross a leaf node, unless its servers and those of the cluster have JetStream domains (measured,
/// 2.10.26 and 2.15.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeafNode {
    /// The subject to ask on instead; none without a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
}

/// Where JetStream is asked.
const API: &str = "$JS.API.";

/// A request that became `mapped` in a cluster with this domain, as a client behind a leaf node makes it.
fn behind_a_leaf(subject: &str, mapped: &str, domain: Option<&str>) -> Option<LeafNode> {
    subject.strip_prefix(API)?;
    let asks = match mapped.strip_prefix(API) {
        // The servers map that to `$JS.API.>`, and nothing a second time: the real stream is named.
        Some(request) => domain.map(|domain| format!("$JS.{domain}.API.{request}")),
        None => Some(mapped.to_owned()),
    };
    Some(LeafNode { asks })
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It gets to where it is stored, or answered.
    Arrives,
    /// It gets there, but something that should have it does not.
    Partly {
        /// What does not.
        why: String,
        /// The next step.
        next: String,
    },
    /// It does not.
    Lost {
        /// Why not.
        why: String,
        /// The next step.
        next: String,
    },
    /// No mapping, stream or import is for this subject: only who subscribes to it hears it.
    NotMapped,
    /// Not all could be read.
    Unknown {
        /// What could not.
        why: String,
    },
}

/// One thing that happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// A mapping of the account is for it.
    Mapped {
        /// The account.
        account: String,
        /// The mapping's source.
        source: String,
        /// What it becomes.
        subject: String,
    },
    /// The user may not publish there.
    Refused {
        /// The account.
        account: String,
        /// What it became.
        subject: String,
    },
    /// It crosses to another account.
    Crosses {
        /// From this account.
        from: String,
        /// To this one.
        to: String,
        /// By an import of this kind.
        by: LinkKind,
        /// The subject there.
        subject: String,
    },
    /// A stream stores it.
    Stored {
        /// The account.
        account: String,
        /// The stream.
        stream: String,
        /// The stream's region.
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The subject under which it is stored.
        subject: String,
        /// Why it is not, at the moment.
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// Another stream copies it from there.
    Copied {
        /// From this stream.
        from: String,
        /// The copying stream's account.
        account: String,
        /// The copying stream.
        stream: String,
        /// Its region.
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The subject there.
        subject: String,
        /// Messages that have not been copied yet, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        lag: Option<u64>,
        /// Why nothing is copied, at the moment.
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// JetStream of the account takes it, as a request or an acknowledgement.
    Asked {
        /// The account.
        account: String,
        /// `STREAM.INFO`, `ACK`, …
        request: String,
        /// The stream that it names.
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
        /// The consumer that it names.
        #[serde(skip_serializing_if = "Option::is_none")]
        consumer: Option<String>,
    },
    /// Its answer comes back.
    Answered {
        /// The account that answers.
        account: String,
        /// Where it is heard.
        subject: String,
    },
}

/// Follows what is published.
///
/// # Errors
/// A subject that nobody can publish on, as text.
pub fn explain(world: &World, question: Question<'_>) -> Result<Explained, String> {
    for subject in [Some(question.subject), question.reply_to].into_iter().flatten() {
        let filter = SubjectFilter::parse(subject).map_err(|error| format!("`{subject}`: {error}"))?;
        if !filter.is_literal() {
            return Err(format!("`{subject}` has wildcards: one message goes to one subject"));
        }
    }
    let mut trace = Trace::new(world, question);
    let mapped = trace.publish(question.account, question.subject.to_owned(), true, 0);
    let is_mapped = trace.steps.iter().any(|step| matches!(step, Step::Mapped { .. }));
    let Trace { steps, taken, lost, missing, unread, uncovered, .. } = trace;
    let outcome = match (uncovered, lost, missing, unread) {
        (Some(source), lost, ..) if lost.is_some() || !taken => Outcome::Lost {
            why: format!(
                "mapping {source} has no destination for clients of cluster {}, so that the subject stays as it is there",
                world.cluster
            ),
            next: "Add the cluster under `serves:` of a region, and apply it.".to_owned(),
        },
        (_, Some((why, next)), ..) => Outcome::Lost { why, next },
        (_, None, Some((why, next)), _) => Outcome::Partly { why, next },
        (_, None, None, Some(why)) => Outcome::Unknown { why },
        (_, None, None, None) if taken => Outcome::Arrives,
        (_, None, None, None) if is_mapped => {
            let (why, next) = nobody_takes(question.subject, &mapped);
            Outcome::Lost { why, next }
        }
        (_, None, None, None) => Outcome::NotMapped,
    };
    let is_answered = !matches!(outcome, Outcome::Lost { .. } | Outcome::NotMapped);
    Ok(Explained {
        account: world.accounts[question.account].name.clone(),
        cluster: world.cluster.clone(),
        subject: question.subject.to_owned(),
        steps,
        leaf_node: behind_a_leaf(question.subject, &mapped, world.domain.as_deref()).filter(|_| is_answered),
        outcome,
    })
}

/// Why a message is lost that was mapped to what nobody takes.
fn nobody_takes(subject: &str, mapped: &str) -> (String, String) {
    match Request::parse(subject) {
        // By design: what no import is for would change a real stream behind the definition's back.
        Some(Request { operation, .. }) if mapped.starts_with(&format!("{NEAR}.")) => {
            let opened = MapRequest::ALL.into_iter().any(|request| request.operation() == operation);
            let next = match opened {
                true => "Open it by `map_requests` of the virtual stream, if regions may differ by it, and apply it.",
                false => "Ask by the real stream's name below `$VSH.API.`, as a user who may.",
            };
            (format!("applications may not ask for {operation} of virtual streams: nobody answers"), next.to_owned())
        }
        _ => (format!("no stream and no import takes {mapped}, so that it is stored nowhere"), PLAN.to_owned()),
    }
}

struct Trace<'w> {
    world: &'w World,
    question: Question<'w>,
    steps: Vec<Step>,
    /// Something stores or answers it.
    taken: bool,
    /// Why it ends, and the next step.
    lost: Option<(String, String)>,
    /// What does not have it that should.
    missing: Option<(String, String)>,
    /// What could not be looked at, and may take it.
    unread: Option<String>,
    /// The source of a mapping that has no destination for the cluster.
    uncovered: Option<String>,
}

impl<'w> Trace<'w> {
    fn new(world: &'w World, question: Question<'w>) -> Self {
        let (steps, taken) = (Vec::new(), false);
        Self { world, question, steps, taken, lost: None, missing: None, unread: None, uncovered: None }
    }

    /// Publishes in an account, whose mappings come first if `mapped`; returns the subject that came of it.
    fn publish(&mut self, place: usize, subject: String, mapped: bool, depth: usize) -> String {
        let view = &self.world.accounts[place];
        if let Some(problem) = &view.problem {
            let next = "Run `vstream-jwt verify`: it says what each server has.";
            self.miss(format!("account {}: {problem}", view.name), next);
        }
        let subject = if mapped { self.map(view, subject) } else { subject };
        if depth == 0 {
            match (self.question.may)(Verb::Publish, &subject) {
                Some(true) => {}
                Some(false) => {
                    self.steps.push(Step::Refused { account: view.name.clone(), subject: subject.clone() });
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
        self.streams(place, &subject);
        self.request(place, &subject, depth);
        if depth < DEEPEST {
            self.cross(place, &subject, depth);
        }
        subject
    }

    /// What the account's mappings make of a subject: of several destinations the one that most messages go to.
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
        self.steps.push(Step::Mapped { account: view.name.clone(), source: source.clone(), subject: becomes.clone() });
        becomes
    }

    /// What servers with a JetStream domain map themselves (nats-server `server/jetstream_api.go`, `generateJSMappingTable`).
    fn of_a_domain(&mut self, view: &View, subject: String) -> String {
        let Some(domain) = &self.world.domain else { return subject };
        let source = format!("$JS.{domain}.API.>");
        match subject.strip_prefix(source.trim_end_matches('>')) {
            Some(request) => {
                let subject = format!("$JS.API.{request}");
                self.steps.push(Step::Mapped { account: view.name.clone(), source, subject: subject.clone() });
                subject
            }
            None => subject,
        }
    }

    /// Streams of the account that capture it.
    fn streams(&mut self, place: usize, subject: &str) {
        let view = &self.world.accounts[place];
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
            self.steps.push(Step::Stored {
                account: view.name.clone(),
                stream: stream.name.clone(),
                region: stream.region.clone(),
                subject: stored.clone(),
                problem: stream.problem.clone(),
            });
            self.copies(place, &stream.name, &stored);
            self.acknowledged(place);
        }
    }

    /// The stream's acknowledgement, where one is asked for.
    fn acknowledged(&mut self, place: usize) {
        let Some(reply) = self.question.reply_to.filter(|_| place == self.question.account) else { return };
        if (self.question.may)(Verb::Subscribe, reply) == Some(false) {
            let why = format!("the user may not subscribe to {reply}, so that it does not hear that it was stored");
            self.miss(why, ALLOW);
            return;
        }
        let account = self.world.accounts[place].name.clone();
        self.steps.push(Step::Answered { account, subject: reply.to_owned() });
    }

    /// Streams of all accounts that source or mirror a stream.
    fn copies(&mut self, place: usize, origin: &str, subject: &str) {
        for (other, view) in self.world.accounts.iter().enumerate() {
            for stream in view.streams.iter().flatten() {
                let is_itself = other == place && stream.name == origin;
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
                self.steps.push(Step::Copied {
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

    /// JetStream of the account.
    fn request(&mut self, place: usize, subject: &str, depth: usize) {
        let view = &self.world.accounts[place];
        let Some(Request { operation, stream, consumer }) = Request::parse(subject) else { return };
        // What is imported is answered by another account.
        if services(&view.imports, subject).next().is_some() {
            return;
        }
        self.taken = true;
        self.steps.push(Step::Asked {
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
        let asked = Request::parse(self.question.subject).and_then(|asked| asked.stream);
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
        self.answer(place, &operation, depth);
    }

    /// How an answer comes back that JetStream of the account gives.
    fn answer(&mut self, place: usize, operation: &str, depth: usize) {
        let Some(reply) = self.question.reply_to.filter(|_| request::is_answered(operation)) else { return };
        let view = &self.world.accounts[place];
        let by_stream = self.steps.iter().any(|step| matches!(step, Step::Crosses { by: LinkKind::Stream, .. }));
        let home = &self.world.accounts[self.question.account];
        let heard = |subject: String| Step::Answered { account: view.name.clone(), subject };
        if (self.question.may)(Verb::Subscribe, reply) == Some(false) {
            let why = format!("the user may not subscribe to {reply}, so that it does not hear the answer");
            self.lose(why, ALLOW);
            return;
        }
        if depth == 0 || !by_stream || place == self.question.account {
            // A service import brings the answer back by itself.
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

    /// Imports of this account, and those of others from it.
    fn cross(&mut self, place: usize, subject: &str, depth: usize) {
        let world = self.world;
        let from = &world.accounts[place];
        let crosses =
            |to: String, by: LinkKind, subject: String| Step::Crosses { from: from.name.clone(), to, by, subject };
        let mut crossings: Vec<(usize, String, LinkKind)> = Vec::new();
        for (exporter, there) in services(&from.imports, subject) {
            match world.accounts.iter().position(|other| other.id == *exporter) {
                Some(other) => crossings.push((other, there, LinkKind::Service)),
                None => {
                    self.unsure(|| format!("account {exporter}, which answers it, is not looked at"));
                    self.steps.push(crosses(exporter.to_string(), LinkKind::Service, there));
                }
            }
        }
        for (other, importer) in world.accounts.iter().enumerate().filter(|(other, _)| *other != place) {
            let from_here = streams_of(&importer.imports, &from.id);
            let there = from_here.filter_map(|import| carried(&import.subject, import.local(), subject));
            crossings.extend(there.map(|there| (other, there, LinkKind::Stream)));
        }
        for (other, there, kind) in crossings {
            self.steps.push(crosses(world.accounts[other].name.clone(), kind, there.clone()));
            self.publish(other, there, kind == LinkKind::Service, depth + 1);
        }
    }

    /// It ends here; what is found first counts.
    fn lose(&mut self, why: String, next: &str) {
        self.lost.get_or_insert((why, next.to_owned()));
    }

    /// Something does not have it that should.
    fn miss(&mut self, why: String, next: &str) {
        self.missing.get_or_insert((why, next.to_owned()));
    }

    /// Something is not known.
    fn unsure(&mut self, why: impl FnOnce() -> String) {
        self.unread.get_or_insert_with(why);
    }
}

fn unread(view: &View) -> String {
    format!("the streams of account {} could not be read", view.name)
}

#[cfg(test)]
mod tests;
