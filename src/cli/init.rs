//! `init`: a new project.

use super::shell::quoted;
use super::text::{Text, put};
use super::{Exit, Failure, Shell};
use crate::nsc::{StoreError, keystore, survey};
use crate::ops::init::{InitError, init};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Write a commented vstream.yaml and a keys folder for a new project
///
/// Overwrites nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to write them to, which is made if it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// Fill in what an nsc store tells: operator, accounts, where their keys are
    #[arg(long, value_name = "STORE")]
    from_nsc: Option<PathBuf>,
}

impl Args {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 1 when there is a definition already, or a file cannot be written.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let store = self.from_nsc.as_deref().map(|path| {
            survey(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()), &keystore()).map_err(|error| {
                let next = match &error {
                    StoreError::Several { .. } => "Name the folder of one of them with --from-nsc.",
                    _ => "`nsc env` shows the store: \"Stores Dir\".",
                };
                Failure::usage("nsc-store-unusable", error.to_string()).next(next)
            })
        });
        let store = store.transpose()?;
        let written = init(&self.folder, store.as_ref()).map_err(|error| match &error {
            InitError::Exists(_) => Failure::failed("exists", error.to_string())
                .next("Edit that file, or name another folder: `vstream-jwt init DIR`."),
            InitError::Io { .. } => {
                Failure::failed("unwritable", error.to_string()).next("Name another folder, or make this one writable.")
            }
        })?;
        let mut text = Text::new();
        written.iter().for_each(|path| put!(text, "wrote {}", path.display()));
        let definition = self.folder.join("vstream.yaml");
        let next = if definition == Path::new("./vstream.yaml") {
            "vstream-jwt validate".to_owned()
        } else {
            format!("vstream-jwt validate --definition {}", quoted(&definition))
        };
        match &store {
            None => put!(text, "next: Fill in the regions, their servers and the account's id, then run `{next}`."),
            Some(_) => {
                put!(text, "next: Fill in the regions, their servers and the virtual streams, then run `{next}`.")
            }
        }
        shell.result(text, &json!({ "written": written }));
        Ok(Exit::Done)
    }
}
