//! Options of a run, from the command line.

use super::allowable::allowable;
use crate::model::nkey::PublicKey;
use serde::{Deserialize, Serialize};

/// Options that let a run do more than add and change what is ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Takes over mappings and streams that have our names but are not ours.
    pub adopt: bool,
    /// Virtual streams whose undefined parts the run removes.
    pub prune: Vec<String>,
    /// With `prune`, removes the streams too, with their data.
    pub delete_streams: bool,
    /// Codes of findings that do not stop this run (`region-missing`).
    pub allow: Vec<String>,
    /// Signing keys for regional accounts whose keys are all missing: the account, and its new key.
    pub signing_keys: Vec<(PublicKey, PublicKey)>,
}

impl Options {
    /// Returns `true` if the run removes what is ours, belongs to `virtual_stream`, and is not desired.
    pub fn prunes(&self, virtual_stream: &str) -> bool {
        self.prune.iter().any(|name| name == virtual_stream)
    }

    /// Returns `true` if findings with this code do not stop the run. Codes that are not in [`allowable`] never count,
    /// even if [`Self::allow`] has them.
    pub fn allows(&self, code: &str) -> bool {
        self.allow.iter().any(|allowed| allowed == code) && allowable().any(|allowable| allowable == code)
    }

    /// Returns `true` if a run may go on without the lease: if an unreachable lease is allowed, or if a missing region
    /// is, since the lease may be there.
    pub fn may_go_without_lease(&self, region_missing: bool) -> bool {
        self.allows(crate::desired::lease::UNREACHABLE) || (region_missing && self.allows("region-missing"))
    }
}
