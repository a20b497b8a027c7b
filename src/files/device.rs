//! Writes to a pipe or a device. Its reader may be slow or missing.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time for a pipe's reader to open it, and to read the next piece.
pub(super) const PIPE_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes all parts, waiting for the reader as needed.
pub(super) fn write(path: &Path, parts: &[&[u8]], patience: Duration) -> io::Result<()> {
    let mut device = open(path, patience)?;
    for mut rest in parts.iter().copied() {
        while !rest.is_empty() {
            match device.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait(&device, patience)?,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn no_reader() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "no process reads from it")
}

/// Opens without blocking, and retries until there is a reader.
#[cfg(unix)]
fn open(path: &Path, patience: Duration) -> io::Result<File> {
    let until = Instant::now() + patience;
    loop {
        match super::read::at_once(File::options().write(true)).open(path) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                if Instant::now() > until {
                    return Err(no_reader());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}

#[cfg(unix)]
fn wait(device: &File, patience: Duration) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(device, PollFlags::OUT)], Some(&timeout))? {
        0 => Err(no_reader()),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn open(path: &Path, _: Duration) -> io::Result<File> {
    File::options().write(true).open(path)
}

#[cfg(not(unix))]
fn wait(_: &File, _: Duration) -> io::Result<()> {
    Err(no_reader())
}
