//! `sign`: signs a plan file on the machine with the operator's key, which needs no network.

use super::deployment::{NOT_CONFIRMED, OperatorArgs};
use super::text::{Text, put, text};
use super::{Exit, Failure, Format, Shell, outcome, planfile, trust};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::ops::planfile::{self as file, review};
use crate::plan::file::PlanContent;
use crate::sign::patience::Patience;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Sign a plan file; needs no network, and `apply` then needs no operator key
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `plan --out` wrote
    #[arg(value_name = "PLANFILE")]
    plan: PathBuf,

    #[command(flatten)]
    operator: OperatorArgs,

    /// The signed file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// The operator whose signatures count, if no definition here pins it: only tokens that it signed are signed again
    #[arg(long, value_name = "KEY", value_parser = operator_key)]
    trust: Option<PublicKey>,

    /// Do not ask for confirmation on a terminal
    #[arg(long, short)]
    yes: bool,
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let (plan, loaded) = planfile::load(shell, &self.plan)?;
        let patience = Patience::new(shell.timeout);
        let Some(operator) = self.operator.signer(&shell.keys_folder(&loaded.base), &patience)? else {
            return Err(outcome::no_signer());
        };
        let keys = shell.keyring(&loaded.base)?;
        let key = operator.public_key();
        file::check(&plan.content, &loaded.definition).map_err(planfile::unsigned)?;
        let now = jiff::Timestamp::now().as_second().unsigned_abs();
        let trust = trust::of_plan_file(shell, &loaded.definition, &keys, self.trust, Some(key.clone()))?;
        // Without a network, no server can pin an operator.
        let anchor = trust.anchor(&[], now).map_err(|error| Failure::usage("operators-differ", error.to_string()))?;
        file::check_signer(&key, &anchor).map_err(planfile::unsigned)?;
        let changes = plan.content.accounts.iter().map(|account| {
            let start = file::start(account, &anchor).map_err(planfile::unsigned)?;
            Ok(review::changes(account, start.as_ref(), now))
        });
        let diffs = changes.collect::<Result<Vec<_>, Failure>>()?;
        seen_in_full(&plan.content, &diffs)?;
        if shell.format == Format::Human {
            shell.say(view(&plan.content, &diffs));
        }
        let tokens: usize = plan.content.accounts.iter().map(|account| account.tokens.len()).sum();
        if !self.yes && !shell.confirm(&format!("Sign {tokens} tokens with {key}?"), true) {
            return Err(Failure::failed("not-confirmed", "not confirmed; nothing was signed").next(NOT_CONFIRMED));
        }
        let signed = file::sign(plan, &loaded.definition, &*operator, &keys, &anchor).map_err(planfile::unsigned)?;
        // Keep the seed in memory no longer than needed.
        drop(operator);
        file::write(&self.out, &signed).map_err(planfile::failure)?;
        let out = super::shell::quoted(&self.out);
        let mut text = text!("Signed {tokens} tokens with {key}: {out}");
        put!(text, "next: Run `{} {out}`.", shell.command("apply"));
        let accounts = plan_accounts(&signed.content, &diffs);
        let PlanContent { tool, created, who, .. } = &signed.content;
        let document = json!({
            "operator": key,
            "tokens": tokens,
            "file": self.out,
            "made": { "tool": tool, "created": created, "who": who },
            "beyond": review::beyond_tokens(&signed.content),
            "accounts": accounts,
        });
        shell.result(text, &document);
        Ok(Exit::Done)
    }
}

/// Refuses to sign changes that the user cannot see in full.
fn seen_in_full(content: &PlanContent, changes: &[Vec<String>]) -> Result<(), Failure> {
    let lines = review::not_in_full(content, changes);
    if lines.is_empty() {
        return Ok(());
    }
    let message = "something that would be signed looks like a secret and is not shown, so you could not see what you \
                   sign; nothing was signed";
    Err(Failure::usage("review-incomplete", message).lines(lines).next(
        "Do not sign it. Have it removed or renamed where it comes from, the definition or the account's claims.",
    ))
}

/// A `clap` value parser for an operator's public key.
fn operator_key(text: &str) -> Result<PublicKey, String> {
    PublicKey::parse_kind(text, KeyKind::Operator).map_err(|error| format!("the key {error}"))
}

fn view(content: &PlanContent, changes: &[Vec<String>]) -> Text {
    let who = content.who.as_ref().map_or_else(|| "it does not say for whom".to_owned(), |who| format!("run by {who}"));
    let mut out = text!("Planned by {} at {}, {who}; in the planner's words:", content.tool, content.created);
    for line in &content.text {
        put!(out, "  | {line}");
    }
    let beyond = review::beyond_tokens(content);
    if !beyond.is_empty() {
        out.end();
        put!(out, "Beyond adding and changing, the plan");
        for line in beyond {
            put!(out, "  {line}");
        }
    }
    out.end();
    put!(out, "What the tokens to be signed change:");
    for (account, lines) in content.accounts.iter().zip(changes).filter(|(account, _)| !account.tokens.is_empty()) {
        let made = if account.base.is_none() { ", new" } else { "" };
        let tokens = match account.tokens.len() {
            1 => "1 token".to_owned(),
            several => format!("{several} tokens"),
        };
        put!(out, "  account {} ({}{made}), {tokens}", account.name, account.id);
        for line in lines {
            put!(out, "    {line}");
        }
    }
    out
}

fn plan_accounts(content: &PlanContent, diffs: &[Vec<String>]) -> Vec<Value> {
    let accounts = content.accounts.iter().zip(diffs);
    let document = accounts.map(|(account, lines)| {
        json!({
            "account": account.name,
            "id": account.id,
            "base": review::base(account),
            "tokens": account.tokens.len(),
            "claims": lines,
        })
    });
    document.collect()
}
