//! Finds the regional accounts of a definition on a deployment.

use super::clock::Deadline;
use crate::definition::Definition;
use crate::desired::members;
use crate::desired::regional::{RegionalIds, application_tag, name, near_api, region_tag};
use crate::model::claims::{AccountClaims, TrustAnchor, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::topology::Region;
use crate::model::virtual_stream::RegionalAccounts;
use crate::observed::{Deployment, RequestError, Requests};
use crate::resolver::{Resolver, servers};
use crate::sign::keyring::Keyring;
use std::time::Duration;

/// Longest search for regional accounts. It is long because the run makes each account that it does not find.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the prefix under which the application's account reaches a region's JetStream, if it imports from that
/// account.
pub(super) fn imported_api(claims: &AccountClaims, region: &Region, id: &PublicKey) -> Option<String> {
    let api = near_api(region);
    let (list, id) = (format!("{api}.STREAM.LIST"), id.to_string());
    claims.imports().iter().any(|import| import.local() == list && import.account == id).then_some(api)
}

/// Returns the accounts that serve the regions, and findings about missing accounts that the run must not make.
///
/// It looks for the account in this order:
/// - the definition names it;
/// - the application's account imports from it;
/// - the resolver holds it with our tags;
/// - the keys folder has a key under its name.
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
        // A region may be a cluster that another region served before. It then still uses that region's account.
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
        // Among several accounts, the run prefers one that it has a key of, then the newest.
        found.sort_by_key(|claims| (has_key(claims, keys), claims.issued_at()));
        let by_name = || keys.named(&name(account, &region.name)).filter(|key| key.kind() == KeyKind::Account).cloned();
        let id = found.last().map(|claims| claims.id().clone()).or_else(by_name);
        let name = name(account, &region.name);
        // A foreign account: tools that identify accounts by name cannot distinguish two with the same name.
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
    /// The resolver from which the servers get tokens.
    pub resolver: &'a Resolver,
    /// The keys whose signatures count.
    pub anchor: &'a TrustAnchor,
    /// The end of the verb's time.
    pub deadline: Deadline,
}

impl<L: Requests> Servers<'_, L> {
    /// Returns the claims of all accounts that servers list. Returns none if the servers load tokens from elsewhere.
    async fn all_accounts(&self) -> Result<Vec<TrustedClaims>, RequestError> {
        if !self.resolver.lists_accounts() {
            return Ok(Vec::new());
        }
        let timeout = self.deadline.at_most(SEARCH_TIMEOUT);
        let read = |token: &str| TrustedClaims::verify(token, self.anchor).ok();
        servers::stored_claims(self.system, self.deployment, timeout, read).await
    }
}

/// Returns `true` if the keys folder has a key that can issue for the account.
fn has_key(claims: &AccountClaims, keys: &Keyring) -> bool {
    let of_account = |key: &PublicKey| key == claims.id() || claims.signing_keys().iter().any(|s| s.key == *key);
    keys.keys(KeyKind::Account).any(of_account)
}

/// Returns the account whose JetStream API the application's account imports for this region.
fn imported_from(claims: &AccountClaims, region: &Region) -> Option<PublicKey> {
    let local = format!("{}.", near_api(region));
    let import = claims.imports().iter().find(|import| import.local().starts_with(&local))?;
    PublicKey::parse_kind(&import.account, KeyKind::Account).ok()
}
