//! Loopback ports that parallel super-clusters do not compete for.
//!
//! Ports come in blocks below the range that systems use for outgoing connections (Linux 32768, macOS 49152), so that
//! the port of a killed server is free when it restarts. A block belongs to the process that holds the lock on its
//! file. The supervisor holds the lock as long as it lives.

use super::{DevError, files};
use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const FIRST: u16 = 11_000;
const BLOCKS: u16 = 80;

/// Number of ports in a block, which is the most that a super-cluster can use.
pub(super) const BLOCK_SIZE: u16 = 256;

/// Time for the ports of a killed super-cluster to become free. The command line of a killed server disappears before
/// its sockets do (Linux frees its memory first), so only the ports show when they are free.
pub(super) const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// A block of ports, and the lock on it.
pub(super) struct Block {
    pub(super) first: u16,
    pub(super) lock: File,
}

/// Takes a block whose first `count` ports are free.
pub(super) fn reserve(count: u16) -> Result<Block, DevError> {
    if count > BLOCK_SIZE {
        return Err(DevError::Ports(format!("{count} ports are needed, {BLOCK_SIZE} is the most; use fewer servers")));
    }
    let start = getrandom::u32().unwrap_or_default() as u16;
    for step in 0..BLOCKS {
        let first = FIRST + (start % BLOCKS + step) % BLOCKS * BLOCK_SIZE;
        if let Some(lock) = lock(first)?
            && taken(first, count).is_none()
        {
            return Ok(Block { first, lock });
        }
    }
    Err(DevError::Ports("every block of ports is in use by other super-clusters".to_owned()))
}

/// Takes the block at `first` again, for a super-cluster whose ports were chosen earlier. Waits for the ports of
/// servers that were just killed. Also waits for other super-clusters, which lock each block for a moment while they
/// look for a free one.
pub(super) fn reserve_again(first: u16, count: u16, patience: Duration) -> Result<Block, DevError> {
    let until = Instant::now() + patience;
    loop {
        let lock = lock(first)?;
        let taken = taken(first, count);
        let error = match (lock, taken) {
            (Some(lock), None) => return Ok(Block { first, lock }),
            (None, _) => {
                format!("another super-cluster uses the ports from {first}; stop it, or use another folder")
            }
            (Some(_), Some(port)) => format!("127.0.0.1:{port} is taken by another process"),
        };
        if Instant::now() > until {
            return Err(DevError::Ports(error));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Checks whether a process holds the block at `first`.
pub(super) fn held(first: u16) -> Result<bool, DevError> {
    Ok(lock(first)?.is_none())
}

fn taken(first: u16, count: u16) -> Option<u16> {
    (first..first + count).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err())
}

fn lock(first: u16) -> Result<Option<File>, DevError> {
    let folder = super::binary::cache_folder().join("ports");
    files::create_folder(&folder)?;
    let path: PathBuf = folder.join(first.to_string());
    let file = crate::files::open_to_write(&path, false);
    let file = file.map_err(|error| DevError::file("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(DevError::file("lock", &path, error)),
    }
}
