//! Progress of a running verb.

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
