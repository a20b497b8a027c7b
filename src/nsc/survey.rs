//! Surveys a store for `init --from-nsc`: the operator, the accounts, and the files of their keys.

use super::error::StoreError;
use super::store::{StoredAccount, accounts, operator, operators_in};
use crate::desired::regional::serves_a_region;
use crate::model::claims::{AccountClaims, OperatorClaims};
use crate::model::nkey::PublicKey;
use std::path::{Path, PathBuf};

/// A store of one operator.
#[derive(Debug)]
pub struct Survey {
    /// The operator's folder.
    pub folder: PathBuf,
    /// The operator.
    pub operator: OperatorClaims,
    /// The system account.
    pub system: Option<Surveyed>,
    /// The accounts with JetStream, sorted by name; without those that serve a region.
    pub accounts: Vec<Surveyed>,
}

/// An account of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// nsc's name of the account.
    pub name: String,
    /// The account.
    pub id: PublicKey,
    /// The seed of one of its signing keys without a scope, in nsc's keys folder.
    pub key: Option<PathBuf>,
    /// The credentials of one of its users.
    pub credentials: Option<PathBuf>,
}

/// Returns nsc's keys folder: the one in the environment, or the default one (nsc 2.15 `home/home.go`).
pub fn keystore() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = var("HOME").unwrap_or_default();
    let data = var("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")).join("nats/nsc/keys");
    let old = home.join(".nkeys");
    var("NKEYS_PATH").unwrap_or(if !data.exists() && old.exists() { old } else { data })
}

/// Reads the store at `path`, with the keys in `keystore`. `path` may also be an operator's folder.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Several`] if the store has more than one operator.
pub fn survey(path: &Path, keystore: &Path) -> Result<Survey, StoreError> {
    let all = operators_in(path)?;
    let folder = match all.as_slice() {
        [one] => one.clone(),
        _ => return Err(StoreError::Several { path: path.to_owned(), folders: all }),
    };
    let operator = operator(&folder).map_err(|reason| StoreError::Operator { path: folder.clone(), reason })?;
    let found = accounts(&folder.join("accounts"))?;
    let claims_of = |account: &StoredAccount| account.claims.as_ref().ok().cloned();
    let found = found.iter().filter_map(|account| Some((account.name.as_str(), claims_of(account)?)));
    let (mut system, mut others) = (None, Vec::new());
    for (name, claims) in found {
        let surveyed = || surveyed(&folder, &operator, name, &claims, keystore);
        if operator.system_account.as_ref() == Some(claims.id()) {
            system = Some(surveyed());
        } else if claims.jetstream_limits().enabled() && !serves_a_region(&claims) {
            others.push(surveyed());
        }
    }
    Ok(Survey { folder, operator, system, accounts: others })
}

fn surveyed(folder: &Path, operator: &OperatorClaims, name: &str, claims: &AccountClaims, keystore: &Path) -> Surveyed {
    let seed = |key: &PublicKey| {
        let text = key.to_string();
        let path = keystore.join("keys").join(&text[..1]).join(&text[1..3]).join(format!("{text}.nk"));
        path.is_file().then_some(path)
    };
    let mut plain = claims.signing_keys().iter().filter(|key| key.scope.is_none());
    let credentials = keystore.join("creds").join(&operator.name).join(name);
    let users = std::fs::read_dir(folder.join("accounts").join(name).join("users")).into_iter().flatten().flatten();
    let mut users: Vec<PathBuf> = users
        .filter_map(|user| Some(credentials.join(user.path().with_extension("creds").file_name()?)))
        .filter(|path| path.is_file())
        .collect();
    users.sort();
    Surveyed {
        name: name.to_owned(),
        id: claims.id().clone(),
        key: plain.find_map(|key| seed(&key.key)),
        credentials: users.into_iter().next(),
    }
}
