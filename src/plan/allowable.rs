//! Findings that stop a run unless the user allows them with `--allow`, because they may be intended.

use crate::desired::lease;
use crate::lint;

/// New read streams start without the history of the streams that they replace.
pub const LOSES_HISTORY: &str = "loses-history";

/// No server answers from a cluster that a region serves.
pub const SERVED_MISSING: &str = "served-cluster-missing";

/// No key of a regional account is available. If allowed, the operator gives it a new signing key.
pub const REGIONAL_KEY_MISSING: &str = "regional-key-missing";

/// Read streams may return to values that they dropped.
pub const OLD_VALUES: &str = "old-values-return";

/// Users of a role, or users without permissions of their own, may publish on virtual names but not on the mapped
/// subjects.
pub const ROLE_LACKS_PERMISSIONS: &str = "role-lacks-permissions";

/// The account server or the preload has another token than the servers, and neither token was made from the other.
pub const KEPT_DIFFERS: &str = "kept-differs";

/// The preload file is older than the tokens that servers have for other accounts.
pub const PRELOAD_STALE: &str = "preload-stale";

/// The servers did not list the subscribers of subjects that the run is about to map. It is an error if a permission is
/// missing.
pub(super) const LISTENERS_UNKNOWN: &str = "listeners-unknown";

/// Mappings send requests for the account's JetStream to the regions, and none leads back, because another tool removed
/// it.
pub const WAY_BACK_MISSING: &str = "way-back-missing";

/// The nsc store's copy of an account is older than the servers' token, and differs in entries that are not ours. If
/// allowed, the run replaces the copy.
pub const NSC_STORE_DIFFERS: &str = "nsc-store-differs";

/// Findings about streams: servers would accept the change.
const STREAMS: [&str; 7] = [
    "moves-stream",
    "imports-again",
    "removes-source",
    "deletes-messages",
    "captures-virtual-subjects",
    "ordinary-streams",
    LOSES_HISTORY,
];

/// Findings of the preflight.
const PREFLIGHT: [&str; 10] = [
    "region-missing",
    SERVED_MISSING,
    "cluster-uncovered",
    REGIONAL_KEY_MISSING,
    "clocks-differ",
    "issued-in-future",
    OLD_VALUES,
    ROLE_LACKS_PERMISSIONS,
    KEPT_DIFFERS,
    PRELOAD_STALE,
];

/// Findings of a rollback.
const ROLLBACK: [&str; 2] = ["leads-nowhere", "record-untrusted"];

/// Other findings.
const OTHERS: [&str; 4] = [NSC_STORE_DIFFERS, LISTENERS_UNKNOWN, lease::UNREACHABLE, WAY_BACK_MISSING];

/// Returns the codes of the findings that [`Options::allow`](super::Options::allow) admits.
pub fn allowable() -> impl Iterator<Item = &'static str> {
    STREAMS.into_iter().chain(lint::ALLOWABLE).chain(PREFLIGHT).chain(ROLLBACK).chain(OTHERS)
}
