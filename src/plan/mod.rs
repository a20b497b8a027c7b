//! Desired and observed, compared: ordered changes, what is left alone, and what stops a run.
//!
//! A plan is data. It is made without I/O and holds no secret.

mod account;
pub mod along;
mod anew;
pub mod capacity;
mod change;
mod claims_diff;
pub(crate) mod conflicts;
pub mod consumers;
mod envelope;
pub mod file;
mod links;
mod listening;
mod pushes;
pub mod record;
pub mod rollback;
pub mod streams;
pub mod way_back;
pub mod who;

pub use account::{AccountPlan, Plan, admit, destroy, is_nowhere, plan};
pub use change::FieldChange;
pub use claims_diff::claims_diff;
pub use envelope::MOST_BYTES;
pub use links::{ActivationRequest, ClaimChange, ClaimPart, Peer, claim_drift, left_open};
pub use pushes::{Push, Reason, Stage};

pub mod mappings;
pub mod overheard;
pub mod preflight;

use crate::model::nkey::PublicKey;
use serde::{Deserialize, Serialize};

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes what is not there.
    Create,
    /// Changes what is there, in place.
    Update,
    /// Takes away what is there.
    Delete,
}

/// Something seen and left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The virtual stream that it was made for.
    pub virtual_stream: String,
    /// What it is, in NATS terms (`stream bar-read-west`, `mapping bar.>`).
    pub place: String,
    /// Why it is left alone.
    pub message: String,
    /// How to change that on purpose; empty where there is nothing to do.
    pub next: String,
}

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

/// The nsc store's copy of an account is older than the servers' token and says otherwise what is not ours; allowed, it
/// is replaced.
pub const NSC_STORE_DIFFERS: &str = "nsc-store-differs";

/// Codes of the findings that [`Options::allow`] admits: what they are about is possible, and may be meant.
pub fn allowable() -> impl Iterator<Item = &'static str> {
    let all = streams::ALLOWABLE.into_iter().chain(crate::lint::ALLOWABLE).chain(preflight::ALLOWABLE);
    let others = [
        NSC_STORE_DIFFERS,
        listening::LISTENERS_UNKNOWN,
        crate::desired::lease::UNREACHABLE,
        way_back::WAY_BACK_MISSING,
    ];
    all.chain(rollback::ALLOWABLE).chain(others)
}
