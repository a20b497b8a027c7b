//! Runs other programs for their output. Each has a deadline, and its output is bounded.

use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Most bytes of each output of a program that are read.
const MOST: u64 = 1 << 20;

/// Interval for checking whether a program that closed its outputs has ended.
const EXIT_INTERVAL: Duration = Duration::from_millis(10);

/// A program's output and exit status.
#[derive(Debug)]
pub(super) struct ProgramOutput {
    pub(super) status: ExitStatus,
    pub(super) out: String,
    pub(super) err: String,
}

/// Finds a program on PATH. Ignores relative folders in PATH, which depend on the working directory.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs a program to its end. If it does not end within `time`, kills it together with its child processes.
///
/// # Errors
/// The system's error, or [`ErrorKind::TimedOut`].
pub(super) fn run(command: &mut Command, time: Duration) -> Result<ProgramOutput> {
    let until = Instant::now() + time;
    // In a separate process group, which can be killed as a whole.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, err) = (heard(child.stdout.take()), heard(child.stderr.take()));
    let ended = said_until(&out, until)
        .and_then(|out| Some((out, said_until(&err, until)?)))
        .and_then(|(out, err)| Some(ProgramOutput { status: ended_by(&mut child, until)?, out, err }));
    ended.ok_or_else(|| {
        let group = rustix::process::Pid::from_raw(child.id().cast_signed());
        let _ = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
        let _ = child.kill();
        let _ = child.wait();
        Error::new(ErrorKind::TimedOut, format!("it did not end within {} s", time.as_secs_f32().ceil()))
    })
}

/// Reads an output to its end on a thread that nothing waits for.
fn heard(output: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, said) = channel();
    if let Some(output) = output {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = output.take(MOST).read_to_end(&mut bytes);
            let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
        });
    }
    said
}

/// Returns the output once it has ended. Returns `None` if it has not ended by `until`.
fn said_until(said: &Receiver<String>, until: Instant) -> Option<String> {
    match said.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(said) => Some(said),
        Err(RecvTimeoutError::Disconnected) => Some(String::new()),
        Err(RecvTimeoutError::Timeout) => None,
    }
}

/// Returns a process's exit status, if it ends in time.
pub(super) fn ended_by(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(EXIT_INTERVAL),
            Ok(None) | Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = crate::sign::memory::command("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_says_is_kept() {
        let said = run(&mut shell("echo out; echo err >&2; exit 3"), Duration::from_secs(20)).unwrap();
        assert_eq!((said.status.code(), said.out.as_str(), said.err.as_str()), (Some(3), "out\n", "err\n"));
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        for hangs in ["exec >&- 2>&-; sleep 600", "sleep 600 & echo $! >\"$0\"; wait", "sleep 600 & echo $! >\"$0\""] {
            let begun = Instant::now();
            let error = run(shell(hangs).arg(&pids), Duration::from_secs(1)).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::TimedOut, "it did not end within 1 s"));
            assert!(begun.elapsed() < Duration::from_secs(10), "{hangs}: {:?}", begun.elapsed());
        }
        let started = std::fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
        let started = rustix::process::Pid::from_raw(started).unwrap();
        // Until the process that inherited it has noticed.
        let gone = || rustix::process::test_kill_process(started).is_err();
        let until = Instant::now() + Duration::from_secs(20);
        while !gone() && !is_zombie(started) {
            assert!(Instant::now() < until, "it lives on");
            std::thread::sleep(EXIT_INTERVAL);
        }
    }

    /// Checks whether the process is dead and its parent has not asked for its status.
    fn is_zombie(pid: rustix::process::Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    }

    #[test]
    fn a_program_that_talks_without_end_is_not_heard_out() {
        let said = run(&mut shell("while :; do echo on and on; done"), Duration::from_secs(60)).unwrap();
        assert!(!said.status.success());
        assert_eq!(said.out.len() as u64, MOST);
    }
}
