//! Times of a run: its deadline, the limit of one request, and the wall clock for tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Maximum time for one request, within the verb's time.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The end of a verb's time.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns the deadline this long from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Returns a deadline that is later by this much, because the verb was waiting for the user.
    #[must_use]
    pub fn extended(self, by: Duration) -> Self {
        Self(self.0 + by)
    }

    /// Returns the remaining time; zero after the deadline.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Returns the remaining time, but no more than `most`.
    pub fn at_most(self, most: Duration) -> Duration {
        self.left().min(most)
    }

    /// Returns `true` after the deadline.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// Returns the seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
