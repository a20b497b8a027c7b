//! Places in the files of a definition.

/// Where something stands in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Place {
    /// Index into the files.
    pub file: usize,
    /// From 1; 0 when unknown.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// Byte offset.
    pub start: usize,
    /// Byte offset of the first byte after it.
    pub end: usize,
}
