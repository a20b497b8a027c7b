//! Reasons for which there is no desired state.

use crate::model::mapping::Overlap;
use crate::model::subject::SubjectError;

/// Why there is no desired state. A definition that was parsed gives none of these, unless it asks for
/// something that is not built yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// A layout, kind or consistency level that this version cannot do.
    #[error(
        "{place}: {what} is not built yet; this version does `consistency: eventual`, and buckets and `consistency: mirrored` in the layout `regional`"
    )]
    NotBuilt {
        /// Account or virtual stream.
        place: String,
        /// The key with its value.
        what: String,
    },
    /// A name that does not make a subject.
    #[error("virtual stream {stream}: {error}")]
    Subject {
        /// The virtual stream.
        stream: String,
        /// What is wrong.
        error: SubjectError,
    },
    /// Two mapping sources have subjects in common.
    #[error("account {account}: {overlap}")]
    Overlap {
        /// The account of the definition.
        account: String,
        /// The two sources.
        overlap: Overlap,
    },
    /// Two write streams would store the same subjects.
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
    /// Two streams of one account, real or virtual, with one name.
    #[error("account {account}: two streams would be called `{name}`: {first} and {second}")]
    SameName {
        /// The account of the definition.
        account: String,
        /// The name.
        name: String,
        /// What has the name first.
        first: String,
        /// What has it too.
        second: String,
    },
}
