//! Options of a run, as the user gave them.

use super::allowable::allowable;
use crate::model::nkey::PublicKey;
use serde::{Deserialize, Serialize};

/// Permissions of a run beyond adding and changing what is ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Take over mappings and streams that have our names but are not ours.
    pub adopt: bool,
    /// Virtual streams of which the run removes everything that this definition does not have.
    pub prune: Vec<String>,
    /// With `prune`: removes the streams too, with their data.
    pub delete_streams: bool,
    /// Codes of findings that do not stop this run (`region-missing`).
    pub allow: Vec<String>,
    /// Signing keys for regional accounts of which no key is available: the account, and its new key.
    pub signing_keys: Vec<(PublicKey, PublicKey)>,
}

impl Options {
    /// Returns `true` if the run removes what is ours, of `virtual_stream`, and not desired.
    pub fn prunes(&self, virtual_stream: &str) -> bool {
        self.prune.iter().any(|name| name == virtual_stream)
    }

    /// Returns `true` if findings of this code do not stop the run. Only those of [`allowable`] count, whatever
    /// [`Self::allow`] names.
    pub fn allows(&self, code: &str) -> bool {
        self.allow.iter().any(|allowed| allowed == code) && allowable().any(|allowable| allowable == code)
    }

    /// Returns `true` if a run may go on without the lease. It may if an unreachable lease is allowed. It also may if a
    /// region is missing and that is allowed, since the lease may be there.
    pub fn may_go_without_lease(&self, region_missing: bool) -> bool {
        self.allows(crate::desired::lease::UNREACHABLE) || (region_missing && self.allows("region-missing"))
    }
}
