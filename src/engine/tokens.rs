//! Signs the tokens of a plan: accounts' tokens with the operator's key, activation tokens with the exporters' keys.

use super::clock::now;
use crate::definition::Definition;
use crate::model::claims::{ImportSpec, TrustedClaims};
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::Access;
use crate::plan::{AccountPlan, ActivationRequest, Push, Stage};
use crate::sign::activation::issue_activation;
use crate::sign::file::read_seed_file;
use crate::sign::keyring::{Keyring, KeyringError, issuer};
use crate::sign::{Seed, SignError, SignedToken, Signer, issue_account, next_iat};
use std::collections::HashMap;

/// A signed token to push.
#[derive(Debug)]
pub(crate) struct SignedPush {
    /// The index of the account in the plan.
    pub index: usize,
    /// The account.
    pub id: PublicKey,
    /// The stage of the push.
    pub stage: Stage,
    /// The token that servers must have before the push: the stored one, or ours of an earlier stage. `None` for a new
    /// account.
    pub base: Option<String>,
    /// The token.
    pub token: SignedToken,
}

/// Reason why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Signing failed.
    #[error("signing the token of account {account}: {cause}")]
    Sign {
        /// The account's name.
        account: String,
        /// The error.
        cause: SignError,
    },
    /// The keys folder has no key that may issue activation tokens.
    #[error("account {account} has to issue activation tokens, and none of its keys is in the keys folder")]
    NoKey {
        /// The exporting account's name.
        account: String,
    },
    /// A key file cannot be used.
    #[error("account {account}: {cause}")]
    Keys {
        /// The account's name.
        account: String,
        /// The error.
        cause: KeyringError,
    },
}

/// Tokens to issue for an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToIssue<'a> {
    /// The account's name in the definition.
    pub name: &'a str,
    /// The account.
    pub id: &'a PublicKey,
    /// The account's present claims.
    pub current: Option<&'a TrustedClaims>,
    /// The tokens.
    pub pushes: &'a [Push],
}

impl<'a> From<&'a AccountPlan> for ToIssue<'a> {
    fn from(account: &'a AccountPlan) -> Self {
        Self { name: &account.name, id: &account.id, current: account.current.as_ref(), pushes: &account.pushes }
    }
}

/// Signs everything, so that a failure stops the run before anything is written.
pub(crate) fn sign_all(
    definition: &Definition,
    accounts: &[ToIssue<'_>],
    operator: &dyn Signer,
    keys: &Keyring,
) -> Result<Vec<SignedPush>, IssueError> {
    let mut activations = Activations { definition, accounts, keys, seeds: HashMap::new(), issued: HashMap::new() };
    let mut issued = Vec::new();
    for (index, account) in accounts.iter().enumerate() {
        let mut before: Option<(String, u64)> = None;
        for push in account.pushes {
            let mut claims = push.claims.clone();
            for request in &push.activations {
                let token = activations.token(request)?;
                claims.set_import(&request.import, Some(&token));
            }
            let sign = |cause| IssueError::Sign { account: account.name.to_owned(), cause };
            let stored = [push.newest_iat, before.as_ref().map_or(0, |(_, iat)| *iat)];
            let iat = next_iat(now(), stored);
            let token = issue_account(&claims, operator, iat).map_err(sign)?;
            let base = before.take().map(|(token, _)| token).or_else(|| push.base.clone());
            before = Some((token.as_str().to_owned(), iat));
            issued.push(SignedPush { index, id: account.id.clone(), stage: push.stage, base, token });
        }
    }
    issued.sort_by_key(|one| one.stage);
    Ok(issued)
}

/// Activation tokens, each issued once, and the seeds that issue them.
struct Activations<'a> {
    definition: &'a Definition,
    accounts: &'a [ToIssue<'a>],
    keys: &'a Keyring,
    seeds: HashMap<PublicKey, Seed>,
    issued: HashMap<(PublicKey, ImportSpec), String>,
}

impl Activations<'_> {
    fn token(&mut self, request: &ActivationRequest) -> Result<String, IssueError> {
        let ActivationRequest { exporter, exporter_name, importer, import, lifetime } = request;
        let key = (importer.clone(), import.clone());
        if let Some(token) = self.issued.get(&key) {
            return Ok(token.clone());
        }
        if !self.seeds.contains_key(exporter) {
            let seed = self.seed(exporter, exporter_name)?;
            let seed = seed.ok_or_else(|| IssueError::NoKey { account: exporter_name.clone() })?;
            self.seeds.insert(exporter.clone(), seed);
        }
        let now = now();
        let expires = lifetime.map(|lifetime| now + lifetime);
        let token = issue_activation(&self.seeds[exporter], exporter, importer, import, expires, now)
            .map_err(|cause| IssueError::Sign { account: exporter_name.clone(), cause })?;
        let token = token.as_str().to_owned();
        self.issued.insert(key, token.clone());
        Ok(token)
    }

    /// Returns the key that issues for the exporter: the one that the definition names, one of the keys folder, or the
    /// one that the tool connects to the account with.
    fn seed(&self, exporter: &PublicKey, name: &str) -> Result<Option<Seed>, IssueError> {
        let failed = |cause| IssueError::Keys { account: name.to_owned(), cause };
        let account = self.definition.accounts.iter().find(|account| account.id == *exporter);
        if let Some(key) = account.and_then(|account| account.signing_key.as_ref()) {
            return self.keys.find(key).map_err(failed);
        }
        let claims = self.claims(exporter);
        if let Some(claims) = claims
            && let Some(seed) = issuer(claims, self.keys).map_err(failed)?
        {
            return Ok(Some(seed));
        }
        let Some(Access::Key(path)) = account.map(|account| &account.access) else { return Ok(None) };
        let seed = read_seed_file(path).map_err(|cause| failed(cause.into()))?;
        let of_account = |claims: &TrustedClaims| {
            let key = seed.public_key();
            key == *claims.id() || claims.signing_keys().iter().any(|known| known.key == key && known.scope.is_none())
        };
        Ok(claims.is_some_and(of_account).then_some(seed))
    }

    /// Returns the exporter's future claims.
    fn claims(&self, id: &PublicKey) -> Option<&TrustedClaims> {
        let account = self.accounts.iter().find(|account| account.id == id)?;
        account.pushes.last().map(|push| &push.claims).or(account.current)
    }
}
