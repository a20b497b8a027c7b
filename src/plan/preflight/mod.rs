//! Checks what must hold before anything is signed or pushed: trust, sizes, clusters, clocks, permissions, and that the
//! account is the intended one. Each concern has its own file, and all of them are pure.

mod base;
mod clocks;
mod clusters;
mod deployment;
mod expiry;
mod features;
mod names;
mod old_values;
mod permissions;
mod preload;
mod roles;
mod servers;
mod signer;
mod trust;

pub use super::allowable::{
    KEPT_DIFFERS, OLD_VALUES, PRELOAD_STALE, REGIONAL_KEY_MISSING, ROLE_LACKS_PERMISSIONS, SERVED_MISSING,
};
pub(super) use base::tokens;
pub use base::{
    ACCOUNT_EXPIRED, AccountRef, Base, PRELOAD_NOT_RELOADED, PRELOAD_UNREAD, TOKEN_PUSHED_AGAIN, TOKEN_UNREADABLE,
    TOKEN_UNTRUSTED, base, does_some_server_trust, observed_base,
};
pub use clocks::CLOCK_SKEW;
pub(crate) use clusters::missing_served;
pub use deployment::deployment;
pub use expiry::credentials;
pub(super) use features::features;
pub(in crate::plan) use old_values::old_values;
pub use old_values::standing_old_values;
pub use permissions::{Verb, as_information, history_requests, may, permissions, permissions_brought, requests};
pub use preload::stale_preload;
pub use roles::roles;
pub use servers::{answers_differ, not_the_system_account, system_account_silent};
pub(super) use servers::{forgetful, revisions_refused};
pub use signer::{signer, size};
pub(crate) use trust::named_by_all;
pub use trust::{NOT_PINNED, anchor};

#[cfg(test)]
mod tests;
