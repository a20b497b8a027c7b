//! What must hold before anything is signed or pushed: trust, sizes, clusters, clocks, permissions, and that the
//! account is what we think. One file for each concern; all of it pure.

mod base;
mod clocks;
mod clusters;
mod expiry;
mod features;
mod old_values;
mod permissions;
mod preload;
mod roles;
mod servers;
mod signer;
mod trust;

pub(super) use base::tokens;
pub use base::{
    ACCOUNT_EXPIRED, AccountRef, Base, KEPT_DIFFERS, PRELOAD_NOT_RELOADED, PRELOAD_UNREAD, TOKEN_PUSHED_AGAIN,
    TOKEN_UNREADABLE, TOKEN_UNTRUSTED, base, does_some_server_trust, observed_base,
};
pub use clusters::SERVED_MISSING;
pub(crate) use clusters::missing_served;
pub use expiry::credentials;
pub(super) use features::features;
pub(in crate::plan) use old_values::old_values;
pub use old_values::{OLD_VALUES, standing_old_values};
pub use permissions::{Verb, as_information, history_requests, may, permissions, permissions_brought, requests};
pub use preload::{PRELOAD_STALE, stale_preload};
pub use roles::{ROLE_LACKS_PERMISSIONS, roles};
pub use servers::{answers_differ, not_the_system_account, system_account_silent};
pub(super) use servers::{forgetful, revisions_refused};
pub use signer::{signer, size};
pub(crate) use trust::named_by_all;
pub use trust::{NOT_PINNED, anchor};

use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::topology::Topology;
use crate::observed::{Deployment, Server};

/// Codes of the findings that `--allow` may admit.
pub const ALLOWABLE: [&str; 10] = [
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

/// No key of a regional account is at hand; allowed, the operator gives it a new signing key.
pub const REGIONAL_KEY_MISSING: &str = "regional-key-missing";

/// How far a clock, or a token's date, may be off before it stops a run, in seconds.
pub const CLOCK_SKEW: u64 = 300;

/// Checks of the deployment as a whole: its servers, clusters and system account.
pub fn deployment(topology: &Topology, deployment: &Deployment, account: &PublicKey) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(servers::other_system_account(deployment, account));
    findings.extend(servers::too_old(deployment));
    findings.extend(servers::missing_servers(deployment));
    findings.extend(clusters::missing_regions(topology, deployment));
    findings.extend(clusters::served_clusters(topology, deployment));
    findings.extend(clusters::unknown_without_clients(topology, deployment));
    findings.extend(clusters::uncovered_clusters(topology, deployment));
    findings.extend(servers::domains(topology, deployment));
    findings.extend(clocks::clocks(deployment));
    findings
}

/// `server west-1`, `servers east-1, west-1`; of many the first few.
fn names(servers: &[&Server]) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = servers.iter().take(SHOWN).map(|server| server.name.as_str()).collect();
    let kind = if servers.len() == 1 { "server" } else { "servers" };
    let more = match servers.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{kind} {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests;
