//! Finds tokens of users.
//!
//! A token is recognized by its claims: a base64url part between two others, separated by dots. Its header can have
//! many spellings, and any text may precede it.

use super::{Kind, Secret};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::ops::Range;

/// Size of the largest claims that are decoded, in bytes.
const LARGEST: usize = 1 << 20;
/// Accepts everything that Go's decoder accepts, including spare bits at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Finds tokens that may be a user's, each including the text at the start of its word.
pub(super) fn find(text: &str, most: usize) -> Vec<Secret> {
    let of_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut behind = 0;
    let words = std::iter::from_fn(|| {
        let dot = behind + text[behind..].find('.')?;
        let start = dot - text[behind..dot].chars().rev().take_while(|c| of_word(*c)).count();
        let end = dot + text[dot..].chars().take_while(|c| of_word(*c)).count();
        behind = end;
        Some(start..end)
    });
    let found = words.filter_map(|word| {
        let Range { start, end } = in_word(&text[word.clone()])?;
        let range = word.start + start..word.start + end;
        Some(Secret { kind: Kind::UserToken, range, certain: true })
    });
    found.take(most).collect()
}

fn in_word(word: &str) -> Option<Range<usize>> {
    let word = word.trim_end_matches('.');
    let mut parts = word.split('.');
    let (mut start, mut header, mut claims) = (0, parts.next()?, parts.next()?);
    for signature in parts {
        let whole = !header.is_empty() && !signature.is_empty();
        // A part that is followed by claims, not by a signature, is a header.
        if whole && may_be_of_user(claims) && object(signature).is_none() {
            return Some(start..word.len());
        }
        start += header.len() + 1;
        (header, claims) = (claims, signature);
    }
    None
}

/// Returns the JSON object that a base64url part encodes, if it has fields. Checks only its first and last characters.
fn object(part: &str) -> Option<Vec<u8>> {
    let json = Some(part).filter(|part| part.len() <= LARGEST).and_then(|part| BASE64.decode(part).ok())?;
    let object = json.trim_ascii();
    (object.starts_with(b"{") && object.ends_with(b"}") && object.contains(&b'"')).then_some(json)
}

/// Returns `true` unless claims clearly belong to another type of token than a user's.
fn may_be_of_user(claims: &str) -> bool {
    /// A duplicate field is an error.
    #[derive(Deserialize)]
    struct Claims {
        #[serde(default)]
        sub: String,
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        nats: Nats,
        #[serde(flatten)]
        others: BTreeMap<String, IgnoredAny>,
    }
    #[derive(Default, Deserialize)]
    struct Nats {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(flatten)]
        others: BTreeMap<String, IgnoredAny>,
    }
    // Servers read `Sub` and `ſub` as `sub`.
    let is_clear = |others: &BTreeMap<String, IgnoredAny>| {
        !others.keys().any(|name| ["SUB", "TYPE", "NATS"].contains(&name.to_uppercase().as_str()))
    };
    let Some(json) = object(claims) else { return false };
    let Ok(Claims { sub, kind, nats, others }) = serde_json::from_slice(&json) else { return true };
    let known = |kind: &str| ["account", "operator", "activation"].contains(&kind);
    let of_others = match (kind.as_str(), nats.kind.as_str()) {
        ("", kind) => known(kind),
        // Tokens of version 1 have their type outside `nats`. An activation token has the type of the export inside.
        (kind, inner) => known(kind) && (known(inner) || ["", "stream", "service"].contains(&inner)),
    };
    !of_others || sub.starts_with('U') || !is_clear(&others) || !is_clear(&nats.others)
}
