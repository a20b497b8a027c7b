//! Reads the operator's key from the source that the user named. This tool never searches for it.

use super::age::{self, AgeError, Unlock};
use super::file::{KeyFileError, LARGEST, not_open_to_others, read_any_file};
use super::patience::Patience;
use super::{Seed, SeedError, looks_like_a_seed};
use crate::files::drain;
use crate::model::nkey::KeyKind;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The user's inputs about the operator's key, from the command line.
#[derive(Default)]
pub struct OperatorInputs {
    /// `--operator`: a file, or `-` for standard input.
    pub flag: Option<PathBuf>,
    /// `VSTREAM_OPERATOR_FILE`
    pub env_file: Option<PathBuf>,
    /// `VSTREAM_OPERATOR_SEED`
    pub env_seed: Option<Zeroizing<String>>,
    /// The means to open an encrypted key.
    pub unlock: Unlock,
}

impl std::fmt::Debug for OperatorInputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let env_seed = self.env_seed.as_ref().map(|_| "(not shown)");
        f.debug_struct("OperatorInputs")
            .field("flag", &self.flag)
            .field("env_file", &self.env_file)
            .field("env_seed", &env_seed)
            .finish_non_exhaustive()
    }
}

/// Reason why the operator's key that the user named can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No such file exists, neither at the path that the user named nor in the keys folder.
    #[error("the operator's key: there is no file {path}, and none of that name in the keys folder {folder}")]
    NotFound {
        /// The file as named.
        path: PathBuf,
        /// The keys folder.
        folder: PathBuf,
    },
    /// The file can't be used.
    #[error("the operator's key: {0}")]
    File(#[from] KeyFileError),
    /// The key is encrypted, and was not opened.
    #[error("the operator's key {place} {cause}")]
    Age {
        /// A file, or `on standard input`.
        place: String,
        /// Reason why it was not opened.
        cause: AgeError,
    },
    /// Standard input can't be read.
    #[error("the operator's key on standard input cannot be read: {0}")]
    Stdin(std::io::Error),
    /// Standard input or the environment variable has no usable seed.
    #[error("the operator's key {place} {cause}")]
    Seed {
        /// `on standard input`, `in VSTREAM_OPERATOR_SEED`
        place: &'static str,
        /// The fault in the seed.
        cause: SeedError,
    },
    /// The user gave a seed instead of a file. It is now in the shell's history, and no message repeats it.
    #[error("the operator's key is named by a file or `-`; a seed was given instead, where others can see it")]
    SeedAsPath,
    /// Both variables are set.
    #[error("VSTREAM_OPERATOR_FILE and VSTREAM_OPERATOR_SEED are both set")]
    Ambiguous,
}

/// Reads the operator's key from the source that the user named. Returns `None` if the user named none. `--operator`
/// overrides the environment.
///
/// # Errors
/// [`SourceError`], also for a seed of another kind.
pub fn operator_seed(inputs: &OperatorInputs, keys: &Path, patience: &Patience) -> Result<Option<Seed>, SourceError> {
    match (&inputs.flag, &inputs.env_file, &inputs.env_seed) {
        (Some(flag), _, _) if flag.as_os_str() == "-" => from_stdin(&inputs.unlock, patience).map(Some),
        (Some(path), _, _) | (None, Some(path), None) => from_file(path, keys, &inputs.unlock).map(Some),
        (None, None, Some(text)) => of_operator(text.as_bytes())
            .map(Some)
            .map_err(|cause| SourceError::Seed { place: "in VSTREAM_OPERATOR_SEED", cause }),
        (None, Some(_), Some(_)) => Err(SourceError::Ambiguous),
        (None, None, None) => Ok(None),
    }
}

fn from_file(path: &Path, keys: &Path, unlock: &Unlock) -> Result<Seed, SourceError> {
    if path.to_str().is_some_and(looks_like_a_seed) {
        return Err(SourceError::SeedAsPath);
    }
    let in_folder = keys.join(path);
    let (path, (bytes, mode)) = match read_any_file(path) {
        Err(KeyFileError::Missing { .. }) => match read_any_file(&in_folder) {
            Err(KeyFileError::Missing { .. }) => {
                return Err(SourceError::NotFound { path: path.to_owned(), folder: keys.to_owned() });
            }
            found => (in_folder.as_path(), found?),
        },
        found => (path, found?),
    };
    // Other users may read an encrypted file.
    let (plain, encrypted) = match age::is_encrypted(&bytes) {
        true => {
            let place = format!("file {}", path.display());
            (age::decrypt(&bytes, &place, unlock).map_err(|cause| SourceError::Age { place, cause })?, true)
        }
        false => (bytes, false),
    };
    let seed = of_operator(&plain).map_err(|cause| KeyFileError::Seed { path: path.to_owned(), cause })?;
    if !encrypted {
        not_open_to_others(path, mode)?;
    }
    Ok(seed)
}

fn from_stdin(unlock: &Unlock, patience: &Patience) -> Result<Seed, SourceError> {
    const PLACE: &str = "on standard input";
    let wrong = |cause| SourceError::Seed { place: PLACE, cause };
    let read = read_stdin(LARGEST, patience).map_err(SourceError::Stdin)?;
    let mut text = read.ok_or_else(|| wrong(SeedError::Damaged("too long")))?;
    if age::is_encrypted(&text) {
        text = age::decrypt(&text, "the operator's key", unlock)
            .map_err(|cause| SourceError::Age { place: PLACE.to_owned(), cause })?;
    }
    of_operator(&text).map_err(wrong)
}

/// Reads standard input without `std::io::Stdin`, whose buffer is never wiped. Stops reading a pipe that does not end
/// in time, even if data keeps coming. Waits for a user at a terminal without a limit.
#[cfg(unix)]
pub(crate) fn read_stdin(largest: usize, patience: &Patience) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    use std::os::fd::AsFd as _;
    let mut input = std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    match std::io::IsTerminal::is_terminal(&input) {
        true => drain(&mut input, largest),
        false => drain_in_time(input, largest, patience),
    }
}

#[cfg(unix)]
fn drain_in_time(
    input: std::fs::File,
    largest: usize,
    patience: &Patience,
) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    patience.wait(|turn| {
        let drained = drain(&mut Timed { input, until: Instant::now() + turn.most }, largest);
        drained.map_err(|error| match error.kind() {
            std::io::ErrorKind::TimedOut => {
                std::io::Error::new(error.kind(), format!("its end did not come within {}", turn.named))
            }
            _ => error,
        })
    })
}

/// A reader that stops when its time is up.
#[cfg(unix)]
struct Timed {
    input: std::fs::File,
    until: Instant,
}

#[cfg(unix)]
impl std::io::Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let left: Duration = self.until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(std::io::Error::other)?;
        if poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&timeout))? == 0 {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.input.read(buffer)
    }
}

#[cfg(not(unix))]
pub(crate) fn read_stdin(largest: usize, _: &Patience) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    drain(&mut std::io::stdin().lock(), largest)
}

fn of_operator(text: &[u8]) -> Result<Seed, SeedError> {
    if text.trim_ascii().is_empty() {
        return Err(SeedError::Damaged("empty"));
    }
    let seed = Seed::parse_bytes(text);
    super::memory::scrub_stack();
    let seed = seed?;
    match seed.kind() {
        KeyKind::Operator => Ok(seed),
        found => Err(SeedError::WrongKind { expected: KeyKind::Operator, found }),
    }
}

#[cfg(test)]
mod tests;
