//! `render`: prints what `apply` would write, offline.

use super::text::{Text, put, text};
use super::{Exit, Failure, Format, Shell};
use crate::files::{self, FileAccess};
use crate::ops::render::{self, Document};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Print what the definition generates; asks no server
///
/// With `--format json`, prints one array with an element per account (mappings, claims, permissions) or per stream.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to print
    #[arg(value_enum)]
    what: What,

    /// Write one file each to this folder instead, and make the folder if it does not exist; replaces files of the same
    /// name
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A `mappings { }` block per account, for servers in configuration mode
    Mappings,
    /// Stream configs for `nats stream add --config`
    Streams,
    /// The mappings as they go into the accounts' claims
    Claims,
    /// The publish permissions that users of applications need, and those that are better denied
    Permissions,
}

impl Args {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 2 if the definition is not valid, 1 if a file cannot be written.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let loaded = shell.load()?;
        let what = match self.what {
            What::Mappings => render::What::Mappings,
            What::Streams => render::What::Streams,
            What::Claims => render::What::Claims,
            What::Permissions => render::What::Permissions,
        };
        let documents = render::render(what, &loaded.definition)?;
        match self.out {
            Some(folder) => {
                let files = write(&folder, &documents, shell.format).map_err(|message| {
                    Failure::failed("cannot-write", message)
                        .next("Choose another folder for --out, or make this one writable.")
                })?;
                let mut text = text!("{} files in {}", files.len(), folder.display());
                files.iter().for_each(|file| put!(text, "  {file}"));
                shell.result(text, &json!({ "folder": folder, "files": files }));
            }
            None => {
                let text: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
                let json: Vec<&Value> = documents.iter().map(|document| &document.json).collect();
                shell.result(Text::of_lines(&text.join("\n")), &json);
            }
        }
        Ok(Exit::Done)
    }
}

/// Writes the documents and returns the names of the files. The error names the file that cannot be written.
fn write(folder: &Path, documents: &[Document], format: Format) -> Result<Vec<String>, String> {
    let failed = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut files = Vec::with_capacity(documents.len());
    for Document { name, ending, text, json } in documents {
        let (file, text) = match format {
            Format::Human | Format::Markdown => (format!("{name}.{ending}"), text.clone()),
            Format::Json => (format!("{name}.json"), format!("{json:#}\n")),
        };
        let path = folder.join(&file);
        files::replace(&path, FileAccess::Usual, &[text.as_bytes()]).map_err(|error| failed(&path, error))?;
        files.push(file);
    }
    Ok(files)
}
