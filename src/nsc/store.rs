//! An operator's part of a store: reads, searches and writes it.

use super::error::StoreError;
use crate::files::{self, FileAccess, FileReadError};
use crate::model::claims::{AccountClaims, ClaimsError, OperatorClaims};
use crate::model::nkey::PublicKey;
use std::io;
use std::path::{Path, PathBuf};

/// Size of the largest file of a store that is read, in bytes. Servers accept tokens of up to 1 MiB.
const TOKEN: usize = 2 << 20;

/// The operator's part of a store, as read from disk.
#[derive(Debug)]
pub struct Store {
    /// The operator's folder.
    folder: PathBuf,
    /// All accounts, sorted by the names of their folders.
    accounts: Vec<StoredAccount>,
}

/// One account of a store.
#[derive(Debug)]
pub struct StoredAccount {
    /// The name of the account's folder and file, which is nsc's name for it.
    pub name: String,
    /// The token's text.
    pub token: String,
    /// The token's claims.
    pub claims: Result<AccountClaims, ClaimsError>,
}

impl Store {
    /// Reads the part of the store at `path` that belongs to one of `operators`, the identities that the servers trust.
    /// `path` is the store, or the operator's folder in it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open(path: &Path, operators: &[PublicKey]) -> Result<Self, StoreError> {
        let mut found = Vec::new();
        for folder in operators_in(path)? {
            match operator(&folder) {
                Ok(claims) if operators.contains(&claims.identity) => {
                    let accounts = accounts(&folder.join("accounts"))?;
                    return Ok(Self { folder, accounts });
                }
                Ok(claims) => found.push(format!("operator {} ({})", claims.name, claims.identity)),
                Err(reason) => {
                    found.push(format!("an operator in {} that cannot be read ({reason})", folder.display()))
                }
            }
        }
        let expected = operators.iter().map(PublicKey::to_string).collect();
        Err(StoreError::OtherOperator { path: path.to_owned(), found, expected })
    }

    /// The operator's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the copies of the account with this id, under any name. There is nearly always only one.
    pub fn copies<'s>(&'s self, id: &'s PublicKey) -> impl Iterator<Item = &'s StoredAccount> {
        self.accounts.iter().filter(move |account| account.claims.as_ref().is_ok_and(|claims| claims.id() == id))
    }

    /// Returns the account in the folder of this name.
    pub fn named(&self, name: &str) -> Option<&StoredAccount> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// Writes an account's token over its copies, or to a new folder with the account's name. Replaces each file
    /// atomically.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn write(&self, id: &PublicKey, claims_name: &str, token: &str) -> Result<(), StoreError> {
        let mut names: Vec<String> = self.copies(id).map(|copy| copy.name.clone()).collect();
        if names.is_empty() {
            names.push(folder_name(claims_name, id));
        }
        for name in names {
            let folder = self.folder.join("accounts").join(&name);
            let path = folder.join(format!("{name}.jwt"));
            write(&folder, &path, token).map_err(|cause| StoreError::Io { path, cause })?;
        }
        Ok(())
    }
}

/// Returns nsc's name for the folder of a new account: the account's name without surrounding blanks, or its public key
/// if that name is not valid for a folder.
pub fn folder_name(claims_name: &str, id: &PublicKey) -> String {
    let name = claims_name.trim();
    let usable =
        !name.is_empty() && !name.starts_with('.') && !name.chars().any(|c| "/\\".contains(c) || c.is_control());
    if usable { name.to_owned() } else { id.to_string() }
}

/// Returns the operators' folders in the store at `path`, at least one. Returns only `path` if that is an operator's
/// folder.
pub(super) fn operators_in(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let is_operator = |folder: &Path| folder.join(".nsc").is_file();
    let found = match is_operator(path) {
        true => vec![path.to_owned()],
        false => folders(path)?.into_iter().filter(|folder| is_operator(folder)).collect(),
    };
    if found.is_empty() { Err(StoreError::NotAStore { path: path.to_owned() }) } else { Ok(found) }
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |cause| StoreError::Io { path: path.to_owned(), cause };
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Returns the files of the operators' tokens in the store at `path`. The result is empty if there is no store.
pub fn operator_tokens(path: &Path) -> Vec<PathBuf> {
    operators_in(path).unwrap_or_default().iter().filter_map(|folder| operator_token(folder).ok()).collect()
}

/// Reads the operator of a folder. The error is the reason as text.
pub(super) fn operator(folder: &Path) -> Result<OperatorClaims, String> {
    let token = files::read_text(&operator_token(folder)?, TOKEN).map_err(|error| error.to_string())?;
    OperatorClaims::decode(token.trim()).map_err(|error| error.to_string())
}

/// Returns the file of the operator's token in the operator's folder.
fn operator_token(folder: &Path) -> Result<PathBuf, String> {
    let text = files::read_text(&folder.join(".nsc"), TOKEN).map_err(|error| error.to_string())?;
    let info: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!(".nsc: {error}"))?;
    let name = info["name"].as_str().unwrap_or_default().trim();
    Ok(folder.join(format!("{name}.jwt")))
}

pub(super) fn accounts(folder: &Path) -> Result<Vec<StoredAccount>, StoreError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut accounts = Vec::new();
    for path in folders(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = path.join(format!("{name}.jwt"));
        let token = match files::read_text(&file, TOKEN) {
            Ok(token) => token.trim().to_owned(),
            // nsc ignores such a folder, too.
            Err(FileReadError::Missing) => continue,
            Err(error) => return Err(StoreError::Io { path: file, cause: error.into() }),
        };
        accounts.push(StoredAccount { claims: AccountClaims::decode(&token), name, token });
    }
    Ok(accounts)
}

fn write(folder: &Path, path: &Path, token: &str) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    files::replace(path, FileAccess::Owner, &[token.as_bytes()])
}
