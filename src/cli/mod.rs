//! The command line: a verb's arguments and views, one file each. The only part that prints or exits.

mod apply;
mod completions;
mod definition;
mod demo;
mod deployment;
mod destroy;
mod dev;
mod explain;
mod failure;
mod history;
mod init;
mod keys;
mod man;
mod nsc;
mod operator;
mod output;
mod plan;
mod plan_markdown;
mod plan_view;
mod planfile;
mod prompt;
mod render;
mod rollback;
mod shell;
mod sign;
mod status;
mod text;
mod trust;
mod usage;
mod validate;
mod verify;
mod who;

pub use failure::{Exit, Failure};
pub use shell::{Format, Shell};

use clap::{Parser, Subcommand};
use shell::GlobalArgs;
use std::process::ExitCode;

/// Virtual streams for multi-region NATS in operator mode: mappings in signed account JWTs, the streams behind
/// them, and proof on every server.
#[derive(Debug, Parser)]
#[command(name = "vstream-jwt", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done or in sync · 1 failed · 2 usage or definition invalid · 3 changes pending \
                        or drift · 4 not every server confirmed")]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Args),
    Validate(validate::Args),
    Render(render::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Sign(sign::Args),
    Verify(verify::Args),
    Status(status::Args),
    Explain(explain::Args),
    History(history::Args),
    Rollback(rollback::Args),
    Destroy(destroy::Args),
    Keys(keys::Args),
    Dev(dev::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Verb {
    async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        match self {
            Self::Init(args) => args.run(shell).await,
            Self::Validate(args) => args.run(shell).await,
            Self::Render(args) => args.run(shell).await,
            Self::Plan(args) => args.run(shell).await,
            Self::Apply(args) => args.run(shell).await,
            Self::Sign(args) => args.run(shell).await,
            Self::Verify(args) => args.run(shell).await,
            Self::Status(args) => args.run(shell).await,
            Self::Explain(args) => args.run(shell).await,
            Self::History(args) => args.run(shell).await,
            Self::Rollback(args) => args.run(shell).await,
            Self::Destroy(args) => args.run(shell).await,
            Self::Keys(args) => args.run(shell).await,
            Self::Dev(args) => args.run(shell).await,
            Self::Demo(args) => args.run(shell).await,
            Self::Completions(args) => args.run(shell).await,
            Self::Man(args) => args.run(shell).await,
        }
    }
}

/// Parses the command line, runs the verb, prints what it has to say and returns the exit code.
pub fn main() -> ExitCode {
    output::tell_panics();
    // Keys of accounts are read by most verbs.
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
    match runtime.block_on(cli.verb.run(&shell)) {
        Ok(exit) => shell.ends(exit).into(),
        Err(failure) => shell.failed(&failure),
    }
}

/// The whole command, for completions, manual pages and tests of the help texts.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
