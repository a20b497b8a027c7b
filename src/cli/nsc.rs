//! Updates the nsc store as the last step of `apply` and `destroy`.

use super::shell::some;
use super::text::{Text, put};
use super::{Exit, Shell};
use crate::engine::nsc_sync;
use crate::engine::nsc_sync::WrittenBack;
use crate::engine::session::Session;
use crate::observed::Requests;
use crate::plan::Options;
use serde_json::{Value, json};

/// Updates the definition's nsc store, adds the outcome to both results, and returns the exit code. The code is 1 if
/// the store could not be written, even if the servers have the tokens.
pub(super) async fn write_back<L: Requests>(
    shell: &Shell,
    session: &Session<'_, L>,
    options: &Options,
    (text, document): (&mut Text, &mut Value),
    exit: Exit,
) -> Exit {
    let Some(back) = nsc_sync::write_back(session, options).await else { return exit };
    document["nsc_store"] = json!(back);
    let WrittenBack { folder, written, findings } = back;
    if !written.is_empty() {
        let names: Vec<&str> = written.iter().map(String::as_str).collect();
        put!(text, "The nsc store {} was brought up to date: {}.", folder.display(), some(&names));
    }
    if findings.is_empty() {
        return exit;
    }
    shell.findings(&findings);
    put!(text, "The nsc store is not up to date: its next push may undo what is on the servers.");
    Exit::Failed
}
