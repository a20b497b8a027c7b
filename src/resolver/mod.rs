//! Reads and stores account tokens where the servers of a deployment load them, depending on the type of their
//! resolver.
//!
//! Servers with the NATS resolver store tokens themselves. Servers with `url` fetch them from an account server, and
//! servers with `memory` read them from their configuration. Both report the tokens in force, but not those that they
//! would load next.
//!
//! This is the only module that knows the protocols of resolvers. [`servers`] reads accounts on the servers, and
//! [`push`] sends tokens to them. `account_server` and `preload` are the places outside of servers.

mod account_server;
mod error;
mod lookup;
mod preload;
pub mod push;
pub mod servers;

pub use error::{NotPushed, TokenStoreError, Unread};

use crate::definition::{self, Definition};
use crate::model::nkey::PublicKey;
use crate::observed::{AccountOnServer, Bystander, Deployment, Live, RequestError, Requests, Server, Stored};
use crate::sign::SignedToken;
use account_server::AccountServer;
use futures::StreamExt as _;
use preload::Preload;
use push::{Answer, PushOutcome};
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Number of tokens that are sent to an account server at a time.
const AT_A_TIME: usize = 16;

/// The resolver of a deployment.
#[derive(Debug)]
pub struct Resolver {
    keeper: TokenStorage,
    /// Tokens on the account server or in the preload, as last read. The resolver never replaces any other token.
    known: Mutex<HashMap<PublicKey, Option<String>>>,
}

/// The place where tokens are stored.
#[derive(Debug)]
enum TokenStorage {
    /// The servers (`full` and `cache`).
    Servers,
    /// An account server (`url`).
    AccountServer(Box<AccountServer>),
    /// The servers' configuration (`memory`).
    Preload(Preload),
}

impl Resolver {
    /// Returns the resolver of servers that store tokens themselves.
    pub fn servers() -> Self {
        Self { keeper: TokenStorage::Servers, known: Mutex::default() }
    }

    /// Returns the resolver that the definition names.
    ///
    /// # Errors
    /// [`TokenStoreError`] if the certificates for an account server cannot be read.
    pub fn of(definition: &Definition) -> Result<Self, TokenStoreError> {
        let keeper = match &definition.resolver {
            definition::ResolverConfig::Nats => TokenStorage::Servers,
            definition::ResolverConfig::Url(url) => {
                TokenStorage::AccountServer(Box::new(AccountServer::new(url, definition.tls.as_ref())?))
            }
            definition::ResolverConfig::Memory(file) => TokenStorage::Preload(Preload::new(file)),
        };
        Ok(Self { keeper, ..Self::servers() })
    }

    /// Returns the file that servers must reload before they have the pushed tokens.
    pub fn to_reload(&self) -> Option<&Path> {
        match &self.keeper {
            TokenStorage::Preload(preload) => Some(preload.file()),
            TokenStorage::Servers | TokenStorage::AccountServer(_) => None,
        }
    }

    /// Checks whether tokens can be pushed, as far as this can be known in advance.
    ///
    /// # Errors
    /// [`TokenStoreError`] if the file with the preload cannot be written.
    pub fn may_push(&self) -> Result<(), TokenStoreError> {
        match &self.keeper {
            TokenStorage::Preload(preload) => preload.may_write(),
            TokenStorage::Servers | TokenStorage::AccountServer(_) => Ok(()),
        }
    }

    /// Returns the subjects on which a user of the system account publishes to push the tokens of these accounts.
    pub fn subjects<'i>(&self, ids: impl Iterator<Item = &'i PublicKey>) -> Vec<String> {
        match &self.keeper {
            TokenStorage::Servers => vec![push::SUBJECT.to_owned()],
            TokenStorage::AccountServer(_) => ids.map(|id| push::BY_NAME.replace('*', &id.to_string())).collect(),
            TokenStorage::Preload(_) => Vec::new(),
        }
    }

    /// Returns `true` if servers list the accounts whose tokens they store.
    pub fn lists_accounts(&self) -> bool {
        matches!(self.keeper, TokenStorage::Servers)
    }

    /// Reads the tokens of each account on each server. The result has one entry per account in the order of `ids`,
    /// each with one entry per server of the deployment.
    ///
    /// # Errors
    /// [`Unread`]
    pub async fn accounts(
        &self,
        requests: &impl Requests,
        deployment: &Deployment,
        ids: &[PublicKey],
        timeout: Duration,
    ) -> Result<Vec<Vec<AccountOnServer>>, Unread> {
        let (kept, live) = match &self.keeper {
            TokenStorage::Servers => return Ok(servers::accounts(requests, deployment, ids, timeout).await?),
            TokenStorage::AccountServer(server) => {
                let kept = async { Ok::<_, Unread>(server.tokens(ids, timeout).await?) };
                let live = async { Ok(servers::live_accounts(requests, deployment, ids, timeout).await?) };
                futures::future::try_join(kept, live).await?
            }
            TokenStorage::Preload(preload) => {
                let mut entries = preload.entries()?;
                let kept = ids.iter().map(|id| entries.remove(id)).collect();
                (kept, servers::live_accounts(requests, deployment, ids, timeout).await?)
            }
        };
        let by_reload = self.to_reload().is_some();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let with = |((token, servers), id): ((Option<String>, Vec<AccountOnServer>), &PublicKey)| {
            known.insert(id.clone(), token.clone());
            let stored = Stored::Outside { token, by_reload };
            servers.into_iter().map(|on| AccountOnServer { stored: stored.clone(), ..on }).collect()
        };
        Ok(kept.into_iter().zip(live).zip(ids).map(with).collect())
    }

    /// Reads the other accounts that servers have loaded, or that the preload has. Servers that reload the preload drop
    /// accounts that it lacks, and accept its tokens, however old (nats-server 2.15 `server/reload.go`,
    /// `reloadAuthorization`). Returns none if there is no preload.
    ///
    /// # Errors
    /// [`Unread`]
    pub async fn bystanders(
        &self,
        requests: &impl Requests,
        deployment: &Deployment,
        ours: &[PublicKey],
        timeout: Duration,
    ) -> Result<Vec<Bystander>, Unread> {
        let TokenStorage::Preload(preload) = &self.keeper else { return Ok(Vec::new()) };
        let deadline = Instant::now() + timeout;
        let mut kept = preload.entries()?;
        let mut ids: BTreeSet<PublicKey> = kept.keys().cloned().collect();
        ids.extend(servers::loaded_accounts(requests, deployment, timeout).await?);
        let ids: Vec<PublicKey> = ids.into_iter().filter(|id| !ours.contains(id)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        let live = servers::live_accounts(requests, deployment, &ids, left).await?;
        if live.iter().flatten().any(|on| on.live == Live::NoAnswer) {
            return Err(RequestError::Timeout(servers::ACCOUNTS.to_owned()).into());
        }
        let all = ids.into_iter().zip(live);
        Ok(all.map(|(id, servers)| Bystander { kept: kept.remove(&id), id, servers }).collect())
    }

    /// Pushes all tokens at once, and returns the answer of every server of the deployment to each. On the account
    /// server or in the preload, replaces a token only if it is the one that was last read.
    ///
    /// # Errors
    /// [`NotPushed`]. With [`NotPushed::Store`] and [`NotPushed::Changed`], no token was pushed to the servers.
    pub async fn push(
        &self,
        requests: &impl Requests,
        deployment: &Deployment,
        tokens: &[(PublicKey, impl Borrow<SignedToken> + Sync)],
        timeout: Duration,
    ) -> Result<Vec<PushOutcome>, NotPushed> {
        let tokens: Vec<(PublicKey, &SignedToken)> =
            tokens.iter().map(|(id, token)| (id.clone(), token.borrow())).collect();
        match &self.keeper {
            TokenStorage::Servers => Ok(push::push(requests, deployment, &tokens, timeout).await?),
            TokenStorage::AccountServer(server) => {
                let deadline = Instant::now() + timeout;
                self.store(server, &tokens, deadline).await?;
                let left = deadline.saturating_duration_since(Instant::now());
                Ok(push::push_to_loaded(requests, deployment, &tokens, left).await?)
            }
            TokenStorage::Preload(preload) => {
                if let Some(changed) = preload.write(&tokens, |id, found, token| self.may_replace(id, found, token))? {
                    return Err(NotPushed::Changed(changed));
                }
                let outcome = |(id, _): &(PublicKey, &SignedToken)| {
                    let id = id.clone();
                    let of = move |server: &Server| PushOutcome {
                        account: id.clone(),
                        server: server.name.clone(),
                        cluster: server.cluster.clone(),
                        answer: Answer::Skipped { text: "it has it once it has reloaded the preload".to_owned() },
                    };
                    deployment.servers.iter().map(of).collect::<Vec<_>>()
                };
                Ok(tokens.iter().flat_map(outcome).collect())
            }
        }
    }

    async fn store(
        &self,
        server: &AccountServer,
        tokens: &[(PublicKey, &SignedToken)],
        deadline: Instant,
    ) -> Result<(), NotPushed> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let ids: Vec<PublicKey> = tokens.iter().map(|(id, _)| id.clone()).collect();
        let found = server.tokens(&ids, left()).await?;
        let mut both = tokens.iter().zip(&found);
        if let Some(((id, _), _)) = both.find(|((id, token), found)| !self.may_replace(id, found.as_deref(), token)) {
            return Err(NotPushed::Changed(id.clone()));
        }
        let each = tokens.iter().map(|(id, token)| async move { Ok(server.store(id, token, left()).await?) });
        let results: Vec<Result<(), NotPushed>> = futures::stream::iter(each).buffered(AT_A_TIME).collect().await;
        let done = results.iter().filter(|result| result.is_ok()).count();
        match results.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(NotPushed::Store(error)) if done > 0 => {
                let message = format!("{}; {done} of {} tokens were stored there before", error.message, tokens.len());
                Err(TokenStoreError { message, ..error }.into())
            }
            Some(error) => Err(error),
        }
    }

    /// Checks whether the token on the account server or in the preload is the one that was last read, or is already
    /// `token`.
    fn may_replace(&self, id: &PublicKey, found: Option<&str>, token: &SignedToken) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = known.get(id).and_then(Option::as_deref);
        found.map(str::trim) == expected.map(str::trim) || found.map(str::trim) == Some(token.as_str())
    }

    /// Checks that no server stores tokens itself, because such a server would not load them from the place in the
    /// definition. An account server may answer look-ups as servers do (nats-account-server, `handleAccountLookup`),
    /// but it lists no accounts.
    ///
    /// # Errors
    /// [`Unread`]
    pub async fn is_theirs(
        &self,
        requests: &impl Requests,
        deployment: &Deployment,
        timeout: Duration,
    ) -> Result<(), Unread> {
        let (code, place, kind) = match &self.keeper {
            TokenStorage::Servers => return Ok(()),
            TokenStorage::AccountServer(server) => ("account-server", server.place(), "url"),
            TokenStorage::Preload(preload) => ("preload", preload.place(), "memory"),
        };
        let Some(server) = servers::keeps_tokens(requests, deployment, timeout).await? else { return Ok(()) };
        Err(Unread::Store(TokenStoreError {
            code,
            place,
            message: format!(
                "server {server} lists the accounts that it stores: it has a resolver that keeps them (`full`, `cache`), and not \
                 `{kind}`, as the definition says"
            ),
            next: "Write `resolver: { type: nats }`; or restart the servers with the resolver that the definition has."
                .to_owned(),
            is_input: false,
        }))
    }
}

#[cfg(test)]
mod tests;
