//! Contents of key files: age identities, and private keys in PEM.

use super::{Kind, Secret};

/// The beginning of an age identity, `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`.
const AGE: &str = "AGE-SECRET-KEY-";
const AGE_LOWER: &str = "age-secret-key-";
/// Least number of characters after it. Shorter texts only mention identities.
const AGE_BODY: usize = 20;
/// The end of the line before a private key in PEM.
const PEM: &str = "PRIVATE KEY-----";
/// Least number of base64 characters after it.
const PEM_BODY: usize = 24;

pub(super) fn age_identities(text: &str, most: usize) -> Vec<Secret> {
    let mut found = Vec::new();
    // Upper case and lower case are valid, but not mixed in one word.
    for mark in [AGE, AGE_LOWER] {
        let mut behind = 0;
        for (at, _) in text.match_indices(mark) {
            // This text is part of the previous word.
            if at < behind {
                continue;
            }
            let body = text[at + mark.len()..].bytes();
            let length = body.take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count();
            behind = at + mark.len() + length;
            if length >= AGE_BODY {
                let range = at..behind;
                found.push(Secret { kind: Kind::AgeIdentity, range, certain: true });
            }
            if found.len() >= most {
                break;
            }
        }
    }
    found
}

/// Finds the text after the first line of a private key in PEM. Line breaks may be written as `\n`.
pub(super) fn private_keys(text: &str, most: usize) -> Vec<Secret> {
    let of_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let found = text.match_indices(PEM).filter_map(|(at, _)| {
        let start = at + PEM.len();
        let rest = &text[start..];
        let body = rest.find("-----").unwrap_or(rest.len());
        let key = rest[..body].trim_start_matches(['\r', '\n', ' ', '\t', '\\', 'n', 'r', '>', '|', '#', '"']);
        let is_key = key.bytes().take_while(of_key).count() >= PEM_BODY;
        is_key.then(|| Secret { kind: Kind::PrivateKey, range: start..start + body, certain: true })
    });
    found.take(most).collect()
}
