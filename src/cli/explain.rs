//! `explain`: shows where a message or a request from a cluster goes, and why.

use super::text::{Paint as _, Text, put, text};
use super::{Exit, Failure, Shell, trust};
use crate::engine::Deadline;
use crate::engine::session::VerbInputs;
use crate::explain::{Explained, MessageOutcome, TraceStep};
use crate::nats::{DefinitionConnector, Purpose, user_of};
use crate::ops;
use crate::ops::explain::{ExplainError, ExplainRequest};
use std::path::PathBuf;

/// Show where a message or request goes from a cluster, and why; changes nothing
///
/// Follows the subject as servers do: mapping, permissions, imports, stream or request, copies in the other regions.
///
/// Exit codes: 0 it arrives, 3 it does not arrive or not everywhere, 4 not everything could be read, 1 or 2 the subject
/// could not be followed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The subject of the message, such as `orders.new` or `$JS.API.STREAM.INFO.orders`
    subject: String,

    /// The cluster whose clients publish it
    #[arg(long, value_name = "CLUSTER")]
    cluster: String,

    /// Check the permissions of this user, too: its credentials file
    #[arg(long, value_name = "CREDS")]
    user: Option<PathBuf>,

    /// The reply subject on which the client waits for the answer
    #[arg(long, value_name = "SUBJECT")]
    reply_to: Option<String>,

    /// Ask no server: use the definition alone, as it will be once applied
    #[arg(long)]
    offline: bool,
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let Self { subject, cluster, user, reply_to, offline } = self;
        let loaded = shell.load()?;
        let definition = &loaded.definition;
        let user = match &user {
            None => None,
            Some(path) => Some(user_of(path).map_err(|error| {
                let next = "Name the .creds file of the user that publishes.";
                Failure::usage(error.code(), error.to_string()).next(next)
            })?),
        };
        let asked = ExplainRequest { subject, cluster, reply_to, user };
        let answers = if offline {
            ops::explain::offline(definition, &asked)
        } else {
            let keys = &shell.keyring(&loaded.base)?;
            let trust = trust::of_definition(&loaded, keys, None);
            let connector = DefinitionConnector::new(definition, Purpose::Verify, keys.folder())
                .knowing(&trust)
                .lasting(shell.timeout);
            let inputs = VerbInputs { definition, keys, trust: &trust };
            let progress = shell.progress();
            ops::explain::on_servers(inputs, &connector, &asked, Deadline::after(shell.timeout), &progress).await
        };
        let answers = answers.map_err(failure)?;
        let mut out = Text::new();
        for explained in &answers {
            out.append(&explained_text(explained));
        }
        shell.result(out, &answers);
        Ok(answers
            .iter()
            .map(|explained| exit(&explained.outcome))
            .max_by_key(|exit| exit.code())
            .unwrap_or(Exit::Done))
    }
}

fn exit(outcome: &MessageOutcome) -> Exit {
    match outcome {
        MessageOutcome::Arrives => Exit::Done,
        MessageOutcome::Partly { .. } | MessageOutcome::Lost { .. } | MessageOutcome::NotMapped => Exit::Pending,
        MessageOutcome::Unknown { .. } => Exit::Unconfirmed,
    }
}

fn failure(error: ExplainError) -> Failure {
    let message = error.to_string();
    match error {
        ExplainError::Subject(_) => Failure::usage("bad-subject", message)
            .next("Name one subject as a client publishes on it, such as orders.new."),
        ExplainError::Cluster { .. } => Failure::usage("unknown-cluster", message)
            .next("Name one of these with --cluster: the name in `gateway { name }` of its servers."),
        ExplainError::Silent(_) => Failure::failed("region-missing", message)
            .next("Bring its servers back; --offline tells by the definition alone."),
        ExplainError::User { .. } => Failure::usage("credentials-of-another-account", message)
            .next("Name credentials of a user of an account of the definition."),
        ExplainError::NotMapped { told, .. } => {
            let failure =
                if told { Failure::failed("not-mapped", message) } else { Failure::usage("not-mapped", message) };
            failure.next(
                "Compare the subject with `subjects` of the virtual streams; `vstream-jwt render mappings` has all.",
            )
        }
        ExplainError::Read(error) => error.into(),
        ExplainError::Desired(error) => error.into(),
    }
}

fn explained_text(explained: &Explained) -> Text {
    let Explained { account, cluster, subject, steps, leaf_node, outcome } = explained;
    let mut out = text!("{} published in cluster {cluster}, account {account}", subject.bold());
    let mut last = "";
    for step in steps {
        let (label, line) = step_text(step);
        let shown = if label == last { "" } else { label };
        put!(out, "  {shown:<9} {line}");
        last = label;
    }
    match leaf_node.as_ref().map(|leaf| &leaf.asks) {
        Some(Some(asks)) => put!(out, "  {:<9} clients behind one ask on {asks}", "leaf node"),
        Some(None) => {
            put!(out, "  {:<9} this does not cross one, since these servers have no JetStream domain", "leaf node")
        }
        None => {}
    }
    match outcome {
        MessageOutcome::Arrives => put!(out, "{}", "It arrives.".green()),
        MessageOutcome::Partly { why, next } => {
            put!(out, "{} {why}.", "It arrives, but not everywhere:".yellow());
            put!(out, "next: {next}");
        }
        MessageOutcome::Lost { why, next } => {
            put!(out, "{} {why}.", "It does not arrive:".red());
            put!(out, "next: {next}");
        }
        MessageOutcome::Unknown { why } => {
            put!(out, "{} {why}.", "It is not known whether it arrives everywhere:".yellow())
        }
        MessageOutcome::NotMapped => put!(out, "Only its subscribers receive it."),
    }
    out
}

fn step_text(step: &TraceStep) -> (&'static str, String) {
    let of = |region: &Option<String>| region.as_ref().map(|region| format!(" in {region}")).unwrap_or_default();
    match step {
        TraceStep::Mapped { account: _, source, subject } => ("mapped", format!("{source} makes it {subject}")),
        TraceStep::Refused { account: _, subject } => ("refused", format!("the user may not publish on {subject}")),
        TraceStep::Crosses { from, to, by, subject } => {
            ("crosses", format!("from account {from} to {to} by the import of a {}, as {subject}", by.as_str()))
        }
        TraceStep::Stored { account, stream, region, subject, problem } => {
            let problem = problem.as_ref().map(|problem| format!(": not at the moment, {problem}")).unwrap_or_default();
            ("stored", format!("by stream {stream} of {account}{}, as {subject}{problem}", of(region)))
        }
        TraceStep::Copied { from: _, account, stream, region, subject: _, lag, problem } => {
            let how = match (problem, lag) {
                (Some(problem), _) => format!(": {problem}"),
                (None, None) => String::new(),
                (None, Some(0)) => ": nothing behind".to_owned(),
                (None, Some(lag)) => format!(": {lag} behind"),
            };
            ("copied", format!("by stream {stream} of {account}{}{how}", of(region)))
        }
        TraceStep::Asked { account, request, stream, consumer } => {
            let about = match (stream, consumer) {
                (Some(stream), Some(consumer)) => {
                    format!(" of consumer {consumer}, if there is one, of stream {stream}")
                }
                (Some(stream), None) => format!(" of stream {stream}"),
                (None, _) => String::new(),
            };
            ("taken", format!("by JetStream of {account}: {request}{about}"))
        }
        TraceStep::Answered { account, subject } => ("answered", format!("by {account}, heard on {subject}")),
    }
}
