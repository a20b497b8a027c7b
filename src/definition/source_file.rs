//! Texts of the files of a definition.

/// The text of one file of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The name that the user knows, which errors cite.
    pub name: String,
    /// The text.
    pub text: String,
}
