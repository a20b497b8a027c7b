//! Plan files: `plan` writes them, `sign` signs them, and `apply` carries them out.

pub mod review;

use crate::definition::{Definition, Problems, SourceFile, check_size, parse};
use crate::engine::clock::now;
use crate::engine::tokens::{IssueError, ToIssue, sign_all};
use crate::files::{self, FileAccess, FileReadError};
use crate::model::claims::{ClaimsError, TrustAnchor, TrustedClaims, Untrusted};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::Deployment;
use crate::plan::MOST_BYTES;
use crate::plan::Push;
use crate::plan::file::{PlanContent, PlanFile, PlanFileError, PlanSigner, PlannedAccount};
use crate::plan::preflight;
use crate::secrets;
use crate::sign::keyring::Keyring;
use crate::sign::{SignError, Signer, verify};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use review::Inconsistent;
use std::io;
use std::path::{Path, PathBuf};

/// Reason why a plan file could not be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read or written.
    #[error("the plan file {path}: {cause}", path = path.display())]
    Io {
        /// The file's path.
        path: PathBuf,
        /// The reason.
        cause: io::Error,
    },
    /// The file's content is not valid.
    #[error("{path} {cause}", path = path.display())]
    Content {
        /// The file's path.
        path: PathBuf,
        /// The reason.
        cause: PlanFileError,
    },
    /// The file's definition is not valid. Another version may have accepted it.
    #[error("the definition in {path}: {cause}", path = path.display())]
    Definition {
        /// The file's path.
        path: PathBuf,
        /// The problems.
        cause: Problems,
    },
}

/// Reason why a plan file could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignFileError {
    /// The file is already sealed.
    #[error("the plan file is signed already, by {0}")]
    Signed(PublicKey),
    /// The file's parts contradict each other.
    #[error("the plan file says one thing and asks for another: {0}; nothing was signed")]
    Inconsistent(#[from] Inconsistent),
    /// The token from which an account's claims are edited is signed by an untrusted key.
    #[error(
        "account {account}: the token that it starts from is signed by {issuer}, which {}; nothing was signed",
        .anchor.why_not()
    )]
    Untrusted {
        /// The account's name.
        account: String,
        /// The key that signed it.
        issuer: PublicKey,
        /// The keys whose signatures count.
        anchor: Box<TrustAnchor>,
    },
    /// The key that signs is not the pinned operator's.
    #[error("{}; nothing was signed", .0.message)]
    Signer(Box<Finding>),
    /// The file has claims that are not an account's.
    #[error("account {account}: {cause}")]
    Claims {
        /// The account's name.
        account: String,
        /// The error.
        cause: ClaimsError,
    },
    /// Signing failed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Sealing failed.
    #[error("sealing the file: {0}")]
    Seal(SignError),
}

/// Writes a plan file atomically, with mode 0600.
///
/// # Errors
/// [`FileError::Io`]; [`FileError::Content`] if it would have a secret in it, or would be too large to be read again.
pub fn write(path: &Path, file: &PlanFile) -> Result<(), FileError> {
    let text = file.render();
    let wrong = |cause| FileError::Content { path: path.to_owned(), cause };
    PlanFile::parse(&text).and_then(|_| without_secrets(&text)).map_err(wrong)?;
    files::replace(path, FileAccess::Owner, &[text.as_bytes()])
        .map_err(|cause| FileError::Io { path: path.to_owned(), cause })
}

/// Checks that the text has no secret, because users pass plan files on.
fn without_secrets(text: &str) -> Result<(), PlanFileError> {
    secrets::find_in_json(text).map_or(Ok(()), |kind| Err(PlanFileError::Secret(kind.with_article())))
}

/// Reads a plan file, and verifies the seal of a signed one.
///
/// # Errors
/// [`FileError`]
pub fn read(path: &Path) -> Result<PlanFile, FileError> {
    let failed = |cause| FileError::Io { path: path.to_owned(), cause };
    let wrong = |cause| FileError::Content { path: path.to_owned(), cause };
    let text = files::read_text(path, MOST_BYTES).map_err(|error| match error {
        FileReadError::NotText => wrong(PlanFileError::NotAPlan("not UTF-8".to_owned())),
        FileReadError::TooLarge(_) => wrong(PlanFileError::TooLarge),
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

/// Returns the definition of a plan file; paths in it are relative to `base`.
///
/// # Errors
/// [`FileError::Definition`]
pub fn definition(path: &Path, content: &PlanContent, base: &Path) -> Result<Definition, FileError> {
    let files = &content.definition;
    let parsed = check_size(files.iter().map(|file| (file.name.as_str(), file.text.len()))).and_then(|()| {
        let files = files.iter().map(|file| SourceFile { name: file.name.clone(), text: file.text.clone() });
        parse(&files.collect::<Vec<_>>(), base)
    });
    parsed.map_err(|cause| FileError::Definition { path: path.to_owned(), cause })
}

/// Checks that the parts of a plan file are consistent, so that the user signs what is shown.
///
/// # Errors
/// [`SignFileError::Inconsistent`]
pub fn check(content: &PlanContent, definition: &Definition) -> Result<(), SignFileError> {
    Ok(review::check(content, definition, now())?)
}

/// Checks that the signing key is the operator's, as far as the anchor knows.
///
/// # Errors
/// [`SignFileError::Signer`]
pub fn check_signer(signer: &PublicKey, anchor: &TrustAnchor) -> Result<(), SignFileError> {
    match preflight::signer(anchor, &Deployment::default(), signer) {
        Some(finding) => Err(SignFileError::Signer(Box::new(finding))),
        None => Ok(()),
    }
}

/// Returns the claims from which an account's tokens are edited. Returns `None` for a new account.
///
/// # Errors
/// [`SignFileError::Untrusted`] if no trusted key signed them.
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

/// Signs all tokens of a plan file, including activation tokens, and seals the file. Needs no network.
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
    let issued = sign_all(definition, &accounts.collect::<Vec<_>>(), operator, keys)?;
    for one in issued {
        let tokens = &mut content.accounts[one.index].tokens;
        if let Some(token) = tokens.iter_mut().find(|token| token.stage == one.stage) {
            token.token = Some(one.token.as_str().to_owned());
        }
    }
    let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    content.signed = Some(PlanSigner { operator: operator.public_key(), at });
    let file = PlanFile::new(content);
    let signature = operator.sign(&file.sealed_message()).map_err(SignFileError::Seal)?;
    verify(&file.sealed_message(), &signature, &operator.public_key()).map_err(SignFileError::Seal)?;
    Ok(file.sealed(B64.encode(signature)))
}
