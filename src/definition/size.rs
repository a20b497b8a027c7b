//! Limits on the size of a definition.

use super::SourceFile;
use super::place::Place;
use super::problem::{Collected, Problem, Problems};

/// Largest size of all files of a definition together, in bytes.
pub const MAX_SIZE: usize = 8_000_000;
/// Most files of a definition.
const MOST_FILES: usize = 10_000;
/// Length of the longest file name, in bytes, which is that of the longest path.
const LONGEST_NAME: usize = 4096;
/// The next step if a definition is too large.
pub(super) const SPREAD: &str = "spread its accounts over several definitions";

/// Checks the size of a definition before its texts are read or copied. `files` has the names of its files with their
/// sizes in bytes.
///
/// # Errors
/// A definition with more than [`MAX_SIZE`] bytes, with too many files, or with too long a file name.
pub fn check_size<'f>(files: impl IntoIterator<Item = (&'f str, usize)>) -> Result<(), Problems> {
    let mut bytes: usize = 0;
    for (index, (name, size)) in files.into_iter().enumerate() {
        bytes = bytes.saturating_add(size);
        let what = match () {
            () if name.len() > LONGEST_NAME => format!("the name of this file has more than {LONGEST_NAME} bytes"),
            () if index >= MOST_FILES => format!("with this file the definition has more than {MOST_FILES} files"),
            () if bytes > MAX_SIZE => {
                format!("with this file the definition has more than {} MB", MAX_SIZE / 1_000_000)
            }
            () => continue,
        };
        let file = SourceFile { name: name.chars().take(LONGEST_NAME / 4).collect(), text: String::new() };
        let mut problems = Collected::default();
        let start = Place { line: 1, column: 1, ..Place::default() };
        problems.push(Problem::new("too-large", start, what).help(SPREAD));
        return Err(Problems::new(&[file], problems, Vec::new()));
    }
    Ok(())
}
