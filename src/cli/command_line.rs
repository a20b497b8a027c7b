//! The command line: the common flags and the verbs, for `clap`.

use super::shell::GlobalArgs;
use super::{Exit, Failure, Shell};
use super::{apply, completions, destroy, explain, history, init, keys, man, plan, render, rollback};
#[cfg(feature = "dev")]
use super::{demo, dev};
use super::{sign, status, validate, verify};
use clap::{Parser, Subcommand};

/// Virtual streams for multi-region NATS in operator mode: mappings in signed account JWTs, the streams behind
/// them, and proof on every server.
#[derive(Debug, Parser)]
#[command(name = "vstream-jwt", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done or in sync · 1 failed · 2 usage or definition invalid · 3 changes pending \
                        or drift · 4 not every server confirmed")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: GlobalArgs,

    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
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
    #[cfg(feature = "dev")]
    Dev(dev::Args),
    #[cfg(feature = "dev")]
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Verb {
    /// Runs the verb.
    pub(super) async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
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
            #[cfg(feature = "dev")]
            Self::Dev(args) => args.run(shell).await,
            #[cfg(feature = "dev")]
            Self::Demo(args) => args.run(shell).await,
            Self::Completions(args) => args.run(shell, command()).await,
            Self::Man(args) => args.run(shell, command()).await,
        }
    }
}

/// Returns the whole command, for completions, manual pages and tests of the help texts.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
