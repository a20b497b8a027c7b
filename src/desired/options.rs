//! What the deployment adds to the definition.

use super::regional::RegionalIds;

/// What the definition does not say, but the deployment does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Major and minor version of the oldest server; `None` means one of the newest.
    pub oldest_server: Option<(u64, u64)>,
    /// The regional accounts that exist.
    pub regional: RegionalIds,
}
