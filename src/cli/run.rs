//! The program's entry point: reads the command line, runs the verb, and returns its exit code.

use super::command_line::Verb;
use super::{Failure, Format, Shell, output, usage};
use std::process::ExitCode;
use std::time::Duration;

/// Time for threads that a verb left behind when it ended.
const LAST_THREADS_TIMEOUT: Duration = Duration::from_millis(200);

/// Parses the command line, runs the verb, prints its result or failure, and returns the exit code.
pub fn main() -> ExitCode {
    output::tell_panics();
    // Most verbs read keys of accounts.
    crate::sign::memory::protect();
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match usage::parse(&args) {
        Ok(cli) => cli,
        Err(error) => return usage::tell(&error, &args),
    };
    let shell = Shell::new(cli.global);
    if shell.format == Format::Markdown && !matches!(cli.verb, Verb::Plan(_)) {
        let failure = Failure::usage("format-markdown", "--format markdown is for `plan` alone");
        return shell.failed(&failure.next("Take --format human or json."));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return shell.failed(
                &Failure::failed("no-runtime", format!("cannot start the I/O runtime: {error}"))
                    .next("Free file descriptors or memory, then run it again."),
            );
        }
    };
    let ended = runtime.block_on(cli.verb.run(&shell));
    // A thread may still wait, for example for an answer of the DNS.
    runtime.shutdown_timeout(LAST_THREADS_TIMEOUT);
    match ended {
        Ok(exit) => shell.ends(exit).into(),
        Err(failure) => shell.failed(&failure),
    }
}
