//! The plan file. `plan --out` writes it, `sign` signs it, and `apply` carries it out.
//!
//! A file is read completely or refused. Its text is canonical: parsing and rendering it gives the same bytes. A digest
//! covers its content. In a signed file, the operator's signature of that digest is the seal.

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
    /// The plan.
    pub content: PlanContent,
    /// SHA-256 of the content, in hexadecimal.
    sha256: String,
    /// The operator's signature of the digest (base64), in a signed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// A plan, and the state that it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanContent {
    /// Name and version of the program that made the file.
    pub tool: String,
    /// Time when the file was made (RFC 3339).
    pub created: String,
    /// The user that made the file. Files of older versions lack this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// The definition's files.
    pub definition: Vec<File>,
    /// The options of the plan.
    pub options: Options,
    /// The plan as text for the user.
    pub text: Vec<String>,
    /// The plan as JSON, as in `plan --format json`.
    pub changes: Value,
    /// The accounts, in the order of the plan.
    pub accounts: Vec<PlannedAccount>,
    /// The signer of the tokens, in a signed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<PlanSigner>,
}

/// A file of the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Name of the file.
    pub name: String,
    /// Text of the file.
    pub text: String,
}

/// The signer of a plan file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSigner {
    /// The operator's key.
    pub operator: PublicKey,
    /// Time of the signature (RFC 3339).
    pub at: String,
}

/// The plan for one account, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedAccount {
    /// The account's name in the definition.
    pub name: String,
    /// The account's public key.
    pub id: PublicKey,
    /// The token from which the account's new claims are edited; absent for a new account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The account's streams before the run.
    pub streams: Vec<StreamBase>,
    /// The account's new tokens, in the order of their stages.
    pub tokens: Vec<PlannedToken>,
}

/// A stream before the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamBase {
    /// Name of the stream.
    pub name: String,
    /// SHA-256 of the stream's config, in hexadecimal; absent if the stream did not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A token, signed or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedToken {
    /// The stage in which the token is pushed.
    pub stage: Stage,
    /// Reason for the push.
    pub reason: Reason,
    /// The largest `iat` (seconds) that any server stores.
    pub newest_iat: u64,
    /// The claims to sign, once their activation tokens are issued.
    pub claims: Value,
    /// The activation tokens that the imports need.
    pub activations: Vec<ActivationRequest>,
    /// The signed token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Reason why a text is not a valid plan file.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// Not a plan file.
    #[error("is not a plan file of vstream-jwt: {0}")]
    NotAPlan(String),
    /// The format is newer than those that this version reads.
    #[error("has format {found}; this version knows formats up to {FORMAT}")]
    Newer {
        /// The format.
        found: u64,
    },
    /// The file exceeds the size that this version reads.
    #[error("is too large: more than {} MB", MOST_BYTES / 1_000_000)]
    TooLarge,
    /// The file contains a secret. A plan file never has one.
    #[error("has {0} in it")]
    Secret(&'static str),
    /// The text was changed after it was written.
    #[error("was changed after it was written")]
    Changed,
    /// The seal is not by the key that the file names.
    #[error("has a seal that is not the operator's")]
    Seal,
}

impl PlanFile {
    /// Returns a file with this content, without a seal.
    pub fn new(content: PlanContent) -> Self {
        let sha256 = digest(&content);
        Self { vstream_jwt_plan: FORMAT, content, sha256, signature: None }
    }

    /// Returns the message that the seal signs.
    pub fn sealed_message(&self) -> Vec<u8> {
        format!("vstream-jwt plan {FORMAT} {}", self.sha256).into_bytes()
    }

    /// Returns the file with the operator's signature of [`sealed_message`](Self::sealed_message), in base64.
    #[must_use]
    pub fn sealed(mut self, signature: String) -> Self {
        self.signature = Some(signature);
        self
    }

    /// Returns the seal of a signed file: the operator, and the signature in base64.
    pub fn seal(&self) -> Option<(&PublicKey, &str)> {
        Some((&self.content.signed.as_ref()?.operator, self.signature.as_deref()?))
    }

    /// Renders the file as text.
    pub fn render(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Parses a file. The caller must check that the seal is the operator's.
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

impl PlanContent {
    /// Returns a description of everything that changed since the plan was made. `now` is a new plan from the present
    /// state. The result is empty if both plans make the same changes to the same state.
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

/// Returns the plan for each account. `bases` are the tokens that the plan was made from, in the order of the accounts.
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
    /// Returns the pushes of the plan for review: the user sees their changes before signing.
    ///
    /// # Errors
    /// [`ClaimsError`] if some claims of the file are not an account's.
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

    fn content() -> PlanContent {
        PlanContent {
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
