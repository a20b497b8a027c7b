//! Shows the content of a token, a credentials file or a key file, without its secrets.

use super::KeysError;
use crate::files::{FileReadError, read_any_secret};
use crate::model::claims::Token;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::sign::patience::Patience;
use crate::sign::source::read_stdin;
use crate::sign::{Seed, Signer as _, looks_like_a_seed};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// Twice the largest size of a token in NATS, which suffices for credentials.
const LARGEST: usize = 2 * 1024 * 1024;

/// The tokens and keys of an input, in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The file, or `standard input`.
    pub place: String,
    /// Tokens and keys.
    pub items: Vec<Item>,
    /// Warnings about them.
    pub warnings: Vec<String>,
}

/// A token or a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "item", rename_all = "snake_case")]
pub enum Item {
    /// A token with a valid signature by its issuer.
    Token(Box<TokenView>),
    /// A seed, of which only the public key is shown.
    Seed {
        /// The public key.
        public_key: PublicKey,
        /// The kind of the key.
        kind: KeyKind,
    },
    /// A public key.
    PublicKey {
        /// The key.
        public_key: PublicKey,
        /// The kind of the key.
        kind: KeyKind,
    },
}

/// A token with a valid signature by its issuer. Servers may not trust that issuer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenView {
    /// `operator`, `account`, `user`, `activation`, …
    #[serde(rename = "type")]
    pub claim_type: String,
    /// The key that the token is about.
    pub subject: PublicKey,
    /// The key that signed the token.
    pub issuer: PublicKey,
    /// Issue time, in seconds since 1970.
    pub issued_at: Option<u64>,
    /// Expiry time, in seconds since 1970; absent if it never expires.
    pub expires_at: Option<u64>,
    /// `true` if the token has expired.
    pub expired: bool,
    /// `true` if the token is not valid yet (`nbf`).
    pub not_yet_valid: bool,
    /// Size in bytes.
    pub size: usize,
    /// All claims.
    pub claims: Value,
}

/// Reads a file, or standard input for `-`. `now` is in seconds since 1970.
///
/// # Errors
/// [`KeysError`]; [`KeysError::SeedAsArgument`] if a seed was given instead of a file.
pub fn inspect(source: &str, now: u64, patience: &Patience) -> Result<Inspection, KeysError> {
    if looks_like_a_seed(source) {
        return Err(KeysError::SeedAsArgument);
    }
    let place = if source == "-" { "standard input" } else { source }.to_owned();
    let failed = |error: FileReadError| match error {
        FileReadError::TooLarge(_) => KeysError::TooLarge(place.clone()),
        error => KeysError::Unreadable { place: place.clone(), cause: error.into() },
    };
    let (text, mode) = match source {
        "-" => match read_stdin(LARGEST, patience) {
            Ok(text) => (text.ok_or_else(|| KeysError::TooLarge(place.clone()))?, None),
            Err(cause) => return Err(KeysError::Unreadable { place, cause }),
        },
        path => read_any_secret(Path::new(path), LARGEST).map_err(failed)?,
    };
    let items = items(&place, &text, now)?;
    let warnings = warnings(&items, mode);
    Ok(Inspection { place, items, warnings })
}

/// Returns the tokens and keys in the text. Skips decoration (`-----BEGIN …`) and prose.
fn items(place: &str, text: &[u8], now: u64) -> Result<Vec<Item>, KeysError> {
    let nothing = |reason: String| KeysError::Nothing { place: place.to_owned(), reason };
    let text = std::str::from_utf8(text).map_err(|_| nothing("it is not text".to_owned()))?;
    let mut found = Vec::new();
    let mut last = "it has nothing that looks like one".to_owned();
    for word in text.split_ascii_whitespace() {
        if word.starts_with("eyJ") {
            let token = Token::decode(word).map_err(|cause| KeysError::Token { place: place.to_owned(), cause })?;
            found.push(Item::Token(Box::new(view(token, word.len(), now))));
        } else if looks_like_a_seed(word) {
            match Seed::parse(word) {
                Ok(seed) => found.push(Item::Seed { public_key: seed.public_key(), kind: seed.kind() }),
                Err(cause) => last = format!("what looks like a seed {cause}"),
            }
        } else if word.len() == 56 {
            match PublicKey::parse(word) {
                Ok(public_key) => found.push(Item::PublicKey { kind: public_key.kind(), public_key }),
                Err(cause) => last = format!("what looks like a public key {cause}"),
            }
        }
    }
    if found.is_empty() { Err(nothing(last)) } else { Ok(found) }
}

fn view(token: Token, size: usize, now: u64) -> TokenView {
    let seconds = |field: &str| token.claims()[field].as_u64().filter(|seconds| *seconds > 0);
    let (issued_at, expires_at, not_before) = (seconds("iat"), seconds("exp"), seconds("nbf"));
    TokenView {
        claim_type: token.claim_type().to_owned(),
        subject: token.subject().clone(),
        issuer: token.issuer().clone(),
        issued_at,
        expires_at,
        expired: expires_at.is_some_and(|end| end <= now),
        not_yet_valid: not_before.is_some_and(|start| start > now),
        size,
        claims: token.into_claims(),
    }
}

fn warnings(items: &[Item], mode: Option<u32>) -> Vec<String> {
    let mut warnings = Vec::new();
    let seeds = || {
        items.iter().filter_map(|item| if let Item::Seed { public_key, .. } = item { Some(public_key) } else { None })
    };
    if let Some(mode) = mode.filter(|mode| mode & 0o077 != 0 && seeds().next().is_some()) {
        warnings.push(format!("the file holds a seed and is open to others (mode {mode:04o}): chmod 600"));
    }
    for item in items {
        let Item::Token(token) = item else { continue };
        if token.expired {
            warnings.push(format!("the token of {} has expired", token.subject));
        }
        if token.not_yet_valid {
            warnings.push(format!("the token of {} is not valid yet", token.subject));
        }
        if token.claim_type == "user" && seeds().next().is_some() && !seeds().any(|key| *key == token.subject) {
            warnings.push(format!("the seed is not that of the token's user {}", token.subject));
        }
    }
    warnings
}
