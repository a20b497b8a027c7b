//! `keys generate|list|check|inspect`

mod view;

use super::shell::unusable_keys;
use super::text::Text;
use super::{Exit, Failure, Shell};
use crate::model::nkey::KeyKind;
use crate::ops::keys::{self, KeysError};
use crate::sign::keyring::KeyringError;
use crate::sign::memory;
use crate::sign::patience::Patience;

/// Make, list and check keys, and inspect tokens; never prints a seed
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a key and write its seed to the keys folder, with mode 0600
    Generate(Generate),
    /// Show the public keys of the keys folder
    List,
    /// Check for open permissions, damage and duplicates; exits 1 if there are any
    Check,
    /// Show the content of a token, a credentials file or a key file, without its secrets
    Inspect {
        /// A file, or - for standard input
        source: String,
    },
}

#[derive(Debug, clap::Args)]
struct Generate {
    /// A key of an account: an identity or a signing key (the default)
    #[arg(long, group = "kind")]
    account: bool,

    /// A key of an operator: an identity or a signing key
    #[arg(long, group = "kind")]
    operator: bool,

    /// A key of a user
    #[arg(long, group = "kind")]
    user: bool,

    /// The keys of the definition's regional accounts that have no key yet, as <account>.nk
    #[arg(long, group = "kind", conflicts_with = "name")]
    regional: bool,

    /// Name of the file, without .nk [default: the public key]
    #[arg(long)]
    name: Option<String>,
}

impl Args {
    /// Runs the verb.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        memory::protect();
        let folder = shell.keys_folder(&shell.base());
        match self.what {
            What::Generate(Generate { regional: true, .. }) => {
                let loaded = shell.load()?;
                let made = keys::generate_regional(&folder, &loaded.definition).map_err(failure)?;
                let mut text = Text::new();
                made.iter().for_each(|key| text.append(&view::generated(key)));
                let none = "Every regional account has a key already; nothing was made.";
                shell.result(if made.is_empty() { none.into() } else { text }, &made);
                Ok(Exit::Done)
            }
            What::Generate(generate) => {
                let kind = match &generate {
                    Generate { operator: true, .. } => KeyKind::Operator,
                    Generate { user: true, .. } => KeyKind::User,
                    _ => KeyKind::Account,
                };
                let made = keys::generate(&folder, kind, generate.name.as_deref()).map_err(failure)?;
                shell.result(view::generated(&made), &made);
                Ok(Exit::Done)
            }
            What::List => {
                let listed = keys::list(&folder).map_err(failure)?;
                shell.result(view::list(&folder, &listed), &listed);
                Ok(Exit::Done)
            }
            What::Check => {
                let check = keys::check(&folder).map_err(failure)?;
                shell.result(view::check(&check), &check);
                if shell.format == super::Format::Human {
                    shell.findings(&check.findings);
                }
                Ok(if check.has_problems() { Exit::Failed } else { Exit::Done })
            }
            What::Inspect { source } => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let inspection =
                    keys::inspect(&source, now.as_secs(), &Patience::new(shell.timeout)).map_err(failure)?;
                shell.result(view::inspection(&inspection), &inspection);
                Ok(Exit::Done)
            }
        }
    }
}

fn failure(error: KeysError) -> Failure {
    let message = error.to_string();
    match error {
        KeysError::SeedAsArgument => Failure::usage("seed-as-argument", message)
            .next("Put the seed into a file of mode 0600, remove it from the shell's history, and consider the key known to others."),
        KeysError::Keyring(KeyringError::Name { .. }) => {
            Failure::usage("key-name", message).next("Give a name without slashes that doesn't start with a dot.")
        }
        KeysError::Keyring(KeyringError::File(crate::sign::file::KeyFileError::Exists { .. })) => {
            Failure::failed("key-exists", message).next("Choose another name with --name.")
        }
        KeysError::Keyring(_) | KeysError::File(_) => unusable_keys(&message),
        KeysError::Generate(_) => Failure::failed("no-random", message).next("Fix that error, then run it again."),
        KeysError::Unreadable { .. } | KeysError::TooLarge(_) => Failure::failed("unreadable", message)
            .next("Check the path, and that you may read the file."),
        KeysError::Nothing { .. } => Failure::failed("nothing-found", message)
            .next("Name a token, a credentials file or a key file (.nk)."),
        KeysError::Token { .. } => {
            Failure::failed("bad-token", message).next("Get the token again from the resolver or from nsc.")
        }
    }
}
