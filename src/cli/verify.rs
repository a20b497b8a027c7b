//! `verify`: every server, stream and source against the definition.

use super::shell::{Paint, finding_text, some};
use super::{Exit, Failure, Shell};
use crate::model::finding::{Finding, Severity};
use crate::nats::{DefinitionConnector, Purpose};
use crate::ops;
use crate::ops::Deadline;
use crate::ops::verify::{Verified, VerifiedAccount};
use crate::plan::Action;
use crate::verify::streams::Verdict;
use std::fmt::Write as _;

/// Compare every server, stream and source with the definition; changes nothing
///
/// Exit codes: 0 all is as defined, 3 something is not, 4 nothing wrong was seen but not everything could be asked.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let loaded = shell.load()?;
        let definition = &loaded.definition;
        let connector = DefinitionConnector::new(definition, Purpose::Read);
        let progress = shell.progress();
        let deadline = Deadline::after(shell.timeout);
        let (verified, _) = ops::verify::verify(definition, &connector, deadline, &progress).await?;
        drop(progress);
        shell.result(&text(&verified), &verified);
        Ok(exit(verified.verdict))
    }
}

pub(super) fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Ok => Exit::Done,
        Verdict::CantTell => Exit::Unconfirmed,
        Verdict::Wrong => Exit::Pending,
    }
}

fn text(verified: &Verified) -> String {
    let Verified { verdict, servers, expected_servers, findings, accounts } = verified;
    let mut out = String::new();
    for finding in findings.iter().filter(|finding| finding.severity > Severity::Info) {
        let _ = writeln!(out, "{}", finding_text(finding));
    }
    for account in accounts {
        account_text(&mut out, account, *expected_servers);
    }
    let _ = match verdict {
        Verdict::Ok => write!(out, "{} as defined, on all {servers} servers.", Paint::green("In sync:")),
        Verdict::CantTell => write!(
            out,
            "{} nothing wrong was seen, but not everything could be asked.\nnext: Bring back what does not answer, then verify again.",
            Paint::yellow("Not sure:")
        ),
        Verdict::Wrong => write!(
            out,
            "{} not everything is as defined.\nnext: Run `vstream-jwt plan` to see what apply would do about it.",
            Paint::red("Drift:")
        ),
    };
    out
}

fn account_text(out: &mut String, account: &VerifiedAccount, expected: usize) {
    let VerifiedAccount { account: name, id, servers, mappings, findings, streams, status: _ } = account;
    let _ = writeln!(out, "account {} {}", Paint::bold(name), Paint::dim(&id.to_string()));
    for finding in findings.iter().filter(|finding| finding.severity > Severity::Info) {
        let _ = writeln!(out, "{}", indented(finding));
    }
    let confirmed = servers.iter().filter(|server| server.verdict.is_confirmed()).count();
    let _ = writeln!(out, "  token     {confirmed} of {expected} servers have the newest in force");
    for server in servers.iter().filter(|server| !server.verdict.is_confirmed()) {
        let _ = writeln!(
            out,
            "    {} {} ({}): {}",
            mark(server.verdict.is_unknown()),
            server.server,
            server.cluster,
            server.verdict
        );
    }
    match mappings.len() {
        0 => out.push_str("  mappings  as defined\n"),
        count => {
            let _ = writeln!(out, "  mappings  {count} not as defined");
        }
    }
    for (action, what) in
        [(Action::Create, "missing"), (Action::Update, "leading elsewhere"), (Action::Delete, "not in the definition")]
    {
        let sources = mappings.iter().filter(|change| change.action == action).map(|change| change.source.as_str());
        let sources: Vec<&str> = sources.collect();
        if !sources.is_empty() {
            let _ = writeln!(out, "    {} {what}: {}", mark(false), some(&sources));
        }
    }
    let good = streams.iter().filter(|checked| checked.verdict == Verdict::Ok).count();
    let _ = writeln!(out, "  streams   {good} of {} streams and consumers as defined", streams.len());
    let mut next: Vec<&str> = Vec::new();
    let mut said: Vec<(Verdict, &str, Vec<&str>)> = Vec::new();
    let account = format!("account {name}, ");
    for problem in streams.iter().flat_map(|checked| &checked.problems) {
        let Finding { place, message, next: step, .. } = &problem.finding;
        let place = place.strip_prefix(&account).unwrap_or(place);
        match said.iter_mut().find(|(verdict, text, _)| *verdict == problem.verdict && text == message) {
            Some((_, _, places)) => places.push(place),
            None => said.push((problem.verdict, message, vec![place])),
        }
        if !step.is_empty() && !next.contains(&step.as_str()) {
            next.push(step);
        }
    }
    for (verdict, message, places) in said {
        if places.len() > 3 {
            let _ = writeln!(out, "    {} {}: {message}", sign(verdict), some(&places));
            continue;
        }
        for place in places {
            let _ = writeln!(out, "    {} {place}: {message}", sign(verdict));
        }
    }
    for step in next {
        let _ = writeln!(out, "    {} {step}", Paint::bold("next:"));
    }
}

/// As [`mark`], and `!` for a warning about something that is as defined.
fn sign(verdict: Verdict) -> String {
    match verdict {
        Verdict::Ok => Paint::yellow("!"),
        Verdict::CantTell => mark(true),
        Verdict::Wrong => mark(false),
    }
}

/// `?` for what could not be seen, `✗` for what is wrong.
fn mark(unknown: bool) -> String {
    if unknown { Paint::yellow("?") } else { Paint::red("✗") }
}

fn indented(finding: &Finding) -> String {
    finding_text(finding).lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
