//! Reasons why there is no desired state.

use crate::model::mapping::Overlap;
use crate::model::subject::SubjectError;

/// Reason why there is no desired state. A parsed definition causes such an error only if it asks for something that is
/// not built yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// A layout, kind or consistency level that this version does not support.
    #[error(
        "{place}: {what} is not built yet; this version does `consistency: eventual`, and buckets and `consistency: mirrored` in the layout `regional`"
    )]
    NotBuilt {
        /// Account or virtual stream.
        place: String,
        /// The key with its value.
        what: String,
    },
    /// A name that does not form a valid subject.
    #[error("virtual stream {stream}: {error}")]
    Subject {
        /// The virtual stream.
        stream: String,
        /// The defect.
        error: SubjectError,
    },
    /// Two mapping sources with common subjects.
    #[error("account {account}: {overlap}")]
    Overlap {
        /// The account of the definition.
        account: String,
        /// The two sources.
        overlap: Overlap,
    },
    /// Two write streams that would store the same subjects.
    #[error("account {account}: streams {first} and {second} would both store subjects of `{subject}`")]
    WriteSubjects {
        /// The account of the definition.
        account: String,
        /// One write stream.
        first: String,
        /// The other.
        second: String,
        /// The subject of the second.
        subject: String,
    },
    /// Two streams of one account, real or virtual, with the same name.
    #[error("account {account}: two streams would be called `{name}`: {first} and {second}")]
    SameName {
        /// The account of the definition.
        account: String,
        /// The name.
        name: String,
        /// The first stream with the name.
        first: String,
        /// The second stream with the name.
        second: String,
    },
}
