//! The program behind `scripts/scan-secrets`.

#[path = "../tests/it/support/secrets.rs"]
mod secrets;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        eprintln!("usage: scan-secrets FILE...");
        return ExitCode::from(2);
    }
    match secrets::in_files(&paths) {
        Ok(found) if found.is_empty() => ExitCode::SUCCESS,
        Ok(found) => {
            found.iter().for_each(|line| println!("{line}"));
            ExitCode::from(1)
        }
        // A file that cannot be read may contain a secret.
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
