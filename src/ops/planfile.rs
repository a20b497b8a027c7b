//! Plan files: written by `plan`, signed by `sign`, carried out by `apply`.

pub mod review;

use super::issue::{IssueError, Issued, ToIssue, issue_all};
use super::plan::Planned;
use super::regional;
use super::session::{Session, now};
use crate::definition::{Definition, Problems, SourceFile, check_size, parse};
use crate::files::{self, Access, ReadError};
use crate::model::claims::{AccountClaims, Activation, ClaimsError, TrustAnchor, TrustedClaims, Untrusted};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::Deployment;
use crate::observed::link::Link;
use crate::plan::MOST_BYTES;
use crate::plan::file::{Content, File, PlanFile, PlanFileError, PlannedAccount, Signed, planned_accounts};
use crate::plan::preflight::{self, REGIONAL_KEY_MISSING};
use crate::plan::{Plan, Push, claims_diff};
use crate::secrets;
use crate::sign::keyring::{Keyring, KeyringError};
use crate::sign::{SignError, SignedToken, Signer, verify};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use review::Inconsistent;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// Why a plan file could not be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file.
    #[error("the plan file {path}: {cause}", path = path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// What is in it.
    #[error("{path} {cause}", path = path.display())]
    Content {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        cause: PlanFileError,
    },
    /// Its definition, which another version may have understood.
    #[error("the definition in {path}: {cause}", path = path.display())]
    Definition {
        /// The file's path.
        path: PathBuf,
        /// What is wrong.
        cause: Problems,
    },
}

/// Why a plan file could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignFileError {
    /// There is a seal already.
    #[error("the plan file is signed already, by {0}")]
    Signed(PublicKey),
    /// Its parts do not fit together.
    #[error("the plan file says one thing and asks for another: {0}; nothing was signed")]
    Inconsistent(#[from] Inconsistent),
    /// The token that an account's claims are edited from is by a key that is not trusted.
    #[error(
        "account {account}: the token that it starts from is signed by {issuer}, which {}; nothing was signed",
        .anchor.why_not()
    )]
    Untrusted {
        /// The account's name.
        account: String,
        /// The key that signed it.
        issuer: PublicKey,
        /// Whose signatures count.
        anchor: Box<TrustAnchor>,
    },
    /// The key that signs is not the pinned operator's.
    #[error("{}; nothing was signed", .0.message)]
    Signer(Box<Finding>),
    /// Claims of the file that are no account's.
    #[error("account {account}: {cause}")]
    Claims {
        /// The account's name.
        account: String,
        /// What is wrong with them.
        cause: ClaimsError,
    },
    /// Signing.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Sealing.
    #[error("sealing the file: {0}")]
    Seal(SignError),
}

/// A token of a signed plan file that is not what the plan asks for.
#[derive(Debug, thiserror::Error)]
#[error("the signed token of account {account} is not what the plan says: {reason}")]
pub struct NotAsPlanned {
    /// The account's name.
    pub account: String,
    /// What differs.
    pub reason: String,
}

/// What a plan file says of a plan; `text` and `changes` are its two views. Who made it is for the caller.
pub fn content<L: Link>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    definition: Vec<File>,
    text: &str,
    changes: Value,
) -> Content {
    let bases = planned.plan.accounts.iter().zip(&planned.observed.accounts).map(|(account, found)| {
        let (base, _) = session.base(&account.name, &account.id, &found.servers);
        base.map(|base| base.token)
    });
    Content {
        tool: concat!("vstream-jwt ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        who: None,
        definition,
        options: planned.options.clone(),
        // Names and metadata of streams are applications'.
        text: text.lines().map(|line| secrets::hide(line).into_owned()).collect(),
        changes: secrets::hide_json(changes),
        accounts: planned_accounts(&planned.plan, &planned.desired, &planned.observed, bases.collect()),
        signed: None,
    }
}

/// What moved since a plan file was written, in words; `planned` was planned anew from its definition.
pub(super) fn moved<L: Link>(file: &Content, session: &Session<'_, L>, planned: &Planned<'_>) -> Vec<String> {
    file.moved(&content(session, planned, Vec::new(), "", file.changes.clone()))
}

/// Names of accounts that are to be made, or get a new signing key, and have no key in the keys folder yet: a plan file
/// can't name them.
///
/// # Errors
/// [`KeyringError`] when a key file can't be read.
pub fn without_keys(planned: &Planned<'_>, keys: &Keyring) -> Result<Vec<String>, KeyringError> {
    let mut names = Vec::new();
    for account in &planned.plan.accounts {
        let place = format!("account {}", account.name);
        let lost = planned.plan.findings.iter().any(|f| f.code == REGIONAL_KEY_MISSING && f.place == place);
        let unsigned = regional::wants_signing_key(account, &account.id, &planned.options);
        if lost || unsigned || (account.new && keys.find(&account.id)?.is_none()) {
            names.push(account.name.clone());
        }
    }
    Ok(names)
}

/// Writes a plan file, mode 0600, all of it or nothing.
///
/// # Errors
/// [`FileError::Io`]; [`FileError::Content`] when it would have a secret in it, or would be larger than what is read.
pub fn write(path: &Path, file: &PlanFile) -> Result<(), FileError> {
    let text = file.render();
    let wrong = |cause| FileError::Content { path: path.to_owned(), cause };
    PlanFile::parse(&text).and_then(|_| without_secrets(&text)).map_err(wrong)?;
    files::replace(path, Access::Owner, &[text.as_bytes()])
        .map_err(|cause| FileError::Io { path: path.to_owned(), cause })
}

/// Plan files are handed around: no secret belongs in one, wherever it came from.
fn without_secrets(text: &str) -> Result<(), PlanFileError> {
    secrets::find_in_json(text).map_or(Ok(()), |kind| Err(PlanFileError::Secret(kind.with_article())))
}

/// Reads a plan file; the seal of a signed one was verified.
///
/// # Errors
/// [`FileError`]
pub fn read(path: &Path) -> Result<PlanFile, FileError> {
    let failed = |cause| FileError::Io { path: path.to_owned(), cause };
    let wrong = |cause| FileError::Content { path: path.to_owned(), cause };
    let text = files::read_text(path, MOST_BYTES).map_err(|error| match error {
        ReadError::NotText => wrong(PlanFileError::NotAPlan("not UTF-8".to_owned())),
        ReadError::TooLarge(_) => wrong(PlanFileError::TooLarge),
        error => failed(error.into()),
    })?;
    let file = PlanFile::parse(&text).map_err(wrong)?;
    without_secrets(&text).map_err(wrong)?;
    if let Some((operator, signature)) = file.seal() {
        let signature = B64.decode(signature).map_err(|_| wrong(PlanFileError::Seal))?;
        verify(&file.sealed_message(), &signature, operator).map_err(|_| wrong(PlanFileError::Seal))?;
    }
    Ok(file)
}

/// The definition of a plan file; paths in it are relative to `base`.
///
/// # Errors
/// [`FileError::Definition`]
pub fn definition(path: &Path, content: &Content, base: &Path) -> Result<Definition, FileError> {
    let files = &content.definition;
    let parsed = check_size(files.iter().map(|file| (file.name.as_str(), file.text.len()))).and_then(|()| {
        let files = files.iter().map(|file| SourceFile { name: file.name.clone(), text: file.text.clone() });
        parse(&files.collect::<Vec<_>>(), base)
    });
    parsed.map_err(|cause| FileError::Definition { path: path.to_owned(), cause })
}

/// Checks whether the parts of a plan file fit together, so that what is shown of it is what is signed.
///
/// # Errors
/// [`SignFileError::Inconsistent`]
pub fn check(content: &Content, definition: &Definition) -> Result<(), SignFileError> {
    Ok(review::check(content, definition, now())?)
}

/// Checks whether the key that is about to sign is the operator's, as far as the anchor says so.
///
/// # Errors
/// [`SignFileError::Signer`]
pub fn check_signer(signer: &PublicKey, anchor: &TrustAnchor) -> Result<(), SignFileError> {
    match preflight::signer(anchor, &Deployment::default(), signer) {
        Some(finding) => Err(SignFileError::Signer(Box::new(finding))),
        None => Ok(()),
    }
}

/// The claims that the tokens of an account are edited from; none for an account that is yet to be made.
///
/// # Errors
/// [`SignFileError::Untrusted`] when no trusted key signed them.
pub fn start(account: &PlannedAccount, anchor: &TrustAnchor) -> Result<Option<TrustedClaims>, SignFileError> {
    let Some(token) = &account.base else { return Ok(None) };
    let name = || account.name.clone();
    match TrustedClaims::verify(token, anchor) {
        Ok(claims) => Ok(Some(claims)),
        Err(Untrusted::Unreadable(cause)) => Err(SignFileError::Claims { account: name(), cause }),
        Err(Untrusted::Stranger(claims)) => Err(SignFileError::Untrusted {
            account: name(),
            issuer: claims.issuer().clone(),
            anchor: Box::new(anchor.clone()),
        }),
    }
}

/// Signs all tokens of a plan file, activation tokens too, and seals the whole. Needs no network.
///
/// # Errors
/// [`SignFileError`]
pub fn sign(
    file: PlanFile,
    definition: &Definition,
    operator: &dyn Signer,
    keys: &Keyring,
    anchor: &TrustAnchor,
) -> Result<PlanFile, SignFileError> {
    let mut content = file.content;
    if let Some(signed) = content.signed {
        return Err(SignFileError::Signed(signed.operator));
    }
    check(&content, definition)?;
    check_signer(&operator.public_key(), anchor)?;
    let failed = |account: &PlannedAccount| {
        let account = account.name.clone();
        move |cause| SignFileError::Claims { account, cause }
    };
    let mut owned: Vec<(Option<TrustedClaims>, Vec<Push>)> = Vec::new();
    for account in &content.accounts {
        owned.push((start(account, anchor)?, account.pushes().map_err(failed(account))?));
    }
    let accounts = content.accounts.iter().zip(&owned).map(|(account, (current, pushes))| ToIssue {
        name: &account.name,
        id: &account.id,
        current: current.as_ref(),
        pushes,
    });
    let issued = issue_all(definition, &accounts.collect::<Vec<_>>(), operator, keys)?;
    for one in issued {
        let tokens = &mut content.accounts[one.place].tokens;
        if let Some(token) = tokens.iter_mut().find(|token| token.stage == one.stage) {
            token.token = Some(one.token.as_str().to_owned());
        }
    }
    let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    content.signed = Some(Signed { operator: operator.public_key(), at });
    let file = PlanFile::new(content);
    let signature = operator.sign(&file.sealed_message()).map_err(SignFileError::Seal)?;
    verify(&file.sealed_message(), &signature, &operator.public_key()).map_err(SignFileError::Seal)?;
    Ok(file.sealed(B64.encode(signature)))
}

/// The tokens of a signed plan file, each compared with what `plan`, made anew, asks for: the same claims, signed by the
/// operator that sealed the file, with activation tokens by the exporters for just the imports that need them.
pub(super) fn tokens(content: &Content, plan: &Plan) -> Result<Vec<Issued>, NotAsPlanned> {
    let Some(signed) = &content.signed else { return Ok(Vec::new()) };
    let mut tokens = Vec::new();
    for (place, account) in plan.accounts.iter().enumerate() {
        let wrong = |reason: &str| NotAsPlanned { account: account.name.clone(), reason: reason.to_owned() };
        let in_file = content.accounts.get(place).filter(|other| other.id == account.id);
        let in_file = in_file.map(|account| account.tokens.as_slice()).unwrap_or_default();
        let mut before: Option<(String, u64)> = None;
        for push in &account.pushes {
            let text = in_file.iter().find(|token| token.stage == push.stage).and_then(|token| token.token.as_deref());
            let text = text.ok_or_else(|| wrong("there is none"))?;
            let token = SignedToken::verified(text, &signed.operator).map_err(|error| wrong(&error.to_string()))?;
            let claims = AccountClaims::decode(text).map_err(|error| wrong(&error.to_string()))?;
            if *claims.issuer() != signed.operator {
                return Err(wrong("another key signed it"));
            }
            let newest = before.as_ref().map_or(push.newest_iat, |(_, iat)| *iat);
            if claims.issued_at() <= newest {
                return Err(wrong(&format!(
                    "its iat {} is not later than a stored one ({newest})",
                    claims.issued_at()
                )));
            }
            // Where a stored one is dated in the future, and that is allowed, a second more is all that is needed.
            if claims.issued_at() > (now() + preflight::CLOCK_SKEW).max(newest + 1) {
                return Err(wrong(&format!("its iat {} is in the future", claims.issued_at())));
            }
            let mut expected = push.claims.clone();
            for request in &push.activations {
                let import = claims.imports().iter().find(|import| request.import.is(import));
                let activation =
                    import.and_then(|import| import.token()).ok_or_else(|| wrong("an activation is missing"))?;
                let judged = Activation::decode(activation).map_err(|error| wrong(&error.to_string()))?;
                let until = request.lifetime.map(|lifetime| now() + lifetime + preflight::CLOCK_SKEW);
                if judged.subject() != request.import.subject
                    || judged.expires().is_some() != until.is_some()
                    || judged.expires() > until
                {
                    return Err(wrong("an activation token is for more than the plan says"));
                }
                let exporter = plan.accounts.iter().find(|account| account.id == request.exporter);
                let exporter = exporter
                    .and_then(|account| account.pushes.last().map(|push| &push.claims).or(account.current.as_ref()));
                if let Some(exporter) = exporter {
                    judged
                        .judge(exporter, &request.importer, &request.import, now())
                        .map_err(|fault| wrong(&format!("an activation token: {fault}")))?;
                }
                expected.set_import(&request.import, Some(activation));
            }
            if content_of(claims.value()) != content_of(expected.value()) {
                let lines = claims_diff(Some(expected.value()), claims.value());
                let shown = lines.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; ");
                return Err(wrong(&format!("its claims differ: {shown}{}", if lines.len() > 3 { "; …" } else { "" })));
            }
            let base = before.take().map(|(token, _)| token).or_else(|| push.base.clone());
            before = Some((text.to_owned(), claims.issued_at()));
            tokens.push(Issued { place, id: account.id.clone(), stage: push.stage, base, token });
        }
    }
    tokens.sort_by_key(|one| one.stage);
    Ok(tokens)
}

/// Claims without what a signature brings with it.
fn content_of(claims: &Value) -> Value {
    let mut claims = claims.clone();
    if let Value::Object(fields) = &mut claims {
        for field in ["iss", "iat", "jti"] {
            fields.shift_remove(field);
        }
    }
    claims
}
