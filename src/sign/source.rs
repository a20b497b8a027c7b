//! Where the operator's key comes from. It is never searched for.

use super::file::{KeyFileError, LARGEST, read_secret, read_seed_file};
use super::{Seed, SeedError, looks_like_a_seed};
use crate::model::nkey::KeyKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What the user said about the operator's key; filled in by the command line.
#[derive(Default)]
pub struct OperatorInputs {
    /// `--operator`: a file, or `-` for standard input.
    pub flag: Option<PathBuf>,
    /// `VSTREAM_OPERATOR_FILE`
    pub env_file: Option<PathBuf>,
    /// `VSTREAM_OPERATOR_SEED`
    pub env_seed: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for OperatorInputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let env_seed = self.env_seed.as_ref().map(|_| "(not shown)");
        f.debug_struct("OperatorInputs")
            .field("flag", &self.flag)
            .field("env_file", &self.env_file)
            .field("env_seed", &env_seed)
            .finish()
    }
}

/// Why the operator's key that was named can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither where it was named nor in the keys folder.
    #[error("the operator's key: there is no file {path}, and none of that name in the keys folder {folder}")]
    NotFound {
        /// The file as named.
        path: PathBuf,
        /// The keys folder.
        folder: PathBuf,
    },
    /// The file.
    #[error("the operator's key: {0}")]
    File(#[from] KeyFileError),
    /// Standard input can't be read.
    #[error("the operator's key on standard input cannot be read: {0}")]
    Stdin(std::io::Error),
    /// Standard input or the environment variable has no usable seed.
    #[error("the operator's key {place} {cause}")]
    Seed {
        /// `on standard input`, `in VSTREAM_OPERATOR_SEED`
        place: &'static str,
        /// What is wrong with it.
        cause: SeedError,
    },
    /// A seed where a file is named: it is in the shell's history now, and is not repeated here.
    #[error("the operator's key is named by a file or `-`; a seed was given instead, where others can see it")]
    SeedAsPath,
    /// Both variables are set.
    #[error("VSTREAM_OPERATOR_FILE and VSTREAM_OPERATOR_SEED are both set")]
    Ambiguous,
}

/// Reads the operator's key from where it was named; `None` when it wasn't. `--operator` wins over the environment.
///
/// # Errors
/// [`SourceError`]; a seed of another kind is refused.
pub fn operator_seed(inputs: &OperatorInputs, keys: &Path) -> Result<Option<Seed>, SourceError> {
    match (&inputs.flag, &inputs.env_file, &inputs.env_seed) {
        (Some(flag), _, _) if flag.as_os_str() == "-" => from_stdin().map(Some),
        (Some(path), _, _) | (None, Some(path), None) => from_file(path, keys).map(Some),
        (None, None, Some(text)) => of_operator(Seed::parse(text))
            .map(Some)
            .map_err(|cause| SourceError::Seed { place: "in VSTREAM_OPERATOR_SEED", cause }),
        (None, Some(_), Some(_)) => Err(SourceError::Ambiguous),
        (None, None, None) => Ok(None),
    }
}

fn from_file(path: &Path, keys: &Path) -> Result<Seed, SourceError> {
    if path.to_str().is_some_and(looks_like_a_seed) {
        return Err(SourceError::SeedAsPath);
    }
    let in_folder = keys.join(path);
    let (path, seed) = match read_seed_file(path) {
        Err(KeyFileError::Missing { .. }) => match read_seed_file(&in_folder) {
            Err(KeyFileError::Missing { .. }) => {
                return Err(SourceError::NotFound { path: path.to_owned(), folder: keys.to_owned() });
            }
            found => (in_folder.as_path(), found?),
        },
        found => (path, found?),
    };
    of_operator(Ok(seed)).map_err(|cause| KeyFileError::Seed { path: path.to_owned(), cause }.into())
}

fn from_stdin() -> Result<Seed, SourceError> {
    let text = read_stdin(LARGEST).map_err(SourceError::Stdin)?;
    let seed = match &text {
        Some(text) if text.trim_ascii().is_empty() => Err(SeedError::Damaged("empty")),
        Some(text) => Seed::parse_bytes(text),
        None => Err(SeedError::Damaged("too long")),
    };
    of_operator(seed).map_err(|cause| SourceError::Seed { place: "on standard input", cause })
}

/// Past `std::io::Stdin`, whose buffer is never wiped.
#[cfg(unix)]
pub(crate) fn read_stdin(largest: usize) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    use std::os::fd::AsFd as _;
    read_secret(&mut std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned()?), largest)
}

#[cfg(not(unix))]
pub(crate) fn read_stdin(largest: usize) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    read_secret(&mut std::io::stdin().lock(), largest)
}

fn of_operator(seed: Result<Seed, SeedError>) -> Result<Seed, SeedError> {
    let seed = seed?;
    match seed.kind() {
        KeyKind::Operator => Ok(seed),
        found => Err(SeedError::WrongKind { expected: KeyKind::Operator, found }),
    }
}

#[cfg(test)]
mod tests;
