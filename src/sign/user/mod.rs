//! Short-lived users with only the permissions that a run needs.

use super::{Seed, SignError, SignedToken, Signer, issue};
use crate::model::claims::{AccountClaims, Permission, Permissions, Scope};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::subject::SubjectFilter;
use serde_json::{Map, Value, json};

/// The source of a user's permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserPermissions {
    /// The user's own permissions. An empty `allow` list allows everything that isn't denied.
    Own(Permissions),
    /// The scope of the signing key. Servers refuse such a user if it has permissions of its own (nats-io/jwt v2
    /// `signingkeys.go`, `ValidateScopedSigner`).
    FromScope,
}

impl UserPermissions {
    /// Allows publishing and subscribing only on these subjects.
    pub fn only(publish: &[&str], subscribe: &[&str]) -> Self {
        let allow = |subjects: &[&str]| Permission {
            allow: subjects.iter().map(|s| (*s).to_owned()).collect(),
            deny: Vec::new(),
        };
        Self::Own(Permissions { publish: allow(publish), subscribe: allow(subscribe) })
    }
}

/// A user that exists only in memory.
#[derive(Debug)]
pub struct MintedUser {
    /// The user's token.
    pub jwt: SignedToken,
    /// The user's seed, which signs the server's nonce.
    pub seed: Seed,
}

/// Makes a new user key and a token for it that ends at `expires_at` (seconds since 1970).
///
/// `account` is the account for which a signing key signs (`issuer_account`). It is `None` if the account's identity
/// signs.
///
/// # Errors
/// [`SignError`]; [`SignError::WrongSigner`] if the signer isn't an account's key.
pub fn mint_user(
    signer: &dyn Signer,
    account: Option<&PublicKey>,
    permissions: &UserPermissions,
    expires_at: u64,
    iat: u64,
) -> Result<MintedUser, SignError> {
    let seed = Seed::generate(KeyKind::User).map_err(|error| SignError::Signer(error.to_string()))?;
    let mut nats = Map::new();
    if let UserPermissions::Own(Permissions { publish, subscribe }) = permissions {
        nats.insert("pub".to_owned(), permission_json(publish));
        nats.insert("sub".to_owned(), permission_json(subscribe));
        for limit in ["subs", "data", "payload"] {
            nats.insert(limit.to_owned(), Value::from(-1));
        }
    }
    if let Some(account) = account {
        nats.insert("issuer_account".to_owned(), account.to_string().into());
    }
    nats.insert("type".to_owned(), "user".into());
    nats.insert("version".to_owned(), 2.into());
    let claims = json!({
        "exp": expires_at, "jti": "", "iat": iat, "iss": "", "name": "vstream-jwt",
        "sub": seed.public_key().to_string(), "nats": nats,
    });
    Ok(MintedUser { jwt: issue(&claims, signer, iat)?, seed })
}

fn permission_json(Permission { allow, deny }: &Permission) -> Value {
    let lists = [("allow", allow), ("deny", deny)].into_iter().filter(|(_, list)| !list.is_empty());
    Value::Object(lists.map(|(name, list)| (name.to_owned(), list.as_slice().into())).collect())
}

/// The users that a key can issue for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIssuer {
    /// The `account` argument of [`mint_user`].
    pub account: Option<PublicKey>,
    /// The `permissions` argument of [`mint_user`].
    pub permissions: UserPermissions,
    /// The wanted permissions that the key's scope doesn't grant: `publish $JS.API.>`.
    pub missing: Vec<String>,
}

/// Reason why a key cannot issue users for an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// The key is neither the identity nor one of the signing keys.
    #[error("{key} is neither the identity of account {account} nor one of its signing keys")]
    NotOfAccount {
        /// The key.
        key: PublicKey,
        /// The account.
        account: PublicKey,
    },
    /// With strict signing key usage, servers refuse users that the identity key issued.
    #[error("the operator has strict signing key usage: users of {account} are issued by its signing keys only")]
    Strict {
        /// The account.
        account: PublicKey,
    },
}

/// Returns how `key` issues a user of the account with the `wanted` permissions: as the account's identity, as a
/// signing key, or as a scoped signing key. Users of a scoped key get the scope's permissions. `strict` is the
/// operator's strict signing key usage.
///
/// # Errors
/// [`IssuerError`]
pub fn user_issuer(
    claims: &AccountClaims,
    key: &PublicKey,
    strict: bool,
    wanted: &Permissions,
) -> Result<UserIssuer, IssuerError> {
    let account = claims.id().clone();
    let own = UserPermissions::Own(wanted.clone());
    if *key == account {
        return match strict {
            true => Err(IssuerError::Strict { account }),
            false => Ok(UserIssuer { account: None, permissions: own, missing: Vec::new() }),
        };
    }
    let Some(signing_key) = claims.signing_keys().iter().find(|k| k.key == *key) else {
        return Err(IssuerError::NotOfAccount { key: key.clone(), account });
    };
    Ok(match &signing_key.scope {
        None => UserIssuer { account: Some(account), permissions: own, missing: Vec::new() },
        Some(scope) => UserIssuer {
            account: Some(account),
            permissions: UserPermissions::FromScope,
            missing: missing_in(scope, wanted),
        },
    })
}

/// Returns the `wanted` subjects that the scope's template doesn't allow completely.
fn missing_in(scope: &Scope, wanted: &Permissions) -> Vec<String> {
    let sides = [("publish", "pub", &wanted.publish), ("subscribe", "sub", &wanted.subscribe)];
    let lacks = |(verb, side, permission): (&str, &str, &Permission)| {
        let list = |name: &str| -> Vec<SubjectFilter> {
            let items = scope.template[side][name].as_array().into_iter().flatten();
            items.filter_map(|s| SubjectFilter::parse(s.as_str()?).ok()).collect()
        };
        let (allow, deny) = (list("allow"), list("deny"));
        let given = |subject: &&String| match SubjectFilter::parse(subject) {
            Ok(s) => (allow.is_empty() || allow.iter().any(|a| a.covers(&s))) && !deny.iter().any(|d| d.overlaps(&s)),
            Err(_) => false,
        };
        permission.allow.iter().filter(|s| !given(s)).map(|s| format!("{verb} {s}")).collect::<Vec<_>>()
    };
    sides.into_iter().flat_map(lacks).collect()
}

#[cfg(test)]
mod tests;
