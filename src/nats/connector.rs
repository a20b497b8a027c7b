//! The connections of a definition: its servers, its users, and the permissions of users that this run mints.

use super::connect::{CLOSED, now};
use super::login::Login;
use super::permissions::{INBOX, Purpose, Side, narrowed, needs};
use super::{ConnectError, ConnectOptions, LoginMethod, NatsConnection, Target, connect, refused};
use crate::definition::{Definition, ResolverConfig};
use crate::desired::{self, regional};
use crate::model::claims::{AccountClaims, Permission, Permissions, Trust};
use crate::model::names::RegionName;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::virtual_stream::{self, Account, Layout, RegionalAccounts};
use crate::observed::connection::{ConnectionError, Connector};
use crate::resolver::push;
use crate::sign::file::read_seed_file;
use crate::sign::keyring::{Keyring, issuer};
use crate::sign::user::{IssuerError, UserPermissions, mint_user, user_issuer};
use crate::sign::{Seed, Signer as _};
use futures::future::join_all;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Minimum time that a minted user may connect, in seconds.
const USER_LIFE: u64 = 300;
/// Time that a minted user may connect beyond the verb's own, in seconds.
const SPARE: u64 = 60;

/// A connector to the servers and accounts of a definition.
#[derive(Debug)]
pub struct DefinitionConnector<'d> {
    definition: &'d Definition,
    purpose: Purpose,
    keys: &'d Path,
    only_defined: bool,
    system: Option<PublicKey>,
    strict: bool,
    life: u64,
}

impl<'d> DefinitionConnector<'d> {
    /// Returns a connector for the accounts and servers of `definition`. The keys folder has the regional accounts'
    /// keys.
    pub fn new(definition: &'d Definition, purpose: Purpose, keys: &'d Path) -> Self {
        Self { definition, purpose, keys, only_defined: false, system: None, strict: false, life: USER_LIFE }
    }

    /// Sets the system account from local files. Otherwise no user can be minted with one of its signing keys, because
    /// no server reports the account before there is a connection.
    #[must_use]
    pub fn knowing(self, trust: &Trust) -> Self {
        // Without a pinned operator, the token may belong to another deployment.
        let operator = trust.operator().filter(|_| trust.pin.is_some());
        let system = operator.and_then(|operator| operator.system_account.clone());
        Self { system, strict: operator.is_some_and(|operator| operator.strict), ..self }
    }

    /// Lets the users that it mints connect for as long as a verb takes at most: servers disconnect a user that expires.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        Self { life: USER_LIFE.max(time.as_secs().saturating_add(SPARE)), ..self }
    }

    /// Limits minted users to the streams of the definition, for a run that changes only these.
    #[must_use]
    pub fn only_defined(self) -> Self {
        Self { only_defined: true, ..self }
    }

    /// Returns the permissions of an account's user, with the streams of the account's seat in place of wildcards.
    fn account_permissions(&self, account: &Account, region: Option<&RegionName>) -> Permissions {
        let imports = account.layout == Layout::Regional && region.is_none();
        let sides = [(Side::Account, true), (Side::Imports, imports)];
        let needs = sides.into_iter().filter(|(_, given)| *given).flat_map(|(side, _)| needs(self.purpose, side));
        let subjects: Vec<&str> = needs.filter(|need| need.publish).map(|need| need.subject).collect();
        let streams = || -> Option<Vec<String>> {
            let all =
                desired::accounts(&self.definition.topology, account, &desired::DesiredOptions::default()).ok()?;
            let own =
                all.into_iter().find(|desired| desired.account_role.region().map(|region| &region.name) == region)?;
            Some(own.streams.into_iter().map(|stream| stream.name).collect())
        };
        let streams = if self.only_defined { streams() } else { None };
        let deletes = self.purpose == Purpose::Destroy;
        permissions(narrowed(&subjects, streams.as_deref(), deletes, None), [])
    }

    /// Returns the permissions of the system account's user. They name the accounts if every account's id is known.
    fn system_permissions(&self, system: &PublicKey) -> Permissions {
        let mut accounts = vec![system.to_string()];
        let mut known = true;
        for account in &self.definition.accounts {
            accounts.push(account.id.to_string());
            match &account.regional_accounts {
                _ if account.layout == Layout::Shared => {}
                RegionalAccounts::Existing(existing) => {
                    accounts.extend(existing.values().map(|one| one.id.to_string()))
                }
                RegionalAccounts::Named(_) => known = false,
            }
        }
        let of = |publish: bool| needs(self.purpose, Side::System).filter(move |need| need.publish == publish);
        // Tokens are pushed on the subject with the account's id only if the resolver is `url`.
        let by_name = matches!(self.definition.resolver, ResolverConfig::Url(_));
        let publishes = of(true).filter(|need| by_name || need.subject != push::BY_NAME);
        let subjects: Vec<&str> = publishes.map(|need| need.subject).collect();
        let publish = narrowed(&subjects, None, false, known.then_some(accounts.as_slice()));
        permissions(publish, of(false).map(|need| need.subject))
    }

    async fn connect(
        &self,
        access: &LoginMethod,
        account: Option<&PublicKey>,
        timeout: Duration,
    ) -> Result<NatsConnection, ConnectError> {
        connect(self.options(access, account, timeout)).await
    }

    /// Returns the access to an application's account.
    fn access(&self, account: &Account, claims: &AccountClaims, strict: bool) -> Result<LoginMethod, ConnectionError> {
        let place = format!("account {}", account.name);
        Ok(match &account.access {
            virtual_stream::Access::Credentials(path) => LoginMethod::Credentials(path.clone()),
            virtual_stream::Access::Context(name) => LoginMethod::Context(name.clone()),
            virtual_stream::Access::Key(path) => {
                let seed = account_seed(&place, path)?;
                let wanted = self.account_permissions(account, None);
                let issuer =
                    user_issuer(claims, &seed.public_key(), strict, &wanted).map_err(|error| ConnectionError {
                        code: match error {
                            IssuerError::NotOfAccount { .. } => "key-of-another-account",
                            IssuerError::Strict { .. } => "strict-signing-keys",
                        },
                        message: format!("{place}, key {}: {error}", path.display()),
                        next: "Name a signing key of the account under `key:`.".to_owned(),
                    })?;
                if !issuer.missing.is_empty() {
                    return Err(ConnectionError {
                        code: "scope-too-narrow",
                        message: format!(
                            "{place}, key {}: the scope of this signing key does not allow: {}",
                            path.display(),
                            issuer.missing.join(", ")
                        ),
                        next: "Widen the scope, or name a signing key without one under `key:`.".to_owned(),
                    });
                }
                mint(self.life, &place, &seed, issuer.account.as_ref(), &issuer.permissions)?
            }
        })
    }

    /// Returns the access to a regional account. Returns `None` without a key that can mint its users.
    fn regional_access(
        &self,
        account: &Account,
        region: &RegionName,
        claims: &AccountClaims,
        strict: bool,
    ) -> Result<Option<LoginMethod>, ConnectionError> {
        let place = format!("account {}", regional::name(account, region));
        let existing = match &account.regional_accounts {
            RegionalAccounts::Existing(accounts) => accounts.get(region),
            RegionalAccounts::Named(_) => None,
        };
        Ok(Some(match existing {
            Some(existing) => LoginMethod::Credentials(existing.credentials.clone()),
            None => {
                let failed = |message: String| ConnectionError {
                    code: "key-unusable",
                    message: format!("{place}: {message}"),
                    next: "Fix the file, or name another keys folder with --keys.".to_owned(),
                };
                let keys = Keyring::open(self.keys).map_err(|error| failed(error.to_string()))?;
                let Some(seed) = issuer(claims, &keys).map_err(|error| failed(error.to_string()))? else {
                    return Ok(None);
                };
                let wanted = self.account_permissions(account, Some(region));
                match user_issuer(claims, &seed.public_key(), strict, &wanted) {
                    Ok(issuer) => mint(self.life, &place, &seed, issuer.account.as_ref(), &issuer.permissions)?,
                    // The regional account is then read through the application's account.
                    Err(_) => return Ok(None),
                }
            }
        }))
    }

    /// Returns each server once, even if several regions have the same load balancer URL.
    fn targets(&self) -> Vec<Target<'_>> {
        let Definition { tls, topology, .. } = self.definition;
        let mut targets: Vec<Target<'_>> = Vec::new();
        for region in &topology.regions {
            let tls = region.tls.as_ref().or(tls.as_ref());
            let all = region.servers.iter().map(|url| Target { url, tls });
            let new: Vec<Target<'_>> = all.filter(|target| !targets.contains(target)).collect();
            targets.extend(new);
        }
        targets
    }

    fn options<'a>(
        &'a self,
        access: &'a LoginMethod,
        account: Option<&'a PublicKey>,
        timeout: Duration,
    ) -> ConnectOptions<'a> {
        ConnectOptions { servers: self.targets(), access, account, name: "vstream-jwt", timeout }
    }
}

impl Connector for DefinitionConnector<'_> {
    type Connection = NatsConnection;

    fn changes(&self) -> bool {
        self.purpose.changes()
    }

    async fn system(&self, timeout: Duration) -> Result<(NatsConnection, PublicKey), ConnectionError> {
        let access = match &self.definition.system {
            virtual_stream::Access::Credentials(path) => LoginMethod::Credentials(path.clone()),
            virtual_stream::Access::Context(name) => LoginMethod::Context(name.clone()),
            virtual_stream::Access::Key(path) => {
                let seed = account_seed("system", path)?;
                let key = seed.public_key();
                let signs_for = self.system.as_ref().filter(|id| **id != key);
                if self.strict && self.system.as_ref() == Some(&key) {
                    return Err(ConnectionError {
                        code: "strict-signing-keys",
                        message: format!(
                            "system, key {}: the operator has strict signing key usage, and this is the system account's \
                             identity, of which servers take no users",
                            path.display()
                        ),
                        next: "Name a signing key of the system account under `key:`, or credentials.".to_owned(),
                    });
                }
                let wanted = self.system_permissions(signs_for.unwrap_or(&key));
                mint(self.life, "system", &seed, signs_for, &UserPermissions::Own(wanted))?
            }
        };
        let connection = self.connect(&access, None, timeout).await.map_err(ConnectionError::from);
        let connection = connection.map_err(|error| match &self.definition.system {
            virtual_stream::Access::Key(path) if error.code == "authorization-violation" => ConnectionError {
                next: match &self.system {
                    Some(system) => format!(
                        "Check that {} is the seed of the system account {system} or of one of its signing keys without a \
                         scope, or name credentials.",
                        path.display()
                    ),
                    None => format!(
                        "Check that {} is the seed of the system account. If it is one of a signing key, name the `operator` in \
                         the definition, and put its token beside it as operator.jwt: that says which account the key is of.",
                        path.display()
                    ),
                },
                ..error
            },
            _ => error,
        })?;
        let account = connection.account().clone();
        Ok((connection, account))
    }

    async fn account(
        &self,
        account: &Account,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<NatsConnection, ConnectionError> {
        let access = self.access(account, claims, strict)?;
        let connection = self.connect(&access, Some(&account.id), timeout).await;
        connection.map_err(|error| unconnected(&format!("account {}", account.name), error, claims, strict))
    }

    async fn regional(
        &self,
        account: &Account,
        region: &RegionName,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<Option<NatsConnection>, ConnectionError> {
        let Some(access) = self.regional_access(account, region, claims, strict)? else { return Ok(None) };
        let connection = self.connect(&access, Some(claims.id()), timeout).await;
        let place = format!("account {}", regional::name(account, region));
        connection.map(Some).map_err(|error| unconnected(&place, error, claims, strict))
    }

    async fn load(
        &self,
        account: &Account,
        region: Option<&RegionName>,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<Vec<Result<String, ConnectionError>>, ConnectionError> {
        let access = match region {
            None => self.access(account, claims, strict)?,
            Some(region) => {
                let access = self.regional_access(account, region, claims, strict)?;
                access.ok_or_else(|| ConnectionError {
                    code: "regional-key-missing",
                    message: format!("no key of account {} is in the keys folder", regional::name(account, region)),
                    next: "Name the folder that has its keys with --keys, or connect there once as a user of it."
                        .to_owned(),
                })?
            }
        };
        let each = self.targets().into_iter().map(|target| {
            let options = ConnectOptions { servers: vec![target], ..self.options(&access, Some(claims.id()), timeout) };
            async move { Ok(connect(options).await?.server_name()) }
        });
        Ok(join_all(each).await)
    }

    fn may_reach(&self, account: &Account, region: &RegionName) -> Result<(), ConnectionError> {
        let RegionalAccounts::Existing(accounts) = &account.regional_accounts else { return Ok(()) };
        let Some(existing) = accounts.get(region) else { return Ok(()) };
        let access = LoginMethod::Credentials(existing.credentials.clone());
        Login::load(&access, Some(&existing.id), now()).map(drop).map_err(|error| {
            let (error, place) = (ConnectionError::from(error), regional::name(account, region));
            ConnectionError { message: format!("account {place}: {}", error.message), ..error }
        })
    }
}

/// Returns permissions with these subjects, and the inbox to subscribe to.
fn permissions(publish: Vec<String>, subscribe: impl IntoIterator<Item = &'static str>) -> Permissions {
    let mut subscribe: Vec<String> = subscribe.into_iter().map(str::to_owned).collect();
    if !subscribe.iter().any(|subject| subject == INBOX) {
        subscribe.push(INBOX.to_owned());
    }
    let allow = |allow| Permission { allow, deny: Vec::new() };
    Permissions { publish: allow(publish), subscribe: allow(subscribe) }
}

fn account_seed(place: &str, path: &Path) -> Result<Seed, ConnectionError> {
    let failed = |message: String| ConnectionError {
        code: "key-unusable",
        message: format!("{place}, key: {message}"),
        next: "Name the file of a seed of the account (SA…), which only you may read.".to_owned(),
    };
    let seed = read_seed_file(path).map_err(|error| failed(error.to_string()))?;
    if seed.kind() == KeyKind::Account {
        return Ok(seed);
    }
    Err(failed(format!("{} is the seed of a key of kind {}, not of an account", path.display(), seed.kind())))
}

fn mint(
    life: u64,
    place: &str,
    seed: &Seed,
    account: Option<&PublicKey>,
    permissions: &UserPermissions,
) -> Result<LoginMethod, ConnectionError> {
    let now = now();
    let user = mint_user(seed, account, permissions, now.saturating_add(life), now).map_err(|error| {
        ConnectionError { code: "key-unusable", message: format!("{place}: {error}"), next: String::new() }
    })?;
    Ok(LoginMethod::User { jwt: user.jwt.as_str().to_owned(), seed: Arc::new(user.seed) })
}

/// Returns the reason why there is no connection to an account. For a refused user, adds the cause according to its
/// claims.
fn unconnected(place: &str, error: ConnectError, claims: &AccountClaims, strict: bool) -> ConnectionError {
    let cause = match &error {
        ConnectError::Refused { url, claims: user, reason, .. } => {
            let kind = if url.starts_with("ws") { "WEBSOCKET" } else { "STANDARD" };
            refused::cause(user, claims, strict, reason, kind, now())
        }
        ConnectError::Unreachable { tried } if tried.iter().any(|(_, why)| why == CLOSED) => {
            refused::silent_cause(claims)
        }
        _ => None,
    };
    let ConnectionError { code, message, next } = ConnectionError::from(error);
    match cause {
        Some(cause) => {
            ConnectionError { code, message: format!("{place}: {message}: {}", cause.what), next: cause.next }
        }
        None => ConnectionError { code, message: format!("{place}: {message}"), next },
    }
}

impl From<ConnectError> for ConnectionError {
    fn from(error: ConnectError) -> Self {
        Self { code: error.code(), message: error.to_string(), next: error.next().to_owned() }
    }
}
