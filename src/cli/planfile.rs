//! Code shared by the verbs that use plan files.

use super::outcome::{self, stale};
use super::{Failure, Shell};
use crate::engine::error::ApplyError;
use crate::engine::report::Applied;
use crate::ops::load::Loaded;
use crate::ops::planfile::{self, FileError, SignFileError};
use crate::plan::file::{File, PlanContent, PlanFile, PlanFileError};
use std::path::{Path, PathBuf};

/// Reads a plan file with its definition, as if the definition had been loaded from its own files.
pub(super) fn load(shell: &Shell, path: &Path) -> Result<(PlanFile, Loaded), Failure> {
    let file = planfile::read(path).map_err(failure)?;
    let base = shell.base();
    let definition = planfile::definition(path, &file.content, &base).map_err(failure)?;
    let files = file.content.definition.iter().map(|file| PathBuf::from(&file.name)).collect();
    Ok((file, Loaded { definition, base, files, texts: Vec::new() }))
}

/// Returns the definition's files in the form for plan files: names without folders.
pub(super) fn files(loaded: &Loaded) -> Vec<File> {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let files = loaded.files.iter().zip(&loaded.texts);
    files.map(|(path, text)| File { name: name(path), text: text.clone() }).collect()
}

/// Refuses a plan that no longer matches the deployment.
pub(super) fn still_holds(file: &PlanContent, now: &PlanContent) -> Result<(), Failure> {
    let moved = file.moved(now);
    if moved.is_empty() { Ok(()) } else { Err(stale(moved)) }
}

pub(super) fn failure(error: FileError) -> Failure {
    let message = error.to_string();
    match error {
        FileError::Io { .. } => Failure::failed("plan-file", message).next("Check the path and its permissions."),
        FileError::Content { cause: PlanFileError::Newer { .. }, .. } => Failure::usage("plan-file-newer", message)
            .next("Use the version of vstream-jwt that wrote it, or a later one."),
        FileError::Content { cause: PlanFileError::NotAPlan(_), .. } => Failure::usage("not-a-plan-file", message)
            .next("Name a file that `plan --out` or `sign --out` wrote, as it was written."),
        FileError::Content { cause: PlanFileError::TooLarge, .. } => Failure::usage("plan-file-too-large", message)
            .next("Spread the accounts over several definitions, and plan each of them."),
        FileError::Content { cause: PlanFileError::Secret(_), .. } => Failure::failed("secret-in-plan", message).next(
            "Find out if it comes from the definition or from an account's claims, and have it removed there. Replace \
             the secret, because others may have read it.",
        ),
        FileError::Content { .. } => Failure::usage("plan-file-changed", message)
            .next("Get it again from the machine that made it, and find out who changed this copy."),
        FileError::Definition { path, cause } => {
            let problems = cause.reports();
            let lines = problems.iter().map(|problem| format!("{}: {}", problem.position, problem.message));
            Failure::usage("definition", format!("the definition in {} is not valid", path.display()))
                .lines(lines.collect())
                .detail("problems", problems)
                .next("Make the plan again with this version of vstream-jwt.")
        }
    }
}

/// Returns the failure of a plan file that was not signed or is inconsistent.
pub(super) fn unsigned(error: SignFileError) -> Failure {
    let message = error.to_string();
    match error {
        SignFileError::Signed(_) => Failure::usage("signed-already", message)
            .next("Apply it as it is, or sign the file that `plan --out` wrote."),
        SignFileError::Inconsistent(_) => Failure::usage("plan-file-inconsistent", message)
            .next("Do not sign it. Make the plan again, and find out who made this file."),
        SignFileError::Untrusted { ref issuer, ref anchor, .. } => {
            let next = anchor.how_to_trust(None);
            let next = match anchor.operator() {
                None => format!("{next} Where there is no definition: --trust O…."),
                Some(_) => next,
            };
            Failure::usage("token-untrusted", message).next(next).detail("issuer", issuer)
        }
        SignFileError::Signer(finding) => Failure::usage(finding.code, message).next(finding.next),
        SignFileError::Claims { .. } => {
            Failure::usage("plan-file-changed", message).next("Make the plan again: plan --out FILE.")
        }
        SignFileError::Issue(error) => outcome::failure(ApplyError::Issue(error), &Applied::default()),
        SignFileError::Seal(_) => Failure::failed("signing", message).next("Check the key, or the command that signs."),
    }
}
