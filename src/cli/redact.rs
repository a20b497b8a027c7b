//! The last line of defence: what looks like a seed is not printed, wherever it came from.

use std::borrow::Cow;

/// Instead of a seed.
const HIDDEN: &str = "(a seed, not shown)";

/// The text with everything that looks like a seed replaced: `S`, the letter of a kind of key, and about 58 letters
/// and digits of base32 in all. Public keys start with other letters, and token ids are shorter.
pub(super) fn redact(text: &str) -> Cow<'_, str> {
    let base32 = |c: char| c.is_ascii_uppercase() || ('2'..='7').contains(&c);
    if !text.split(|c| !base32(c)).any(is_seed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = &rest[..rest.find(|c| !base32(c)).unwrap_or(rest.len())];
        shown.push_str(if is_seed(word) { HIDDEN } else { word });
        let between = rest[word.len()..].find(base32).map_or(rest.len(), |at| word.len() + at);
        shown.push_str(&rest[word.len()..between]);
        rest = &rest[between..];
    }
    Cow::Owned(shown)
}

fn is_seed(word: &str) -> bool {
    (56..=60).contains(&word.len()) && word.starts_with('S') && "OAUNCX".contains(&word[1..2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::nkey::KeyKind;
    use crate::sign::{Seed, Signer as _};

    #[test]
    fn seeds_are_hidden_and_nothing_else() {
        for kind in [KeyKind::Operator, KeyKind::Account, KeyKind::User] {
            let seed = Seed::generate(kind).unwrap();
            let (secret, public) = (seed.reveal(), seed.public_key().to_string());
            let text = format!("key {public}: file ü/{}.nk, `{}` twice", *secret, &secret[..57]);
            let shown = redact(&text);
            assert_eq!(shown, format!("key {public}: file ü/{HIDDEN}.nk, `{HIDDEN}` twice"));
            assert_eq!(redact(&public), public);
        }
        let token_id = "SATP3LNGFPUGLE6ETXSFKZFLAUODEYQ4VTXVVZHZ7OCF6PAM2JNA";
        assert!(matches!(redact(token_id), Cow::Borrowed(_)));
        assert_eq!(redact(""), "");
    }
}
