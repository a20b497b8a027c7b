//! A transform's source and destination, and the resulting subjects.

use super::TransformError;
use super::function::{self, Function};

/// A source and a destination that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform<'a> {
    source: Vec<&'a str>,
    parts: Vec<Part<'a>>,
    /// The indexes of the wildcards in the source.
    wildcards: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Call(Function),
}

impl<'a> Transform<'a> {
    /// Parses the transform of a stream or of a stream source.
    ///
    /// # Errors
    /// [`TransformError`], if `NewSubjectTransform` of nats-server 2.15 refuses the transform.
    pub fn parse(source: &'a str, destination: &'a str) -> Result<Self, TransformError> {
        let (source_tokens, source_open) = tokens(source)?;
        let (destination_tokens, destination_open) = tokens(destination)?;
        if destination_tokens.contains(&"*") {
            return Err(TransformError::Wildcard(destination.to_owned()));
        }
        if source_open != destination_open {
            return Err(TransformError::OpenEnd {
                source_subject: source.to_owned(),
                destination: destination.to_owned(),
            });
        }
        let wildcards: Vec<usize> =
            source_tokens.iter().enumerate().filter(|(_, token)| **token == "*").map(|(index, _)| index).collect();
        let literal = wildcards.is_empty() && !source_open;
        let mut parts = Vec::with_capacity(destination_tokens.len());
        for token in destination_tokens {
            parts.push(match Function::parse(token)? {
                None => Part::Text(token),
                Some(function) => Part::Call(function.checked(token, wildcards.len(), literal)?),
            });
        }
        Ok(Self { source: source_tokens, parts, wildcards })
    }

    /// Parses the transform of an account's mapping. Works as [`parse`](Self::parse), and refuses spaces in plain
    /// tokens.
    ///
    /// `{{random}}`, `{{partition}}` without wildcards and functions under a literal source need servers from 2.12.
    /// `{{left}}` and `{{right}}` need 2.15.1 (measured). Older servers refuse them.
    ///
    /// # Errors
    /// [`TransformError`], if nats-server 2.15.1 refuses the mapping.
    pub fn parse_mapping(source: &'a str, destination: &'a str) -> Result<Self, TransformError> {
        if has_space_in_token(source) {
            return Err(TransformError::BadSubject(source.to_owned()));
        }
        for token in destination.split('.') {
            if !function::is_call(token) && has_space_in_token(token) {
                return Err(TransformError::BadSubject(destination.to_owned()));
            }
        }
        Self::parse(source, destination)
    }

    /// Applies the transform to a subject. Returns `None` if the source does not match it.
    ///
    /// `{{random(n)}}` results in 0 here, which is one of the values that a server may choose.
    pub fn apply(&self, subject: &str) -> Option<String> {
        let tokens: Vec<&str> = subject.split('.').collect();
        if !self.matches(&tokens) {
            return None;
        }
        let mut result = Vec::with_capacity(self.parts.len() + tokens.len());
        for part in &self.parts {
            match part {
                Part::Text(">") => {
                    result.extend(tokens[self.source.len() - 1..].iter().map(|token| (*token).to_owned()));
                }
                Part::Text(text) => result.push((*text).to_owned()),
                Part::Call(function) => result.push(function.apply(&tokens, &self.wildcards)),
            }
        }
        Some(result.join("."))
    }

    /// Returns `true` if the same subject always gives the same result.
    pub fn is_deterministic(&self) -> bool {
        self.parts.iter().all(|part| !matches!(part, Part::Call(Function::Random(_))))
    }

    /// Returns the destination with every function in its canonical spelling. Equal texts mean equal destinations.
    pub fn canonical(&self) -> String {
        self.join(|function| function.to_string())
    }

    /// Returns a filter that matches every possible result of the transform.
    pub fn result_filter(&self) -> String {
        // A function that splits makes a number of tokens that depends on the message.
        let splits = |part: &Part| matches!(part, Part::Call(function) if function.splits());
        match self.parts.iter().position(splits) {
            None => self.join(|_| "*".to_owned()),
            Some(index) => {
                let head = Self { parts: self.parts[..index].to_vec(), ..self.clone() };
                if index == 0 { ">".to_owned() } else { format!("{}.>", head.join(|_| "*".to_owned())) }
            }
        }
    }

    /// Returns `true` if a function refers to wildcard 0 or below, which servers read as the first token of the
    /// subject.
    pub fn has_index_below_one(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Call(function) if function.has_index_below_one()))
    }

    fn matches(&self, subject: &[&str]) -> bool {
        let fits = |source: &[&str]| source.iter().zip(subject).all(|(token, given)| *token == "*" || token == given);
        match self.source.split_last() {
            Some((&">", head)) => subject.len() > head.len() && fits(head),
            _ => subject.len() == self.source.len() && fits(&self.source),
        }
    }

    fn join(&self, call: impl Fn(&Function) -> String) -> String {
        let text = |part: &Part| if let Part::Text(text) = part { text.len() } else { 16 };
        let mut text = String::with_capacity(self.parts.iter().map(|part| text(part) + 1).sum());
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                text.push('.');
            }
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Call(function) => text.push_str(&call(function)),
            }
        }
        text
    }
}

/// Splits a subject into tokens as servers do. Also returns `true` if it ends with `>`.
fn tokens(subject: &str) -> Result<(Vec<&str>, bool), TransformError> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let bad = tokens.iter().any(|token| token.is_empty()) || tokens[..tokens.len() - 1].contains(&">");
    if bad {
        return Err(TransformError::BadSubject(subject.to_owned()));
    }
    let open = tokens.last() == Some(&">");
    Ok((tokens, open))
}

fn has_space_in_token(text: &str) -> bool {
    text.contains(['\t', '\n', '\u{c}', '\r', ' '])
}
