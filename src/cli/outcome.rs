//! The outcome of a run that pushes: its exit code, its report, and its failure.

use super::deployment::{NOT_CONFIRMED, merged_text};
use super::finding::findings_text;
use super::shell::some;
use super::text::{Text, put, text};
use super::{Exit, Failure, plan_view};
use crate::engine::error::{ApplyError, Stopped};
use crate::engine::lease::LeaseError;
use crate::engine::planned::Planned;
use crate::engine::report::{Applied, Pushed};
use crate::engine::tokens::IssueError;
use crate::model::finding::{Finding, Severity};
use crate::observed::Deployment;
use crate::resolver::NotPushed;
use serde_json::{Value, json};
use std::path::Path;

/// Returns exit 4 if a server did not confirm a push, or could not be checked, even if nothing was pushed. Returns exit
/// 3 if servers must first reload their configuration.
pub(super) fn exit(applied: &Applied, deployment: &Deployment) -> Exit {
    match deployment.missing() {
        0 if applied.is_confirmed() => Exit::Done,
        0 if applied.waits_for_reload() => Exit::Pending,
        _ => Exit::Unconfirmed,
    }
}

pub(super) fn document(planned: &Planned<'_>, applied: &Applied, deployment: &Deployment, exit: Exit) -> Value {
    json!({
        "confirmed": exit == Exit::Done,
        "plan": plan_view::document(&planned.plan, deployment),
        "applied": applied,
    })
}

/// Returns the last lines for servers that must reload the file with the tokens. `then` is the next step.
pub(super) fn to_reload(applied: &Applied, then: &str) -> Text {
    let preload = applied.preload.as_deref().unwrap_or(Path::new("the preload")).display();
    let mut out = text!("Servers have the tokens in {preload} once they have reloaded it.");
    put!(
        out,
        "next: Copy it to where the configuration of each server includes it, reload each (`nats-server --signal reload`), then \
         {then}."
    );
    if !applied.pushed.is_empty() {
        put!(out, "The output of `nsc generate config --mem-resolver` is now out of date, and would undo this.");
    }
    out
}

/// Returns `: west-1, east-2 did not confirm; 3 servers do not answer`, or the part of it that applies.
pub(super) fn unconfirmed(applied: &Applied, deployment: &Deployment) -> String {
    let open = |pushed: &Pushed| {
        let servers = pushed.servers.iter().filter(|server| !server.verdict.is_confirmed());
        servers.map(|server| server.server.clone()).collect::<Vec<_>>()
    };
    let mut names: Vec<String> = applied.last_of_each().into_iter().flat_map(open).collect();
    names.sort();
    names.dedup();
    let mut parts = Vec::new();
    if !names.is_empty() {
        parts.push(format!("{} did not confirm", names.join(", ")));
    }
    parts.extend(deployment.missing_text());
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}

/// Returns the tokens that servers have if they did not confirm the new one, and the reasons of servers that refused
/// it.
fn has_instead(pushed: &Pushed) -> Vec<String> {
    let open = pushed.servers.iter().filter(|server| !server.verdict.is_confirmed());
    let has = open.map(|server| format!("{} ({}): {}", server.server, server.cluster, server.verdict));
    has.chain(pushed.refused.iter().map(|refused| format!("refused by {refused}"))).collect()
}

/// Returns a text about what the run did, and the servers that confirmed it.
pub(super) fn done(applied: &Applied, deployment: &Deployment) -> Text {
    let Applied {
        provisioned,
        pushed,
        problems,
        unread,
        skipped,
        kept,
        planned_again,
        merged,
        preload,
        not_reloaded,
        ..
    } = applied;
    let mut out = Text::new();
    if *planned_again > 0 {
        let times = if *planned_again == 1 { "once".to_owned() } else { format!("{planned_again} times") };
        put!(out, "planned again {times}: other tools pushed tokens meanwhile, and their changes were kept");
    }
    out.append(&merged_text(merged));
    if !provisioned.is_empty() {
        let made = provisioned.iter().filter(|one| one.error.is_none()).count();
        put!(out, "streams and consumers: {made} of {} as planned", provisioned.len());
    }
    for last in applied.last_of_each() {
        let account = &last.account;
        let count = pushed.iter().filter(|pushed| pushed.id == last.id).count();
        let confirmed = last.servers.iter().filter(|server| server.verdict.is_confirmed()).count();
        let total = deployment.total();
        match (count, preload) {
            (_, Some(preload)) => put!(
                out,
                "account {account}: token written to {}; {confirmed} of {total} servers confirm that it is in force",
                preload.display()
            ),
            (1, None) => {
                put!(out, "account {account}: token pushed; {confirmed} of {total} servers confirm that it is in force")
            }
            _ => put!(
                out,
                "account {account}: {count} tokens pushed, one after the other; {confirmed} of {total} servers confirm \
                 that the last is in force"
            ),
        }
        for line in has_instead(last) {
            put!(out, "  {line}");
        }
        if !last.strangers.is_empty() {
            let names: Vec<&str> = last.strangers.iter().map(String::as_str).collect();
            put!(
                out,
                "  answers that are not those of a server of the deployment, not counted: {}; find out who else is in the system \
                 account",
                some(&names)
            );
        }
    }
    for server in not_reloaded {
        put!(out, "{} ({}): {}", server.server, server.cluster, server.verdict);
    }
    let problems: Vec<&Finding> =
        problems.iter().flat_map(|checked| &checked.problems).map(|one| &one.finding).collect();
    findings_text(&problems).iter().for_each(|text| out.append(text));
    if let Some(reason) = unread {
        put!(out, "the streams could not be read back: {reason}");
    }
    if !skipped.is_empty() {
        let skipped: Vec<&str> = skipped.iter().map(String::as_str).collect();
        put!(out, "left out, cannot be reached: {}", some(&skipped));
    }
    for kept in kept {
        put!(out, "kept, since not every server confirmed that its mappings are gone: stream {kept}");
    }
    out
}

pub(super) fn refused(findings: Vec<Finding>) -> Failure {
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    let what = if errors == 1 { "1 finding stands".to_owned() } else { format!("{errors} findings stand") };
    Failure::failed("refused", format!("{what} in the way; nothing was changed")).findings(findings)
}

pub(super) fn no_signer() -> Failure {
    Failure::usage("no-operator-key", "there is a token to sign and no operator key was named; nothing was changed")
        .next("Name the operator's signing key: --operator FILE, --operator - for standard input, or VSTREAM_OPERATOR_FILE.")
}

/// Returns the failure of a run that stopped early, with what it did until then.
pub(super) fn stopped(Stopped { report, cause }: Stopped) -> Failure {
    let mut failure = failure(*cause, &report);
    if report.pushed.is_empty() && report.provisioned.is_empty() && report.merged.is_empty() {
        return failure;
    }
    if failure.lines.is_empty() {
        let pushed = report.last_of_each().into_iter().map(|last| {
            let confirmed = last.servers.iter().filter(|server| server.verdict.is_confirmed()).count();
            let total = last.servers.len();
            format!("account {}: a token was pushed; {confirmed} of {total} servers confirm it", last.account)
        });
        failure.lines = pushed.collect();
    }
    failure.detail("applied", report)
}

pub(super) fn failure(error: ApplyError, report: &Applied) -> Failure {
    let message = error.to_string();
    match error {
        ApplyError::Refused(findings) => refused(findings),
        ApplyError::NoSigner => no_signer(),
        ApplyError::NotAgreed { .. } => Failure::failed("not-confirmed", message).next(NOT_CONFIRMED),
        ApplyError::NotAsPlanned(_) => Failure::failed("signed-otherwise", message)
            .next("Make the plan again, have it read and signed, and find out who made this file."),
        ApplyError::Issue(IssueError::Sign { .. }) => Failure::failed("signing", message)
            .next("Check the key, or the command that signs: every signature is verified before it is used."),
        ApplyError::Issue(IssueError::NoKey { account }) => {
            Failure::failed("account-key-missing", message).next(format!(
                "Put a signing key of account {account}, or its identity, into the keys folder; `signing_key` of the \
             definition says which of several."
            ))
        }
        ApplyError::Issue(IssueError::Keys { .. }) | ApplyError::Keys(_) => Failure::failed("keys", message)
            .next("Fix the keys folder, or name another with --keys; `keys check` lists what is wrong."),
        ApplyError::StageUnconfirmed { .. } => {
            let open = report.pushed.iter().filter(|pushed| !pushed.is_confirmed());
            let lines: Vec<String> = open.flat_map(has_instead).collect();
            Failure::failed("stage-unconfirmed", message)
                .lines(lines)
                .next("Fix what these servers name, then run the same command again: it continues from here.")
        }
        ApplyError::NotCaughtUp { problems } => {
            let lines: Vec<String> = problems
                .iter()
                .flat_map(|checked| &checked.problems)
                .map(|problem| format!("{}: {}", problem.finding.place, problem.finding.message))
                .collect();
            Failure::failed("not-caught-up", message)
                .lines(lines)
                .next("Run the same command again: it continues from here. `status` shows what the streams wait for.")
                .detail("provisioned", &report.provisioned)
        }
        ApplyError::Provision { .. } => {
            let provisioned = &report.provisioned;
            let errors = provisioned.iter().filter_map(|one| Some(format!("{}: {}", one.place, one.error.as_ref()?)));
            let errors: Vec<String> = errors.collect();
            Failure::failed("provisioning", message)
                .lines(errors)
                .next("Fix what the servers name, then run the same command again: it continues from here.")
                .detail("provisioned", provisioned)
        }
        ApplyError::ChangedMeanwhile { .. } => Failure::failed("changed-meanwhile", message).next(
            "Run the same command again: it starts from the new token. If another tool pushes all the time, stop it first; \
             `status` shows who holds the lease of an account.",
        ),
        ApplyError::RemovesMore(_) => Failure::failed("changed-meanwhile", message)
            .next("Run it again, and read the plan: it starts from what is there now."),
        ApplyError::Stale(moved) => stale(moved),
        ApplyError::Lease(LeaseError::Held { note, .. }) => Failure::failed("lease-held", message)
            .next(
                "Run it again when the other run has ended, or wait longer with --lease-timeout. If that run is gone, its \
                 lease expires by itself within 15 s. If there is no such run, an application publishes there: deny it \
                 `$VSTREAM.>` (docs/permissions.md).",
            )
            .detail("lease", note),
        ApplyError::Lease(LeaseError::Unreachable(finding)) => {
            Failure::failed(finding.code, message).next(finding.next.clone())
        }
        ApplyError::Lease(LeaseError::Lost { .. }) => Failure::failed("lease-lost", message)
            .next("Run the same command again: it waits for the run that has the lease now, and continues from here."),
        ApplyError::Interrupted => {
            Failure::failed("interrupted", message).next("Run the same command again: it continues from here.")
        }
        ApplyError::Journal(_) => unwritable(&message),
        ApplyError::Push(NotPushed::Store(error)) => error.into(),
        ApplyError::Push(_) => {
            Failure::failed("push", message).next("Run `verify` to see which servers have the token, then run the same command again.")
        }
        ApplyError::Confirm(_) => Failure::new(Exit::Unconfirmed, "unconfirmed", message)
            .next("Run `verify --wait 2m`: it asks until every server has the token."),
        ApplyError::Read(error) => error.into(),
    }
}

/// Returns the failure for a plan that later changes made stale.
pub(super) fn stale(moved: Vec<String>) -> Failure {
    Failure::failed("stale-plan", "the plan is stale; since it was made, this changed; nothing was changed")
        .lines(moved.clone())
        .next("Make the plan again: plan --out FILE; have it signed again if it was.")
        .detail("moved", moved)
}

pub(super) fn unwritable(message: &str) -> Failure {
    Failure::failed("history-unwritable", message)
        .next("Make the folder writable for you, or name another with --history; `--history none` keeps no record.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Server;

    /// Covers runs with and without a push.
    #[test]
    fn servers_that_do_not_answer_are_not_in_sync() {
        for (expected, exits) in [(1, Exit::Done), (2, Exit::Unconfirmed)] {
            let deployment = Deployment { servers: vec![Server::new("west-1", "west", "2.15.1")], expected };
            assert_eq!(exit(&Applied::default(), &deployment), exits);
            assert_eq!(
                unconfirmed(&Applied::default(), &deployment).contains("1 of 2 servers does not answer"),
                expected == 2
            );
        }
    }
}
