//! What the user lets a run do.

use super::allowable::allowable;
use crate::model::nkey::PublicKey;
use serde::{Deserialize, Serialize};

/// What a run may do beyond adding and changing what is ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Take over mappings and streams that have our names but are not ours.
    pub adopt: bool,
    /// Virtual streams of which everything that this definition doesn't have is taken away.
    pub prune: Vec<String>,
    /// With `prune`: the streams too, with their data.
    pub delete_streams: bool,
    /// Codes of findings that do not stop this run (`region-missing`).
    pub allow: Vec<String>,
    /// Signing keys that regional accounts get, since none of theirs is at hand: the account, and its new key.
    pub signing_keys: Vec<(PublicKey, PublicKey)>,
}

impl Options {
    /// Whether what is ours, of `virtual_stream`, and not desired is taken away.
    pub fn prunes(&self, virtual_stream: &str) -> bool {
        self.prune.iter().any(|name| name == virtual_stream)
    }

    /// Whether findings of this code do not stop the run: those of [`allowable`] only, whatever [`Self::allow`] names.
    pub fn allows(&self, code: &str) -> bool {
        self.allow.iter().any(|allowed| allowed == code) && allowable().any(|allowable| allowable == code)
    }

    /// Returns whether a run may go on without the lease. A lease in a region that is down, and that is left out on purpose, is
    /// gone without; so is any by its own exception.
    pub fn may_go_without_lease(&self, region_missing: bool) -> bool {
        self.allows(crate::desired::lease::UNREACHABLE) || (region_missing && self.allows("region-missing"))
    }
}
