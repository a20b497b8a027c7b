//! Facts about the deployment that complete the definition.

use super::regional::RegionalIds;

/// Facts that come from the deployment, not from the definition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredOptions {
    /// Major and minor version of the oldest server; `None` for the newest versions.
    pub oldest_server: Option<(u64, u64)>,
    /// The existing regional accounts.
    pub regional: RegionalIds,
}
