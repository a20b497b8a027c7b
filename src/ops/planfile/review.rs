//! A plan file before it is signed. Whoever signs has no deployment to compare it with, so nothing that the file says of
//! itself counts: what it has signed is found out from the claims, and what does not fit together is refused.

use super::super::regional;
use crate::definition::Definition;
use crate::model::claims::{AccountClaims, TrustedClaims};
use crate::model::units::format_time;
use crate::plan::file::{Content, PlannedAccount};
use crate::plan::{ActivationRequest, claims_diff, preflight};
use serde_json::Value;

/// A plan file that asks for signatures on something else than it says.
#[derive(Debug, thiserror::Error)]
#[error("account {account}: {reason}")]
pub struct Inconsistent {
    /// The account's name in the file.
    pub account: String,
    /// What does not fit.
    pub reason: String,
}

/// Compares the parts of a plan file with each other: accounts with the definition, tokens with the account that they
/// are said to be for, activation tokens with the imports that need them, dates with `now` (seconds since 1970).
///
/// # Errors
/// [`Inconsistent`]
pub fn check(content: &Content, definition: &Definition, now: u64) -> Result<(), Inconsistent> {
    let members: Vec<_> = regional::members(definition).collect();
    let defined = members.iter().map(|(account, region)| match region {
        None => (account.name.to_string(), Some(&account.id)),
        Some(region) => (regional::name(account, &region.name), None),
    });
    let mut defined = defined.collect::<Vec<_>>().into_iter();
    for (place, account) in content.accounts.iter().enumerate() {
        let wrong = |reason: String| Inconsistent { account: account.name.clone(), reason };
        let (name, id) =
            defined.next().ok_or_else(|| wrong("the definition in the file has no such account".into()))?;
        if name != account.name || id.is_some_and(|id| *id != account.id) {
            return Err(wrong(format!("{} is not account {name} of the definition in the file", account.id)));
        }
        if content.accounts[..place].iter().any(|other| other.id == account.id) {
            return Err(wrong(format!("{} is another account of the file too", account.id)));
        }
        one(content, account, now).map_err(wrong)?;
    }
    Ok(())
}

fn one(content: &Content, account: &PlannedAccount, now: u64) -> Result<(), String> {
    let mut newest = 0;
    if let Some(token) = &account.base {
        let base = AccountClaims::decode(token).map_err(|error| format!("the token it starts from: {error}"))?;
        if *base.id() != account.id {
            return Err(format!("the token it starts from is that of account {}", base.id()));
        }
        newest = base.issued_at();
    }
    let pushes = account.pushes().map_err(|error| error.to_string())?;
    for (place, push) in pushes.iter().enumerate() {
        if *push.claims.id() != account.id {
            return Err(format!("it has a token of account {} signed, not of its own", push.claims.id()));
        }
        if pushes[..place].iter().any(|earlier| earlier.stage >= push.stage) {
            return Err("its tokens are not in the order of their stages".to_owned());
        }
        if push.newest_iat < newest {
            return Err("it would be dated before the token it starts from".to_owned());
        }
        let ahead = push.newest_iat.saturating_sub(now);
        if ahead > preflight::CLOCK_SKEW && !content.options.allows("issued-in-future") {
            let time = format_time(push.newest_iat);
            return Err(format!("it would be dated after {time}, which is in the future by the clock here"));
        }
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

/// What the tokens of an account change in the claims that it starts from, stage by stage, in lines; and the activation
/// tokens that are issued.
pub fn changes(account: &PlannedAccount, start: Option<&TrustedClaims>) -> Vec<String> {
    let mut lines = Vec::new();
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
        format!(
            "activation token: {importer} may import {} {} of {exporter}{end}",
            import.kind.as_str(),
            import.subject
        )
    }));
    lines
}

/// What else the plan does, from the part of the file that is compared with the deployment before anything is done:
/// options that let it do more than add, and streams that it deletes.
pub fn beyond_tokens(content: &Content) -> Vec<String> {
    let crate::plan::Options { adopt, prune, delete_streams, allow, signing_keys } = &content.options;
    let mut lines = Vec::new();
    lines.extend(adopt.then(|| "takes over mappings and streams of others (--adopt)".to_owned()));
    lines.extend((!prune.is_empty()).then(|| format!("takes away virtual streams: {}", prune.join(", "))));
    lines.extend(delete_streams.then(|| "deletes their streams, with all messages (--delete-streams)".to_owned()));
    lines.extend((!allow.is_empty()).then(|| format!("goes on in spite of: {}", allow.join(", "))));
    lines.extend(signing_keys.iter().map(|(id, key)| format!("account {id} gets the signing key {key}")));
    for account in content.changes["accounts"].as_array().into_iter().flatten() {
        let streams = account["streams"].as_array().into_iter().flatten();
        for stream in streams.filter(|stream| stream["action"] == "delete") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (account, stream) = (text(&account["account"]), text(&stream["name"]));
            lines.push(format!("account {account}: deletes stream {stream}"));
        }
    }
    lines
}
