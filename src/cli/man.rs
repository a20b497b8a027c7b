//! `man`: prints or writes manual pages.

use super::text::{put, text};
use super::{Exit, Failure, Shell};
use crate::files::{self, FileAccess};
use clap_mangen::Man;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Print the manual page, or write the pages of all verbs
///
/// `vstream-jwt man | man -l -` shows the page; `vstream-jwt man --out ~/.local/share/man/man1` installs all pages.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write a page for each verb to this folder, and make the folder if it does not exist; replaces pages of the same
    /// name
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Args {
    /// Runs the verb. `command` describes the whole command line.
    ///
    /// # Errors
    /// Exit 1 if a page cannot be written.
    pub async fn run(self, shell: &Shell, mut command: clap::Command) -> Result<Exit, Failure> {
        let failed = |path: &Path, error: std::io::Error| {
            Failure::failed("cannot-write", format!("cannot write {}: {error}", path.display()))
                .next("Choose another folder for --out, or make this one writable.")
        };
        let Some(folder) = self.out else {
            let page = page(command).map_err(|error| failed(Path::new("the page"), error))?;
            shell.script(&page, &json!({ "page": page }));
            return Ok(Exit::Done);
        };
        std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        command.build();
        let mut files = Vec::new();
        for (name, command) in pages(command) {
            let file = format!("{name}.1");
            let path = folder.join(&file);
            let page = page(command).map_err(|error| failed(&path, error))?;
            files::replace(&path, FileAccess::Usual, &[page.as_bytes()]).map_err(|error| failed(&path, error))?;
            files.push(file);
        }
        let mut text = text!("{} pages in {}", files.len(), folder.display());
        files.iter().for_each(|file| put!(text, "  {file}"));
        shell.result(text, &json!({ "folder": folder, "files": files }));
        Ok(Exit::Done)
    }
}

fn page(command: clap::Command) -> std::io::Result<String> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Returns a command and all its subcommands except hidden ones, each with the name of its page (`vstream-jwt-dev-up`).
fn pages(command: clap::Command) -> Vec<(String, clap::Command)> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let below: Vec<_> = (command.get_subcommands())
        .filter(|below| !below.is_hide_set() && below.get_name() != "help")
        .cloned()
        .flat_map(pages)
        .collect();
    std::iter::once((name, command)).chain(below).collect()
}
