//! Settings of a run.

use std::time::Duration;

/// Settings of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Number of requests in flight. More than 64 are no faster on three regions of three servers (measured, 2.15.1:
    /// 120 streams take 9.9 s one by one, 2.9 s with 8, 2.2 s with 64).
    pub concurrency: usize,
    /// Time for the whole run, which starts no item after it.
    pub deadline: Duration,
    /// Time for each request.
    pub request_timeout: Duration,
    /// Time during which "no suitable peers", "stream not found" and "error creating store" are retried. The meta
    /// leader does not know servers that have just started at once.
    pub grace: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            concurrency: 64,
            deadline: Duration::from_secs(60),
            request_timeout: Duration::from_secs(5),
            grace: Duration::from_secs(5),
        }
    }
}
