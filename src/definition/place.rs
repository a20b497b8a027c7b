//! Locations in the files of a definition.

/// A location in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Place {
    /// Index into the files.
    pub file: usize,
    /// Line, from 1; 0 if unknown.
    pub line: u64,
    /// Column, from 1, in characters.
    pub column: u64,
    /// Byte offset.
    pub start: usize,
    /// Byte offset of its end.
    pub end: usize,
}
