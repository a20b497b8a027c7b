//! Kills runs of the command at random moments, and examines the files that they leave.

#![allow(dead_code, missing_docs)]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Prefix of the names of files that a run had not finished.
pub const UNFINISHED: &str = ".vstream-new-";

/// SplitMix64, whose seed repeats a run.
pub struct Random {
    state: u64,
}

impl Random {
    pub fn seeded() -> Self {
        let named = std::env::var("VSTREAM_SEED").ok().map(|seed| seed.parse().expect("VSTREAM_SEED is not a number"));
        let state = named.unwrap_or_else(|| getrandom::u64().unwrap());
        eprintln!("VSTREAM_SEED={state}");
        Self { state }
    }

    pub fn below(&mut self, limit: Duration) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((mixed ^ (mixed >> 31)) % limit.as_micros().max(1) as u64)
    }
}

/// Returns `true` in scripts/nightly, where tests check and publish as often as they can.
pub fn thorough() -> bool {
    std::env::var_os("VSTREAM_THOROUGH").is_some()
}

/// Returns how often to kill something: `VSTREAM_KILL_ROUNDS`, or else `usual`.
pub fn rounds(usual: usize) -> usize {
    std::env::var("VSTREAM_KILL_ROUNDS")
        .map_or(usual, |rounds| rounds.parse().expect("VSTREAM_KILL_ROUNDS is not a number"))
}

/// Kills runs that write files.
pub struct Killer {
    random: Random,
    runs: usize,
    killed: usize,
    /// Runs that were killed between the begin and the end of a file.
    midway: usize,
}

impl Killer {
    pub fn seeded() -> Self {
        Self { random: Random::seeded(), runs: 0, killed: 0, midway: 0 }
    }

    /// Runs the command and kills it at any moment of the time that it `takes`. Every second time, it kills shortly
    /// after the first change in `folder`. Checks all the time that `private` files are readable only by their owner.
    /// Returns `true` if the run was killed.
    pub fn run(&mut self, command: &mut Command, takes: Duration, folder: &Path, private: fn(&Path) -> bool) -> bool {
        self.runs += 1;
        let before = look(folder, private);
        let when = if self.runs.is_multiple_of(2) { None } else { Some(self.random.below(takes)) };
        // Most of the time to write a file is spent on syncing it to disk.
        let after = self.random.below(Duration::from_millis(4));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        let mut changed: Option<Instant> = None;
        loop {
            if child.try_wait().unwrap().is_some() {
                look(folder, private);
                return false;
            }
            if look(folder, private) != before {
                changed.get_or_insert_with(Instant::now);
            }
            let due = when.map_or_else(
                || changed.is_some_and(|changed| changed.elapsed() >= after),
                |when| started.elapsed() >= when,
            );
            if due {
                child.kill().unwrap();
                let killed = child.wait().unwrap().code().is_none();
                let left = look(folder, private);
                self.killed += usize::from(killed);
                self.midway += usize::from(left.iter().any(|(path, ..)| is_unfinished(path)));
                return killed;
            }
        }
    }

    pub fn says(&self, what: &str) {
        let Self { random: _, runs, killed, midway } = self;
        eprintln!("{what}: {killed} of {runs} runs killed, {midway} of them in the middle of a file");
    }
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED))
}

/// Returns the unfinished files in the folder and its subfolders.
pub fn unfinished(folder: &Path) -> Vec<PathBuf> {
    look(folder, |_| false).into_iter().map(|(path, ..)| path).filter(|path| is_unfinished(path)).collect()
}

/// Returns all files of a folder and its subfolders, with their sizes.
fn look(folder: &Path, private: fn(&Path) -> bool) -> Vec<(PathBuf, u64, u64)> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            // The file may have been deleted by now.
            let Ok(metadata) = entry.metadata() else { continue };
            let path = entry.path();
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            let mode = metadata.permissions().mode() & 0o777;
            assert!(!private(&path) || mode & 0o077 == 0, "{} has mode {mode:o}", path.display());
            files.push((path, metadata.len(), metadata.ino()));
        }
    }
    files.sort();
    files
}
