//! Opens the signer for the operator: a key in a file, a hardware token or the environment, or a command.

use super::{Failure, output, prompt};
use crate::sign::age::{AgeError, Unlock};
use crate::sign::command::CommandSigner;
use crate::sign::patience::Patience;
use crate::sign::source::{OperatorInputs, SourceError, operator_seed};
use crate::sign::{Seed, Signer};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Arguments that name the operator's signer.
#[derive(Debug, clap::Args)]
pub(super) struct OperatorArgs {
    /// The operator's signing key: a file (also in the keys folder), - for standard input, or a pkcs11: URI
    /// [env: VSTREAM_OPERATOR_FILE, or the seed: VSTREAM_OPERATOR_SEED]
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,

    /// A command that signs for the operator: reads JSON requests on its standard input, and answers on its standard
    /// output [env: VSTREAM_OPERATOR_CMD]
    #[arg(long, value_name = "CMD", conflicts_with = "operator")]
    operator_cmd: Option<String>,

    /// The age identity that decrypts an encrypted --operator file [env: VSTREAM_OPERATOR_IDENTITY]
    #[arg(long, value_name = "FILE")]
    operator_identity: Option<PathBuf>,

    /// A file with the passphrase of an encrypted --operator file [default: ask on the terminal] [env:
    /// VSTREAM_OPERATOR_PASSPHRASE_FILE]
    #[arg(long, value_name = "FILE")]
    operator_passphrase_file: Option<PathBuf>,
}

impl OperatorArgs {
    /// Opens the signer that the user named: a key, a command or a hardware token. Returns `None` if the user named
    /// none. Waits at most `patience` for a command or a hardware token.
    pub(super) fn signer(self, keys: &Path, patience: &Patience) -> Result<Option<Box<dyn Signer>>, Failure> {
        // The command line overrides the environment.
        let command = match (self.operator_cmd, &self.operator) {
            (Some(command), _) => Some(command),
            (None, Some(_)) => None,
            (None, None) => command_variable()?,
        };
        if let Some(command) = command {
            let hear = Box::new(output::relay());
            let signer = CommandSigner::start(&command, patience.clone(), hear).map_err(|error| {
                Failure::failed("operator-cmd", error.to_string())
                    .next("Run the command by hand: it answers a line of JSON with one, as docs/signing.md describes.")
            })?;
            return Ok(Some(Box::new(signer)));
        }
        let inputs = OperatorInputs {
            flag: self.operator,
            env_file: path_variable("VSTREAM_OPERATOR_FILE"),
            env_seed: secret_variable("VSTREAM_OPERATOR_SEED"),
            unlock: Unlock {
                identity: self.operator_identity.or_else(|| path_variable("VSTREAM_OPERATOR_IDENTITY")),
                passphrase_file: (self.operator_passphrase_file)
                    .or_else(|| path_variable("VSTREAM_OPERATOR_PASSPHRASE_FILE")),
                ask: Some(prompt::secret),
            },
        };
        let named = inputs.flag.as_ref().or(inputs.env_file.as_ref().filter(|_| inputs.env_seed.is_none()));
        match named.and_then(|path| path.to_str()).filter(|path| path.starts_with("pkcs11:")) {
            Some(uri) => token(uri, patience.clone()).map(Some),
            None => Ok(seed(&inputs, keys, patience)?.map(|seed| Box::new(seed) as Box<dyn Signer>)),
        }
    }
}

fn seed(inputs: &OperatorInputs, keys: &Path, patience: &Patience) -> Result<Option<Seed>, Failure> {
    operator_seed(inputs, keys, patience).map_err(|error| {
        let next = match &error {
            SourceError::NotFound { .. } => "Name the file with --operator; the run does not search for it elsewhere.",
            SourceError::Ambiguous => "Unset one of the two, or name the key with --operator.",
            SourceError::SeedAsPath => {
                "Write the seed to a file that only you can read, or pass it on standard input: --operator -. If \
                 others use this machine, or the command was recorded, replace the key."
            }
            SourceError::Age { cause: AgeError::NotBuilt, .. } => {
                "Build it with the feature `age`, or decrypt the file and pass the seed on standard input: \
                 --operator -."
            }
            SourceError::Age { cause: AgeError::NeedsPassphrase, .. } => {
                "Run it on a terminal, or write the passphrase to a file that only you can read: \
                 --operator-passphrase-file FILE."
            }
            SourceError::Age { cause: AgeError::NeedsIdentity, .. } => "Name the identity: --operator-identity FILE.",
            SourceError::Age { .. } => "Decrypt the file with `age` itself, to find out if the file is damaged.",
            SourceError::Stdin(cause) if cause.kind() == std::io::ErrorKind::TimedOut => {
                "Check that the command before the pipe writes the seed and exits, or raise --timeout."
            }
            SourceError::File(_) | SourceError::Stdin(_) | SourceError::Seed { .. } => {
                "Name a file with the seed (SO…) of an operator's signing key, readable only by you (chmod 600)."
            }
        };
        Failure::usage("operator-key", error.to_string()).next(next)
    })
}

/// Returns the command in the environment. Fails if another variable names a signer, too.
fn command_variable() -> Result<Option<String>, Failure> {
    let command = std::env::var("VSTREAM_OPERATOR_CMD").ok().filter(|command| !command.is_empty());
    let other = match command {
        Some(_) if path_variable("VSTREAM_OPERATOR_FILE").is_some() => "VSTREAM_OPERATOR_FILE",
        Some(_) if secret_variable("VSTREAM_OPERATOR_SEED").is_some() => "VSTREAM_OPERATOR_SEED",
        command => return Ok(command),
    };
    Err(Failure::usage("operator-key", format!("VSTREAM_OPERATOR_CMD and {other} are both set"))
        .next("Unset one of the two, or name the signer with --operator or --operator-cmd."))
}

/// Reads a path from the environment. An empty variable counts as unset, because pipelines set a variable to the empty
/// string if the secret does not exist.
fn path_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn secret_variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(Zeroizing::new)
}

#[cfg(feature = "pkcs11")]
fn token(uri: &str, patience: Patience) -> Result<Box<dyn Signer>, Failure> {
    use crate::sign::pkcs11::{KeyUri, PinInputs, TokenError, TokenSigner};
    let pin = PinInputs { env: secret_variable("VSTREAM_PKCS11_PIN"), ask: Some(prompt::secret) };
    let uri = KeyUri::parse(uri).map_err(TokenError::from);
    let signer = uri.and_then(|uri| TokenSigner::open(uri, &pin, patience));
    let signer = signer.map_err(|error| {
        let next = match &error {
            TokenError::Uri(_) => {
                "Name the key: --operator 'pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=file:FILE'."
            }
            TokenError::Module { .. } => "Name the PKCS#11 library of the token's vendor under module-path.",
            TokenError::Token { .. } => "Name one token by its label (token=) or its serial number (serial=).",
            TokenError::NeedsPin(_) | TokenError::PinFile(_) => {
                "Write the PIN to a file that only you can read: pin-source=file:FILE."
            }
            TokenError::Login { .. } => {
                "Check the PIN before you run it again: this run tried it once, and tokens lock themselves after a few \
                 attempts."
            }
            TokenError::Key { .. } | TokenError::NotEd25519 { .. } => {
                "List the token's objects (pkcs11-tool -O), and name one Ed25519 key with object= or id=."
            }
            TokenError::Silent { .. } | TokenError::BrokeOff { .. } => {
                "Query the token with its own tools (pkcs11-tool -O): it may be waiting for a touch. The PIN may count \
                 as tried."
            }
            TokenError::Refused { .. } => "Query the token with its own tools.",
        };
        Failure::usage("operator-token", error.to_string()).next(next)
    })?;
    Ok(Box::new(signer))
}

#[cfg(not(feature = "pkcs11"))]
fn token(_: &str, _: Patience) -> Result<Box<dyn Signer>, Failure> {
    Err(Failure::usage("no-pkcs11", "this vstream-jwt was built without support for PKCS#11 tokens")
        .next("Build it with that support: cargo install vstream-jwt --features pkcs11."))
}
