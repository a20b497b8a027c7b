//! How to provision.

use std::time::Duration;

/// How to provision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Requests in flight. 64 is as fast as it gets on three regions of three servers (measured, 2.15.1: 120 streams
    /// take 9.9 s one by one, 2.9 s with 8, 2.2 s with 64).
    pub concurrency: usize,
    /// For everything together; what passes is not begun after that.
    pub deadline: Duration,
    /// For each request.
    pub request_timeout: Duration,
    /// How long "no suitable peers", "stream not found" and "error creating store" are asked again: servers that just started are not known
    /// to the meta leader at once.
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
