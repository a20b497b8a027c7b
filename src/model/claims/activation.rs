//! Activation tokens: an exporter's permission for one account to import one of its private exports.

use super::exports_imports::ImportSpec;
use super::views::{self, Revocation};
use super::{AccountClaims, ClaimsError, Token};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::subject::SubjectFilter;

/// The claims of an activation token with a verified signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    issuer: PublicKey,
    issuer_account: Option<PublicKey>,
    importer: PublicKey,
    subject: String,
    kind: String,
    issued_at: u64,
    expires: Option<u64>,
    not_before: Option<u64>,
}

/// Reason why a server does not accept an activation token for an import.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationFault {
    /// The issuer is not a key of the exporter (nats-server 2.15 `accounts.go`, `isIssuerClaimTrusted`).
    #[error("its issuer {0} is not a key of the exporting account")]
    Issuer(PublicKey),
    /// The token is for another account.
    #[error("it is for account {0}")]
    Importer(PublicKey),
    /// The token is for other subjects.
    #[error("it is for {kind} `{subject}`")]
    Subject {
        /// `stream` or `service`.
        kind: String,
        /// The subject of the token.
        subject: String,
    },
    /// The token has expired.
    #[error("it expired")]
    Expired,
    /// The token is not valid yet.
    #[error("it is not valid yet")]
    NotYet,
    /// The export revokes the token.
    #[error("it is revoked")]
    Revoked,
}

impl Activation {
    /// Decodes an activation token and verifies its signature against its own `iss`.
    ///
    /// # Errors
    /// [`ClaimsError`], also for the URL of a token, which older accounts have in its place.
    pub fn decode(token: &str) -> Result<Self, ClaimsError> {
        let token = Token::decode(token)?;
        token.expect("activation", KeyKind::Account)?;
        let claims = token.claims();
        let nats = &claims["nats"];
        let seconds = |field: &str| views::unsigned(claims, "", field).map(|s| s.filter(|s| *s > 0));
        let issuer_account = match nats["issuer_account"].as_str() {
            None | Some("") => None,
            Some(text) => Some(PublicKey::parse_kind(text, KeyKind::Account).map_err(|error| ClaimsError::Field {
                path: "nats.issuer_account".to_owned(),
                reason: error.to_string(),
            })?),
        };
        Ok(Self {
            issuer: token.issuer().clone(),
            issuer_account,
            importer: token.subject().clone(),
            subject: nats["subject"].as_str().unwrap_or_default().to_owned(),
            kind: nats["kind"].as_str().unwrap_or_default().to_owned(),
            issued_at: seconds("iat")?.unwrap_or(0),
            expires: seconds("exp")?,
            not_before: seconds("nbf")?,
        })
    }

    /// The subject that the token lets the importer import.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The account that the token is for.
    pub fn importer(&self) -> &PublicKey {
        &self.importer
    }

    /// The time of issue (`iat`), in seconds since 1970; 0 if the token has none.
    pub fn issued_at(&self) -> u64 {
        self.issued_at
    }

    /// The time of expiry (`exp`), in seconds since 1970.
    pub fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// Checks that the token lets `importer` import from `exporter`. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`ActivationFault`]
    pub fn judge(
        &self,
        exporter: &AccountClaims,
        importer: &PublicKey,
        import: &ImportSpec,
        now: u64,
    ) -> Result<(), ActivationFault> {
        let Self { issuer, issuer_account, importer: about, subject, kind, issued_at, expires, not_before } = self;
        let by_signing_key = || exporter.signing_keys().iter().any(|key| key.key == *issuer);
        let trusted = match issuer_account {
            None => issuer == exporter.id(),
            Some(account) => account == exporter.id() && by_signing_key(),
        };
        if !trusted {
            return Err(ActivationFault::Issuer(issuer.clone()));
        }
        if about != importer {
            return Err(ActivationFault::Importer(about.clone()));
        }
        let covers = match (SubjectFilter::parse(subject), SubjectFilter::parse(&import.subject)) {
            (Ok(token), Ok(wanted)) => token.covers(&wanted),
            _ => false,
        };
        if !covers || kind != import.kind.as_str() {
            return Err(ActivationFault::Subject { kind: kind.clone(), subject: subject.clone() });
        }
        if expires.is_some_and(|at| at <= now) {
            return Err(ActivationFault::Expired);
        }
        if not_before.is_some_and(|at| at > now) {
            return Err(ActivationFault::NotYet);
        }
        let exports = exporter.exports().iter().filter(|export| export.kind == *kind);
        let revoked = |revocation: &Revocation| {
            let about_it = revocation.key == "*" || revocation.key == about.to_string();
            about_it && u64::try_from(revocation.before).is_ok_and(|before| *issued_at <= before)
        };
        let covering = exports.filter(|export| {
            let filters = (SubjectFilter::parse(&export.subject), SubjectFilter::parse(&import.subject));
            matches!(filters, (Ok(export), Ok(wanted)) if export.covers(&wanted))
        });
        if covering.flat_map(|export| &export.revocations).any(revoked) {
            return Err(ActivationFault::Revoked);
        }
        Ok(())
    }
}
