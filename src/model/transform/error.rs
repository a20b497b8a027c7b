//! Reasons for which servers refuse a transform.

/// Reason why a server refuses a transform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// Source or destination is not a subject.
    #[error("`{0}` is not a valid subject")]
    BadSubject(String),
    /// The destination has a `*`.
    #[error("the destination `{0}` has a `*`; a destination names wildcards as {{{{wildcard(1)}}}}")]
    Wildcard(String),
    /// Only one of source and destination ends with `>`.
    #[error("source `{source_subject}` and destination `{destination}` have to end with `>` both or not at all")]
    OpenEnd {
        /// The source.
        source_subject: String,
        /// The destination.
        destination: String,
    },
    /// A function `{{…}}` that no server knows.
    #[error("`{0}` is not a function that servers know")]
    UnknownFunction(String),
    /// A function with too few arguments.
    #[error("`{0}` has too few arguments")]
    NotEnoughArguments(String),
    /// A function with too many arguments.
    #[error("`{0}` has too many arguments")]
    TooManyArguments(String),
    /// An argument that is not a number, or a split by a space.
    #[error("`{0}` has an argument that is not valid")]
    BadArgument(String),
    /// A function refers to a wildcard that the source does not have.
    #[error("`{token}` refers to a wildcard that the source does not have (it has {wildcards})")]
    IndexOutOfRange {
        /// The token of the destination.
        token: String,
        /// The number of `*` in the source.
        wildcards: usize,
    },
}
