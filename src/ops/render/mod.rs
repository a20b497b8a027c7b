//! `render`: prints the parts of a desired state as text, without a deployment.

#[cfg(test)]
mod tests;

use crate::definition::Definition;
use crate::desired::permissions::{ApplicationPermissions, Line, Publish, Subscribe, permissions};
use crate::desired::regional::AccountRole;
use crate::desired::{DesiredAccount, DesiredError, DesiredStream, desired};
use crate::model::mapping::{Destination, Mapping, MappingSet};
use crate::model::nkey::PublicKey;
use crate::model::shown::{self, shown};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The part of the definition to render.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Mappings: a `mappings` block per account, for servers in configuration mode.
    Mappings,
    /// Stream configs in the format of `nats stream add --config`.
    Streams,
    /// Content for the accounts' claims.
    Claims,
    /// The permissions of an application's user.
    Permissions,
}

/// One part of the result, for an account or a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// File name without its ending, `APP.mappings`.
    pub name: String,
    /// The file name extension for [`text`](Self::text), `conf` or `json`.
    pub ending: &'static str,
    /// Text for the user, and for the tool that reads it.
    pub text: String,
    /// JSON for a script.
    pub json: Value,
}

/// Renders all accounts of the definition.
///
/// # Errors
/// [`DesiredError`]
pub fn render(what: What, definition: &Definition) -> Result<Vec<Document>, DesiredError> {
    let accounts = desired(definition)?;
    let mut documents = Vec::new();
    for account in &accounts {
        match what {
            What::Mappings if account.mappings.is_empty() && account.account_role != AccountRole::Application => {}
            What::Mappings => documents.push(mappings(account)),
            What::Claims => documents.push(claims(account, &accounts)),
            What::Streams => documents.extend(account.streams.iter().map(|stream| self::stream(account, stream))),
            What::Permissions if account.account_role != AccountRole::Application => {}
            What::Permissions => {
                documents.push(permission_block(account, &permissions(&definition.topology, account.account)?));
            }
        }
    }
    Ok(documents)
}

fn mappings(account: &DesiredAccount<'_>) -> Document {
    Document {
        name: file_name(account, "mappings"),
        ending: "conf",
        text: format!("{}{}", heading(account, "mappings"), mapping_block(&account.mappings)),
        json: json!({
            "account": account.name,
            "id": account.id,
            "mappings": account.mappings,
        }),
    }
}

/// Returns the `mappings` block of an account in a server's configuration.
fn mapping_block(mappings: &MappingSet) -> String {
    let mut text = String::from("mappings {\n");
    for Mapping { source, destinations } in mappings {
        let _ = writeln!(text, "  {}: [", key(source.as_str()));
        for Destination { subject, weight, cluster } in destinations {
            let _ = write!(text, "    {{ destination: {}, weight: {weight}", quoted(subject));
            if let Some(cluster) = cluster {
                let _ = write!(text, ", cluster: {}", quoted(cluster));
            }
            text.push_str(" }\n");
        }
        text.push_str("  ]\n");
    }
    text.push_str("}\n");
    text
}

fn claims(account: &DesiredAccount<'_>, all: &[DesiredAccount<'_>]) -> Document {
    // The keys of regional accounts that `apply` makes are not known here.
    let key = |id: &PublicKey| match all.iter().find(|other| other.id == *id) {
        Some(other) if other.is_made_here() => Value::from(format!("the key of {}", other.name)),
        _ => json!(id),
    };
    let mappings: Map<String, Value> = account
        .mappings
        .iter()
        .map(|Mapping { source, destinations }| (source.to_string(), json!(destinations)))
        .collect();
    let mut nats = json!({ "mappings": mappings });
    if !account.exports.is_empty() {
        let imports = account.imports.iter().map(|import| {
            let mut json = json!(import);
            json["account"] = key(&import.account);
            json
        });
        nats["exports"] = json!(account.exports);
        nats["imports"] = imports.collect();
    }
    let json = json!({ "sub": key(&account.id), "name": account.name, "nats": nats });
    Document { name: file_name(account, "claims"), ending: "json", text: json_text(&json), json }
}

fn stream(account: &DesiredAccount<'_>, stream: &DesiredStream<'_>) -> Document {
    let json = Value::Object(stream.config());
    Document { name: file_name(account, &stream.name), ending: "json", text: json_text(&json), json }
}

fn permission_block(account: &DesiredAccount<'_>, permissions: &ApplicationPermissions) -> Document {
    let ApplicationPermissions { publish: Publish { allow, deny }, subscribe: Subscribe { deny: unheard } } =
        permissions;
    let mut text = heading(account, "permissions of an application's user");
    text.push_str("permissions {\n  publish {\n");
    subject_list(&mut text, "allow", allow);
    subject_list(&mut text, "deny", deny);
    text.push_str("  }\n  subscribe {\n");
    subject_list(&mut text, "deny", unheard);
    text.push_str("  }\n}\n");
    Document {
        name: file_name(account, "permissions"),
        ending: "conf",
        text,
        json: json!({
            "account": account.name,
            "id": account.id,
            "publish": permissions.publish,
            "subscribe": permissions.subscribe,
        }),
    }
}

/// Writes a list of subjects of a `permissions` block.
fn subject_list(text: &mut String, name: &str, lines: &[Line]) {
    let width = lines.iter().map(|line| quoted(&line.subject).len()).max().unwrap_or(0);
    let _ = writeln!(text, "    {name}: [");
    for Line { subject, why } in lines {
        let _ = writeln!(text, "      {:width$}  # {why}", quoted(subject));
    }
    text.push_str("    ]\n");
}

fn heading(account: &DesiredAccount<'_>, what: &str) -> String {
    let name = shown(&account.name);
    format!("# account {name} ({}): {what}\n", account.id)
}

/// Returns a name like `APP.mappings`. Replaces characters that file systems do not allow with `_`.
fn file_name(account: &DesiredAccount<'_>, what: &str) -> String {
    let fit = |c: char| if c == '/' || c == '\\' || c.is_control() { '_' } else { c };
    format!("{}.{what}", account.name.chars().map(fit).collect::<String>())
}

/// Returns a key of the server's configuration, which has no escapes in keys (nats-server `conf/lex.go`).
fn key(text: &str) -> String {
    if text.contains('"') { format!("'{text}'") } else { format!("\"{text}\"") }
}

/// Returns a string of the server's configuration, whose escapes are \t, \n, \r, \", \\ and \xXX for a byte
/// (nats-server `conf/lex.go`).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if shown::is_hidden(c) => {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// Returns an indented document, which a terminal can show.
fn json_text(json: &Value) -> String {
    shown::json(&format!("{json:#}\n")).into_owned()
}
