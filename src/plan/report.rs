//! Something that a plan leaves alone.

use serde::Serialize;

/// Something seen and left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The virtual stream that it was made for.
    pub virtual_stream: String,
    /// What it is, in NATS terms (`stream bar-read-west`, `mapping bar.>`).
    pub place: String,
    /// Why it is left alone.
    pub message: String,
    /// How to change that on purpose; empty where there is nothing to do.
    pub next: String,
}
