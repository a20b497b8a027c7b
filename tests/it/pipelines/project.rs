//! A repository with a definition, the secrets of its pipelines, and a shell that runs their lines.

use crate::support::{Cluster, VSTREAM, secrets};
use age::secrecy::ExposeSecret as _;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vstream_jwt::sign::file::read_seed_file;

pub struct Project<'c> {
    pub cluster: &'c Cluster,
    folder: tempfile::TempDir,
    /// Values that must not be in any output or in any file that is kept.
    hidden: Vec<String>,
    /// Secrets by environment and name.
    secrets: HashMap<(&'static str, &'static str), String>,
}

pub struct Ran {
    pub code: i32,
    pub text: String,
}

impl<'c> Project<'c> {
    /// Moves the operator's key into an age file, so that it is nowhere else.
    pub fn new(cluster: &'c Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = cluster.keys_folder();
        let operator = read_seed_file(&keys.join("op.nk")).unwrap();
        std::fs::remove_file(keys.join("op.nk")).unwrap();
        let generated =
            Command::new(VSTREAM).args(["keys", "generate", "--regional"]).current_dir(cluster.folder()).output();
        assert!(generated.unwrap().status.success());
        let identity = age::x25519::Identity::generate();
        let armored = age::encrypt_and_armor(&identity.to_public(), operator.reveal().as_bytes()).unwrap();
        let identity = identity.to_string().expose_secret().to_owned();
        // The archive's files are readable by all users, to prove that the unpacked ones are not.
        let tar = format!("tar -c --mode=0666 -C {} $(cd {0} && ls | grep -v '^op') | base64 -w0", keys.display());
        let tar = Command::new("bash").args(["-c", &tar]).output().unwrap();
        let archive = String::from_utf8(tar.stdout).unwrap();
        assert!(archive.len() > 1_000, "{}", String::from_utf8_lossy(&tar.stderr));
        let hidden = vec![archive.clone(), identity.clone(), operator.reveal().to_string()];
        let mut secrets = HashMap::new();
        for environment in ["read", "operator", "deploy"] {
            secrets.insert((environment, "VSTREAM_KEYS"), archive.clone());
        }
        secrets.insert(("operator", "VSTREAM_OPERATOR_AGE"), armored);
        secrets.insert(("operator", "VSTREAM_IDENTITY"), identity);
        Self { cluster, folder, hidden, secrets }
    }

    pub fn secret(&self, environment: &str, name: &str) -> String {
        let found = self.secrets.iter().find(|((of, called), _)| *of == environment && *called == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    pub fn secret_names(&self, environment: &str) -> Vec<&'static str> {
        self.secrets.keys().filter(|(of, _)| *of == environment).map(|(_, name)| *name).collect()
    }

    /// Makes a fresh checkout.
    pub fn checkout(&self, job: &str) -> PathBuf {
        let workspace = self.folder.path().join(job);
        let _ = std::fs::remove_dir_all(&workspace);
        std::fs::create_dir_all(&workspace).unwrap();
        std::fs::copy(self.cluster.definition_path(), workspace.join("vstream.yaml")).unwrap();
        workspace
    }

    /// Writes a file outside of any checkout.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    /// Writes a program that replaces one that is not installed.
    pub fn stand_in(&self, name: &str, script: &str) {
        let folder = self.folder.path().join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), format!("#!/bin/bash\n{script}\n")).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn no_stand_ins(&self) {
        let _ = std::fs::remove_dir_all(self.folder.path().join("bin"));
    }

    /// Runs lines as both kinds of runners do: with `bash`, until the first failure.
    pub fn shell(&self, workspace: &Path, script: &str, env: &HashMap<String, String>) -> Ran {
        let bin = Path::new(VSTREAM).parent().unwrap().display().to_string();
        let path = format!("{}/bin:{bin}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]).current_dir(workspace).envs(env);
        bash.env("PATH", path).env("NO_COLOR", "1").stdin(Stdio::null());
        let output = secrets::output(&mut bash);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        println!("$ {}\n{text}", script.trim());
        self.shows_nothing(&text, script);
        if workspace.join("keys").exists() {
            self.all_private(&workspace.join("keys"));
        }
        Ran { code: output.status.code().unwrap(), text }
    }

    fn shows_nothing(&self, text: &str, what: &str) {
        assert!(self.hidden.iter().all(|secret| !text.contains(secret)), "a secret in what is left of: {what}");
    }

    fn all_private(&self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is open to others: {mode:o}", entry.path().display());
        }
    }

    /// Asserts that the end of a job leaves no keys, and no secret in any file.
    pub fn is_clean(&self, workspace: &Path) {
        assert!(!workspace.join("keys").exists(), "keys are left in {}", workspace.display());
        let mut folders = vec![workspace.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => {
                        let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
                        self.shows_nothing(&text, &entry.path().display().to_string());
                        assert!(!secrets::shows_a_seed(&text), "a seed in {}", entry.path().display());
                    }
                }
            }
        }
    }

    /// Adds a virtual stream, so that there is something to do.
    pub fn add_stream(&self, name: &str) {
        let text = std::fs::read_to_string(self.cluster.definition_path()).unwrap();
        let mut definition: Value = serde_saphyr::from_str(&text).unwrap();
        definition["accounts"]["APP"]["virtual_streams"][name] =
            serde_json::json!({ "subjects": [format!("{name}.>")] });
        std::fs::write(self.cluster.definition_path(), definition.to_string()).unwrap();
    }
}

/// Returns the strings of a mapping.
pub fn strings(value: &Value) -> HashMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// Copies files or folders that a job passes on.
pub fn copy(from: &Path, names: &[&str], to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in names {
        let copied = Command::new("cp").arg("-rp").arg(from.join(name)).arg(to).status().unwrap();
        assert!(copied.success(), "{name} is to be handed on, and is not there");
    }
}

/// Replaces programs on a machine that can reach neither crates.io nor RustSec's git. The lines that look for
/// advisories run, and end in a `cargo deny` that only prints its arguments.
pub fn advisories(project: &Project<'_>) {
    let source = env!("CARGO_MANIFEST_DIR");
    let name = concat!("vstream-jwt-", env!("CARGO_PKG_VERSION"));
    let archive = format!("tar -cz -C {source} --transform 's,^,{name}/,' Cargo.toml Cargo.lock deny.toml");
    project.stand_in("curl", &format!("[[ \"$*\" == *{name}.crate ]] && {archive}"));
    project.stand_in(
        "cargo",
        "if [ \"$1\" = deny ]; then test -e \"$3\" && test -e \"$(dirname \"$3\")/Cargo.lock\" && echo \"cargo $*\"; fi",
    );
}
