//! Shared parts of the verbs that talk to a deployment: common arguments, questions to the user, and errors.

pub(super) use super::operator::OperatorArgs;
use super::shell::StepProgress;
use super::text::{Text, put, text};
use super::{Exit, Failure, Format, Shell, output, plan_view};
use crate::engine::Progress;
use crate::engine::lease::Holder;
use crate::engine::report::Merged;
use crate::engine::session::{ReadError, Session};
use crate::observed::RequestError;
use crate::observed::connection::Connection;
use crate::plan::preflight::answers_differ;
use crate::plan::{Action, Options, Plan, allowable};
use crate::resolver::TokenStoreError;
use futures::FutureExt as _;
use futures::future::select_all;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// The time to wait for other runs.
#[derive(Debug, clap::Args)]
pub(super) struct LeaseArgs {
    /// How long to wait for another run that changes the same account, in addition to --timeout (0s: do not wait)
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = super::shell::parse_wait)]
    pub(super) lease_timeout: Duration,
}

/// Returns the holder of the lease for `verb`, as other runs see it.
pub(super) fn holder(verb: &'static str) -> Holder {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Holder { who: format!("{user}@{host}"), verb }
}

/// `true` while a question waits for the user's answer, which blocks the run.
static IS_ASKING: AtomicBool = AtomicBool::new(false);

/// Returns a future that completes at an interrupt from the terminal or at SIGTERM. It listens from this call on, not
/// from its first poll, because the run may take a lease before that and must then release it.
///
/// A second signal, or one at a question to the user, ends the process at once.
pub(super) fn interrupted() -> impl Future<Output = ()> + Send {
    let mut signals = signals();
    let (first, interrupted) = oneshot::channel();
    tokio::spawn(async move {
        next_of(&mut signals).await;
        if !IS_ASKING.load(Ordering::Relaxed) {
            // The run may have ended already.
            let _ = first.send(());
            next_of(&mut signals).await;
        }
        output::say(&text!("ended at once; what was done until then stays, and a lease expires within 15 s"));
        std::process::exit(INTERRUPTED);
    });
    interrupted.then(|received| async move {
        if received.is_err() {
            std::future::pending().await
        }
    })
}

/// Returns a future that completes at the first such signal; further ones do nothing.
#[cfg(feature = "dev")]
pub(super) fn signaled() -> impl Future<Output = ()> + Send {
    let mut signals = signals();
    async move { next_of(&mut signals).await }
}

/// Listens from this call on. Without a listener, a signal ends the process directly.
fn signals() -> Vec<Signal> {
    [SignalKind::interrupt(), SignalKind::terminate()].into_iter().filter_map(|kind| signal(kind).ok()).collect()
}

/// The exit code of shells for a process that an interrupt ended.
const INTERRUPTED: i32 = 130;

async fn next_of(signals: &mut [Signal]) {
    if signals.is_empty() {
        return std::future::pending().await;
    }
    select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
}

/// The next step after the user refuses.
pub(super) const NOT_CONFIRMED: &str = "Run it again when you are sure; --yes does not ask.";

/// Shows a plan and, on a terminal, asks the user to confirm it; without a terminal, the answer is `otherwise`. The
/// time that the user takes does not count against `--timeout`.
pub(super) fn agree<L>(
    shell: &Shell,
    session: &mut Session<'_, L>,
    plan: &Plan,
    yes: bool,
    otherwise: bool,
) -> Result<(), Failure> {
    if shell.format == Format::Human {
        let view = plan_view::text(session.definition, plan, &session.deployment, shell.verbosity > 0);
        shell.say(view.whole());
    }
    if yes {
        return Ok(());
    }
    let mut changes = plan.accounts.iter().flat_map(|account| &account.streams.changes);
    let deletes = changes.any(|change| change.action == Action::Delete);
    let lost = if deletes { " The messages are lost for good." } else { "" };
    let asked = Instant::now();
    if !shell.confirm(&format!("{}.{lost} Go on?", plan_view::summary(plan)), otherwise) {
        return Err(Failure::failed("not-confirmed", "not confirmed; nothing was changed").next(NOT_CONFIRMED));
    }
    session.deadline = session.deadline.extended(asked.elapsed());
    Ok(())
}

/// Shows what other tools pushed since the user confirmed a plan. On a terminal, asks the user to confirm that too.
pub(super) fn agree_again(shell: &Shell, progress: &StepProgress, merged: &[Merged], yes: bool) -> bool {
    let mut agreed = true;
    progress.suspend(|| {
        shell.say(merged_text(merged));
        IS_ASKING.store(true, Ordering::Relaxed);
        agreed = yes || shell.confirm("Other tools pushed this since; it is kept, and signed as well. Go on?", true);
        IS_ASKING.store(false, Ordering::Relaxed);
    });
    agreed
}

/// Returns a text about the changes that other tools made to accounts during a run.
pub(super) fn merged_text(merged: &[Merged]) -> Text {
    let mut out = Text::new();
    for Merged { account, id: _, changes } in merged {
        put!(out, "account {account}: other tools changed this meanwhile, and it is kept:");
        for line in changes {
            put!(out, "  {line}");
        }
    }
    out
}

/// Adds to a failure the pushes of other tools that the run noticed and did not use.
pub(super) fn with_unused_pushes(mut failure: Failure, session: &Session<'_, impl Connection>) -> Failure {
    failure.findings.extend(session.unused_pushes());
    failure
}

/// Shows the progress that the stages report.
impl Progress for StepProgress {
    fn step(&self, step: &str, done: usize, total: usize) {
        self.update(step, done, total);
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Connection(error) => Self::new(Exit::Failed, error.code, error.message).next(error.next),
            ReadError::Refused(finding) => {
                Self::failed(finding.code, format!("{}: {}", finding.place, finding.message)).next(finding.next)
            }
            ReadError::System(error @ RequestError::TwoAnswers { .. }) => {
                let finding = answers_differ(&error);
                Self::failed(finding.code, finding.message).next(finding.next)
            }
            ReadError::System(error) => Self::failed("system-account", format!("asking the servers: {error}"))
                .next("Check that the servers are up and that the system user may ask them."),
            error @ ReadError::JetStream { .. } => Self::failed("jetstream", error.to_string()).next(
                "Check that a majority of all JetStream servers is up: without it there is no meta leader, and streams \
                 can be neither listed nor made. Publishing to those that have their own majority goes on.",
            ),
            ReadError::Desired(error) => error.into(),
            ReadError::Store(error) => error.into(),
        }
    }
}

impl From<TokenStoreError> for Failure {
    fn from(error: TokenStoreError) -> Self {
        let exit = if error.is_input { Exit::Usage } else { Exit::Failed };
        Self::new(exit, error.code, error.to_string()).next(error.next)
    }
}

/// Checks that the findings to allow and the names to prune are valid.
pub(super) fn options(options: Options) -> Result<Options, Failure> {
    let known: Vec<&str> = allowable().collect();
    match options.allow.iter().find(|code| !known.contains(&code.as_str())) {
        None => Ok(options),
        Some(code) => Err(Failure::usage("unknown-finding", format!("--allow {code}: no such finding can be allowed"))
            .next(format!("Name one of {}.", known.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    /// Without the listener the signal would end this process. So would the second one that a listener gets.
    #[test]
    fn an_interrupt_is_heard_before_it_is_waited_for() {
        for signal in [Signal::INT, Signal::TERM] {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let interrupted = interrupted();
                kill_process(getpid(), signal).unwrap();
                interrupted.await;
            });
        }
    }
}
