//! Reviews a plan file before it is signed.
//!
//! The signing machine has no deployment to compare the file with, and the file's own description of its changes does
//! not count. The review derives the changes from the claims to sign, and refuses inconsistent parts.

use crate::definition::Definition;
use crate::desired::{self, regional};
use crate::model::claims::{AccountClaims, TrustedClaims};
use crate::model::nkey::PublicKey;
use crate::model::shown::shown;
use crate::model::units::{format_time, rough_duration};
use crate::model::virtual_stream::RegionalAccounts;
use crate::plan::file::{PlanContent, PlannedAccount};
use crate::plan::{ActivationRequest, Push, claims_diff, preflight};
use crate::secrets::is_shown_in_full;
use serde::Serialize;
use serde_json::Value;

/// Error about a plan file whose description contradicts the claims to sign.
#[derive(Debug, thiserror::Error)]
#[error("account {}: {reason}", shown(account))]
pub struct Inconsistent {
    /// The account's name in the file.
    pub account: String,
    /// The inconsistent part.
    pub reason: String,
}

/// Compares the parts of a plan file with each other.
///
/// Compares accounts with the definition. Compares tokens with the account that the file names for them, and with that
/// account's base token. Compares activation tokens with the imports that need them, and dates with `now` (seconds
/// since 1970). Refuses claims that servers could read differently.
///
/// # Errors
/// [`Inconsistent`]
pub fn check(content: &PlanContent, definition: &Definition, now: u64) -> Result<(), Inconsistent> {
    let members: Vec<_> = desired::members(definition).collect();
    let defined = members.iter().map(|(account, region)| match region {
        None => (account.name.to_string(), Some(&account.id), false),
        Some(region) => {
            let made_here = matches!(account.regional_accounts, RegionalAccounts::Named(_));
            (regional::name(account, &region.name), None, made_here)
        }
    });
    let mut defined = defined.collect::<Vec<_>>().into_iter();
    for (index, account) in content.accounts.iter().enumerate() {
        let wrong = |reason: String| Inconsistent { account: account.name.clone(), reason };
        let (name, id, made_here) =
            defined.next().ok_or_else(|| wrong("the definition in the file has no such account".into()))?;
        if name != account.name || id.is_some_and(|id| *id != account.id) {
            return Err(wrong(format!("{} is not account {name} of the definition in the file", account.id)));
        }
        if content.accounts[..index].iter().any(|other| other.id == account.id) {
            return Err(wrong(format!("{} is another account of the file too", account.id)));
        }
        one(content, account, now).map_err(wrong)?;
        if let Some(reason) = is_there_already(content, account, made_here) {
            return Err(wrong(reason));
        }
    }
    Ok(())
}

/// Returns the reason why an account that the file calls new cannot be new. Claims that start from nothing would hide
/// what they remove.
fn is_there_already(content: &PlanContent, account: &PlannedAccount, made_here: bool) -> Option<String> {
    if account.base.is_some() || account.tokens.is_empty() {
        return None;
    }
    if !made_here {
        return Some("it lacks the token that it starts from, and is not one of those that are made anew".to_owned());
    }
    let id = account.id.to_string();
    let imports = |other: &&PlannedAccount| {
        let base = other.base.as_deref().and_then(|token| AccountClaims::decode(token).ok());
        base.is_some_and(|base| base.imports().iter().any(|import| import.account == id))
    };
    let other = content.accounts.iter().find(imports)?;
    Some(format!("it lacks the token that it starts from, and is not new: account {} imports from it", other.name))
}

fn one(content: &PlanContent, account: &PlannedAccount, now: u64) -> Result<(), String> {
    let base = match &account.base {
        None => None,
        Some(token) => {
            Some(AccountClaims::decode(token).map_err(|error| format!("the token it starts from: {error}"))?)
        }
    };
    if let Some(base) = base.as_ref().filter(|base| *base.id() != account.id) {
        return Err(format!("the token it starts from is that of account {}", base.id()));
    }
    let pushes = account.pushes().map_err(|error| error.to_string())?;
    for (index, push) in pushes.iter().enumerate() {
        if *push.claims.id() != account.id {
            return Err(format!("it has a token of account {} signed, not of its own", push.claims.id()));
        }
        if pushes[..index].iter().any(|earlier| earlier.stage >= push.stage) {
            return Err("its tokens are not in the order of their stages".to_owned());
        }
        dated(content, push, base.as_ref(), now)?;
        for request in &push.activations {
            let ActivationRequest { exporter, importer, import, .. } = request;
            let of_file = content.accounts.iter().any(|other| other.id == *exporter);
            let needed = push.claims.imports().iter().any(|found| import.is(found));
            if *importer != account.id || import.account != *exporter || !of_file || !needed {
                return Err(format!(
                    "it asks for an activation token for account {importer} that none of its imports needs"
                ));
            }
        }
    }
    Ok(())
}

/// Checks the date that a new token must follow. The options of the file do not justify a date in the future. Only the
/// base token, which a trusted key signed, can be dated ahead.
fn dated(content: &PlanContent, push: &Push, base: Option<&AccountClaims>, now: u64) -> Result<(), String> {
    let issued = base.map_or(0, AccountClaims::issued_at);
    if push.newest_iat < issued {
        return Err("it would be dated before the token it starts from".to_owned());
    }
    if push.newest_iat.saturating_sub(now) <= preflight::CLOCK_SKEW {
        return Ok(());
    }
    let time = format_time(push.newest_iat);
    let future = format!("it would be dated after {time}, which is in the future by the clock here");
    if !content.options.allows("issued-in-future") {
        return Err(future);
    }
    match push.newest_iat > issued {
        true => Err(format!("{future}, and the token it starts from is not dated so")),
        false => Ok(()),
    }
}

/// The token from which an account's claims are edited, as far as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseToken {
    /// Issue time, in seconds since 1970.
    pub issued_at: u64,
    /// The key that signed it.
    pub issuer: PublicKey,
}

/// Returns the token that an account starts from. Returns `None` for a new account.
pub fn base(account: &PlannedAccount) -> Option<BaseToken> {
    let base = AccountClaims::decode(account.base.as_deref()?).ok()?;
    Some(BaseToken { issued_at: base.issued_at(), issuer: base.issuer().clone() })
}

/// Returns the changes that an account's tokens make to its present claims, line by line and stage by stage. Also
/// returns the age of those claims, and the activation tokens to issue. `now` is in seconds since 1970.
pub fn changes(account: &PlannedAccount, start: Option<&TrustedClaims>, now: u64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(base) = start {
        lines.push(format!("made from the token that {} issued {}", base.issuer(), age(base.issued_at(), now)));
        let newest = account.tokens.iter().map(|token| token.newest_iat).max();
        lines.extend(newest.filter(|newest| *newest > base.issued_at()).map(|newest| {
            format!("a server has a newer one, the file says, issued {}; it is not in the file", age(newest, now))
        }));
    }
    let mut before: Option<&Value> = start.map(|start| start.value());
    let mut asked: Vec<&ActivationRequest> = Vec::new();
    for token in &account.tokens {
        lines.extend(claims_diff(before, &token.claims));
        before = Some(&token.claims);
        for request in &token.activations {
            if !asked.contains(&request) {
                asked.push(request);
            }
        }
    }
    lines.extend(asked.into_iter().map(|request| {
        let ActivationRequest { exporter, exporter_name: _, importer, import, lifetime } = request;
        let end = lifetime.map_or_else(String::new, |lifetime| format!(", for {lifetime} s"));
        let subject = shown(&import.subject);
        format!("activation token: {importer} may import {} {subject} of {exporter}{end}", import.kind.as_str())
    }));
    lines
}

/// Returns a time with its age: `2026-11-23T04:05:06Z, 3 days ago`.
fn age(issued_at: u64, now: u64) -> String {
    let time = format_time(issued_at);
    match now.checked_sub(issued_at) {
        Some(age) => format!("{time}, {} ago", rough_duration(age)),
        None => format!("{time}, {} ahead of the clock here", rough_duration(issued_at - now)),
    }
}

/// Returns the plan's other effects, one per line: options that let it do more than add, and deletions. This part of
/// the file is compared with the deployment before anything is done.
pub fn beyond_tokens(content: &PlanContent) -> Vec<String> {
    let crate::plan::Options { adopt, prune, delete_streams, allow, signing_keys } = &content.options;
    let mut lines = Vec::new();
    lines.extend(adopt.then(|| "takes over mappings and streams of others (--adopt)".to_owned()));
    lines.extend(prune.iter().map(|name| format!("removes virtual stream {}", shown(name))));
    lines.extend(delete_streams.then(|| "deletes their streams, with all messages (--delete-streams)".to_owned()));
    lines.extend(allow.iter().map(|code| format!("goes on in spite of: {}", shown(code))));
    lines.extend(signing_keys.iter().map(|(id, key)| format!("account {id} gets the signing key {key}")));
    for account in content.changes["accounts"].as_array().into_iter().flatten() {
        let name = text(&account["account"]);
        lines.extend(deleted(&account["streams"]).map(|stream| {
            let messages = &stream["messages"];
            let messages =
                if messages.is_null() { String::new() } else { format!(", with {} messages", text(messages)) };
            format!("account {name}: deletes stream {}{messages}", text(&stream["name"]))
        }));
        lines.extend(deleted(&account["consumers"]).map(|consumer| {
            format!(
                "account {name}: deletes consumer {} of stream {}",
                text(&consumer["name"]),
                text(&consumer["stream"])
            )
        }));
    }
    lines
}

/// Returns the lines of a plan file that would not be shown in full. They contain text that looks like a secret, or
/// like the mask that replaces one. Checks names, the effects [beyond its tokens](beyond_tokens), and the
/// [changes](changes()) of all accounts. The user must not sign what they cannot see.
pub fn not_in_full(content: &PlanContent, changes: &[Vec<String>]) -> Vec<String> {
    let names = content.accounts.iter().map(|account| format!("account {} ({})", account.name, account.id));
    let lines = names.chain(beyond_tokens(content)).chain(changes.iter().flatten().cloned());
    lines.filter(|line| !is_shown_in_full(line) || !is_shown_in_full(&shown(line))).collect()
}

fn deleted(changes: &Value) -> impl Iterator<Item = &Value> {
    changes.as_array().into_iter().flatten().filter(|change| change["action"] == "delete")
}

/// Returns a string unchanged, and any other value as JSON on one line.
fn text(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    shown(&text).into_owned()
}

#[cfg(test)]
mod tests;
