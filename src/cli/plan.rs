//! `plan`: shows what `apply` would do.

use super::deployment::options;
use super::shell::{quoted, some, unusable_keys};
use super::text::{Text, put, text};
use super::{Exit, Failure, Format, Shell, plan_markdown, plan_view, planfile, trust};
use crate::engine::Deadline;
use crate::engine::planned::{Planned, without_keys};
use crate::engine::session::{Subscription, VerbInputs};
use crate::engine::signed_plan;
use crate::model::units::format_duration;
use crate::nats::{DefinitionConnector, Purpose};
use crate::ops;
use crate::plan::file::PlanFile;
use crate::plan::{Options, Plan};
use crate::sign::keyring::Keyring;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Show what `apply` would change; changes nothing and needs no operator key
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    changes: ChangeArgs,

    /// Write the plan to a file, which `sign` signs and `apply` carries out exactly or refuses
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Changes that `plan` and `apply` may make beyond adding and changing what is ours.
#[derive(Debug, clap::Args)]
pub(super) struct ChangeArgs {
    /// Take over conflicting mappings and streams that this tool did not make
    #[arg(long)]
    adopt: bool,

    /// Remove those mappings of these virtual streams that the definition does not have
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    prune: Vec<String>,

    /// With --prune: delete the streams too, with all their messages
    #[arg(long, requires = "prune")]
    delete_streams: bool,

    /// Continue despite these findings (`region-missing`, `moves-stream`, …)
    #[arg(long, value_name = "FINDING", num_args = 1.., value_delimiter = ',')]
    allow: Vec<String>,
}

impl ChangeArgs {
    pub(super) fn options(self) -> Result<Options, Failure> {
        let Self { adopt, prune, delete_streams, allow } = self;
        options(Options { adopt, prune, delete_streams, allow, signing_keys: Vec::new() })
    }
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let loaded = shell.load()?;
        let options = self.changes.options()?;
        let definition = &loaded.definition;
        let keys = shell.keyring(&loaded.base)?;
        let trust = trust::of_definition(&loaded, &keys, None);
        let connector =
            DefinitionConnector::new(definition, Purpose::Read, keys.folder()).knowing(&trust).lasting(shell.timeout);
        let progress = shell.progress();
        let deadline = Deadline::after(shell.timeout);
        let inputs = VerbInputs { definition, keys: &keys, trust: &trust };
        let (session, planned) =
            ops::plan::plan(inputs, &connector, &options, Subscription::Off, deadline, &progress).await?;
        drop(progress);
        let plan = &planned.plan;
        shell.findings(&plan.findings);
        let view = plan_view::text(definition, plan, &session.deployment, shell.verbosity > 0);
        let document = plan_view::document(plan, &session.deployment);
        let last = match self.out.filter(|_| !plan.is_refused()) {
            None => outlook(&planned, &options, shell),
            Some(out) => {
                all_have_keys(&planned, &keys, shell)?;
                let files = planfile::files(&loaded);
                let mut content =
                    signed_plan::content(&session, &planned, files, view.whole().plain(), document.clone());
                content.who = Some(super::who::who());
                ops::planfile::write(&out, &PlanFile::new(content)).map_err(planfile::failure)?;
                written(plan, &out, shell)
            }
        };
        let text = if shell.format == Format::Markdown {
            plan_markdown::markdown(plan, &view, &last)
        } else {
            let mut text = view.whole();
            text.end();
            text.append(&last);
            text
        };
        shell.result(text, &document);
        Ok(match (plan.is_refused(), plan.is_empty()) {
            (true, _) => Exit::Failed,
            (false, true) if planned.stale_nsc_copies.is_empty() && !plan.waits_for_reload() => Exit::Done,
            (false, _) => Exit::Pending,
        })
    }
}

/// Refuses to write a plan file if the plan creates an account that has no key yet.
fn all_have_keys(planned: &Planned<'_>, keys: &Keyring, shell: &Shell) -> Result<(), Failure> {
    let without = without_keys(planned, keys).map_err(unusable_keys)?;
    if without.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = without.iter().map(String::as_str).collect();
    let message = format!(
        "{} have no key yet, and a plan file names every account by its key; no file was written",
        some(&names)
    );
    Err(Failure::failed("regional-keys-first", message)
        .next(format!(
            "Make the keys of regional accounts, then plan again: {} --regional",
            shell.command("keys generate")
        ))
        .detail("accounts", without))
}

/// Returns the last lines after a plan file was written.
fn written(plan: &Plan, out: &Path, shell: &Shell) -> Text {
    let file = quoted(out);
    let summary = if plan.is_empty() { "In sync: nothing to do".to_owned() } else { plan_view::summary(plan) };
    let signs = plan.accounts.iter().any(|account| !account.pushes.is_empty());
    let apply = shell.command("apply");
    let mut out = text!("{summary}. Nothing was changed; the plan is in {file}.");
    match signs {
        true => put!(
            out,
            "next: Run `{apply} {file} --operator FILE`; or, where the operator's key is, `{} {file} --operator FILE \
             --out SIGNED`, and `{apply} SIGNED` here.",
            shell.command("sign")
        ),
        false => put!(out, "next: Run `{apply} {file}`."),
    }
    out
}

/// Returns the last lines: what `apply` would do, and its command.
fn outlook(planned: &Planned<'_>, options: &Options, shell: &Shell) -> Text {
    let Planned { plan, stale_nsc_copies, .. } = planned;
    if plan.is_refused() {
        return "`apply` would refuse: see the errors above. Nothing was changed.".into();
    }
    let (apply, flags) = (shell.command("apply"), flags(options));
    if plan.is_empty() && !stale_nsc_copies.is_empty() {
        let mut out = Text::from("The servers are in sync; the nsc store is behind.");
        put!(out, "next: Run `{apply}{flags}`.");
        return out;
    }
    if plan.is_empty() && plan.waits_for_reload() {
        return "Nothing is left to write; servers have to reload the preload, as said above.".into();
    }
    if plan.is_empty() {
        return "In sync: nothing to do.".into();
    }
    let mut out = Text::new();
    if let Some(least) = outage(plan) {
        put!(
            out,
            "Write streams keep messages for {}: the longest outage of a region without loss.",
            format_duration(least)
        );
    }
    let signs = plan.accounts.iter().any(|account| !account.pushes.is_empty());
    let signer = if signs { " --operator FILE" } else { "" };
    put!(out, "{}. Nothing was changed.", plan_view::summary(plan));
    put!(out, "next: Run `{apply}{flags}{signer}`.");
    out
}

/// Returns the same options as flags of `apply`.
fn flags(options: &Options) -> String {
    let Options { adopt, prune, delete_streams, allow, signing_keys: _ } = options;
    let mut flags = String::new();
    if *adopt {
        flags.push_str(" --adopt");
    }
    if !prune.is_empty() {
        flags.push_str(&format!(" --prune {}", prune.join(",")));
    }
    if *delete_streams {
        flags.push_str(" --delete-streams");
    }
    if !allow.is_empty() {
        flags.push_str(&format!(" --allow {}", allow.join(",")));
    }
    flags
}

/// Returns the longest outage that the new and changed write streams can bridge.
fn outage(plan: &Plan) -> Option<i64> {
    let writes =
        plan.accounts.iter().flat_map(|account| &account.streams.changes).filter(|change| {
            change.role == crate::desired::Role::Write && change.action != crate::plan::Action::Delete
        });
    let ages = writes.filter_map(|change| change.after.as_ref()?.get("max_age").and_then(Value::as_i64));
    ages.filter(|age| *age > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plan_was_told_is_told_to_apply() {
        assert_eq!(flags(&Options::default()), "");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let options = Options {
            adopt: true,
            prune: names(&["a", "b"]),
            delete_streams: true,
            allow: names(&["moves-stream"]),
            signing_keys: Vec::new(),
        };
        assert_eq!(flags(&options), " --adopt --prune a,b --delete-streams --allow moves-stream");
    }
}
