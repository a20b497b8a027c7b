//! Finds passwords and tokens before the host of a URL, with any characters.
//!
//! Users paste text from configurations: passwords with slashes, commas, quotes, brackets and blanks, and addresses
//! without a scheme. So this module does not parse URLs. It looks for an `@`, and then for the start of the secret to
//! its left. Each search for a scheme or a word reads a text only once, because a line may be as long as a file.

use super::{Kind, Secret};
use std::ops::Range;

/// Schemes of NATS. Only a user, a password or a token stands before an `@` in their URLs.
const OF_NATS: [&str; 4] = ["nats", "tls", "ws", "wss"];
/// Words that begin an address of another kind if a colon follows.
const NO_USERS: [&str; 5] = ["mailto", "sip", "sips", "xmpp", "acct"];

/// An `@` as percent-encoded in the password of a URL.
const WRITTEN_AT: &str = "%40";

pub(super) fn find(text: &str, most: usize) -> Vec<Secret> {
    let (mut found, mut start) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        if found.len() >= most {
            break;
        }
        if line.contains('@') || line.contains(WRITTEN_AT) {
            // Text that is already masked needs no second mask.
            let shown = |(range, _): &(Range<usize>, bool)| line[range.clone()].bytes().any(|byte| byte != b'*');
            let secrets = with_scheme(line).chain(without_scheme(line)).filter(shown).map(|(range, certain)| Secret {
                kind: Kind::Password,
                range: range.start + start..range.end + start,
                certain,
            });
            found.extend(secrets.take(most));
        }
        start += line.len();
    }
    found
}

/// Finds secrets between `://` and an `@`, up to the next `://`.
fn with_scheme(line: &str) -> impl Iterator<Item = (Range<usize>, bool)> {
    let mut urls = line.match_indices("://").map(|(at, _)| at).peekable();
    let urls = std::iter::from_fn(move || Some((urls.next()?, urls.peek().copied().unwrap_or(line.len()))));
    urls.filter_map(|(at, end)| {
        let start = at + 3;
        let (length, certain) = before_host(scheme(&line[..at]), &line[start..end])?;
        Some((start..start + length, certain))
    })
}

fn scheme(before: &str) -> &str {
    last_part(before, |c| c.is_ascii_alphanumeric())
}

/// Returns the end of a text that has only such characters.
fn last_part(text: &str, of_part: impl Fn(char) -> bool) -> &str {
    text.rsplit(|c| !of_part(c)).next().unwrap_or_default()
}

/// Returns the length of the part before the host in the text after `://`. Also returns `true` if that part is
/// certainly a secret.
fn before_host(scheme: &str, rest: &str) -> Option<(usize, bool)> {
    let word = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
    let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
    let of_nats = OF_NATS.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    if !of_nats && let Some(at) = authority.rfind('@').filter(|at| *at > 0) {
        return Some((at, authority[..at].contains(':')));
    }
    // The first part of the word, as if it were the whole address.
    let first = &word[..word.find(|c| "/?#\"',;)}>`".contains(c)).unwrap_or(word.len())];
    let first = if first.starts_with('[') { first } else { first.trim_end_matches(']') };
    let at = word.rfind('@').or_else(|| word.rfind(WRITTEN_AT)).filter(|at| *at > 0);
    if of_nats && let Some(at) = at.filter(|at| !is_in_next_value(&word[..*at], first)) {
        return Some((at, true));
    }
    if is_user_and_password(first) {
        // The password continues after a slash or a blank.
        let at = word.rfind('@').or_else(|| rest.trim_end().rfind('@'));
        return at.filter(|at| *at >= first.len()).map(|at| (at, true));
    }
    let with_port = is_host_and_port(first) && first.contains(':') && !first.starts_with('[');
    with_port.then(|| behind_port(rest, word, first.len(), of_nats)).flatten()
}

/// Returns the end of a password that begins with digits, like a port, and continues after a slash or a blank. `first`
/// is the length up to and including the digits.
fn behind_port(rest: &str, word: &str, first: usize, of_nats: bool) -> Option<(usize, bool)> {
    if word[first..].starts_with(['/', '?', '#']) {
        let at = word.rfind('@').filter(|at| *at > first + 1 && starts_host(&word[at + 1..]))?;
        return Some((at, has_port(&word[at + 1..])));
    }
    if word.len() > first {
        return None;
    }
    let (at, _) = rest.rmatch_indices('@').find(|(at, _)| has_port(&rest[at + 1..]))?;
    let is_next_word = !rest[first..at].trim_start().contains(char::is_whitespace);
    Some((at, of_nats && is_next_word))
}

/// Returns `true` if an `@` belongs to the next value, after a complete address in the same word:
/// `["nats://h:1","a@b"]`.
fn is_in_next_value(before: &str, first: &str) -> bool {
    let Some(behind) = before.strip_prefix(first).filter(|_| is_host_and_port(first)) else { return false };
    let next = behind.trim_start_matches(['"', '\'', '`', ']', ')', '}', '>']);
    next.len() < behind.len() && next.starts_with([',', ':', ';'])
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let of_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    !host.is_empty() && host.chars().all(of_host) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns `true` for `user:secret` if the secret is not a port.
fn is_user_and_password(first: &str) -> bool {
    let parts = first.split_once(':').filter(|_| !first.starts_with('['));
    parts.is_some_and(|(user, secret)| !user.is_empty() && !secret.is_empty() && !is_port(secret))
}

/// Finds `user:password` before an `@` in a word without a scheme.
fn without_scheme(line: &str) -> impl Iterator<Item = (Range<usize>, bool)> {
    let offset = |word: &str| word.as_ptr() as usize - line.as_ptr() as usize;
    let mut before = &line[..0];
    line.split(|c: char| c.is_whitespace() || "\"'`".contains(c)).filter_map(move |word| {
        let previous = std::mem::replace(&mut before, word);
        let start = offset(word);
        let found = in_word(word).map(|(range, certain)| (start + range.start..start + range.end, certain));
        found.or_else(|| {
            let (from, to) = over_blank(previous, word)?;
            Some((offset(previous) + from..start + to, false))
        })
    })
}

fn in_word(word: &str) -> Option<(Range<usize>, bool)> {
    let last = word.rfind('@')?;
    // After a URL, the same word may have another address.
    let from = word.rfind("://").map_or(Some(0), |at| Some(at + word[at..].find([',', ';'])? + 1))?;
    let colon = from + word[from..].find(':')?;
    let user = user(&word[from..colon])?;
    let ends = word[..=last].rmatch_indices('@').map(|(at, _)| at).take_while(|at| *at > colon + 1);
    let at = ends.into_iter().find(|at| starts_host(&word[at + 1..]))?;
    Some((colon - user.len()..at, has_port(&word[at + 1..])))
}

/// Finds `user:pass word@host:4222`. Returns its start in the word before the blank, and its end in the word after it.
fn over_blank(previous: &str, word: &str) -> Option<(usize, usize)> {
    let at = word.find('@').filter(|at| *at > 0 && !word[..*at].contains(':') && has_port(&word[at + 1..]))?;
    let (before, secret) = previous.split_once(':').filter(|_| !previous.contains("://"))?;
    let user = user(before)?;
    let secret = secret.trim_end_matches([':', ',', ';', '.', ')']);
    (!secret.is_empty() && !is_port(secret)).then(|| (before.len() - user.len(), at))
}

/// Returns the user at the end of the text before a colon.
fn user(before: &str) -> Option<&str> {
    let user = last_part(before, |c| c.is_ascii_alphanumeric() || "._~%+-".contains(c));
    (!user.is_empty() && !NO_USERS.iter().any(|known| known.eq_ignore_ascii_case(user))).then_some(user)
}

fn starts_host(behind: &str) -> bool {
    behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

/// Returns `true` if the text after an `@` has a port. Then it is almost certainly an address; `image:1.2@sha256:…` has
/// no port.
fn has_port(behind: &str) -> bool {
    let host =
        &behind[..behind.find(|c: char| !(c.is_ascii_alphanumeric() || "-._:[]".contains(c))).unwrap_or(behind.len())];
    let host = if host.starts_with('[') { host } else { host.trim_end_matches(']') };
    host.contains(':') && is_host_and_port(host) && !host.starts_with("sha")
}
