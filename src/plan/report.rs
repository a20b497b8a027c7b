//! Reports about objects that a plan leaves alone.

use serde::Serialize;

/// A stream or mapping that the plan leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The virtual stream that the stream or mapping was made for.
    pub virtual_stream: String,
    /// The stream or mapping, in NATS terms (`stream bar-read-west`, `mapping bar.>`).
    pub place: String,
    /// Reason why the plan leaves it alone.
    pub message: String,
    /// The next step to change it intentionally; empty if there is none.
    pub next: String,
}
