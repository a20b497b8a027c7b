//! The connecting user: a token and a seed, read from a credentials file or a context, or minted in memory.

use super::ConnectError;
use super::context::Context;
use super::reference::Secret;
use crate::files::read_secret;
use crate::model::claims::Token;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::topology::Tls;
use crate::model::units::rough_duration;
use crate::observed::User;
use crate::sign::{Seed, Signer};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Size of the largest credentials file that is read, in bytes. A user's token has a few kB.
const LARGEST: usize = 1 << 20;

/// The access to an account.
#[derive(Debug, Clone)]
pub enum LoginMethod {
    /// A `.creds` file: a user's token and seed.
    Credentials(PathBuf),
    /// A context of the `nats` CLI, by name.
    Context(String),
    /// A user minted in memory ([`crate::sign`]).
    User {
        /// The user's token.
        jwt: String,
        /// The user's seed.
        seed: Arc<Seed>,
    },
}

/// A user that can log in.
#[derive(Debug)]
pub(super) struct Login {
    pub jwt: String,
    pub seed: Arc<Seed>,
    pub account: PublicKey,
    pub user: String,
    pub inbox_prefix: Option<String>,
    /// The source of the user, for messages.
    place: String,
    /// `true` for a user minted in memory.
    minted: bool,
    /// The context's TLS settings, for servers without TLS settings in the definition.
    pub tls: Option<Tls>,
}

impl Login {
    /// Reads the access, and checks everything that can be checked before connecting. `now` is in seconds since 1970.
    pub(super) fn load(access: &LoginMethod, expected: Option<&PublicKey>, now: u64) -> Result<Self, ConnectError> {
        let login = match access {
            LoginMethod::Credentials(path) => Self::from_file(path, now)?,
            LoginMethod::User { jwt, seed } => {
                Self { minted: true, ..Self::new("the minted user", jwt, seed.clone(), now)? }
            }
            LoginMethod::Context(name) => {
                let context = Context::find(name)?;
                let place = context.place();
                let mut login = match (&context.creds, &context.user) {
                    (Some(Secret::File(path)), _) => Self::from_file(path, now)?,
                    (Some(Secret::Text(text)), _) => Self::from_text(&place, text, now)?,
                    (None, Some((jwt, seed))) => Self::new(&place, jwt, Arc::new(parse_seed(seed, &place)?), now)?,
                    (None, None) => return Err(context.unusable()),
                };
                login.inbox_prefix = context.inbox_prefix;
                login.tls = context.tls;
                login
            }
        };
        match expected {
            Some(expected) if *expected != login.account => Err(ConnectError::WrongAccount {
                place: place_of(access),
                found: login.account,
                expected: expected.clone(),
            }),
            _ => Ok(login),
        }
    }

    fn from_file(path: &Path, now: u64) -> Result<Self, ConnectError> {
        let text = read_secret(path, LARGEST).map_err(|error| ConnectError::unread("credentials", path, error))?;
        let place = format!("credentials {}", path.display());
        Self::from_text(&place, std::str::from_utf8(&text).unwrap_or_default(), now)
    }

    fn from_text(place: &str, text: &str, now: u64) -> Result<Self, ConnectError> {
        let (jwt, seed) = parse_creds(text).ok_or_else(|| ConnectError::Credentials {
            place: place.to_owned(),
            reason: "is not a .creds file: it needs a user token and a user seed, each between lines of dashes".into(),
        })?;
        Self::new(place, jwt, Arc::new(parse_seed(seed, place)?), now)
    }

    /// Returns the user with its claims, for checks of its permissions.
    pub(super) fn as_user(&self) -> Option<User> {
        let claims = Token::decode(&self.jwt).ok()?.into_claims();
        Some(User { claims, place: self.place.clone(), minted: self.minted })
    }

    fn new(place: &str, jwt: &str, seed: Arc<Seed>, now: u64) -> Result<Self, ConnectError> {
        let broken = |reason: &str| ConnectError::Credentials { place: place.to_owned(), reason: reason.to_owned() };
        let token = Token::decode(jwt).map_err(|error| broken(&error.to_string()))?;
        let claims = token.claims();
        let text = |pointer: &str| claims.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        if token.claim_type() != "user" {
            return Err(broken("the token is not a user's"));
        }
        let account =
            User::account_of(claims).ok_or_else(|| broken("the user token names no account as its issuer"))?;
        if text("/sub") != Some(seed.public_key().to_string().as_str()) {
            return Err(broken("the seed is not that of the user in the token"));
        }
        let user = text("/name").or(text("/sub")).unwrap_or_default().to_owned();
        if let Some(at) = claims["exp"].as_u64().filter(|at| *at != 0 && *at <= now) {
            return Err(ConnectError::Expired {
                place: place.to_owned(),
                user,
                ago: rough_duration(now - at),
                at: jiff::Timestamp::from_second(at as i64)
                    .map(|at| at.strftime("%F %T").to_string())
                    .unwrap_or_default(),
            });
        }
        let (jwt, place) = (jwt.to_owned(), place.to_owned());
        Ok(Self { jwt, seed, account, user, inbox_prefix: None, place, minted: false, tls: None })
    }
}

/// Reads the user of a credentials file, even if it has expired.
///
/// # Errors
/// [`ConnectError`]
pub fn user_of(path: &Path) -> Result<User, ConnectError> {
    let login = Login::from_file(path, 0)?;
    let broken = || ConnectError::Credentials { place: login.place.clone(), reason: "has no user".to_owned() };
    login.as_user().ok_or_else(broken)
}

/// Returns the source of the access, for messages.
fn place_of(access: &LoginMethod) -> String {
    match access {
        LoginMethod::Credentials(path) => format!("credentials {}", path.display()),
        LoginMethod::Context(name) => format!("context `{name}`"),
        LoginMethod::User { .. } => "the minted user".to_owned(),
    }
}

fn parse_seed(text: &str, place: &str) -> Result<Seed, ConnectError> {
    let broken = |reason: String| ConnectError::Credentials { place: place.to_owned(), reason };
    let seed = Seed::parse(text.trim()).map_err(|error| broken(format!("the seed {error}")))?;
    if seed.kind() != KeyKind::User {
        return Err(broken(format!("the seed is that of a key of kind {}, not of a user", seed.kind())));
    }
    Ok(seed)
}

/// Returns the token and the seed: the first two values between lines of dashes (nats-io/jwt v2 `creds_utils.go`).
fn parse_creds(text: &str) -> Option<(&str, &str)> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut found =
        lines.windows(3).filter(|w| w[0].starts_with("---") && !w[1].starts_with('-') && w[2].starts_with("---"));
    Some((found.next()?[1], found.next()?[1]))
}

#[cfg(test)]
mod tests;
