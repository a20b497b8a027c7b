//! The regional accounts of a definition on a deployment.

use super::clock::Deadline;
use crate::definition::Definition;
use crate::desired::members;
use crate::desired::regional::{RegionalIds, application_tag, name, near_api, region_tag};
use crate::model::claims::{AccountClaims, TrustAnchor, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::topology::Region;
use crate::model::virtual_stream::RegionalAccounts;
use crate::observed::{Deployment, RequestError, Requests, system};
use crate::resolver::Resolver;
use crate::sign::keyring::Keyring;
use std::time::Duration;

/// Time for the search for regional accounts: one that is not found is made.
const SEARCH: Duration = Duration::from_secs(30);

/// The prefix under which an application's account reaches the JetStream of a region, if it imports from its account.
pub(super) fn imported_api(claims: &AccountClaims, region: &Region, id: &PublicKey) -> Option<String> {
    let api = near_api(region);
    let (list, id) = (format!("{api}.STREAM.LIST"), id.to_string());
    claims.imports().iter().any(|import| import.local() == list && import.account == id).then_some(api)
}

/// Which accounts serve the regions: those that the definition names, that the application's account imports from, that
/// the resolver holds with our tags, or whose key is in the keys folder under their name, in this order. And what is
/// against making those that there are not.
pub(super) async fn identify<L: Requests>(
    definition: &Definition,
    applications: &[TrustedClaims],
    keys: &Keyring,
    servers: Servers<'_, L>,
) -> Result<(RegionalIds, Vec<Finding>), RequestError> {
    let (mut ids, mut findings) = (RegionalIds::default(), Vec::new());
    let mut tagged: Option<Vec<TrustedClaims>> = None;
    for (account, region) in members(definition) {
        let Some(region) = region else { continue };
        if matches!(account.regional_accounts, RegionalAccounts::Existing(_)) {
            continue;
        }
        let application = applications.iter().find(|claims| *claims.id() == account.id);
        // A cluster that a region served, and that is a region now, still uses the account of that one.
        let used = |region| application.and_then(|claims| imported_from(claims, region));
        let mut others = definition.topology.regions.iter().filter(|other| other.name != region.name);
        if let Some(id) = used(region).filter(|id| others.all(|other| used(other).as_ref() != Some(id))) {
            ids.set(account, &region.name, id);
            continue;
        }
        if tagged.is_none() {
            tagged = Some(servers.all_accounts().await?);
        }
        let (application, place) = (application_tag(&account.id), region_tag(&region.name));
        let ours = |claims: &&TrustedClaims| claims.has_tag(&application) && claims.has_tag(&place);
        let mut found: Vec<&TrustedClaims> = tagged.iter().flatten().filter(ours).collect();
        // Of several, the one that we have a key of; then the newest.
        found.sort_by_key(|claims| (has_key(claims, keys), claims.issued_at()));
        let by_name = || keys.named(&name(account, &region.name)).filter(|key| key.kind() == KeyKind::Account).cloned();
        let id = found.last().map(|claims| claims.id().clone()).or_else(by_name);
        let name = name(account, &region.name);
        // Somebody else's: two of a name are one to tools that know accounts by their names.
        let foreign = |claims: &&TrustedClaims| claims.name() == name && Some(claims.id()) != id.as_ref();
        if found.is_empty()
            && let Some(other) = tagged.iter().flatten().find(foreign)
        {
            findings.push(Finding::error(
                "regional-name-taken",
                format!("account {name}"),
                format!(
                    "another account has this name already ({}): to nsc, which knows accounts by their names, the two would \
                     be one, and a pull or push of it would replace or delete the other",
                    other.id()
                ),
                "Choose other names with `regional_accounts`, such as \"{account}-vs-{region}\".",
            ));
        }
        if let Some(id) = id {
            ids.set(account, &region.name, id);
        }
    }
    Ok((ids, findings))
}

/// The servers that are asked which accounts they hold.
#[derive(Debug)]
pub(super) struct Servers<'a, L> {
    /// A connection to the system account.
    pub system: &'a L,
    /// The servers.
    pub deployment: &'a Deployment,
    /// Where they have tokens from.
    pub resolver: &'a Resolver,
    /// Whose signatures count.
    pub anchor: &'a TrustAnchor,
    /// The end of the verb's time.
    pub deadline: Deadline,
}

impl<L: Requests> Servers<'_, L> {
    /// The claims of all accounts that servers list. Those that have tokens from elsewhere list none.
    async fn all_accounts(&self) -> Result<Vec<TrustedClaims>, RequestError> {
        if !self.resolver.lists_accounts() {
            return Ok(Vec::new());
        }
        let timeout = self.deadline.at_most(SEARCH);
        let read = |token: &str| TrustedClaims::verify(token, self.anchor).ok();
        system::stored_claims(self.system, self.deployment, timeout, read).await
    }
}

/// Whether the keys folder has a key that issues for the account.
fn has_key(claims: &AccountClaims, keys: &Keyring) -> bool {
    let of_account = |key: &PublicKey| key == claims.id() || claims.signing_keys().iter().any(|s| s.key == *key);
    keys.keys(KeyKind::Account).any(of_account)
}

/// The account whose JetStream API the application's account imports for this region.
fn imported_from(claims: &AccountClaims, region: &Region) -> Option<PublicKey> {
    let local = format!("{}.", near_api(region));
    let import = claims.imports().iter().find(|import| import.local().starts_with(&local))?;
    PublicKey::parse_kind(&import.account, KeyKind::Account).ok()
}
