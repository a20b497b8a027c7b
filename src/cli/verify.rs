//! `verify`: checks every server, stream and source against the definition.

use super::finding::finding_text;
use super::shell::{parse_timeout, some};
use super::text::{Paint as _, Painted, RED, Text, YELLOW, put};
use super::{Exit, Failure, Shell, plan_view, trust};
use crate::engine::session::VerbInputs;
use crate::model::finding::{Finding, Severity, bounded};
use crate::nats::{DefinitionConnector, Purpose};
use crate::ops;
use crate::ops::verify::{Verified, VerifiedAccount};
use crate::plan::{Action, ClaimChange};
use crate::verify::streams::{StreamProblem, Verdict};
use std::time::Duration;

/// Compare every server, stream and source with the definition; changes nothing
///
/// Exit codes: 0 everything is as defined, 3 something is not, 4 no problem was found but not everything could be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Repeat the check until every server confirms, or for this long; --timeout then limits each check
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    wait: Option<Duration>,

    /// The largest allowed lag of a source, in messages
    #[arg(long, value_name = "MESSAGES")]
    max_lag: Option<u64>,
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let loaded = shell.load()?;
        let definition = &loaded.definition;
        let keys = &shell.keyring(&loaded.base)?;
        let trust = trust::of_definition(&loaded, keys, None);
        let connector =
            DefinitionConnector::new(definition, Purpose::Verify, keys.folder()).knowing(&trust).lasting(shell.timeout);
        let inputs = VerbInputs { definition, keys, trust: &trust };
        let progress = shell.progress();
        let wait = self.wait.unwrap_or_default();
        let verified = ops::verify::verify_until(inputs, &connector, shell.timeout, wait, self.max_lag, &progress);
        let (verified, _) = verified.await?;
        drop(progress);
        shell.result(text(&verified, shell), &verified);
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

fn text(verified: &Verified, shell: &Shell) -> Text {
    let Verified { verdict, servers, expected_servers, findings, accounts } = verified;
    let mut out = Text::new();
    for finding in &worst_first(findings) {
        out.append(&finding_text(finding));
    }
    for account in accounts {
        account_text(&mut out, account, *expected_servers, shell.verbosity > 0);
    }
    match verdict {
        Verdict::Ok => put!(out, "{} as defined, on all {servers} servers.", "In sync:".green()),
        Verdict::CantTell => {
            let not_sure = "Not sure:".yellow();
            put!(out, "{not_sure} no problem was found, but not everything could be read.");
            let next = match servers < expected_servers {
                true => "Bring back the servers that do not answer",
                false => "Follow the next steps above",
            };
            put!(out, "next: {next}, then verify again.");
        }
        Verdict::Wrong => {
            put!(out, "{} not everything is as defined.", "Drift:".red());
            put!(out, "next: Run `{}` to see what apply would do about it.", shell.command("plan"));
        }
    }
    out
}

/// Returns the findings above info, the worst first.
pub(super) fn worst_first(findings: &[Finding]) -> Vec<Finding> {
    let mut shown = bounded(findings.iter().filter(|finding| finding.severity > Severity::Info));
    shown.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    shown
}

/// Number of items of a kind that are shown without `-v`.
const SOME: usize = 5;

/// Adds one account. With `all`, shows every problem in full.
fn account_text(out: &mut Text, account: &VerifiedAccount, expected: usize, all: bool) {
    let VerifiedAccount { account: name, id, servers, mappings, claims, findings, streams, status: _, lease: _ } =
        account;
    put!(out, "account {} {}", name.bold(), id.dim());
    for finding in &worst_first(findings) {
        out.append_indented("  ", &finding_text(finding));
    }
    let confirmed = servers.iter().filter(|server| server.verdict.is_confirmed()).count();
    put!(out, "  token     {confirmed} of {expected} servers have the newest in force");
    for server in servers.iter().filter(|server| !server.verdict.is_confirmed()) {
        put!(
            out,
            "    {} {} ({}): {}",
            mark(server.verdict.is_unknown()),
            server.server,
            server.cluster,
            server.verdict
        );
    }
    match mappings.len() {
        0 => put!(out, "  mappings  as defined"),
        count => put!(out, "  mappings  {count} not as defined"),
    }
    if !claims.is_empty() {
        put!(out, "  claims    {} not as defined", claims.len());
        let shown = if all { claims.len() } else { SOME };
        for ClaimChange { action, what, name, account, why } in claims.iter().take(shown) {
            let from = account.as_ref().map(|account| format!(" of {account}")).unwrap_or_default();
            let state = match (action, why) {
                (_, Some(why)) => why.as_str(),
                (Action::Create, None) => "missing",
                (Action::Update | Action::Delete, None) => "otherwise",
            };
            put!(out, "    {} {} {name}{from}: {state}", mark(false), plan_view::part(*what, 1));
        }
        if claims.len() > shown {
            put!(out, "    and {} more (-v lists them)", claims.len() - shown);
        }
    }
    for (action, what) in
        [(Action::Create, "missing"), (Action::Update, "leading elsewhere"), (Action::Delete, "not in the definition")]
    {
        let sources = mappings.iter().filter(|change| change.action == action).map(|change| change.source.as_str());
        let sources: Vec<&str> = sources.collect();
        if !sources.is_empty() {
            put!(out, "    {} {what}: {}", mark(false), some(&sources));
        }
    }
    let good = streams.iter().filter(|checked| checked.verdict == Verdict::Ok).count();
    put!(out, "  streams   {good} of {} streams and consumers as defined", streams.len());
    let mut problems: Vec<&StreamProblem> = streams.iter().flat_map(|checked| &checked.problems).collect();
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.verdict));
    problem_lines(out, &format!("account {name}, "), &problems, all);
}

/// Most problems of one kind that are shown in full. A region that is down has as many as it has streams.
const ALIKE: usize = 3;

/// Adds the problems in order, and each next step once.
fn problem_lines(out: &mut Text, account: &str, problems: &[&StreamProblem], all: bool) {
    let mut kinds: Vec<((Verdict, &str), Vec<&Finding>)> = Vec::new();
    for problem in problems {
        let kind = (problem.verdict, problem.finding.code);
        match kinds.iter_mut().find(|(existing, _)| *existing == kind) {
            Some((_, alike)) => alike.push(&problem.finding),
            None => kinds.push((kind, vec![&problem.finding])),
        }
    }
    let place = |finding: &Finding| finding.place.strip_prefix(account).unwrap_or(&finding.place).to_owned();
    for ((verdict, _), alike) in &kinds {
        if !all && alike.len() > ALIKE && alike.iter().all(|finding| finding.message == alike[0].message) {
            let places: Vec<String> = alike.iter().map(|finding| place(finding)).collect();
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            put!(out, "    {} {}: {}", sign(*verdict), some(&places), alike[0].message);
            continue;
        }
        let shown = if all || alike.len() <= ALIKE { alike.len() } else { 1 };
        for finding in &alike[..shown] {
            put!(out, "    {} {}: {}", sign(*verdict), place(finding), finding.message);
            finding.lines.iter().for_each(|detail| put!(out, "        {detail}"));
        }
        let rest: Vec<String> = alike[shown..].iter().map(|finding| place(finding)).collect();
        if !rest.is_empty() {
            let names: Vec<&str> = rest.iter().map(|place| place.strip_prefix("stream ").unwrap_or(place)).collect();
            put!(out, "      the same for {} (-v says each)", some(&names));
        }
    }
    let mut next: Vec<&str> = Vec::new();
    for finding in kinds.iter().flat_map(|(_, alike)| alike) {
        if !finding.next.is_empty() && !next.contains(&finding.next.as_str()) {
            next.push(&finding.next);
        }
    }
    for step in next {
        put!(out, "    {} {step}", "next:".bold());
    }
}

/// Returns the result of [`mark`], or `!` for a warning about something that is as defined.
fn sign(verdict: Verdict) -> Painted<&'static str> {
    match verdict {
        Verdict::Ok => "!".in_style(YELLOW),
        Verdict::CantTell => mark(true),
        Verdict::Wrong => mark(false),
    }
}

/// Returns `?` for something that could not be read, `✗` for something wrong.
fn mark(unknown: bool) -> Painted<&'static str> {
    if unknown { "?".in_style(YELLOW) } else { "✗".in_style(RED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(verdict: Verdict, code: &'static str, stream: &str) -> StreamProblem {
        let place = format!("account APP, stream {stream}");
        StreamProblem { verdict, finding: Finding::warning(code, place, "is so", format!("Fix {code}.")) }
    }

    #[test]
    fn many_problems_of_one_kind_are_summed_up() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut problems = vec![problem(Verdict::Wrong, "missing", "x")];
        problems.extend(names.map(|name| problem(Verdict::CantTell, "unknown", name)));
        problems[1].finding.message.push_str(" for 9 s");
        let lines = |problems: &[StreamProblem], all| {
            let mut out = Text::new();
            problem_lines(&mut out, "account APP, ", &problems.iter().collect::<Vec<_>>(), all);
            out.plain().to_owned()
        };
        assert_eq!(
            lines(&problems, false),
            "    ✗ stream x: is so\n    ? stream a: is so for 9 s\n      the same for b, c, d, e and 1 more (-v says each)\n    \
             next: Fix missing.\n    next: Fix unknown.\n"
        );
        assert_eq!(lines(&problems, true).lines().count(), 1 + names.len() + 2);
        problems[1].finding.message = problems[2].finding.message.clone();
        assert_eq!(
            lines(&problems, false).lines().nth(1),
            Some("    ? stream a, stream b, stream c, stream d and 2 more: is so")
        );
    }
}
