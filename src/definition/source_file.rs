//! The files of a definition, as texts.

/// The text of one file of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name as the user knows it; errors cite it.
    pub name: String,
    /// Its text.
    pub text: String,
}
