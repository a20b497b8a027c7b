//! `history`: shows what earlier runs pushed, from their records in the history folder.

use super::recording::HistoryArgs;
use super::shell::{quoted, some};
use super::text::{Paint as _, Text, put, text};
use super::{Exit, Failure, Format, Shell};
use crate::model::claims::AccountClaims;
use crate::model::nkey::PublicKey;
use crate::ops::record::{Entry, FindError, HistoryError, Read, find, list};
use crate::plan::claims_diff;
use crate::plan::record::{Outcome, PushProgress, RecordContent, RecordError, Recorded};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// List past pushes, show one record, or the changes between two records
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The record to show: the beginning of its name or id, `last`, or `last~1` for the one before
    #[arg(value_name = "RECORD")]
    record: Option<String>,

    /// Another record: shows how the accounts' claims changed between the two
    #[arg(value_name = "OTHER", requires = "record")]
    other: Option<String>,

    #[command(flatten)]
    history: HistoryArgs,
}

impl Args {
    /// Runs the verb.
    #[expect(clippy::unused_async, reason = "as all verbs")]
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let folder = self.history.to_read(&shell.base())?;
        let all = list(&folder).map_err(|error| failure(&error))?;
        let Some(record) = &self.record else {
            let (text, document) = overview(&folder, &all);
            shell.result(text, &document);
            return Ok(Exit::Done);
        };
        let one = entry(&all, record)?;
        let (text, document) = match &self.other {
            None => shown(&one, shell.verbosity > 0 || shell.format == Format::Json),
            Some(other) => between(&all, &one, &entry(&all, other)?),
        };
        shell.result(text, &document);
        Ok(Exit::Done)
    }
}

/// Returns the record that the user named.
fn entry(all: &[Read], wanted: &str) -> Result<Entry, Failure> {
    let place = place(all, wanted)?;
    match &all[place].1 {
        Ok(record) => Ok(Entry { name: all[place].0.clone(), record: record.clone() }),
        Err(error) => Err(failure(error)),
    }
}

pub(super) fn place(all: &[Read], wanted: &str) -> Result<usize, Failure> {
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    find(&names, wanted).map_err(|error| {
        let code = if matches!(error, FindError::None(_)) { "no-such-record" } else { "record-ambiguous" };
        Failure::usage(code, error.to_string()).next(
            "Name it by the beginning of its name, by its id, or as `last` or `last~1`: `history` lists them. \
             --history DIR names another folder.",
        )
    })
}

pub(super) fn failure(error: &HistoryError) -> Failure {
    let message = error.to_string();
    match error {
        HistoryError::Io { .. } => {
            Failure::failed("history-unreadable", message).next("Check the folder and its permissions.")
        }
        HistoryError::Content { cause, .. } => match cause {
            RecordError::Newer { .. } => Failure::usage("record-newer", message)
                .next("Use the version of vstream-jwt that wrote it, or a later one."),
            RecordError::TooLarge => Failure::usage("record-too-large", message)
                .next("Move the file out of the folder: no run wrote it in this form."),
            RecordError::NotARecord(_) => Failure::usage("not-a-record", message).next(
                "Get the file again from the machine that wrote it, or move it out of the folder if it is no record.",
            ),
            RecordError::Secret(_) => Failure::failed("secret-in-record", message).next(
                "Replace the secret, because others may have read it. Move the file out of the folder; no rollback can \
                 use it.",
            ),
            RecordError::Changed => Failure::usage("record-changed", message)
                .next("Get the file again from the machine that wrote it, and find out who changed this copy."),
        },
    }
}

fn outcome(content: &RecordContent) -> &'static str {
    match content.outcome {
        Outcome::Begun => "not ended",
        Outcome::Confirmed => "confirmed",
        Outcome::Unconfirmed => "not confirmed",
        Outcome::Failed => "failed",
    }
}

fn pushed(content: &RecordContent) -> (usize, usize) {
    let tokens = content.attempts.iter().flat_map(|attempt| &attempt.tokens);
    (content.sent().filter(|token| token.progress == PushProgress::Pushed).count(), tokens.count())
}

fn accounts(content: &RecordContent) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for token in content.attempts.iter().flat_map(|attempt| &attempt.tokens) {
        if !names.contains(&token.account.as_str()) {
            names.push(&token.account);
        }
    }
    names
}

/// Lists all records, the newest last, next to the prompt on a terminal.
fn overview(folder: &Path, all: &[Read]) -> (Text, Value) {
    let mut out = Text::new();
    let mut records = Vec::new();
    for (name, record) in all {
        let content = match record {
            Ok(record) => &record.content,
            Err(error) => {
                let Failure { code, message, .. } = failure(error);
                put!(out, "{}", name.bold());
                put!(out, "  {} {message}", "cannot be used:".red());
                records.push(json!({ "record": name, "error": { "code": code, "message": message } }));
                continue;
            }
        };
        let (confirmed, asked) = content.confirmations();
        let (pushed, tokens) = pushed(content);
        let who = &content.who;
        put!(out, "{}", name.bold());
        put!(
            out,
            "  {} by {}@{}: {pushed} of {tokens} tokens pushed, {confirmed} of {asked} servers confirmed, {}; {}",
            content.verb,
            who.user,
            who.host,
            outcome(content),
            some(&accounts(content))
        );
        records.push(summary(name, content));
    }
    if out.is_empty() {
        put!(out, "No push is recorded in {}.", quoted(folder));
    }
    (out, json!({ "folder": folder, "records": records }))
}

fn summary(name: &str, content: &RecordContent) -> Value {
    let (confirmed, asked) = content.confirmations();
    let (pushed, tokens) = pushed(content);
    json!({
        "record": name,
        "verb": content.verb,
        "who": content.who,
        "tool": content.tool,
        "started": content.started,
        "ended": content.ended,
        "outcome": content.outcome,
        "error": content.error,
        "back_to": content.back_to,
        "accounts": accounts(content),
        "tokens": tokens,
        "pushed": pushed,
        "servers": asked,
        "confirmed": confirmed,
    })
}

/// Shows one record: its summary, its changes, and its tokens with the servers' answers.
fn shown(entry: &Entry, all: bool) -> (Text, Value) {
    let content = &entry.record.content;
    let who = &content.who;
    let (confirmed, asked) = content.confirmations();
    let mut out = text!("{}", entry.name.bold());
    let (verb, tool, started) = (&content.verb, &content.tool, &content.started);
    put!(out, "{verb} by {}@{} with {tool}, {started}", who.user, who.host);
    for (name, value) in &who.ci {
        put!(out, "  {name}: {value}");
    }
    put!(out, "{}, {confirmed} of {asked} servers confirmed", outcome(content));
    if let Some(error) = &content.error {
        put!(out, "  {error}");
    }
    if all {
        out.end();
        put!(out, "The plan:");
        indented(&mut out, "  ", &content.text);
    }
    let mut documents = Vec::new();
    for (account, tokens) in by_account(content) {
        out.end();
        put!(out, "account {} {}", tokens[0].account.bold(), account.dim());
        for token in &tokens {
            let confirmed = token.servers.iter().filter(|on| on.confirmed).count();
            let progress = match token.progress {
                PushProgress::Signed => "not pushed".to_owned(),
                PushProgress::Sending => "perhaps pushed".to_owned(),
                PushProgress::Pushed => format!("{confirmed} of {} servers confirmed", token.servers.len()),
            };
            put!(out, "  {}: {progress}", stage(token));
            for on in token.servers.iter().filter(|on| !on.confirmed) {
                put!(out, "    {} ({}): {}", on.server, on.cluster, on.found);
            }
            indented(&mut out, "    ", &token.refused);
        }
        let claims = changes(tokens[0].base.as_deref(), &tokens[tokens.len() - 1].token);
        indented(&mut out, "    ", &claims);
        documents.push(json!({
            "account": tokens[0].account,
            "id": account,
            "region": tokens[0].region,
            "new": tokens[0].base.is_none(),
            "claims": claims,
            "tokens": tokens.iter().map(|token| json!({
                "stage": token.stage,
                "reason": token.reason,
                "progress": token.progress,
                "issued_at": AccountClaims::decode(&token.token).ok().map(|claims| claims.issued_at()),
                "servers": token.servers,
                "refused": token.refused,
            })).collect::<Vec<_>>(),
        }));
    }
    let mut document = summary(&entry.name, content);
    document["accounts"] = documents.into();
    document["plan"] = content.changes.clone();
    document["text"] = json!(content.text);
    document["definition"] = json!(content.definition);
    (out, document)
}

fn indented(out: &mut Text, by: &str, lines: &[String]) {
    for line in lines {
        put!(out, "{by}{line}");
    }
}

fn stage(token: &Recorded) -> String {
    serde_json::to_value(token.stage).ok().and_then(|stage| Some(stage.as_str()?.replace('_', " "))).unwrap_or_default()
}

fn by_account(content: &RecordContent) -> Vec<(&PublicKey, Vec<&Recorded>)> {
    let mut accounts: Vec<(&PublicKey, Vec<&Recorded>)> = Vec::new();
    for token in content.attempts.iter().flat_map(|attempt| &attempt.tokens) {
        match accounts.iter_mut().find(|(id, _)| **id == token.id) {
            Some((_, tokens)) => tokens.push(token),
            None => accounts.push((&token.id, vec![token])),
        }
    }
    accounts
}

/// Returns the changes from one token's claims to another's.
fn changes(before: Option<&str>, after: &str) -> Vec<String> {
    let read = |token: &str| AccountClaims::decode(token);
    let before = before.map(read).transpose();
    match (before, read(after)) {
        (Ok(before), Ok(after)) => claims_diff(before.as_ref().map(AccountClaims::value), after.value()),
        (Err(error), _) | (_, Err(error)) => vec![format!("cannot be compared: {error}")],
    }
}

/// Shows how each account's claims changed between two records, each time as the last push until then left them.
fn between(all: &[Read], one: &Entry, other: &Entry) -> (Text, Value) {
    let left = |by: &Entry| {
        let mut left: BTreeMap<String, (String, String)> = BTreeMap::new();
        let until = all.iter().take_while(|(name, _)| *name <= by.name);
        for content in until.filter_map(|(_, record)| Some(&record.as_ref().ok()?.content)) {
            if content.system_account == by.record.content.system_account {
                left.extend(
                    content.sent().map(|token| (token.id.to_string(), (token.account.clone(), token.token.clone()))),
                );
            }
        }
        left
    };
    let (before, after) = (left(one), left(other));
    let mut out = Text::new();
    let mut accounts = Vec::new();
    let mut ids: Vec<&String> = before.keys().chain(after.keys()).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let (was, is) = (before.get(id), after.get(id));
        let Some((name, _)) = is.or(was) else { continue };
        let claims = match (was, is) {
            (was, Some((_, is))) => changes(was.map(|(_, token)| token.as_str()), is),
            (Some(_), None) => vec!["no record up to this one has a push of it".to_owned()],
            (None, None) => continue,
        };
        if claims.is_empty() {
            continue;
        }
        put!(out, "account {} {}", name.bold(), id.dim());
        indented(&mut out, "  ", &claims);
        accounts.push(json!({ "account": name, "id": id, "claims": claims }));
    }
    let mut text = match out.is_empty() {
        true => text!("No difference between what {} and {} left.", one.name, other.name),
        false => text!("From the state after {} to the state after {}:", one.name, other.name),
    };
    text.append(&out);
    let last = one.name.as_str().max(&other.name);
    let unreadable: Vec<&str> = all
        .iter()
        .filter(|(name, record)| name.as_str() <= last && record.is_err())
        .map(|(name, _)| name.as_str())
        .collect();
    if !unreadable.is_empty() {
        put!(text, "Left out, because they cannot be used: {}; `history` says why.", some(&unreadable));
    }
    (text, json!({ "from": one.name, "to": other.name, "accounts": accounts, "unreadable": unreadable }))
}
