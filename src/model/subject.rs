//! Subjects and subject filters (NATS naming rules; nats-server `server/sublist.go`).

use serde::Serialize;
use std::fmt;

/// Reason why a subject was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("subject `{subject}`: {reason}")]
pub struct SubjectError {
    /// The refused subject.
    pub subject: String,
    /// The defect.
    pub reason: String,
}

/// Most tokens of a subject, far more than any user has. The limit keeps a hostile token cheap to read.
const MAX_TOKENS: usize = 256;

/// A valid subject that may contain the wildcards `*` (one token) and a final `>` (one token or more).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SubjectFilter(String);

impl SubjectFilter {
    /// Parses a subject or subject filter.
    ///
    /// # Errors
    /// [`SubjectError`] for an empty subject or token, white space, control characters, or a `>` before the end. Also
    /// for a wildcard that is only part of a token, which servers treat as text only in some places.
    pub fn parse(subject: &str) -> Result<Self, SubjectError> {
        check(subject)?;
        Ok(Self(subject.to_owned()))
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tokens of the subject.
    pub fn tokens(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('.')
    }

    /// Returns the filter below these tokens, which must be valid tokens: `foo.>` becomes `$VW.west.foo.>`.
    #[must_use]
    pub(crate) fn below(&self, tokens: &[&str]) -> Self {
        Self(format!("{}.{self}", tokens.join(".")))
    }

    /// Returns `true` if the filter has no wildcard.
    pub fn is_literal(&self) -> bool {
        self.tokens().all(|t| t != "*" && t != ">")
    }

    /// Returns `true` if some subject matches both filters.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.tokens(), other.tokens());
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some(x), Some(y)) if x == y || x == "*" || y == "*" => {}
                _ => return false,
            }
        }
    }

    /// Returns the filter of the subjects that match both, if there are any.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (mut a, mut b) = (self.tokens(), other.tokens());
        let mut tokens = Vec::new();
        loop {
            match (a.next(), b.next()) {
                (None, None) => break,
                (Some(">"), Some(token)) => {
                    tokens.push(token);
                    tokens.extend(b);
                    break;
                }
                (Some(token), Some(">")) => {
                    tokens.push(token);
                    tokens.extend(a);
                    break;
                }
                (Some("*"), Some(token)) | (Some(token), Some("*")) => tokens.push(token),
                (Some(x), Some(y)) if x == y => tokens.push(x),
                _ => return None,
            }
        }
        Some(Self(tokens.join(".")))
    }

    /// Returns `true` if every subject that matches `other` also matches this filter.
    pub fn covers(&self, other: &Self) -> bool {
        tokens_cover(self.tokens(), other.tokens())
    }
}

/// Returns the result of [`SubjectFilter::covers`] for the tokens of two filters.
pub(crate) fn tokens_cover<'s>(
    mut wide: impl Iterator<Item = &'s str>,
    mut narrow: impl Iterator<Item = &'s str>,
) -> bool {
    loop {
        match (wide.next(), narrow.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(y)) if y != ">" => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

impl TryFrom<String> for SubjectFilter {
    type Error = SubjectError;

    fn try_from(subject: String) -> Result<Self, SubjectError> {
        check(&subject)?;
        Ok(Self(subject))
    }
}

fn check(subject: &str) -> Result<(), SubjectError> {
    let refuse = |reason: &str| Err(SubjectError { subject: subject.to_owned(), reason: reason.to_owned() });
    let tokens = || subject.split('.');
    if subject.is_empty() {
        return refuse("is empty");
    }
    if subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("contains white space or a control character");
    }
    if tokens().any(str::is_empty) {
        return refuse("has an empty token: a dot at the start or the end, or two dots in a row");
    }
    if tokens().rev().skip(1).any(|token| token == ">") {
        return refuse("`>` may only be the last token");
    }
    if tokens().count() > MAX_TOKENS {
        return refuse("has more than 256 tokens");
    }
    if tokens().any(|token| token.len() > 1 && token.contains(['*', '>'])) {
        return refuse("`*` and `>` only stand for whole tokens");
    }
    Ok(())
}

impl fmt::Display for SubjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Filters of up to four tokens over a tiny alphabet, so that they often overlap.
    pub(crate) fn filters() -> impl Strategy<Value = String> {
        (prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 0..4), any::<bool>()).prop_map(
            |(mut tokens, open)| {
                if open || tokens.is_empty() {
                    tokens.push(">");
                }
                tokens.join(".")
            },
        )
    }

    /// All literal subjects of up to six tokens over that alphabet and one more letter.
    fn subjects() -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&str>> = vec![vec![]];
        let mut from = 0;
        for _ in 0..6 {
            let end = all.len();
            for index in from..end {
                for token in ["a", "b", "c"] {
                    let mut longer = all[index].clone();
                    longer.push(token);
                    all.push(longer);
                }
            }
            from = end;
        }
        all.remove(0);
        all
    }

    fn matches(filter: &str, subject: &[&str]) -> bool {
        let tokens: Vec<&str> = filter.split('.').collect();
        let fits = |tokens: &[&str], subject: &[&str]| tokens.iter().zip(subject).all(|(t, s)| *t == "*" || t == s);
        match tokens.split_last() {
            Some((&">", head)) => subject.len() > head.len() && fits(head, subject),
            _ => subject.len() == tokens.len() && fits(&tokens, subject),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn overlap_and_cover_mean_common_and_all_subjects(a in filters(), b in filters()) {
            let (x, y) = (SubjectFilter::parse(&a).unwrap(), SubjectFilter::parse(&b).unwrap());
            let subjects = subjects();
            let common = subjects.iter().any(|s| matches(&a, s) && matches(&b, s));
            prop_assert_eq!(x.overlaps(&y), common);
            prop_assert_eq!(y.overlaps(&x), common);
            let all = subjects.iter().filter(|s| matches(&b, s)).all(|s| matches(&a, s));
            prop_assert_eq!(x.covers(&y), all);
            let both = x.intersection(&y).map(|both| both.to_string());
            for subject in &subjects {
                let is_common = matches(&a, subject) && matches(&b, subject);
                prop_assert_eq!(both.as_ref().is_some_and(|both| matches(both, subject)), is_common);
            }
            prop_assert_eq!(both.is_some(), common);
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        for (subject, reason) in [
            ("", "is empty"),
            ("a..b", "empty token"),
            (".a", "empty token"),
            ("a b", "white space"),
            ("a.>.b", "last token"),
            ("a.b*", "whole tokens"),
        ] {
            let error = SubjectFilter::parse(subject).unwrap_err();
            assert!(error.reason.contains(reason), "{subject}: {error}");
        }
        assert!(SubjectFilter::parse("$KV.*.>").is_ok());
    }
}
