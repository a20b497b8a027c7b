//! The plan file: what `plan --out` writes, `sign` signs and `apply` carries out, in one document that is whole or
//! refused.
//!
//! Its text is canonical: parsed and rendered again it is the same byte for byte, and a digest covers its content. A
//! signed file is sealed by the operator's signature of that digest.

use super::anew;
use super::envelope::{MOST_BYTES, Outline, digest, is_canonical, outline};
use super::who::Who;
use super::{ActivationRequest, Options, Plan, Push, Reason, Stage};
use crate::desired::DesiredAccount;
use crate::model::claims::{AccountClaims, ClaimsError, TrustedClaims};
use crate::model::nkey::PublicKey;
use crate::model::shown::shown;
use crate::observed::survey::Observed;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// The version of the format.
pub const FORMAT: u32 = 1;

/// A plan file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// [`FORMAT`]
    pub vstream_jwt_plan: u32,
    /// What was planned.
    pub content: Content,
    /// SHA-256 of the content, in hexadecimal.
    sha256: String,
    /// The operator's signature of the digest (base64), in a signed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// What was planned, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Name and version of the program that made it.
    pub tool: String,
    /// When (RFC 3339).
    pub created: String,
    /// Who made it; files of older versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// The definition's files.
    pub definition: Vec<File>,
    /// What it was planned with.
    pub options: Options,
    /// The plan as people read it.
    pub text: Vec<String>,
    /// The plan as `plan --format json` has it.
    pub changes: Value,
    /// Per account, in the order of the plan.
    pub accounts: Vec<PlannedAccount>,
    /// Who signed the tokens, in a signed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// A file of the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The operator's key.
    pub operator: PublicKey,
    /// When (RFC 3339).
    pub at: String,
}

/// What is planned for one account, and what it was planned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedAccount {
    /// The definition's name for it.
    pub name: String,
    /// Its public key.
    pub id: PublicKey,
    /// The token that its claims are edited from; none for an account that is yet to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Its streams as they were.
    pub streams: Vec<StreamBase>,
    /// Its new tokens, in the order of their stages.
    pub tokens: Vec<PlannedToken>,
}

/// A stream as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamBase {
    /// Its name.
    pub name: String,
    /// SHA-256 of its config, in hexadecimal; none when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A token that is to be signed, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedToken {
    /// When it is pushed.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// The largest `iat` (seconds) that any server stores.
    pub newest_iat: u64,
    /// The claims to sign, once the activation tokens are in.
    pub claims: Value,
    /// The activation tokens that its imports need.
    pub activations: Vec<ActivationRequest>,
    /// The signed token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Why a text is not a plan file that may be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// Something else.
    #[error("is not a plan file of vstream-jwt: {0}")]
    NotAPlan(String),
    /// Of a format that is not known here.
    #[error("has format {found}; this version knows formats up to {FORMAT}")]
    Newer {
        /// The format.
        found: u64,
    },
    /// More than is read.
    #[error("is too large: more than {} MB", MOST_BYTES / 1_000_000)]
    TooLarge,
    /// Has a secret in it, where none belongs.
    #[error("has {0} in it")]
    Secret(&'static str),
    /// Not what was written.
    #[error("was changed after it was written")]
    Changed,
    /// Not sealed by the key that it names.
    #[error("has a seal that is not the operator's")]
    Seal,
}

impl PlanFile {
    /// A file with this content, without a seal.
    pub fn new(content: Content) -> Self {
        let sha256 = digest(&content);
        Self { vstream_jwt_plan: FORMAT, content, sha256, signature: None }
    }

    /// What the seal signs.
    pub fn sealed_message(&self) -> Vec<u8> {
        format!("vstream-jwt plan {FORMAT} {}", self.sha256).into_bytes()
    }

    /// With the operator's signature of [`sealed_message`](Self::sealed_message), base64.
    #[must_use]
    pub fn sealed(mut self, signature: String) -> Self {
        self.signature = Some(signature);
        self
    }

    /// The seal, in a signed file: who, and the signature in base64.
    pub fn seal(&self) -> Option<(&PublicKey, &str)> {
        Some((&self.content.signed.as_ref()?.operator, self.signature.as_deref()?))
    }

    /// As text.
    pub fn render(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a file. Whether the seal is the operator's is for the caller.
    ///
    /// # Errors
    /// [`PlanFileError`]
    pub fn parse(text: &str) -> Result<Self, PlanFileError> {
        let bad = |error: serde_json::Error| PlanFileError::NotAPlan(shown(&error.to_string()).into_owned());
        match outline(text, "vstream_jwt_plan").map_err(bad)? {
            Outline::NoMarker => return Err(PlanFileError::NotAPlan("it has no `vstream_jwt_plan`".to_owned())),
            Outline::Twice => return Err(PlanFileError::Changed),
            Outline::Format(found) if found > u64::from(FORMAT) => return Err(PlanFileError::Newer { found }),
            Outline::Format(found) if found < u64::from(FORMAT) => {
                return Err(PlanFileError::NotAPlan(format!("there is no format {found}")));
            }
            Outline::Format(_) => {}
        }
        let file: Self = serde_json::from_str(text).map_err(bad)?;
        let sealed = file.content.signed.is_some() == file.signature.is_some();
        if !is_canonical(&file, text) || file.sha256 != digest(&file.content) || !sealed {
            return Err(PlanFileError::Changed);
        }
        Ok(file)
    }
}

impl Content {
    /// What moved since this was planned, in words; `now` is planned anew from what is there now. Empty when the same
    /// would be done to the same.
    pub fn moved(&self, now: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        let names =
            |content: &Self| content.accounts.iter().map(|a| (a.name.clone(), a.id.clone())).collect::<Vec<_>>();
        if names(self) != names(now) {
            return vec!["the accounts are not the same".to_owned()];
        }
        for (before, after) in self.accounts.iter().zip(&now.accounts) {
            if before.base != after.base {
                let issued = after.base.as_deref().and_then(|token| AccountClaims::decode(token).ok());
                let issued = issued.map(|claims| format!(" (iat {} now)", claims.issued_at())).unwrap_or_default();
                moved.push(format!("account {}: its token{issued}", before.name));
            }
            for stream in &after.streams {
                let was = before.streams.iter().find(|other| other.name == stream.name).and_then(|s| s.sha256.as_ref());
                let what = match (was, &stream.sha256) {
                    (was, is) if was == is.as_ref() => continue,
                    (None, _) => "was made",
                    (_, None) => "was deleted",
                    _ => "was changed",
                };
                moved.push(format!("account {}: stream {} {what}", before.name, stream.name));
            }
        }
        if moved.is_empty() {
            let unsigned = |account: &PlannedAccount| -> Vec<(Stage, Reason, Value)> {
                let tokens = account.tokens.iter();
                tokens.map(|token| (token.stage, token.reason.clone(), token.claims.clone())).collect()
            };
            for (index, (before, after)) in self.accounts.iter().zip(&now.accounts).enumerate() {
                let changes = |content: &Self| anew::without_beginnings(content.changes["accounts"][index].clone());
                if unsigned(before) != unsigned(after) || changes(self) != changes(now) {
                    moved.push(format!("account {}: what has to be done", before.name));
                }
            }
        }
        moved
    }
}

/// What is planned for each account; `bases` are the tokens that were planned from, account by account.
pub fn planned_accounts(
    plan: &Plan,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    bases: Vec<Option<String>>,
) -> Vec<PlannedAccount> {
    let accounts = plan.accounts.iter().zip(&observed.accounts).zip(bases).enumerate();
    let planned = accounts.map(|(index, ((account, found), base))| {
        let wanted = desired.get(index).into_iter().flat_map(|desired| &desired.streams);
        let changed = account.streams.changes.iter().map(|change| change.name.as_str());
        let names: BTreeSet<&str> = wanted.map(|stream| stream.name.as_str()).chain(changed).collect();
        let streams = names.into_iter().map(|name| {
            let stream = found.jetstream.streams.iter().find(|stream| stream.name == name);
            StreamBase { name: name.to_owned(), sha256: stream.map(|stream| digest(&stream.config)) }
        });
        let tokens = account.pushes.iter().map(|push| {
            let Push { stage, reason, claims, activations, base: _, newest_iat } = push;
            PlannedToken {
                stage: *stage,
                reason: reason.clone(),
                newest_iat: *newest_iat,
                claims: claims.value().clone(),
                activations: activations.clone(),
                token: None,
            }
        });
        PlannedAccount {
            name: account.name.clone(),
            id: account.id.clone(),
            base,
            streams: streams.collect(),
            tokens: tokens.collect(),
        }
    });
    planned.collect()
}

impl PlannedAccount {
    /// The pushes of the plan, for a review: what they change is shown before anything is signed.
    ///
    /// # Errors
    /// [`ClaimsError`] when claims of the file are not an account's.
    pub fn pushes(&self) -> Result<Vec<Push>, ClaimsError> {
        let pushes = self.tokens.iter().map(|token| {
            Ok(Push {
                stage: token.stage,
                reason: token.reason.clone(),
                claims: TrustedClaims::reviewed(token.claims.clone())?,
                activations: token.activations.clone(),
                base: self.base.clone(),
                newest_iat: token.newest_iat,
            })
        });
        pushes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content() -> Content {
        Content {
            tool: "vstream-jwt 0.1.0".to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            who: None,
            definition: vec![File { name: "vstream.yaml".to_owned(), text: "version: 1\n".to_owned() }],
            options: Options::default(),
            text: Vec::new(),
            changes: json!({ "accounts": [], "number": 18_446_744_073_709_551_615_u64 }),
            accounts: Vec::new(),
            signed: None,
        }
    }

    #[test]
    fn a_file_with_any_byte_changed_is_refused() {
        let text = PlanFile::new(content()).render();
        assert_eq!(PlanFile::parse(&text).unwrap().render(), text);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(PlanFile::parse(&changed).is_err(), "byte {at} of {text}");
        }
        for changed in [text.trim_end().to_owned(), format!("{text} "), format!("\n{text}"), text.replace("  ", " ")] {
            assert!(PlanFile::parse(&changed).is_err(), "{changed:?}");
        }
    }

    #[test]
    fn a_newer_format_and_other_documents_are_named() {
        let newer = PlanFile::new(content()).render().replace("\"vstream_jwt_plan\": 1", "\"vstream_jwt_plan\": 2");
        assert!(matches!(PlanFile::parse(&newer), Err(PlanFileError::Newer { found: 2 })));
        let none = PlanFile::new(content()).render().replace("\"vstream_jwt_plan\": 1", "\"vstream_jwt_plan\": 0");
        assert!(matches!(PlanFile::parse(&none), Err(PlanFileError::NotAPlan(_))));
        assert!(matches!(PlanFile::parse("{}"), Err(PlanFileError::NotAPlan(_))));
        assert!(matches!(PlanFile::parse("version: 1"), Err(PlanFileError::NotAPlan(_))));
    }

    #[test]
    fn a_seal_and_its_signer_belong_together() {
        let sealed = PlanFile::new(content()).sealed("AA==".to_owned()).render();
        assert!(matches!(PlanFile::parse(&sealed), Err(PlanFileError::Changed)));
    }
}
