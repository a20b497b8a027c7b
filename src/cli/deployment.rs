//! What the verbs that talk to a deployment have in common: loading, connecting, and the errors of both.

use super::shell::Progress;
use super::{Exit, Failure, Format, Shell, plan_view};
use crate::ops::Tell;
use crate::ops::lease::Holder;
use crate::ops::session::{ReadError, Session};
use crate::plan::{Action, Options, Plan, allowable};
use crate::sign::command::{CommandSigner, PATIENCE};
use crate::sign::source::{OperatorInputs, SourceError, operator_seed};
use crate::sign::{Seed, Signer};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Where the operator's key comes from.
#[derive(Debug, clap::Args)]
pub(super) struct OperatorArgs {
    /// The operator's signing key: a file (also looked for in the keys folder), or - for standard input
    /// [env: VSTREAM_OPERATOR_FILE, or the seed itself in VSTREAM_OPERATOR_SEED]
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,

    /// A command that signs for the operator: JSON requests on its standard input, answers on its standard output
    #[arg(long, value_name = "CMD", conflicts_with = "operator", env = "VSTREAM_OPERATOR_CMD", hide_env_values = true)]
    operator_cmd: Option<String>,
}

impl OperatorArgs {
    /// What signs, if it was named: a key, or a command.
    pub(super) fn signer(self, keys: &Path) -> Result<Option<Box<dyn Signer>>, Failure> {
        match &self.operator_cmd {
            Some(command) if self.operator.is_none() => {
                let signer = CommandSigner::start(command, PATIENCE).map_err(|error| {
                    Failure::failed("operator-cmd", error.to_string()).next(
                        "Run the command by hand: it reads a line of JSON and answers with one, as docs/signing.md of the project says.",
                    )
                })?;
                Ok(Some(Box::new(signer)))
            }
            _ => Ok(self.seed(keys)?.map(|seed| Box::new(seed) as Box<dyn Signer>)),
        }
    }

    /// Reads the key, if one was named.
    fn seed(self, keys: &Path) -> Result<Option<Seed>, Failure> {
        crate::sign::memory::protect();
        let inputs = OperatorInputs {
            flag: self.operator,
            env_file: std::env::var_os("VSTREAM_OPERATOR_FILE").filter(|v| !v.is_empty()).map(PathBuf::from),
            env_seed: std::env::var("VSTREAM_OPERATOR_SEED").ok().filter(|v| !v.is_empty()).map(Zeroizing::new),
        };
        operator_seed(&inputs, keys).map_err(|error| {
            let next = match &error {
                SourceError::NotFound { .. } => "Name the file with --operator; it is not searched for elsewhere.",
                SourceError::Ambiguous => "Unset one of the two, or name the key by --operator.",
                SourceError::SeedAsPath => {
                    "Write the seed to a file that you alone can read, or pass it on standard input: --operator -. If \
                     others use this machine, or the command was recorded, replace the key."
                }
                SourceError::File(_) | SourceError::Stdin(_) | SourceError::Seed { .. } => {
                    "Name a file with the seed (SO…) of a signing key of the operator, readable by you alone (chmod 600)."
                }
            };
            Failure::usage("operator-key", error.to_string()).next(next)
        })
    }
}

/// How long to wait for other runs.
#[derive(Debug, clap::Args)]
pub(super) struct LeaseArgs {
    /// How long to wait for another run that changes the same account, beside --timeout (0s: not at all)
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = super::shell::parse_wait)]
    pub(super) lease_timeout: Duration,
}

/// Who runs `verb`, as others see it in the lease.
pub(super) fn holder(verb: &'static str) -> Holder {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Holder { who: format!("{user}@{host}"), verb }
}

/// Ends when the run is asked to end: by an interrupt from the terminal, or by SIGTERM.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Shows a plan and, on a terminal, asks whether to go on; without one the answer is `otherwise`. The time that a person
/// takes is not the servers'.
pub(super) fn agree<L>(
    shell: &Shell,
    session: &mut Session<'_, L>,
    plan: &Plan,
    yes: bool,
    otherwise: bool,
) -> Result<(), Failure> {
    if shell.format == Format::Human {
        shell.say(&plan_view::text(session.definition, plan, &session.deployment, shell.verbosity > 0));
    }
    if yes {
        return Ok(());
    }
    let mut changes = plan.accounts.iter().flat_map(|account| &account.streams.changes);
    let deletes = changes.any(|change| change.action == Action::Delete);
    let lost = if deletes { " The messages are lost for good." } else { "" };
    let asked = Instant::now();
    if !shell.confirm(&format!("{}.{lost} Go on?", plan_view::summary(plan)), otherwise) {
        return Err(Failure::failed("not-confirmed", "not confirmed; nothing was changed"));
    }
    session.deadline = session.deadline.extended(asked.elapsed());
    Ok(())
}

/// Progress as the stages tell it.
impl Tell for Progress {
    fn step(&self, step: &str, done: usize, total: usize) {
        self.update(step, done, total);
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Link(error) => Self::new(Exit::Failed, error.code, error.message).next(error.next),
            ReadError::Refused(finding) => {
                Self::failed(finding.code, format!("{}: {}", finding.place, finding.message)).next(finding.next)
            }
            ReadError::System(error) => Self::failed("system-account", format!("asking the servers: {error}"))
                .next("Check that the servers are up and that the system user may ask them."),
            error @ ReadError::JetStream { .. } => Self::failed("jetstream", error.to_string()).next(
                "Check that a majority of all JetStream servers is up: without it there is no meta leader, and streams \
                 can be neither listed nor made. Publishing to those that have their own majority goes on.",
            ),
            ReadError::Desired(error) => Self::usage("definition", error.to_string()),
        }
    }
}

/// Checks what the user allows and prunes.
pub(super) fn options(options: Options) -> Result<Options, Failure> {
    let known: Vec<&str> = allowable().collect();
    match options.allow.iter().find(|code| !known.contains(&code.as_str())) {
        None => Ok(options),
        Some(code) => Err(Failure::usage("unknown-finding", format!("--allow {code}: there is no such exception"))
            .next(format!("Name one of {}.", known.join(", ")))),
    }
}
