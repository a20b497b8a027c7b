//! `apply`: the whole job.

use super::deployment::{
    LeaseArgs, NOT_CONFIRMED, OperatorArgs, agree, agree_again, holder, interrupted, merged_text, with_heard,
};
use super::history::{HistoryArgs, Recording, unwritable};
use super::plan::ChangeArgs;
use super::shell::{findings_text, some};
use super::text::{Text, put, text};
use super::{Exit, Failure, Shell, nsc, plan_view, planfile, trust};
use crate::definition::Definition;
use crate::model::finding::{Finding, Severity};
use crate::nats::{DefinitionConnector, Purpose};
use crate::observed::Deployment;
use crate::ops;
use crate::ops::Deadline;
use crate::ops::apply::{Again, Applied, ApplyError, IssueError, Pushed, Run, Signers};
use crate::ops::lease::LeaseError;
use crate::ops::plan::Planned;
use crate::ops::session::{Given, Hearing};
use crate::ops::trust::with_pushes;
use crate::resolver::NotPushed;
use crate::sign::Signer;
use crate::sign::patience::Patience;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Make the deployment match the definition, and prove it on every server
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do exactly what this file of `plan --out` or `sign` says, or refuse
    #[arg(value_name = "PLANFILE", conflicts_with_all = ["adopt", "prune", "delete_streams", "allow"])]
    plan: Option<PathBuf>,

    #[command(flatten)]
    operator: OperatorArgs,

    #[command(flatten)]
    changes: ChangeArgs,

    #[command(flatten)]
    lease: LeaseArgs,

    #[command(flatten)]
    history: HistoryArgs,

    /// Do not ask for confirmation on a terminal
    #[arg(long, short)]
    yes: bool,
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let (file, loaded) = match &self.plan {
            Some(path) => planfile::load(shell, path).map(|(file, loaded)| (Some(file.content), loaded))?,
            None => (None, shell.load()?),
        };
        let options = match &file {
            Some(content) => content.options.clone(),
            None => self.changes.options()?,
        };
        let patience = Patience::new(shell.timeout);
        let signed = file.as_ref().filter(|content| content.signed.is_some());
        let operator = match signed {
            Some(_) => None,
            None => self.operator.signer(&shell.keys_folder(&loaded.base), &patience)?,
        };
        let definition = &loaded.definition;
        if let Some(content) = &file {
            ops::planfile::check(content, definition).map_err(planfile::unsigned)?;
        }
        let mut keys = shell.keyring(&loaded.base)?;
        let folder = keys.folder().to_owned();
        let progress = shell.progress();
        let deadline = Deadline::after(patience.left());
        let key = signed.and_then(|content| content.signed.as_ref()).map(|signed| signed.operator.clone());
        let key = key.or_else(|| operator.as_deref().map(Signer::public_key));
        let trust = match &self.plan {
            Some(_) => with_pushes(trust::of_plan_file(shell, definition, &keys, None, key)?, &shell.base()),
            None => trust::of_definition(&loaded, &keys, key),
        };
        let connector = DefinitionConnector::new(definition, Purpose::Change, &folder).knowing(&trust);
        let connector = if options.prune.is_empty() { connector.only_defined() } else { connector };
        let given = Given { definition, keys: &keys, trust: &trust };
        let (mut session, mut planned) =
            ops::plan::plan(given, &connector, &options, Hearing::On, deadline, &progress).await?;
        drop(progress);
        let plan = &planned.plan;
        if plan.is_refused() {
            return Err(refused(plan.findings.clone()));
        }
        if let Some(file) = &file {
            let changes = plan_view::document(plan, &session.deployment);
            planfile::still_holds(file, &ops::planfile::content(&session, &planned, Vec::new(), "", changes))?;
        }
        shell.findings(&plan.findings);
        let signer = operator.as_deref();
        if plan.accounts.iter().any(|account| !account.pushes.is_empty()) && signer.is_none() && signed.is_none() {
            return Err(no_signer());
        }
        let definition_files = file.as_ref().map(|content| content.definition.clone());
        let recording = Recording {
            verb: "apply",
            definition: definition_files.unwrap_or_else(|| planfile::files(&loaded)),
            back_to: None,
        };
        let written = self.history.record(&loaded.base, &mut session, plan, recording)?;
        if !plan.is_empty() {
            agree(shell, &mut session, plan, self.yes, true)?;
        }
        patience.leave(session.deadline.left());
        let progress = shell.progress();
        let result = ops::apply::apply(
            &mut session,
            &mut planned,
            Run {
                signers: Signers { operator: signer, keys: &mut keys, signed },
                holder: holder("apply"),
                patience: self.lease.lease_timeout,
                again: file.as_ref().map_or(Again::Plan, Again::Exactly),
                agree: &|merged| agree_again(shell, &progress, merged, self.yes),
                stop: Box::pin(interrupted()),
            },
            &connector,
            &progress,
        )
        .await;
        drop(progress);
        // The seed is in memory no longer than it is needed.
        drop(operator);
        written.finish(shell, &result, &session.deployment);
        let applied = result.map_err(|error| with_heard(failure(error), &session))?;
        shell.findings(&applied.heard);
        let exit = exit(&applied, &session.deployment);
        let mut text = text(definition, &planned, &applied, &session.deployment, exit, shell);
        let mut document = document(&planned, &applied, &session.deployment, exit);
        let exit = nsc::write_back(shell, &session, &options, (&mut text, &mut document), exit).await;
        shell.result(text, &document);
        Ok(exit)
    }
}

/// Exit 4 when a server did not confirm what was pushed, or could not be looked at, whether or not something was pushed; exit
/// 3 when servers have to reload their configuration first.
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

fn text(
    definition: &Definition,
    planned: &Planned<'_>,
    applied: &Applied,
    deployment: &Deployment,
    exit: Exit,
    shell: &Shell,
) -> Text {
    let servers = deployment.servers.len();
    if planned.plan.is_empty() && exit == Exit::Done {
        return text!("In sync: nothing to do, nothing was pushed ({servers} servers asked).");
    }
    let mut out = done(applied, deployment);
    if applied.has_to_reload() {
        out.append(&to_reload(
            applied,
            "apply again in the same way: it looks whether all have it, and goes on from here",
        ));
        return out;
    }
    if planned.plan.is_empty() && !applied.behind.is_empty() {
        put!(out, "Nothing to do on the {servers} servers, but not all of them show what they have, as said above.");
        put!(
            out,
            "next: Add their URLs to `servers:` of their region, then apply again: it has them load the account."
        );
        return out;
    }
    if planned.plan.is_empty() && deployment.missing() == 0 {
        put!(out, "Nothing to do on the {servers} servers, but not all is well with the streams, as said above.");
        put!(out, "next: Run `{} --wait 2m`.", shell.command("verify"));
        return out;
    }
    if planned.plan.is_empty() {
        put!(out, "Nothing to do on the {servers} servers that answer; what is left out has to wait.");
        put!(out, "next: Bring its servers back, then apply again.");
        return out;
    }
    if exit == Exit::Done {
        let streams = definition.accounts.iter().flat_map(|account| &account.virtual_streams);
        let names: Vec<&str> = streams.map(|stream| stream.name.as_str()).take(3).collect();
        put!(out, "Done. Applications publish and read by the virtual name ({}) in every region.", names.join(", "));
    } else {
        put!(out, "Not everything is confirmed{}.", unconfirmed(applied, deployment));
        put!(out, "next: Run `{} --wait 2m`; apply again if it names something.", shell.command("verify"));
    }
    if !applied.pushed.is_empty() && definition.nsc_store.is_none() {
        put!(out, "An nsc store is behind now; its next push would undo this. Bring it up to date: nsc pull -A");
    }
    out
}

/// The last lines where servers have to reload the file that tokens were written to, and `then` what is next.
pub(super) fn to_reload(applied: &Applied, then: &str) -> Text {
    let preload = applied.preload.as_deref().unwrap_or(Path::new("the preload")).display();
    let mut out = text!("Servers have the tokens in {preload} once they have reloaded it.");
    put!(
        out,
        "next: Copy it to where the configuration of each server includes it, reload each (`nats-server --signal reload`), then \
         {then}."
    );
    if !applied.pushed.is_empty() {
        put!(
            out,
            "What nsc makes of its store is behind now (`nsc generate config --mem-resolver`): it would undo this."
        );
    }
    out
}

/// `: west-1, east-2 did not confirm; 3 servers do not answer`, as far as it is so.
pub(super) fn unconfirmed(applied: &Applied, deployment: &Deployment) -> String {
    let open = |pushed: &Pushed| {
        let servers = pushed.servers.iter().filter(|server| !server.verdict.is_confirmed());
        servers.map(|server| server.server.clone()).collect::<Vec<_>>()
    };
    let mut last: Vec<&Pushed> = Vec::new();
    for pushed in &applied.pushed {
        last.retain(|earlier| earlier.id != pushed.id);
        last.push(pushed);
    }
    let mut names: Vec<String> = last.into_iter().flat_map(open).collect();
    names.sort();
    names.dedup();
    let mut parts = Vec::new();
    if !names.is_empty() {
        parts.push(format!("{} did not confirm", names.join(", ")));
    }
    parts.extend(deployment.missing_text());
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}

/// What servers that did not confirm a token have instead, and why those that refused it did.
fn has_instead(pushed: &Pushed) -> Vec<String> {
    let open = pushed.servers.iter().filter(|server| !server.verdict.is_confirmed());
    let has = open.map(|server| format!("{} ({}): {}", server.server, server.cluster, server.verdict));
    has.chain(pushed.refused.iter().map(|refused| format!("refused by {refused}"))).collect()
}

/// What was done and who confirmed it.
pub(super) fn done(applied: &Applied, deployment: &Deployment) -> Text {
    let Applied {
        provisioned, pushed, problems, unread, skipped, kept, planned_again, merged, preload, behind, ..
    } = applied;
    let mut out = Text::new();
    if *planned_again > 0 {
        let times = if *planned_again == 1 { "once".to_owned() } else { format!("{planned_again} times") };
        put!(out, "planned again {times}: others pushed tokens meanwhile, and what they changed was kept");
    }
    out.append(&merged_text(merged));
    if !provisioned.is_empty() {
        let made = provisioned.iter().filter(|one| one.error.is_none()).count();
        put!(out, "streams and consumers: {made} of {} as planned", provisioned.len());
    }
    let mut told: Vec<&str> = Vec::new();
    for last in pushed.iter().rev() {
        if told.contains(&last.account.as_str()) {
            continue;
        }
        told.push(&last.account);
    }
    for account in told.into_iter().rev() {
        let mut tokens = pushed.iter().filter(|pushed| pushed.account == account);
        let count = tokens.clone().count();
        let Some(last) = tokens.next_back() else { continue };
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
    for server in behind {
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

pub(super) fn failure(error: ApplyError) -> Failure {
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
            .next("Mend the keys folder, or name another with --keys; `keys check` lists what is wrong."),
        ApplyError::StageUnconfirmed { applied, .. } => {
            let open = applied.pushed.iter().filter(|pushed| !pushed.is_confirmed());
            let lines: Vec<String> = open.flat_map(has_instead).collect();
            Failure::failed("stage-unconfirmed", message)
                .lines(lines)
                .next("Mend what these servers say, then apply again: it goes on from here.")
                .detail("applied", applied)
        }
        ApplyError::NotCaughtUp { problems, provisioned } => {
            let lines: Vec<String> = problems
                .iter()
                .flat_map(|checked| &checked.problems)
                .map(|problem| format!("{}: {}", problem.finding.place, problem.finding.message))
                .collect();
            Failure::failed("not-caught-up", message)
                .lines(lines)
                .next("Run apply again: it goes on from here. `status` shows what the streams wait for.")
                .detail("provisioned", provisioned)
        }
        ApplyError::Provision { provisioned, .. } => {
            let errors = provisioned.iter().filter_map(|one| Some(format!("{}: {}", one.place, one.error.as_ref()?)));
            let errors: Vec<String> = errors.collect();
            Failure::failed("provisioning", message)
                .lines(errors)
                .next("Mend what the servers name, and run apply again: it goes on from here.")
                .detail("provisioned", provisioned)
        }
        ApplyError::ChangedMeanwhile { .. } => Failure::failed("changed-meanwhile", message).next(
            "Run apply again: it starts from the new token. If others push all the time, have them wait; `status` shows who \
             holds the lease of an account.",
        ),
        ApplyError::TakesAwayMore(_) => Failure::failed("changed-meanwhile", message)
            .next("Run it again, and read the plan: it starts from what is there now."),
        ApplyError::Stale(moved) => planfile::stale(moved),
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
            .next("Run apply again: it goes on from here, after whoever has the lease now."),
        ApplyError::Interrupted => {
            Failure::failed("interrupted", message).next("Run it again: it goes on from here.")
        }
        ApplyError::Journal(_) => unwritable(&message),
        ApplyError::Push(NotPushed::Store(error)) => error.into(),
        ApplyError::Push(_) => {
            Failure::failed("push", message).next("Run verify to see which servers have the token, then apply again.")
        }
        ApplyError::Confirm(_) => Failure::new(Exit::Unconfirmed, "unconfirmed", message)
            .next("Run `verify --wait 2m`: it asks until every server has the token."),
        ApplyError::Read(error) => error.into(),
    }
}

#[cfg(test)]
mod tests;
