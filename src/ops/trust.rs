//! Local knowledge about the operator before any server is asked: the pin, and operator tokens in local files.

use crate::definition::Definition;
use crate::files::read_text;
use crate::model::claims::{ClaimsError, MAX_TOKEN_SIZE, OperatorToken, Trust};
use crate::nsc;
use crate::ops::record::{HISTORY, last_pushes};
use std::path::{Path, PathBuf};

/// The name of the operator's token beside a definition.
const BESIDE: &str = "operator.jwt";

/// Reads the local knowledge about the operator. `definition` is the one in the folder `base`, never that of a plan
/// file. `keys` is the keys folder.
///
/// Looks for operator tokens in `*.jwt` of the keys folder, in `operator.jwt` beside the definition, and in the
/// definition's nsc store.
pub fn trust(definition: Option<&Definition>, base: &Path, keys: &Path) -> Trust {
    let pin = definition.and_then(|definition| definition.operator.clone());
    let mut trust = Trust { pin, ..Trust::default() };
    let mut paths = tokens_in(keys);
    paths.push(base.join(BESIDE));
    let store = definition.and_then(|definition| definition.nsc_store.as_deref());
    paths.extend(store.map(nsc::operator_tokens).unwrap_or_default());
    for path in paths {
        // A path contributes no token if it is missing, is not a file, or is larger than a token.
        let Ok(text) = read_text(&path, MAX_TOKEN_SIZE) else { continue };
        let place = path.display().to_string();
        match OperatorToken::decode(text.trim(), &*place) {
            Ok(token) => trust.tokens.push(token),
            // The token is a user's or an account's.
            Err(ClaimsError::WrongType { .. }) => {}
            Err(error) => trust.refused.push((place, error.to_string())),
        }
    }
    trust
}

/// Adds the last pushes from the folder `history` beside the definition, for a run that asks servers.
pub fn with_pushes(trust: Trust, base: &Path) -> Trust {
    Trust { pushed: last_pushes(&base.join(HISTORY)), ..trust }
}

/// Returns the `*.jwt` files of a folder, sorted by name.
fn tokens_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "jwt")).collect();
    paths.sort();
    paths
}
