//! Opens files for reading. Only this module opens definitions, keys, credentials, certificates, contexts, tokens, plan
//! files, records, and the files of `dev` (a test checks this).
//!
//! A path is opened once, without blocking, and all checks are made on the open file, never on the path. So a file that
//! replaces it later is never read unchecked. Links are followed, because users make them, and so do mounts of
//! configuration and secrets (Kubernetes). A folder, a pipe, a terminal, a socket or another device is refused, because
//! reading it might never end or never start.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
#[cfg(feature = "dev")]
use std::io::{Seek as _, SeekFrom};
use std::path::Path;
use zeroize::Zeroizing;

/// Size of the buffer for a secret, in bytes, if the system does not report the file's size.
const PAGE: usize = 4096;

/// Reason why a file was not read. Contains nothing of its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileReadError {
    /// The file does not exist.
    #[error("there is no such file")]
    Missing,
    /// A folder, a pipe, a device.
    #[error("is not a file, but {0}")]
    NotAFile(&'static str),
    /// Other users may read or write it.
    #[error("is open to others (mode {0:04o})")]
    OpenToOthers(u32),
    /// The file exceeds the size that is read of such a file.
    #[error("is larger than {0} bytes")]
    TooLarge(usize),
    /// Not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// The system's error.
    #[error("{0}")]
    Io(io::Error),
}

impl From<FileReadError> for io::Error {
    fn from(error: FileReadError) -> Self {
        let kind = match &error {
            FileReadError::Io(_) => None,
            FileReadError::Missing => Some(io::ErrorKind::NotFound),
            FileReadError::OpenToOthers(_) => Some(io::ErrorKind::PermissionDenied),
            FileReadError::NotAFile(_) | FileReadError::TooLarge(_) | FileReadError::NotText => {
                Some(io::ErrorKind::InvalidData)
            }
        };
        match (kind, error) {
            (_, FileReadError::Io(error)) => error,
            (kind, error) => Self::new(kind.unwrap_or(io::ErrorKind::Other), error.to_string()),
        }
    }
}

/// Reads a text that is not a secret, of at most `most` bytes.
///
/// # Errors
/// [`FileReadError`]
pub(crate) fn read_text(path: &Path, most: usize) -> Result<String, FileReadError> {
    String::from_utf8(read(path, most)?).map_err(|_| FileReadError::NotText)
}

/// Reads a file that is not a secret, of at most `most` bytes.
///
/// # Errors
/// [`FileReadError`]
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<u8>, FileReadError> {
    let (file, metadata) = open(path)?;
    let length = length(&metadata, most)?;
    let mut bytes = Vec::with_capacity(length + 1);
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(FileReadError::Io)?;
    if bytes.len() > most { Err(FileReadError::TooLarge(most)) } else { Ok(bytes) }
}

/// Reads at most the last `most` bytes of a file that is not a secret, such as a log.
///
/// # Errors
/// [`FileReadError`]
#[cfg(feature = "dev")]
pub(crate) fn read_end(path: &Path, most: u64) -> Result<Vec<u8>, FileReadError> {
    let (mut file, metadata) = open(path)?;
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(most))).map_err(FileReadError::Io)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(FileReadError::Io)?;
    Ok(bytes)
}

/// Reads a secret of at most `most` bytes, which no other user may read or write, into memory that is wiped.
///
/// # Errors
/// [`FileReadError`]
pub(crate) fn read_secret(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, FileReadError> {
    let (bytes, mode) = read_any_secret(path, most)?;
    closed_to_others(mode)?;
    Ok(bytes)
}

/// Reads a file that may be a secret. Also returns the permissions of the open file (Unix only).
///
/// # Errors
/// [`FileReadError`], except [`FileReadError::OpenToOthers`].
pub(crate) fn read_any_secret(path: &Path, most: usize) -> Result<(Zeroizing<Vec<u8>>, Option<u32>), FileReadError> {
    let (mut file, metadata) = open(path)?;
    let size = length(&metadata, most)?.max(PAGE).min(most);
    let bytes = drain(&mut file, size).map_err(FileReadError::Io)?;
    let bytes = match bytes {
        Some(bytes) => bytes,
        None if size == most => return Err(FileReadError::TooLarge(most)),
        None => return Err(FileReadError::Io(io::Error::other("it grew while it was read"))),
    };
    Ok((bytes, mode(&metadata)))
}

/// Refuses permissions for other users.
///
/// # Errors
/// [`FileReadError::OpenToOthers`]
pub(crate) fn closed_to_others(mode: Option<u32>) -> Result<(), FileReadError> {
    match mode.filter(|mode| mode & 0o077 != 0) {
        Some(mode) => Err(FileReadError::OpenToOthers(mode)),
        None => Ok(()),
    }
}

/// Reads `source` to its end, into memory that is wiped and never reallocated. Returns `None` if it has more than
/// `most` bytes.
///
/// # Errors
/// The system's error.
pub(crate) fn drain(source: &mut impl io::Read, most: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut buffer = Zeroizing::new(vec![0u8; most + 1]);
    let mut length = 0;
    loop {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length > most {
            return Ok(None);
        }
    }
    buffer.truncate(length);
    Ok(Some(buffer))
}

/// Returns the permission bits of an open file. Returns `None` if the system has no permissions.
#[cfg(unix)]
pub(crate) fn mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(metadata.permissions().mode() & 0o7777)
}

/// Returns the permission bits of an open file. Returns `None` if the system has no permissions.
#[cfg(not(unix))]
pub(crate) fn mode(_: &Metadata) -> Option<u32> {
    None
}

/// Opens a regular file without blocking, for reading it piece by piece.
///
/// # Errors
/// [`FileReadError`], except [`FileReadError::OpenToOthers`].
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), FileReadError> {
    let mut options = File::options();
    options.read(true);
    let file = at_once(&mut options).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FileReadError::Missing,
        // A socket cannot be opened.
        _ if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) => {
            FileReadError::NotAFile("a socket or a device")
        }
        _ => FileReadError::Io(error),
    })?;
    let metadata = file.metadata().map_err(FileReadError::Io)?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(FileReadError::NotAFile(kind(&metadata))) }
}

/// Makes opening non-blocking. Otherwise opening a pipe waits for its other end. The standard library adds `O_CLOEXEC`.
pub(super) fn at_once(options: &mut OpenOptions) -> &OpenOptions {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    }
    options
}

fn length(metadata: &Metadata, most: usize) -> Result<usize, FileReadError> {
    usize::try_from(metadata.len()).ok().filter(|length| *length <= most).ok_or(FileReadError::TooLarge(most))
}

#[cfg(unix)]
fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () => "a socket or a device",
    }
}

#[cfg(not(unix))]
fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a folder" } else { "a device" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;
    use std::time::{Duration, Instant};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_not_a_file_is_refused_at_once() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        symlink("pipe", path("link")).unwrap();
        let _listens = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let begun = Instant::now();
        for (path, kind) in [
            (path("pipe"), "a pipe"),
            (path("link"), "a pipe"),
            (path("socket"), "a socket or a device"),
            (folder.path().to_owned(), "a folder"),
            ("/dev/null".into(), "a socket or a device"),
            ("/dev/zero".into(), "a socket or a device"),
        ] {
            for error in [read(&path, 10).err(), read_secret(&path, 10).err(), read_text(&path, 10).err()] {
                assert!(matches!(error, Some(FileReadError::NotAFile(found)) if found == kind), "{}", path.display());
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert!(matches!(read(&path("none"), 10), Err(FileReadError::Missing)));
        symlink("none", path("broken")).unwrap();
        assert!(matches!(read_secret(&path("broken"), 10), Err(FileReadError::Missing)));
    }

    #[test]
    fn no_more_is_read_than_is_asked_for() {
        let folder = folder();
        let path = folder.path().join("file");
        for (length, most, fits) in
            [(0, 0, true), (9, 9, true), (10, 9, false), (9000, 9000, true), (9001, 9000, false)]
        {
            std::fs::write(&path, vec![b'x'; length]).unwrap();
            set_mode(&path, 0o600);
            let read = [read(&path, most).map(|bytes| bytes.len()), read_secret(&path, most).map(|bytes| bytes.len())];
            for read in read {
                match read {
                    Ok(read) => assert!(fits && read == length, "{length} of {most}"),
                    Err(error) => assert!(!fits && matches!(error, FileReadError::TooLarge(limit) if limit == most)),
                }
            }
        }
        // Large by its metadata alone: nothing is read.
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(read(&path, 1 << 20), Err(FileReadError::TooLarge(_))));
        // A file whose size the system does not report.
        assert!(!read(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());
        assert!(matches!(read(Path::new("/proc/self/status"), 10), Err(FileReadError::TooLarge(10))));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(read_text(&path, 10), Err(FileReadError::NotText)));
    }

    #[test]
    fn of_a_log_its_end_is_read() {
        let folder = folder();
        let path = folder.path().join("log");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(read_end(&path, 100).unwrap(), b"one\ntwo\n");
        assert_eq!(read_end(&path, 4).unwrap(), b"two\n");
        std::fs::File::options().append(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read_end(&path, 4).unwrap(), [0; 4]);
        assert!(matches!(read_end(folder.path(), 4), Err(FileReadError::NotAFile("a folder"))));
    }

    #[test]
    fn a_secret_is_its_owners_alone_wherever_a_link_leads() {
        let folder = folder();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "secret").unwrap();
        symlink("file", &link).unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o644, false),
            (0o640, false),
            (0o606, false),
            (0o666, false),
            (0o620, false),
        ] {
            set_mode(&file, mode);
            for path in [&file, &link] {
                match read_secret(path, 100) {
                    Ok(bytes) => assert!(good && *bytes == b"secret", "{mode:o}"),
                    Err(error) => {
                        assert!(!good && matches!(error, FileReadError::OpenToOthers(found) if found == mode))
                    }
                }
                assert_eq!(read_any_secret(path, 100).unwrap().1, Some(mode));
            }
        }
    }
}
