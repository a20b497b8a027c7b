//! A verb's work, one file each: the stages put together. Asks through
//! [`Connector`], tells through [`Tell`], never
//! prints.

mod along;
pub mod apply;
mod caches;
pub mod confirm;
mod deliveries;
pub mod demo;
pub mod destroy;
pub mod explain;
pub mod init;
mod issue;
pub mod journal;
pub mod keys;
pub mod lease;
pub mod load;
pub mod nsc;
pub mod plan;
pub mod planfile;
pub mod record;
mod regional;
pub mod render;
pub mod rollback;
pub mod session;
pub mod trust;
mod users;
pub mod verify;
pub mod watch;

pub use crate::observed::link::{Connector, LinkError};

use std::time::Duration;
use tokio::time::Instant;

/// What a running verb says on its way.
pub trait Tell: Sync {
    /// `done` of `total` of what `step` names; a total of 0 is a step without a count.
    fn step(&self, step: &str, done: usize, total: usize);
}

/// Says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Tell for Silent {
    fn step(&self, _step: &str, _done: usize, _total: usize) {}
}

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
