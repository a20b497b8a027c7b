//! `apply`: makes the deployment match the definition.

use super::deployment::{LeaseArgs, OperatorArgs, agree, agree_again, holder, interrupted, with_unused_pushes};
use super::outcome::{document, done, exit, no_signer, refused, stopped, to_reload, unconfirmed};
use super::plan::ChangeArgs;
use super::recording::{HistoryArgs, Recording};
use super::text::{Text, put, text};
use super::{Exit, Failure, Shell, nsc, plan_view, planfile, trust};
use crate::definition::Definition;
use crate::engine::Deadline;
use crate::engine::planned::Planned;
use crate::engine::report::Applied;
use crate::engine::run::{Run, Signers, execute};
use crate::engine::session::{Subscription, VerbInputs};
use crate::engine::signed_plan;
use crate::nats::{DefinitionConnector, Purpose};
use crate::observed::Deployment;
use crate::ops;
use crate::ops::apply::ApplyPlanner;
use crate::ops::trust::with_pushes;
use crate::sign::Signer;
use crate::sign::patience::Patience;
use std::path::PathBuf;

/// Make the deployment match the definition, and check the result on every server
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Carry out this file of `plan --out` or `sign` exactly, or refuse
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
        let connector = DefinitionConnector::new(definition, Purpose::Change, &folder)
            .knowing(&trust)
            .lasting(shell.timeout + self.lease.lease_timeout);
        let connector = if options.prune.is_empty() { connector.only_defined() } else { connector };
        let inputs = VerbInputs { definition, keys: &keys, trust: &trust };
        let (mut session, mut planned) =
            ops::plan::plan(inputs, &connector, &options, Subscription::On, deadline, &progress).await?;
        drop(progress);
        let plan = &planned.plan;
        if plan.is_refused() {
            return Err(refused(plan.findings.clone()));
        }
        if let Some(file) = &file {
            let changes = plan_view::document(plan, &session.deployment);
            planfile::still_holds(file, &signed_plan::content(&session, &planned, Vec::new(), "", changes))?;
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
        let result = execute(
            &mut session,
            &mut planned,
            Run {
                signers: Signers { operator: signer, keys: &mut keys, signed },
                holder: holder("apply"),
                patience: self.lease.lease_timeout,
                planner: ApplyPlanner(file.as_ref()),
                agree: &|merged| agree_again(shell, &progress, merged, self.yes),
                stop: Box::pin(interrupted()),
            },
            &connector,
            &progress,
        )
        .await;
        drop(progress);
        // Keep the seed in memory no longer than needed.
        drop(operator);
        written.finish(shell, &result, &session.deployment);
        let applied = result.map_err(|error| with_unused_pushes(stopped(error), &session))?;
        shell.findings(&applied.unused_pushes);
        let exit = exit(&applied, &session.deployment);
        let mut text = text(definition, &planned, &applied, &session.deployment, exit, shell);
        let mut document = document(&planned, &applied, &session.deployment, exit);
        let exit = nsc::write_back(shell, &session, &options, (&mut text, &mut document), exit).await;
        shell.result(text, &document);
        Ok(exit)
    }
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
    // After another tool's push the run plans again, and the new plan may be empty.
    let idle = planned.plan.is_empty() && applied.is_idle();
    if idle && exit == Exit::Done {
        return text!("In sync: nothing to do, nothing was pushed ({servers} servers asked).");
    }
    let mut out = done(applied, deployment);
    if applied.has_to_reload() {
        out.append(&to_reload(
            applied,
            "apply again in the same way: it checks that all servers have it, and continues from here",
        ));
        return out;
    }
    if idle && !applied.not_reloaded.is_empty() {
        put!(out, "Nothing to do on the {servers} servers, but some of them do not show their tokens (see above).");
        put!(
            out,
            "next: Add their URLs to `servers:` of their region, then apply again: it has them load the account."
        );
        return out;
    }
    if idle && deployment.missing() == 0 {
        put!(out, "Nothing to do on the {servers} servers, but some streams have problems (see above).");
        put!(out, "next: Run `{} --wait 2m`.", shell.command("verify"));
        return out;
    }
    if idle {
        put!(out, "Nothing to do on the {servers} servers that answer; what was left out has to wait for the others.");
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
        put!(out, "If you use nsc, its store is out of date: its next push would undo this. Update it: nsc pull -A");
    }
    out
}
