//! `destroy`: removes what `apply` made for the definition.

use super::deployment::{LeaseArgs, OperatorArgs, agree, agree_again, holder, interrupted, with_unused_pushes};
use super::outcome::{document, done, exit, no_signer, refused, stopped, to_reload, unconfirmed};
use super::recording::{HistoryArgs, Recording};
use super::text::put;
use super::{Exit, Failure, Shell, nsc, planfile, trust};
use crate::engine::Deadline;
use crate::engine::run::{self, Run, Signers, execute};
use crate::engine::session::{Subscription, VerbInputs};
use crate::nats::{DefinitionConnector, Purpose};
use crate::ops;
use crate::ops::destroy::DestroyPlanner;
use crate::sign::Signer;
use crate::sign::patience::Patience;
use std::io::IsTerminal as _;

/// The next step after servers have reloaded the preload.
const AGAIN: &str = "run destroy again: it checks that all servers have it, and continues from here";

/// Remove the mappings of this definition or of the named virtual streams, and with --delete-streams their streams
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these virtual streams
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    operator: OperatorArgs,

    /// Delete the streams too, with all their messages
    #[arg(long)]
    delete_streams: bool,

    #[command(flatten)]
    lease: LeaseArgs,

    #[command(flatten)]
    history: HistoryArgs,

    /// Do not ask for confirmation; needed without a terminal
    #[arg(long, short)]
    yes: bool,
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let loaded = shell.load()?;
        let part = ops::destroy::part(&loaded.definition, &self.names).map_err(|name| {
            Failure::usage("unknown-virtual-stream", format!("the definition has no virtual stream {name}")).next(
                "Name virtual streams of the definition; `apply --prune NAME` removes those that it no longer has.",
            )
        })?;
        if !self.yes && !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "not-confirmed",
                "without a terminal, destroy needs --yes; nothing was changed",
            )
            .next("Add --yes when you are sure."));
        }
        let patience = Patience::new(shell.timeout);
        let operator = self.operator.signer(&shell.keys_folder(&loaded.base), &patience)?;
        let mut keys = shell.keyring(&loaded.base)?;
        let folder = keys.folder().to_owned();
        let signer = operator.as_deref();
        let trust = trust::of_definition(&loaded, &keys, signer.map(Signer::public_key));
        let connector = DefinitionConnector::new(&part, Purpose::Destroy, &folder)
            .only_defined()
            .knowing(&trust)
            .lasting(shell.timeout + self.lease.lease_timeout);
        let progress = shell.progress();
        let deadline = Deadline::after(patience.left());
        let inputs = VerbInputs { definition: &part, keys: &keys, trust: &trust };
        let (mut session, mut planned) =
            ops::destroy::plan_destroy(inputs, &connector, self.delete_streams, Subscription::On, deadline, &progress)
                .await?;
        drop(progress);
        let plan = &planned.plan;
        if plan.is_refused() {
            return Err(refused(plan.findings.clone()));
        }
        shell.findings(&plan.findings);
        if plan.is_empty() {
            let applied = run::look(&session, &planned).await.map_err(stopped)?;
            let (missing, total) = (session.deployment.missing(), session.deployment.total());
            let exit = exit(&applied, &session.deployment);
            let (kept, mut text) = (kept(self.delete_streams), done(&applied, &session.deployment));
            match exit {
                Exit::Done => put!(text, "Nothing to remove.{kept}"),
                Exit::Pending => text.append(&to_reload(&applied, AGAIN)),
                _ if missing == 0 => put!(text, "Nothing to remove on the servers that show what they have.{kept}"),
                _ => {
                    put!(text, "Nothing to remove on the servers that answer; {missing} of {total} do not.{kept}");
                    put!(text, "next: Bring them back, then run destroy again.");
                }
            }
            let mut json = document(&planned, &applied, &session.deployment, exit);
            let exit = nsc::write_back(shell, &session, &planned.options, (&mut text, &mut json), exit).await;
            shell.result(text, &json);
            return Ok(exit);
        }
        if plan.accounts.iter().any(|account| !account.pushes.is_empty()) && signer.is_none() {
            return Err(no_signer());
        }
        let recording = Recording { verb: "destroy", definition: planfile::files(&loaded), back_to: None };
        let written = self.history.record(&loaded.base, &mut session, plan, recording)?;
        agree(shell, &mut session, plan, self.yes, false)?;
        patience.leave(session.deadline.left());
        let progress = shell.progress();
        let result = execute(
            &mut session,
            &mut planned,
            Run {
                signers: Signers { operator: signer, keys: &mut keys, signed: None },
                holder: holder("destroy"),
                patience: self.lease.lease_timeout,
                planner: DestroyPlanner { delete_streams: self.delete_streams },
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
        let mut text = done(&applied, &session.deployment);
        let kept = kept(self.delete_streams);
        match exit {
            Exit::Done => put!(text, "Done.{kept}"),
            Exit::Pending => text.append(&to_reload(&applied, AGAIN)),
            _ => {
                put!(text, "Not everything is confirmed{}.{kept}", unconfirmed(&applied, &session.deployment));
                put!(text, "next: Bring back the servers that are missing, then run destroy again.");
            }
        }
        let mut document = document(&planned, &applied, &session.deployment, exit);
        let exit = nsc::write_back(shell, &session, &planned.options, (&mut text, &mut document), exit).await;
        shell.result(text, &document);
        Ok(exit)
    }
}

fn kept(delete_streams: bool) -> &'static str {
    if delete_streams { "" } else { " Streams and their messages were left alone; --delete-streams deletes them." }
}
