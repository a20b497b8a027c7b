//! Where the servers of a deployment have account tokens from, by the kind of their resolver: what is kept there, and how a
//! signed token gets there.
//!
//! Servers with the NATS resolver keep tokens themselves. Those with `url` fetch them from an account server, and those with
//! `memory` read them from their configuration; both say what is in force and nothing of what they would load next.

mod account_server;
mod preload;

use crate::definition::{self, Definition};
use crate::model::nkey::PublicKey;
use crate::observed::{AccountOnServer, Deployment, RequestError, Requests, Stored, system};
use crate::push::{self, Answer, PushError, PushOutcome};
use crate::sign::SignedToken;
use account_server::AccountServer;
use preload::Preload;
use std::borrow::Borrow;
use std::path::Path;
use std::time::Duration;

/// The resolver of a deployment.
#[derive(Debug)]
pub enum Resolver {
    /// The servers keep tokens (`full` and `cache`).
    Servers,
    /// An account server does (`url`).
    AccountServer(Box<AccountServer>),
    /// The servers' configuration has them (`memory`).
    Preload(Preload),
}

/// What stands in the way outside of the servers: the account server, or the file with the preload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct TokenStoreError {
    /// Stable name, for scripts: `account-server` or `preload`.
    pub code: &'static str,
    /// The account server with its URL, or the file and the line.
    pub place: String,
    /// What is the matter.
    pub message: String,
    /// What to do.
    pub next: String,
    /// The file, not the deployment, is the cause.
    pub is_input: bool,
}

/// Why the tokens of accounts are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The servers.
    #[error(transparent)]
    Servers(#[from] RequestError),
    /// What is outside of them.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
}

/// Why tokens were not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPushed {
    /// The servers.
    #[error(transparent)]
    Servers(#[from] PushError),
    /// What is outside of them.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
}

impl Resolver {
    /// As the definition says.
    ///
    /// # Errors
    /// [`TokenStoreError`] when the certificates for an account server cannot be read.
    pub fn of(definition: &Definition) -> Result<Self, TokenStoreError> {
        Ok(match &definition.resolver {
            definition::Resolver::Nats => Self::Servers,
            definition::Resolver::Url(url) => {
                Self::AccountServer(Box::new(AccountServer::new(url, definition.tls.as_ref())?))
            }
            definition::Resolver::Memory(file) => Self::Preload(Preload::new(file)),
        })
    }

    /// The file that servers have to reload before they have what was pushed.
    pub fn to_reload(&self) -> Option<&Path> {
        match self {
            Self::Preload(preload) => Some(preload.file()),
            Self::Servers | Self::AccountServer(_) => None,
        }
    }

    /// What a user of the system account publishes on to hand over the tokens of these accounts.
    pub fn subjects<'i>(&self, ids: impl Iterator<Item = &'i PublicKey>) -> Vec<String> {
        match self {
            Self::Servers => vec![push::SUBJECT.to_owned()],
            Self::AccountServer(_) => ids.map(|id| push::BY_NAME.replace('*', &id.to_string())).collect(),
            Self::Preload(_) => Vec::new(),
        }
    }

    /// Whether servers list the accounts that they keep.
    pub fn lists_accounts(&self) -> bool {
        matches!(self, Self::Servers)
    }

    /// What each server has of each account: one entry per account in the order of `ids`, each with one entry per server of
    /// the deployment.
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
        let (kept, live) = match self {
            Self::Servers => return Ok(system::accounts(requests, deployment, ids, timeout).await?),
            Self::AccountServer(server) => {
                let kept = async { Ok::<_, Unread>(server.tokens(ids, timeout).await?) };
                let live = async { Ok(system::live_accounts(requests, deployment, ids, timeout).await?) };
                futures::future::try_join(kept, live).await?
            }
            Self::Preload(preload) => {
                (preload.tokens(ids)?, system::live_accounts(requests, deployment, ids, timeout).await?)
            }
        };
        if let Some(server) = live.iter().flatten().find(|on| on.stored != Stored::NoAnswer) {
            return Err(self.not_theirs(&server.server).into());
        }
        let stored = |token: Option<String>| match (token, self) {
            (None, _) => Stored::Nothing,
            (Some(token), Self::Preload(_)) => Stored::Preload(token),
            (Some(token), _) => Stored::Token(token),
        };
        let with = |(token, servers): (Option<String>, Vec<AccountOnServer>)| {
            let stored = stored(token);
            servers.into_iter().map(|on| AccountOnServer { stored: stored.clone(), ..on }).collect()
        };
        Ok(kept.into_iter().zip(live).map(with).collect())
    }

    /// Hands over tokens, all at once, and says what became of each on every server of the deployment.
    ///
    /// # Errors
    /// [`NotPushed`]; [`NotPushed::Store`] before a server was told of anything.
    pub async fn push(
        &self,
        requests: &impl Requests,
        deployment: &Deployment,
        tokens: &[(PublicKey, impl Borrow<SignedToken> + Sync)],
        timeout: Duration,
    ) -> Result<Vec<PushOutcome>, NotPushed> {
        match self {
            Self::Servers => Ok(push::push(requests, deployment, tokens, timeout).await?),
            Self::AccountServer(server) => {
                for (id, token) in tokens {
                    server.store(id, token.borrow(), timeout).await?;
                }
                Ok(push::push_to_loaded(requests, deployment, tokens, timeout).await?)
            }
            Self::Preload(preload) => {
                let written: Vec<(&PublicKey, &SignedToken)> =
                    tokens.iter().map(|(id, token)| (id, token.borrow())).collect();
                preload.write(&written)?;
                let outcome = |id: &PublicKey| {
                    let of = move |server: &crate::observed::Server| PushOutcome {
                        account: id.clone(),
                        server: server.name.clone(),
                        cluster: server.cluster.clone(),
                        answer: Answer::Skipped { text: "it has it once it has reloaded the preload".to_owned() },
                    };
                    deployment.servers.iter().map(of).collect::<Vec<_>>()
                };
                Ok(tokens.iter().flat_map(|(id, _)| outcome(id)).collect())
            }
        }
    }

    /// Servers that answer look-ups keep tokens themselves: they would not look where the definition says.
    fn not_theirs(&self, server: &str) -> TokenStoreError {
        let (code, place, kind) = match self {
            Self::AccountServer(server) => ("account-server", server.place(), "url"),
            Self::Preload(preload) => ("preload", preload.place(), "memory"),
            Self::Servers => ("resolver", "resolver".to_owned(), "nats"),
        };
        TokenStoreError {
            code,
            place,
            message: format!(
                "servers ({server} among them) answer look-ups of account tokens: their resolver is `full`, and not `{kind}`, as \
                 the definition says"
            ),
            next: "Write `resolver: { type: nats }`; or restart the servers with the resolver that the definition has."
                .to_owned(),
            is_input: false,
        }
    }
}
