//! Formats keys and tokens as text.

use crate::cli::text::{Text, part, put, text};
use crate::ops::keys::{Check, Generated, Inspection, Item, Listed, TokenView};
use serde_json::Value;
use std::path::Path;

pub(super) fn generated(made: &Generated) -> Text {
    let mut out = text!("{}", made.public_key);
    put!(out, "new {} key, its seed is in {} (mode 0600)", made.kind, made.file.display());
    out
}

pub(super) fn list(folder: &Path, listed: &[Listed]) -> Text {
    if listed.is_empty() {
        return text!("no *.nk files in {}", folder.display());
    }
    let mut out = Text::new();
    for key in listed {
        let file = key.file.file_name().unwrap_or_default().to_string_lossy();
        let kind = key.kind.map_or_else(String::new, |kind| kind.to_string());
        let public = key.public_key.as_ref().map_or_else(String::new, ToString::to_string);
        part!(out, "{kind:<9}{public:<57}{file}");
        if let Some(problem) = &key.problem {
            part!(out, "  ({problem})");
        }
        out.end();
    }
    out
}

pub(super) fn check(check: &Check) -> Text {
    let folder = check.folder.display();
    match (check.files, check.findings.len()) {
        (0, 0) => text!("no key files in {folder}"),
        (files, 0) => text!("{files} key files in {folder}, nothing wrong"),
        (files, problems) => text!("{files} key files in {folder}, {problems} to look at"),
    }
}

pub(super) fn inspection(inspection: &Inspection) -> Text {
    let mut text = Text::new();
    for item in &inspection.items {
        match item {
            Item::Token(view) => token(&mut text, view),
            Item::Seed { public_key, kind } => line(&mut text, &format!("seed of {}", kind.with_article()), public_key),
            Item::PublicKey { public_key, kind } => line(&mut text, &format!("{kind} key"), public_key),
        }
    }
    for warning in &inspection.warnings {
        line(&mut text, "warning", warning);
    }
    text
}

fn line(text: &mut Text, label: &str, value: impl std::fmt::Display) {
    put!(text, "{label:<17} {value}");
}

fn token(text: &mut Text, view: &TokenView) {
    let nats = &view.claims["nats"];
    line(text, &view.claim_type, &view.subject);
    field(text, "name", &view.claims["name"]);
    line(text, "issued by", format!("{} (key of {}; signature ok)", view.issuer, view.issuer.kind().with_article()));
    if let Some(account) = nats["issuer_account"].as_str() {
        line(text, "account", account);
    }
    line(text, "issued", view.issued_at.map_or_else(|| "not said".to_owned(), time));
    line(
        text,
        "expires",
        match view.expires_at {
            None => "never".to_owned(),
            Some(end) if view.expired => format!("{} (expired)", time(end)),
            Some(end) => time(end),
        },
    );
    line(text, "size", format!("{} bytes", view.size));
    let known = ["type", "version", "issuer_account"];
    for (name, value) in nats.as_object().into_iter().flatten().filter(|(name, _)| !known.contains(&name.as_str())) {
        match (name.as_str(), value) {
            ("mappings", Value::Object(mappings)) => {
                for (source, to) in mappings {
                    line(text, "mapping", format!("{source} → {}", destinations(to)));
                }
            }
            ("imports" | "exports", Value::Array(entries)) => {
                for entry in entries {
                    line(text, name.trim_end_matches('s'), shared(entry));
                }
            }
            (_, Value::Array(entries)) => {
                for entry in entries {
                    field(text, name, entry);
                }
            }
            _ => field(text, name, value),
        }
    }
}

fn field(text: &mut Text, label: &str, value: &Value) {
    let value = flat(value);
    if !value.is_empty() {
        line(text, label, value);
    }
}

/// Returns a value as words on one line; empty for a value without content.
fn flat(value: &Value) -> String {
    let join = |parts: Vec<String>| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    match value {
        Value::Null => String::new(),
        Value::String(plain) => plain.clone(),
        Value::Number(number) if number.as_i64() == Some(-1) => "unlimited".to_owned(),
        Value::Array(items) => items.iter().map(flat).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => join(fields.iter().map(named).collect()),
        other => other.to_string(),
    }
}

fn named((name, value): (&String, &Value)) -> String {
    match flat(value) {
        empty if empty.is_empty() => empty,
        inner if value.is_object() => format!("{name} ({inner})"),
        plain => format!("{name} {plain}"),
    }
}

fn destinations(to: &Value) -> String {
    let one = |to: &Value| {
        let mut text = to["subject"].as_str().unwrap_or_default().to_owned();
        if let Some(weight) = to["weight"].as_u64().filter(|weight| *weight > 0) {
            text.push_str(&format!(" {weight}%"));
        }
        if let Some(cluster) = to["cluster"].as_str().filter(|cluster| !cluster.is_empty()) {
            text.push_str(&format!(" (cluster {cluster})"));
        }
        text
    };
    to.as_array().map(|to| to.iter().map(one).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

/// Returns an import or export without its activation token.
fn shared(entry: &Value) -> String {
    let get = |name: &str| entry[name].as_str().unwrap_or_default();
    let mut text = format!("{} {}", get("type"), get("subject"));
    if !get("account").is_empty() {
        text.push_str(&format!(" from {}", get("account")));
    }
    let local = [get("local_subject"), get("to")].into_iter().find(|subject| !subject.is_empty());
    if let Some(local) = local {
        text.push_str(&format!(" as {local}"));
    }
    if entry["token_req"] == true {
        text.push_str(" (private)");
    }
    if !get("token").is_empty() {
        text.push_str(" (with activation)");
    }
    text
}

fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s since 1970"), |time| time.to_string())
}
