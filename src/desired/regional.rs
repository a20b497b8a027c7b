//! The regional layout: one account per region in addition to the application's, and the subjects between them.

use crate::model::claims::AccountClaims;
use crate::model::names::RegionName;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::prefixes;
use crate::model::topology::Region;
use crate::model::virtual_stream::{Account, RegionalAccounts};
use std::collections::BTreeMap;

/// First token of all JetStream subjects of clients and servers.
pub const JETSTREAM: &str = "$JS";
/// The prefix with which a regional account reaches the API of its application's account (`external.api` of sources).
pub const ORIGIN_JS_API: &str = "$VSM.API";

/// The prefix of the JetStream API of an application's account, which bypasses the account's mapping of `$JS.>`.
pub const OWN_JS_API: &str = "$VSH.API";

/// Returns the prefix with which an application's account reaches the API of a region: `$VS.west.API`.
pub fn near_api(region: &Region) -> String {
    format!("{}.API", prefixes::region_prefix(&region.cluster))
}

/// Prefix of the tags of regional accounts that name the application's account.
pub const APPLICATION_TAG: &str = "vstream.application:";

/// Returns the tag that marks a regional account as ours. It names the application's account in lower case, as nsc
/// writes tags.
pub fn application_tag(application: &PublicKey) -> String {
    format!("{APPLICATION_TAG}{}", application.to_string().to_lowercase())
}

/// Returns `true` if the account serves a region of any application.
pub fn serves_a_region(claims: &AccountClaims) -> bool {
    claims.tags().iter().any(|tag| tag.starts_with(APPLICATION_TAG))
}

/// Prefix of the tags of regional accounts that name the region.
pub const REGION_TAG: &str = "vstream.region:";

/// Returns the tag that names the region of a regional account.
pub fn region_tag(region: &RegionName) -> String {
    format!("{REGION_TAG}{}", region.as_str().to_lowercase())
}

/// The known public keys of the regional accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegionalIds(BTreeMap<(String, RegionName), PublicKey>);

impl RegionalIds {
    /// Remembers the account that serves a region.
    pub fn set(&mut self, account: &Account, region: &RegionName, id: PublicKey) {
        self.0.insert((account.name.clone(), region.clone()), id);
    }

    /// Returns the account that serves a region, or a placeholder if it is not known.
    pub fn get(&self, account: &Account, region: &RegionName) -> PublicKey {
        self.known(account, region).unwrap_or_else(|| stand_in(account, region))
    }

    /// Returns the account that serves a region, from the definition or from [`set`](Self::set).
    pub fn known(&self, account: &Account, region: &RegionName) -> Option<PublicKey> {
        if let RegionalAccounts::Existing(accounts) = &account.regional_accounts
            && let Some(existing) = accounts.get(region)
        {
            return Some(existing.id.clone());
        }
        self.0.get(&(account.name.clone(), region.clone())).cloned()
    }
}

/// Returns a placeholder for the public key of a regional account that does not exist yet. It is always the same, and
/// its seed is not known.
fn stand_in(account: &Account, region: &RegionName) -> PublicKey {
    let mut bytes = *account.id.bytes();
    for (byte, letter) in bytes.iter_mut().zip(region.as_str().bytes().cycle()) {
        *byte ^= letter;
    }
    PublicKey::from_bytes(KeyKind::Account, bytes)
}

/// Returns the name of a regional account: `APP-west`.
pub fn name(account: &Account, region: &RegionName) -> String {
    let template = match &account.regional_accounts {
        RegionalAccounts::Named(template) => template.as_str(),
        RegionalAccounts::Existing(_) => "{account}-{region}",
    };
    template.replace("{account}", &account.name).replace("{region}", region.as_str())
}

/// The role of a desired account in the definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AccountRole<'a> {
    /// The application's own account.
    Application,
    /// The account of a region (layout `regional`).
    Regional(&'a Region),
}

impl<'a> AccountRole<'a> {
    /// The region of a regional account.
    pub fn region(self) -> Option<&'a Region> {
        match self {
            Self::Application => None,
            Self::Regional(region) => Some(region),
        }
    }
}
