//! `sign`: a plan file is signed where the operator's key is, on a machine without a network.

use super::deployment::OperatorArgs;
use super::{Exit, Failure, Format, Shell, apply, planfile};
use crate::model::claims::AccountClaims;
use crate::ops::apply::ApplyError;
use crate::ops::planfile::{self as file, SignFileError};
use crate::plan::claims_diff;
use crate::plan::file::Content;
use serde_json::{Value, json};
use std::fmt::Write as _;
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

    /// Do not ask for confirmation on a terminal
    #[arg(long, short)]
    yes: bool,
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let (plan, loaded) = planfile::load(shell, &self.plan)?;
        let Some(operator) = self.operator.signer(&shell.keys_folder(&loaded.base))? else {
            return Err(apply::no_signer());
        };
        let keys = shell.keyring(&loaded.base)?;
        let diffs = diffs(&plan.content);
        if shell.format == Format::Human {
            shell.say(&view(&plan.content, &diffs));
        }
        let tokens: usize = plan.content.accounts.iter().map(|account| account.tokens.len()).sum();
        let key = operator.public_key();
        if !self.yes && !shell.confirm(&format!("Sign {tokens} tokens with {key}?"), true) {
            return Err(Failure::failed("not-confirmed", "not confirmed; nothing was signed"));
        }
        let signed = file::sign(plan, &loaded.definition, &*operator, &keys).map_err(failure)?;
        file::write(&self.out, &signed).map_err(planfile::failure)?;
        let out = super::shell::quoted(&self.out);
        let text = format!("Signed {tokens} tokens with {key}: {out}\nnext: Run `{} {out}`.", shell.command("apply"));
        let accounts = plan_accounts(&signed.content, &diffs);
        shell.result(&text, &json!({ "operator": key, "tokens": tokens, "file": self.out, "accounts": accounts }));
        Ok(Exit::Done)
    }
}

/// Per account, what differs between its token and the last that is to be signed: found out here, whatever the file
/// says of itself.
fn diffs(content: &Content) -> Vec<Vec<String>> {
    let accounts = content.accounts.iter().map(|account| {
        let base = account.base.as_deref().and_then(|token| AccountClaims::decode(token).ok());
        let last = account.tokens.last();
        last.map(|last| claims_diff(base.as_ref().map(AccountClaims::value), &last.claims)).unwrap_or_default()
    });
    accounts.collect()
}

fn view(content: &Content, diffs: &[Vec<String>]) -> String {
    let mut out = format!("Planned by {} at {}:\n", content.tool, content.created);
    for line in &content.text {
        let _ = writeln!(out, "  {line}");
    }
    out.push_str("\nWhat the tokens to be signed change:\n");
    for (account, lines) in content.accounts.iter().zip(diffs).filter(|(account, _)| !account.tokens.is_empty()) {
        let made = if account.base.is_none() { ", new" } else { "" };
        let _ = writeln!(out, "  account {} ({}{made}), {} tokens", account.name, account.id, account.tokens.len());
        for line in lines {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

fn plan_accounts(content: &Content, diffs: &[Vec<String>]) -> Vec<Value> {
    let accounts = content.accounts.iter().zip(diffs);
    let document = accounts.map(|(account, lines)| {
        json!({ "account": account.name, "id": account.id, "tokens": account.tokens.len(), "claims": lines })
    });
    document.collect()
}

fn failure(error: SignFileError) -> Failure {
    let message = error.to_string();
    match error {
        SignFileError::Signed(_) => Failure::usage("signed-already", message)
            .next("Apply it as it is, or sign the file that `plan --out` wrote."),
        SignFileError::Claims { .. } => {
            Failure::usage("plan-file-changed", message).next("Make the plan again: plan --out FILE.")
        }
        SignFileError::Issue(error) => apply::failure(ApplyError::Issue(error)),
        SignFileError::Seal(_) => Failure::failed("signing", message),
    }
}
