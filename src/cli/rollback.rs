//! `rollback`: undoes pushes, and returns to the state after an earlier one.

use super::deployment::{
    LeaseArgs, OperatorArgs, agree, agree_again, holder, interrupted, options, with_unused_pushes,
};
use super::history;
use super::outcome::{document, done, exit, no_signer, refused, stopped, to_reload};
use super::recording::{HistoryArgs, Recording};
use super::shell::some;
use super::text::{Text, put, text};
use super::{Exit, Failure, Format, Shell, nsc, planfile, trust};
use crate::definition::Definition;
use crate::engine::Deadline;
use crate::engine::run::{self, Run, Signers, execute};
use crate::engine::session::{Subscription, VerbInputs};
use crate::nats::{DefinitionConnector, Purpose};
use crate::ops;
use crate::ops::record::{Read, list};
use crate::ops::rollback::RollbackPlanner;
use crate::plan::Options;
use crate::plan::rollback::{Effects, Named, Undo, Unused};
use crate::sign::Signer;
use crate::sign::patience::Patience;
use serde_json::json;

/// The next step after servers have reloaded the preload.
const VERIFY: &str = "run verify: it checks that all servers have it";

/// Return to the state after an earlier push; keeps what other tools changed since
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The record to return to: the beginning of its name or id, `last`, or `last~1` for the one before
    #[arg(value_name = "RECORD", required_unless_present = "last", conflicts_with = "last")]
    record: Option<String>,

    /// Return to the state before the newest push; continues a `rollback --last` that was killed or failed
    #[arg(long)]
    last: bool,

    #[command(flatten)]
    operator: OperatorArgs,

    #[command(flatten)]
    history: HistoryArgs,

    #[command(flatten)]
    lease: LeaseArgs,

    /// Continue despite these findings (`region-missing`, `leads-nowhere`, …)
    #[arg(long, value_name = "FINDING", num_args = 1.., value_delimiter = ',')]
    allow: Vec<String>,

    /// Do not ask for confirmation on a terminal
    #[arg(long, short)]
    yes: bool,
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let loaded = shell.load()?;
        let options = options(Options { allow: self.allow, ..Options::default() })?;
        let all = list(&self.history.to_read(&loaded.base)?).map_err(|error| history::failure(&error))?;
        let place = match &self.record {
            Some(record) => history::place(&all, record)?,
            None => newest(&all)?,
        };
        // Later records are needed, earlier ones are not.
        let mut records = Vec::new();
        for (number, (name, record)) in all.iter().enumerate() {
            match record {
                Ok(record) => records.push((number, Named { name, content: &record.content })),
                Err(error) if number >= place => {
                    return Err(history::failure(error));
                }
                Err(_) => {}
            }
        }
        let about = &all[place].1.as_ref().map_err(history::failure)?.content;
        // The folder may also have records of other deployments.
        records.retain(|(number, record)| *number == place || record.content.system_account == about.system_account);
        let at = records.iter().position(|(number, _)| *number == place).unwrap_or_default();
        let records: Vec<Named<'_>> = records.into_iter().map(|(_, record)| record).collect();
        let undo = if self.last { Undo::last(&records) } else { Undo::back_to(&records, at) };
        let undo = Undo { options, ..undo };

        let patience = Patience::new(shell.timeout);
        let operator = self.operator.signer(&shell.keys_folder(&loaded.base), &patience)?;
        let signer = operator.as_deref();
        let mut keys = shell.keyring(&loaded.base)?;
        let folder = keys.folder().to_owned();
        let trust = trust::of_definition(&loaded, &keys, signer.map(Signer::public_key));
        let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, &folder)
            .knowing(&trust)
            .lasting(shell.timeout + self.lease.lease_timeout);
        let progress = shell.progress();
        let deadline = Deadline::after(patience.left());
        let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
        let (mut session, mut planned, effects) =
            ops::rollback::plan_rollback(inputs, &connector, &undo, Subscription::On, deadline, &progress).await?;
        drop(progress);
        let plan = &planned.plan;
        if plan.is_refused() {
            return Err(refused(plan.findings.clone()));
        }
        shell.findings(&plan.findings);
        let undone: Vec<&str> = undo.pushes.iter().map(|push| push.name).collect();
        if plan.is_empty() {
            let applied = run::look(&session, &planned).await.map_err(stopped)?;
            let exit = exit(&applied, &session.deployment);
            let mut document = document(&planned, &applied, &session.deployment, exit);
            document["rollback"] = described(&undone, &effects);
            let mut text = done(&applied, &session.deployment);
            match exit {
                Exit::Pending => text.append(&to_reload(&applied, VERIFY)),
                _ => put!(text, "Nothing to undo: the accounts are as they were then. Nothing was pushed."),
            }
            shell.result(text, &document);
            return Ok(exit);
        }
        if signer.is_none() {
            return Err(no_signer());
        }
        if shell.format == Format::Human {
            let mut text = text!("To undo: {}", some(&undone));
            text.append(&outlook(&effects, &loaded.definition));
            shell.say(text);
        }
        let recording = Recording {
            verb: "rollback",
            definition: planfile::files(&loaded),
            back_to: (!self.last).then(|| all[place].0.clone()),
        };
        let written = self.history.record(&loaded.base, &mut session, plan, recording)?;
        agree(shell, &mut session, plan, self.yes, true)?;
        patience.leave(session.deadline.left());
        let progress = shell.progress();
        let result = execute(
            &mut session,
            &mut planned,
            Run {
                signers: Signers { operator: signer, keys: &mut keys, signed: None },
                holder: holder("rollback"),
                patience: self.lease.lease_timeout,
                planner: RollbackPlanner(&undo),
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
        put!(text, "Undone: {}.", some(&undone));
        text.append(&outlook(&effects, &loaded.definition));
        match exit {
            Exit::Done => {
                put!(text, "Done. The definition was not changed, and its next `apply` undoes this rollback.");
                put!(
                    text,
                    "next: Correct the definition; the record has the definition of that time (`history RECORD \
                     --format json`)."
                );
            }
            Exit::Pending => {
                text.append(&to_reload(&applied, VERIFY));
            }
            _ => {
                put!(text, "Not everything is confirmed.");
                put!(text, "next: Run `vstream-jwt verify` to see which servers lack the token.");
            }
        }
        let mut document = document(&planned, &applied, &session.deployment, exit);
        document["rollback"] = described(&undone, &effects);
        let exit = nsc::write_back(shell, &session, &planned.options, (&mut text, &mut document), exit).await;
        shell.result(text, &document);
        Ok(exit)
    }
}

/// Returns the index of the newest push, without unfinished runs of `rollback --last`.
fn newest(all: &[Read]) -> Result<usize, Failure> {
    let mut place = history::place(all, "last")?;
    let mut deployment = None;
    for (number, (_, record)) in all.iter().enumerate().rev() {
        let content = &record.as_ref().map_err(history::failure)?.content;
        if *deployment.get_or_insert(&content.system_account) == &content.system_account {
            place = number;
            if !content.stopped_going_back() {
                break;
            }
        }
    }
    Ok(place)
}

fn described(undone: &[&str], effects: &Effects) -> serde_json::Value {
    let Effects { diffs, unused, left } = effects;
    json!({ "undone": undone, "claims": diffs, "unused": unused, "left": left })
}

/// Describes streams and accounts that stay although no mapping leads to them any more.
fn outlook(effects: &Effects, definition: &Definition) -> Text {
    let Effects { diffs: _, unused, left } = effects;
    let mut out = Text::new();
    for Unused { account, virtual_stream, streams } in unused {
        let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
        let mut defined = definition.accounts.iter().flat_map(|account| &account.virtual_streams);
        let deletes = match defined.any(|stream| stream.name.as_str() == virtual_stream) {
            true => format!("destroy {virtual_stream} --delete-streams"),
            false => format!("apply --prune {virtual_stream} --delete-streams"),
        };
        put!(
            out,
            "unused then, with their messages: streams of {virtual_stream} in account {account} ({}); `{deletes}` deletes them",
            some(&streams)
        );
    }
    if !left.is_empty() {
        let left: Vec<&str> = left.iter().map(String::as_str).collect();
        put!(out, "left in place, with their streams: accounts {}", some(&left));
    }
    out
}
