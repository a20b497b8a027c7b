//! A new project: a commented definition and a keys folder.

use crate::files::{self, Access};
use crate::nsc::{Survey, Surveyed};
use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};

/// The commented definition.
pub const EXAMPLE: &str = include_str!("init/vstream.yaml");
const README: &str = include_str!("init/keys-README.md");
const IGNORE: &str = "# Seeds and credentials stay out of version control.\n*\n!.gitignore\n!README.md\n";

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error("{0} exists already; nothing was written")]
    Exists(PathBuf),
    /// A file or folder that cannot be made.
    #[error("cannot write {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `vstream.yaml` and `keys/` into `folder`, which is made if need be; says what was written. Overwrites nothing. What
/// an nsc store tells is filled in.
///
/// # Errors
/// [`InitError`]
pub fn init(folder: &Path, store: Option<&Survey>) -> Result<Vec<PathBuf>, InitError> {
    let text = store.map_or_else(|| EXAMPLE.to_owned(), filled_in);
    let definition = folder.join("vstream.yaml");
    if definition.symlink_metadata().is_ok() {
        return Err(InitError::Exists(definition));
    }
    let keys = folder.join("keys");
    make_private(&keys).map_err(|source| InitError::Io { path: keys.clone(), source })?;
    let mut written = Vec::new();
    for (path, text) in [(keys.join(".gitignore"), IGNORE), (keys.join("README.md"), README), (definition, &text)] {
        match files::create(&path, Access::Usual, &[text.as_bytes()]) {
            Ok(()) => written.push(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(InitError::Io { path, source }),
        }
    }
    Ok(written)
}

/// The definition with what a store tells.
fn filled_in(store: &Survey) -> String {
    let mut text = EXAMPLE.to_owned();
    let mut fill = |blank: &str, with: &str| {
        debug_assert!(text.contains(blank), "the example has no `{blank}`");
        text = text.replacen(blank, with, 1);
    };
    let operator = format!(
        "operator: {}\n\n# What is pushed is written back here, so that a later `nsc push` does not undo it.\nnsc_store: {}\n",
        store.operator.identity,
        scalar(&store.folder.display().to_string())
    );
    fill("# operator: O...\n", &operator);
    if let Some(system) = &store.system {
        fill("  credentials: keys/sys.creds\n", &access(system, "  "));
    }
    let [account, others @ ..] = store.accounts.as_slice() else { return text };
    let id = "    # FILL IN the account's public key (A and 55 more characters): `nsc describe account APP` shows it.\n    id: A...\n";
    let access_of = format!("    id: {}\n{}", account.id, access(account, "    "));
    fill(&format!("{id}    credentials: keys/app.creds\n"), &access_of);
    let mut name = format!("accounts:\n  {}:\n", scalar(&token(&account.name)));
    if !others.is_empty() {
        let mut choice = "# FILL IN which account has virtual streams; the store also has\n".to_owned();
        for other in others {
            choice.push_str(&format!("#   {}: {}\n", scalar(&other.name), other.id));
            access(other, "#     ").lines().for_each(|line| choice.push_str(&format!("{line}\n")));
        }
        name.insert_str(0, &choice);
    }
    fill("accounts:\n  APP:\n", &name);
    text
}

/// How users of an account log in.
fn access(account: &Surveyed, indent: &str) -> String {
    match (&account.key, &account.credentials) {
        // A user is made for each run, which may do no more than that needs.
        (Some(key), _) => format!("{indent}key: {}\n", scalar(&key.display().to_string())),
        (None, Some(credentials)) => format!("{indent}credentials: {}\n", scalar(&credentials.display().to_string())),
        (None, None) => {
            let name = scalar(&account.name);
            format!(
                "{indent}# FILL IN: nsc's keys folder has neither a signing key nor credentials of {name}.\n{indent}credentials: \
                 keys/FILL-IN.creds\n"
            )
        }
    }
}

/// A name that stands in a definition: one token of a subject.
fn token(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || "_-".contains(c) { c } else { '-' };
    name.chars().map(kept).collect()
}

/// Text as one value of YAML.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    match begins
        && text.chars().all(plain)
        && !["null", "true", "false", "yes", "no", "on", "off"].contains(&&*text.to_lowercase())
    {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

/// A folder that only its owner may enter; one that exists stays as it is.
fn make_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{self, SourceFile};
    use crate::model::claims::OperatorClaims;
    use crate::model::nkey::{KeyKind, PublicKey};
    use crate::model::virtual_stream::Access as AccountAccess;

    fn account(name: &str, number: u8) -> Surveyed {
        let id = PublicKey::from_bytes(KeyKind::Account, [number; 32]);
        Surveyed { name: name.to_owned(), id, key: None, credentials: None }
    }

    #[test]
    fn what_a_store_tells_is_filled_in() {
        let identity = PublicKey::from_bytes(KeyKind::Operator, [9; 32]);
        let operator = OperatorClaims {
            identity: identity.clone(),
            name: "OP".to_owned(),
            signing_keys: Vec::new(),
            strict: true,
            system_account: None,
        };
        let app = Surveyed { key: Some("/k/A.nk".into()), credentials: Some("/k/a.creds".into()), ..account("APP", 1) };
        let survey = |accounts: Vec<Surveyed>| Survey {
            folder: "/stores/OP".into(),
            operator: operator.clone(),
            system: Some(Surveyed { credentials: Some("/k/s y\ns.creds".into()), ..account("SYS", 2) }),
            accounts,
        };
        let read = |text: &str| {
            let file = SourceFile { name: "vstream.yaml".to_owned(), text: text.to_owned() };
            definition::parse(&[file], Path::new("/")).unwrap()
        };
        let found = read(&filled_in(&survey(vec![app.clone()])));
        assert_eq!(found.operator, Some(identity));
        assert_eq!(found.nsc_store.as_deref(), Some(Path::new("/stores/OP")));
        assert!(matches!(&found.system, AccountAccess::Credentials(path) if path == Path::new("/k/s y\ns.creds")));
        assert!(matches!(&found.accounts[0].access, AccountAccess::Key(path) if path == Path::new("/k/A.nk")));
        assert_eq!((found.accounts[0].name.as_str(), &found.accounts[0].id), ("APP", &app.id));
        // Of several, the others are named; whatever a name is, it stays one.
        let other = account("x: {y}\n#", 3);
        let text = filled_in(&survey(vec![other.clone(), app]));
        assert!(text.contains("FILL IN which account") && text.contains("#     key: /k/A.nk"), "{text}");
        assert!(text.contains("neither a signing key nor credentials"), "{text}");
        assert_eq!((read(&text).accounts[0].name.as_str(), &read(&text).accounts[0].id), ("x---y---", &other.id));
    }
}
