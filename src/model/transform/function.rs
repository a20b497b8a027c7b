//! The functions in a destination's tokens: `$1`, `{{wildcard(1)}}`, `{{partition(3,1)}}` and so on.

use super::TransformError;
use std::fmt;

/// A function with its arguments. Wildcard numbers are kept as written, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Function {
    Wildcard(i64),
    /// Number of partitions, and the wildcards to hash. Without wildcards, the whole subject is hashed.
    Partition(i32, Vec<i64>),
    SplitFromLeft(i64, i32),
    SplitFromRight(i64, i32),
    SliceFromLeft(i64, i32),
    SliceFromRight(i64, i32),
    Left(i64, i32),
    Right(i64, i32),
    Split(i64, String),
    Random(i32),
}

/// Names in the order in which servers try them. The first letter, and each capital letter, may have either case.
const NAMES: [&str; 10] = [
    "wildcard",
    "partition",
    "splitFromLeft",
    "splitFromRight",
    "sliceFromLeft",
    "sliceFromRight",
    "right",
    "left",
    "split",
    "random",
];

/// Returns `true` if servers look for a function in this token.
pub(super) fn is_call(token: &str) -> bool {
    token.len() > 4 && token.starts_with("{{") && token.ends_with("}}")
}

impl Function {
    /// Parses the function of a token. Returns `None` for plain text.
    pub(super) fn parse(token: &str) -> Result<Option<Self>, TransformError> {
        if token.len() > 1
            && let Some(number) = token.strip_prefix('$')
        {
            // `$JS` and the like are text.
            return Ok(go_integer(number).map(Self::Wildcard));
        }
        if !is_call(token) {
            return Ok(None);
        }
        let Some((name, arguments)) =
            NAMES.iter().find_map(|name| arguments(name, token).map(|arguments| (*name, arguments)))
        else {
            return Err(TransformError::UnknownFunction(token.to_owned()));
        };
        let arguments = Arguments { token, given: split_arguments(arguments) };
        Ok(Some(match name {
            "wildcard" => Self::Wildcard(arguments.exactly_one()?),
            "partition" => {
                let count = arguments.small(0)?;
                let wildcards = (1..arguments.given.len()).map(|i| arguments.integer(i)).collect::<Result<_, _>>()?;
                Self::Partition(count, wildcards)
            }
            "split" => {
                arguments.exactly_two()?;
                let delimiter = arguments.given[1];
                let index = arguments.integer(0)?;
                if delimiter.contains(' ') {
                    return Err(arguments.bad());
                }
                Self::Split(index, delimiter.to_owned())
            }
            "random" => {
                if arguments.given.len() != 1 {
                    return Err(TransformError::NotEnoughArguments(token.to_owned()));
                }
                Self::Random(arguments.small(0)?)
            }
            _ => {
                arguments.exactly_two()?;
                let (index, size) = (arguments.integer(0)?, arguments.small(1)?);
                match name {
                    "splitFromLeft" => Self::SplitFromLeft(index, size),
                    "splitFromRight" => Self::SplitFromRight(index, size),
                    "sliceFromLeft" => Self::SliceFromLeft(index, size),
                    "sliceFromRight" => Self::SliceFromRight(index, size),
                    "left" => Self::Left(index, size),
                    _ => Self::Right(index, size),
                }
            }
        }))
    }

    /// Checks the function against a source with this number of `*`. Returns the function as servers apply it.
    pub(super) fn checked(self, token: &str, wildcards: usize, literal: bool) -> Result<Self, TransformError> {
        let out_of_range = || TransformError::IndexOutOfRange { token: token.to_owned(), wildcards };
        if literal {
            return match self {
                // Servers drop the arguments of a partition under a literal source.
                Self::Partition(count, _) => Ok(Self::Partition(count, Vec::new())),
                Self::Random(_) => Ok(self),
                _ => Err(out_of_range()),
            };
        }
        let limit = i64::try_from(wildcards).unwrap_or(i64::MAX);
        if self.indexes().iter().any(|index| *index > limit) { Err(out_of_range()) } else { Ok(self) }
    }

    pub(super) fn splits(&self) -> bool {
        matches!(
            self,
            Self::SplitFromLeft(..)
                | Self::SplitFromRight(..)
                | Self::SliceFromLeft(..)
                | Self::SliceFromRight(..)
                | Self::Split(..)
        )
    }

    pub(super) fn has_index_below_one(&self) -> bool {
        self.indexes().iter().any(|index| *index < 1)
    }

    fn indexes(&self) -> &[i64] {
        match self {
            Self::Partition(_, indexes) => indexes,
            Self::Random(_) => &[],
            Self::Wildcard(index)
            | Self::SplitFromLeft(index, _)
            | Self::SplitFromRight(index, _)
            | Self::SliceFromLeft(index, _)
            | Self::SliceFromRight(index, _)
            | Self::Left(index, _)
            | Self::Right(index, _)
            | Self::Split(index, _) => std::slice::from_ref(index),
        }
    }

    /// Applies the function to a subject. `wildcards` has the indexes of the subject's tokens that match `*`.
    pub(super) fn apply(&self, subject: &[&str], wildcards: &[usize]) -> String {
        // Servers read an index below 1 as the first token of the subject (an unset entry of a Go map).
        let token = |index: i64| {
            let at = usize::try_from(index).ok().and_then(|index| index.checked_sub(1));
            subject[at.and_then(|at| wildcards.get(at)).copied().unwrap_or(0)]
        };
        match self {
            Self::Wildcard(index) => token(*index).to_owned(),
            Self::Partition(count, indexes) if indexes.is_empty() => bucket(&subject.join("."), *count),
            Self::Partition(count, indexes) => {
                bucket(&indexes.iter().map(|index| token(*index)).collect::<String>(), *count)
            }
            Self::SplitFromLeft(index, at) => split_at(token(*index), size(*at)),
            Self::SplitFromRight(index, at) => {
                let token = token(*index);
                let at = size(*at);
                if at > 0 && at < token.len() { split_at(token, token.len() - at) } else { token.to_owned() }
            }
            Self::SliceFromLeft(index, length) => slices(token(*index), size(*length), 0),
            Self::SliceFromRight(index, length) => {
                let (token, length) = (token(*index), size(*length));
                slices(token, length, token.len().checked_rem(length).unwrap_or(0))
            }
            Self::Left(index, length) => {
                let token = token(*index);
                let length = size(*length);
                if length > 0 && length < token.len() { lossy(&token.as_bytes()[..length]) } else { token.to_owned() }
            }
            Self::Right(index, length) => {
                let token = token(*index);
                let length = size(*length);
                if length > 0 && length < token.len() {
                    lossy(&token.as_bytes()[token.len() - length..])
                } else {
                    token.to_owned()
                }
            }
            Self::Split(index, delimiter) => split_by(token(*index), delimiter),
            Self::Random(_) => "0".to_owned(),
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wildcard(index) => write!(f, "{{{{wildcard({index})}}}}"),
            Self::Partition(count, indexes) => {
                write!(f, "{{{{partition({count}")?;
                indexes.iter().try_for_each(|index| write!(f, ",{index}"))?;
                write!(f, ")}}}}")
            }
            Self::SplitFromLeft(index, at) => write!(f, "{{{{splitFromLeft({index},{at})}}}}"),
            Self::SplitFromRight(index, at) => write!(f, "{{{{splitFromRight({index},{at})}}}}"),
            Self::SliceFromLeft(index, size) => write!(f, "{{{{sliceFromLeft({index},{size})}}}}"),
            Self::SliceFromRight(index, size) => write!(f, "{{{{sliceFromRight({index},{size})}}}}"),
            Self::Left(index, size) => write!(f, "{{{{left({index},{size})}}}}"),
            Self::Right(index, size) => write!(f, "{{{{right({index},{size})}}}}"),
            Self::Split(index, delimiter) => write!(f, "{{{{split({index},{delimiter})}}}}"),
            Self::Random(limit) => write!(f, "{{{{random({limit})}}}}"),
        }
    }
}

struct Arguments<'a> {
    token: &'a str,
    given: Vec<&'a str>,
}

impl Arguments<'_> {
    fn bad(&self) -> TransformError {
        TransformError::BadArgument(self.token.to_owned())
    }

    fn integer(&self, index: usize) -> Result<i64, TransformError> {
        go_integer(self.given[index].trim_matches(' ')).ok_or_else(|| self.bad())
    }

    fn small(&self, index: usize) -> Result<i32, TransformError> {
        i32::try_from(self.integer(index)?).map_err(|_| self.bad())
    }

    fn exactly_one(&self) -> Result<i64, TransformError> {
        match self.given[..] {
            [""] => Err(TransformError::NotEnoughArguments(self.token.to_owned())),
            [_] => self.integer(0),
            _ => Err(TransformError::TooManyArguments(self.token.to_owned())),
        }
    }

    fn exactly_two(&self) -> Result<(), TransformError> {
        match self.given.len() {
            0 | 1 => Err(TransformError::NotEnoughArguments(self.token.to_owned())),
            2 => Ok(()),
            _ => Err(TransformError::TooManyArguments(self.token.to_owned())),
        }
    }
}

/// Returns the text between the parentheses of a call of `name`. It is found as the servers' expression
/// `{{\s*name\s*\((.*)\)\s*}}` finds it: anywhere in the token, up to the last `)`, with capitals only at word starts.
fn arguments<'a>(name: &str, token: &'a str) -> Option<&'a str> {
    token.match_indices("{{").find_map(|(start, _)| {
        let rest = token[start + 2..].trim_start_matches(is_space);
        let rest = strip_name(rest, name)?.trim_start_matches(is_space).strip_prefix('(')?;
        rest.rmatch_indices(')')
            .find_map(|(end, _)| rest[end + 1..].trim_start_matches(is_space).starts_with("}}").then(|| &rest[..end]))
    })
}

/// Strips `name` from the start of `text`. Each word of it may begin with a lower-case or upper-case letter.
fn strip_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.get(..name.len())?;
    let fits = head.chars().zip(name.chars()).enumerate().all(|(index, (given, wanted))| {
        if index == 0 || wanted.is_ascii_uppercase() { given.eq_ignore_ascii_case(&wanted) } else { given == wanted }
    });
    fits.then(|| &text[name.len()..])
}

/// Splits at commas, and removes the white space after each.
fn split_arguments(arguments: &str) -> Vec<&str> {
    arguments
        .split(',')
        .enumerate()
        .map(|(index, argument)| if index == 0 { argument } else { argument.trim_start_matches(is_space) })
        .collect()
}

/// `\s` of Go's regexp.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ')
}

/// `strconv.Atoi`: digits with an optional sign.
fn go_integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn size(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// Returns the FNV-1a hash of the key, modulo the number of partitions.
fn bucket(key: &str, count: i32) -> String {
    let count = u32::from_ne_bytes(count.to_ne_bytes());
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.checked_rem(count).unwrap_or(0).to_string()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn split_at(token: &str, at: usize) -> String {
    if at == 0 || at >= token.len() {
        return token.to_owned();
    }
    let (left, right) = token.as_bytes().split_at(at);
    format!("{}.{}", lossy(left), lossy(right))
}

/// Splits a token into slices of `length`, after a first slice of `first` bytes unless that is 0. A shorter rest comes
/// last.
fn slices(token: &str, length: usize, first: usize) -> String {
    if length == 0 || length >= token.len() {
        return token.to_owned();
    }
    let (head, tail) = token.as_bytes().split_at(first);
    let head = (!head.is_empty()).then(|| lossy(head));
    head.into_iter().chain(tail.chunks(length).map(lossy)).collect::<Vec<_>>().join(".")
}

/// Joins the pieces between delimiters as servers do. Empty pieces vanish, mostly with their dots.
fn split_by(token: &str, delimiter: &str) -> String {
    // Go splits by an empty delimiter into characters.
    let pieces: Vec<&str> = if delimiter.is_empty() {
        token.split("").filter(|piece| !piece.is_empty()).collect()
    } else {
        token.split(delimiter).collect()
    };
    let mut result = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        result.push_str(piece);
        let next_is_text = pieces.get(index + 1).is_some_and(|next| !next.is_empty());
        if next_is_text && !(index == 0 && piece.is_empty()) {
            result.push('.');
        }
    }
    result
}
