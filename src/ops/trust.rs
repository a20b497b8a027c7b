//! What is known of the operator before a server is asked: the pin, and the operators' tokens in local files.

use crate::definition::Definition;
use crate::files::read_text;
use crate::model::claims::{ClaimsError, MAX_TOKEN_SIZE, OperatorToken, Trust};
use crate::nsc;
use crate::ops::record::{HISTORY, last_pushes};
use std::path::{Path, PathBuf};

/// The operator's token beside a definition.
const BESIDE: &str = "operator.jwt";

/// Reads what is known of the operator. `definition` is the one of the folder `base`, never one that stands in a plan file;
/// `keys` is the keys folder.
///
/// Operators' tokens are looked for in `*.jwt` of the keys folder, in `operator.jwt` beside the definition, and in the
/// definition's nsc store.
pub fn trust(definition: Option<&Definition>, base: &Path, keys: &Path) -> Trust {
    let pin = definition.and_then(|definition| definition.operator.clone());
    let mut trust = Trust { pin, ..Trust::default() };
    let mut paths = tokens_in(keys);
    paths.push(base.join(BESIDE));
    let store = definition.and_then(|definition| definition.nsc_store.as_deref());
    paths.extend(store.map(nsc::operator_tokens).unwrap_or_default());
    for path in paths {
        // What is not there, is no file, or is larger than a token, is none.
        let Ok(text) = read_text(&path, MAX_TOKEN_SIZE) else { continue };
        let place = path.display().to_string();
        match OperatorToken::decode(text.trim(), &*place) {
            Ok(token) => trust.tokens.push(token),
            // Of a user or an account.
            Err(ClaimsError::WrongType { .. }) => {}
            Err(error) => trust.refused.push((place, error.to_string())),
        }
    }
    trust
}

/// The same with what was pushed last, by the folder `history` beside the definition: for a run that asks servers.
pub fn with_pushes(trust: Trust, base: &Path) -> Trust {
    Trust { pushed: last_pushes(&base.join(HISTORY)), ..trust }
}

/// The `*.jwt` of a folder, by name.
fn tokens_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "jwt")).collect();
    paths.sort();
    paths
}
