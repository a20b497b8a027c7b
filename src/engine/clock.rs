//! The time of a run: its deadline, the time of one request, and the wall clock of tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// How long one question may take, within the verb's time.
pub(crate) const ASK: Duration = Duration::from_secs(5);

/// The end of the time that a verb has.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// So much time from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Later by this much, which was not the verb's: somebody had to read.
    #[must_use]
    pub fn extended(self, by: Duration) -> Self {
        Self(self.0 + by)
    }

    /// What is left, nothing when it is over.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// What is left, at most `most`.
    pub fn at_most(self, most: Duration) -> Duration {
        self.left().min(most)
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
