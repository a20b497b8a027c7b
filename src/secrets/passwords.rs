//! Passwords and tokens before the host of a URL, however odd their characters.
//!
//! A person pastes what a configuration had: passwords with slashes, commas, quotes, brackets and blanks in them, and
//! addresses without a scheme. So this does not parse URLs. It looks for an `@` and asks how far to its left the secret
//! may begin.

use super::{Kind, Secret};
use std::ops::Range;

/// Schemes of NATS: nothing but a user, a password or a token stands before an `@` in them.
const OF_NATS: [&str; 4] = ["nats", "tls", "ws", "wss"];
/// Words before a colon that make an address of another kind.
const NO_USERS: [&str; 5] = ["mailto", "sip", "sips", "xmpp", "acct"];

/// The longest password without a scheme before it, in bytes: so far to the left of an `@` it is looked for.
const LONGEST: usize = 512;

pub(super) fn find(text: &str, most: usize) -> Vec<Secret> {
    let (mut found, mut start) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        if found.len() >= most {
            break;
        }
        if line.contains('@') {
            // What was masked before needs no second mask.
            let shown = in_line(line).into_iter().filter(|(range, _)| line[range.clone()].bytes().any(|b| b != b'*'));
            let secrets = shown.map(|(range, certain)| Secret {
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

fn in_line(line: &str) -> Vec<(Range<usize>, bool)> {
    let urls: Vec<usize> = line.match_indices("://").map(|(at, _)| at).collect();
    let with_scheme = urls.iter().enumerate().filter_map(|(number, at)| {
        let start = at + 3;
        let end = urls.get(number + 1).copied().unwrap_or(line.len());
        let (length, certain) = before_host(scheme(&line[..*at]), &line[start..end])?;
        Some((start..start + length, certain))
    });
    let with_scheme: Vec<(Range<usize>, bool)> = with_scheme.collect();
    let (mut known, mut behind) = (with_scheme.iter().peekable(), 0);
    let without = line.match_indices('@').filter_map(|(at, _)| {
        while known.next_if(|(range, _)| range.end < at).is_some() {}
        let hidden = known.peek().is_some_and(|(range, _)| range.start <= at);
        let (start, certain) = without_scheme(line, at).filter(|(start, _)| !hidden && *start >= behind)?;
        behind = at;
        Some((start..at, certain))
    });
    let without: Vec<(Range<usize>, bool)> = without.collect();
    with_scheme.into_iter().chain(without).collect()
}

fn scheme(before: &str) -> &str {
    let start = before.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    // What is not ASCII may be more than a byte.
    before.get(start..).unwrap_or_default()
}

/// The length of what stands before the host, in the text after `://`.
fn before_host(scheme: &str, rest: &str) -> Option<(usize, bool)> {
    let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let authority = rest.find(|c: char| c.is_whitespace() || "/?#".contains(c)).unwrap_or(rest.len());
    // The first part of the word, as it would be if it were the whole address.
    let first = &rest[..rest.find(|c: char| c.is_whitespace() || "/?#\"',;)}>`".contains(c)).unwrap_or(rest.len())];
    let first = if first.starts_with('[') { first } else { first.trim_end_matches(']') };
    let has_password = |userinfo: &str| userinfo.contains(':');
    if OF_NATS.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        let at = rest[..word].rfind('@').filter(|at| *at > 0 && !is_in_next_word(&rest[..*at], first));
        if let Some(at) = at {
            return Some((at, true));
        }
    } else if let Some(at) = rest[..authority].rfind('@').filter(|at| *at > 0) {
        return Some((at, has_password(&rest[..at])));
    }
    if !is_user_and_password(first) {
        return None;
    }
    // The password goes on behind a slash, or a blank.
    let at = rest[..word].rfind('@').or_else(|| rest.trim_end().rfind('@'));
    at.filter(|at| *at >= first.len()).map(|at| (at, true))
}

/// Whether an `@` belongs to something behind a whole address in the same word: `["nats://h:1","a@b"]`.
fn is_in_next_word(before: &str, first: &str) -> bool {
    is_host_and_port(first) && before[first.len()..].starts_with(['"', '\'', ',', ']', ')', '}', '>', '`', ';'])
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

/// `user:secret`, where the secret is no port.
fn is_user_and_password(first: &str) -> bool {
    let parts = first.split_once(':').filter(|_| !first.starts_with('['));
    parts.is_some_and(|(user, secret)| !user.is_empty() && !secret.is_empty() && !is_port(secret))
}

/// Where `user:password` begins that ends at the `@`, without a scheme before it.
fn without_scheme(line: &str, at: usize) -> Option<(usize, bool)> {
    let host = line[at + 1..].chars().next()?;
    if !(host.is_ascii_alphanumeric() || host == '[') {
        return None;
    }
    let starts = |c: char| c.is_whitespace() || "\"'`".contains(c);
    let far = (at.saturating_sub(LONGEST)..=at).find(|from| line.is_char_boundary(*from))?;
    let after = |from: usize| far + from + line[far + from..].chars().next().map_or(1, char::len_utf8);
    let start = line[far..at].rfind(starts).map_or(far, after);
    let word = &line[start..at];
    if word.contains("://") {
        return None;
    }
    let (before, secret) = word.split_once(':')?;
    let of_user = |c: char| c.is_ascii_alphanumeric() || "._~%+-".contains(c);
    let user = before.rfind(|c: char| !of_user(c)).map_or(before, |from| {
        let next = before[from..].chars().next().map_or(1, char::len_utf8);
        &before[from + next..]
    });
    if user.is_empty() || secret.is_empty() || NO_USERS.iter().any(|known| known.eq_ignore_ascii_case(user)) {
        return None;
    }
    // An address with a port can hardly be anything else; `image:1.2@sha256:…` has none.
    let host = &line[at + 1..];
    let host = &host[..host.find(|c: char| !(c.is_ascii_alphanumeric() || "-._:[]".contains(c))).unwrap_or(host.len())];
    let host = if host.starts_with('[') { host } else { host.trim_end_matches(']') };
    let certain = host.contains(':') && is_host_and_port(host) && !host.starts_with("sha");
    Some((start + before.len() - user.len(), certain))
}
