//! Finds seeds of nkeys.

use super::{Kind, Secret};
use crate::model::nkey::crc16;

/// The length of a seed in text form.
const SEED: usize = 58;
/// The second letter of a seed: operator, account, user, server, cluster, curve.
const SEED_KINDS: &[u8] = b"OAUNCX";
/// Most checksums that are computed. After that, each text that looks like a seed counts as one, because such a text
/// was crafted to be slow.
const MOST_CHECKS: usize = 50_000;

/// Finds seeds by their checksum, also inside longer words. Also finds words that begin like a seed and have about its
/// length.
pub(super) fn find(text: &str, most: usize) -> Vec<Secret> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut checks) = (Vec::new(), 0, 0);
    while at < bytes.len() && found.len() < most {
        if bytes[at] != b'S' || !bytes.get(at + 1).is_some_and(|kind| SEED_KINDS.contains(kind)) {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take(SEED + 3).take_while(|byte| is_base32(**byte)).count();
        let begins = at == 0 || !is_base32(bytes[at - 1]);
        // The bits after the prefix are zero.
        let may_be = length >= SEED && bytes[at + 2] == b'A' && (b'A'..=b'P').contains(&bytes[at + 3]);
        checks += usize::from(may_be);
        let unchecked = checks > MOST_CHECKS;
        if may_be && (unchecked || is_seed(&bytes[at..at + SEED])) {
            found.push(Secret { kind: Kind::Seed, range: at..at + SEED, certain: !unchecked });
            at += SEED;
        } else if begins && (SEED - 2..=SEED + 2).contains(&length) {
            found.push(Secret { kind: Kind::Seed, range: at..at + length, certain: false });
            at += length;
        } else {
            at += 1;
        }
    }
    found
}

pub(super) fn is_seed(word: &[u8]) -> bool {
    let mut raw = zeroize::Zeroizing::new([0u8; 36]);
    let decoded = data_encoding::BASE32_NOPAD.decode_mut(word, raw.as_mut()).is_ok();
    decoded && crc16(&raw[..34]) == u16::from_le_bytes([raw[34], raw[35]])
}

fn is_base32(byte: u8) -> bool {
    byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)
}
