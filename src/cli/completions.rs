//! `completions`: prints completion scripts for shells.

use super::{Exit, Failure, Shell};
use clap_complete::Shell as Target;
use serde_json::json;

/// Print a completion script for a shell
///
/// Write it to a file that the shell loads, for example:
///
/// bash: vstream-jwt completions bash > ~/.local/share/bash-completion/completions/vstream-jwt
///
/// zsh: vstream-jwt completions zsh > ~/.zfunc/_vstream-jwt
///
/// fish: vstream-jwt completions fish > ~/.config/fish/completions/vstream-jwt.fish
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Target,
}

impl Args {
    /// Runs the verb. `command` describes the whole command line.
    ///
    /// # Errors
    /// None. Every verb has this signature.
    pub async fn run(self, shell: &Shell, mut command: clap::Command) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "vstream-jwt", &mut script);
        let script = String::from_utf8_lossy(&script);
        shell.script(&script, &json!({ "shell": self.shell.to_string(), "script": script }));
        Ok(Exit::Done)
    }
}
