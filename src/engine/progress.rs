//! Progress of a running verb.

/// Reports the progress of a running verb.
pub trait Progress: Sync {
    /// Reports `done` of `total` items of `step`. A total of 0 is a step without a count.
    fn step(&self, step: &str, done: usize, total: usize);
}

/// Reports nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _step: &str, _done: usize, _total: usize) {}
}
