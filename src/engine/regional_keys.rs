//! The keys of a definition's regional accounts: finds missing ones and makes new ones.

use super::session::Session;
use crate::definition::Definition;
use crate::desired::DesiredAccount;
use crate::desired::members;
use crate::desired::regional::name;
use crate::model::finding::Finding;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::topology::Region;
use crate::model::virtual_stream::{Account, RegionalAccounts};
use crate::observed::Requests;
use crate::observed::survey::Observed;
use crate::plan::preflight::REGIONAL_KEY_MISSING;
use crate::plan::{AccountPlan, ActivationRequest, Options, Plan};
use crate::sign::keyring::{Keyring, KeyringError, issuer};
use crate::sign::{Seed, Signer as _};
use std::path::PathBuf;

/// Returns the name of the file with a regional account's signing key. This key issues users and activation tokens, as
/// strict signing key usage requires. So the identity key can be kept elsewhere.
fn signing_name(name: &str) -> String {
    format!("{name}-signing")
}

/// Adds the signing keys that the keys folder has for new regional accounts.
pub(crate) fn with_signing_keys<L: Requests>(
    session: &Session<'_, L>,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    keys: &Keyring,
    options: &Options,
) -> Options {
    let mut options = options.clone();
    for (desired, found) in desired.iter().zip(&observed.accounts).filter(|(desired, _)| desired.is_made_here()) {
        let named = keys.named(&signing_name(&desired.name)).filter(|key| key.kind() == KeyKind::Account);
        let Some(key) = named else { continue };
        let entry = (desired.id.clone(), key.clone());
        if session.base(&desired.name, &desired.id, &found.servers).0.is_none()
            && !options.signing_keys.contains(&entry)
        {
            options.signing_keys.push(entry);
        }
    }
    options
}

/// Returns `true` if a regional account is new and has no signing key yet. Its `id` may be new as well.
pub(super) fn wants_signing_key(planned: &AccountPlan, id: &PublicKey, options: &Options) -> bool {
    planned.new && options.signing_keys.iter().all(|(other, _)| other != id)
}

/// Returns findings about missing keys of regional accounts that the run needs.
///
/// With `strict` signing key usage the identity key can issue activation tokens, but no users.
pub(super) fn missing_keys(
    definition: &Definition,
    plan: &Plan,
    keys: &Keyring,
    options: &Options,
    strict: bool,
) -> Vec<Finding> {
    let asks = |account: &AccountPlan| {
        let activates = |request: &ActivationRequest| request.exporter == account.id;
        plan.accounts.iter().flat_map(|other| &other.pushes).flat_map(|push| &push.activations).any(activates)
    };
    let mut findings = Vec::new();
    for account in plan.accounts.iter().filter(|account| account.region.is_some() && !account.new) {
        let Some(claims) = &account.current else { continue };
        let given = options.signing_keys.iter().any(|(id, _)| *id == account.id);
        let existing = definition.accounts.iter().any(|defined| match &defined.regional_accounts {
            RegionalAccounts::Existing(accounts) => accounts.values().any(|existing| existing.id == account.id),
            RegionalAccounts::Named(_) => false,
        });
        let changes = account.streams.changes.len() + account.consumers.changes.len();
        let provisions = !existing && changes > 0;
        let place = format!("account {}", account.name);
        match issuer(claims, keys) {
            Err(error) if asks(account) || provisions => {
                let next = "Fix that file, as `keys check` says, then run it again.";
                findings.push(Finding::error("regional-key-unusable", place, error.to_string(), next));
            }
            Ok(None) if !given && (asks(account) || provisions) => {
                let folder = keys.folder().display();
                findings.push(Finding::error(
                    REGIONAL_KEY_MISSING,
                    place,
                    format!(
                        "it exists ({}), and the keys folder {folder} has neither its identity nor one of its signing \
                         keys: it is not made anew, since its streams would be lost",
                        account.id
                    ),
                    format!(
                        "Put {}.nk of the run that made it back into {folder}. If it is lost, give the account a new \
                         signing key, signed by the operator: --allow {REGIONAL_KEY_MISSING}.",
                        account.name
                    ),
                ));
            }
            Ok(Some(seed)) if !given && provisions && strict && seed.public_key() == account.id => {
                findings.push(Finding::error(
                    REGIONAL_KEY_MISSING,
                    place,
                    format!(
                        "the operator has strict signing key usage, and of this account the keys folder {} has the identity \
                         alone: servers take no users of it, so its streams cannot be changed",
                        keys.folder().display()
                    ),
                    format!(
                        "Put {} of the run that made it back. If there is none, give the account a new signing key, signed by \
                         the operator: --allow {REGIONAL_KEY_MISSING}.",
                        format_args!("{}.nk", signing_name(&account.name))
                    ),
                ));
            }
            _ => {}
        }
    }
    findings
}

/// Writes the keys that a plan needs and that no file has: identity and signing keys of new regional accounts, and
/// signing keys of accounts whose keys are lost, if the user allows it. Returns `true` if the run must plan again with
/// these keys.
pub(super) fn make_keys<L>(
    session: &mut Session<'_, L>,
    plan: &Plan,
    keys: &mut Keyring,
    options: &mut Options,
) -> Result<bool, KeyringError> {
    let regional: Vec<(&Account, &Region)> =
        members(session.definition).filter_map(|(account, region)| Some((account, region?))).collect();
    let mut made = false;
    for (account, region) in regional {
        let mut id = session.regional.get(account, &region.name);
        let Some(planned) = plan.accounts.iter().find(|planned| planned.id == id) else { continue };
        let lost = || {
            plan.findings
                .iter()
                .any(|f| f.code == REGIONAL_KEY_MISSING && f.place == format!("account {}", planned.name))
        };
        if planned.new && keys.find(&id)?.is_none() {
            let seed = generate_on_route_of(&account.id)?;
            keys.write(&planned.name, &seed)?;
            let stand_in = std::mem::replace(&mut id, seed.public_key());
            for (other, _) in options.signing_keys.iter_mut().filter(|(other, _)| *other == stand_in) {
                *other = id.clone();
            }
            session.regional.set(account, &region.name, id.clone());
            made = true;
        } else if !planned.new && options.allows(REGIONAL_KEY_MISSING) && lost() {
            let seed = generate()?;
            let name = (1..).map(|n| format!("{}-signing-{n}", planned.name)).find(|name| keys.named(name).is_none());
            keys.write(&name.unwrap_or_default(), &seed)?;
            options.signing_keys.push((id, seed.public_key()));
            made = true;
            continue;
        }
        let named = matches!(account.regional_accounts, RegionalAccounts::Named(_));
        if named && wants_signing_key(planned, &id, options) {
            let name = signing_name(&planned.name);
            let key = match keys.named(&name).filter(|key| key.kind() == KeyKind::Account) {
                // A stopped run left it.
                Some(key) => key.clone(),
                None => {
                    let seed = generate()?;
                    keys.write(&name, &seed)?;
                    seed.public_key()
                }
            };
            options.signing_keys.push((id, key));
            made = true;
        }
    }
    Ok(made)
}

/// Writes keys for those regional accounts of a definition that have none under their name in the keys folder.
pub(crate) fn generate_missing(
    definition: &Definition,
    keys: &mut Keyring,
) -> Result<Vec<(PublicKey, PathBuf)>, KeyringError> {
    let mut made = Vec::new();
    for (account, region) in members(definition) {
        let named = matches!(account.regional_accounts, RegionalAccounts::Named(_));
        let Some(region) = region.filter(|_| named) else { continue };
        let name = name(account, &region.name);
        let signing = signing_name(&name);
        for (name, signs) in [(name, false), (signing, true)] {
            if keys.files().iter().all(|file| file.path.file_stem().is_none_or(|stem| *stem != *name)) {
                let seed = if signs { generate()? } else { generate_on_route_of(&account.id)? };
                made.push((seed.public_key(), keys.write(&name, &seed)?));
            }
        }
    }
    Ok(made)
}

/// Generates an identity key whose account shares the application account's route, for each `pool_size` of the servers
/// up to 8.
///
/// Servers pool routes by a hash of the account (nats-server 2.10 – 2.15 `route.go`, `computeRoutePoolIdx`). The leader
/// of a new consumer announces its pull subject to the other servers on the application's route, and answers on the
/// regional account's. If these are two connections, the answer can arrive first, and the client's first pull is lost.
fn generate_on_route_of(application: &PublicKey) -> Result<Seed, KeyringError> {
    // Least common multiple of 1 to 8.
    const POOLS: u32 = 840;
    let pool = |key: &PublicKey| fnv1a(key.to_string().as_bytes()) % POOLS;
    let wanted = pool(application);
    loop {
        let seed = generate()?;
        if pool(&seed.public_key()) == wanted {
            return Ok(seed);
        }
    }
}

/// Returns the 32-bit FNV-1a hash.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn generate() -> Result<Seed, KeyringError> {
    Seed::generate(KeyKind::Account).map_err(|cause| KeyringError::Generate { cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regional_account_shares_its_applications_route() {
        // Values of Go's hash/fnv.
        assert_eq!((fnv1a(b""), fnv1a(b"a"), fnv1a(b"foobar")), (0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968));
        let application = generate().unwrap().public_key();
        let made = generate_on_route_of(&application).unwrap().public_key();
        let pool = |key: &PublicKey, size: u32| fnv1a(key.to_string().as_bytes()) % size;
        assert!((1..=8).all(|size| pool(&application, size) == pool(&made, size)));
    }
}
