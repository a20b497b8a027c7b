//! Verbs that only write files, killed at any moment. A file is complete or absent, no other user can ever read a
//! secret, and the next run finishes and cleans up.

use crate::support::killing::{Killer, rounds, unfinished};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const DEFINITION: &str = "version: 1
system: { credentials: keys/sys.creds }
regions:
  west: { servers: [nats://127.0.0.1:1] }
  central: { servers: [nats://127.0.0.1:2] }
  east: { servers: [nats://127.0.0.1:3] }
accounts:
  APP:
    id: AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN
    credentials: keys/app.creds
    virtual_streams: { foo: { subjects: [foo.>] }, bar: { subjects: [bar.>] } }
";

/// Kills for each verb; `VSTREAM_KILL_ROUNDS` overrides it.
const ROUNDS: usize = 10;

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vstream-jwt"));
    command.current_dir(folder).args(args).env_remove("VSTREAM_OPERATOR_FILE").env_remove("VSTREAM_OPERATOR_SEED");
    command
}

/// Runs to the end. Returns the exit code and the duration.
fn run(folder: &Path, args: &[&str]) -> (i32, Duration) {
    let started = Instant::now();
    let output = crate::support::secrets::output(&mut command(folder, args));
    (output.status.code().unwrap(), started.elapsed())
}

/// Returns the files of a folder and its subfolders, without unfinished ones.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let (path, name) = {
            let entry = entry.unwrap();
            (entry.path(), entry.file_name().into_string().unwrap())
        };
        if path.is_dir() {
            files.extend(self::files(&path).into_iter().map(|(below, text)| (format!("{name}/{below}"), text)));
        } else if unfinished(folder).iter().all(|left| *left != path) {
            files.insert(name, std::fs::read(path).unwrap());
        }
    }
    files
}

fn none(_: &Path) -> bool {
    false
}

/// Kills runs of a verb that always writes the same files, and checks that each file is complete.
fn writes_the_same(args: &[&str], out: &str, again: i32) {
    let folder = tempfile::tempdir().unwrap();
    let fresh = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("definition.yaml"), DEFINITION).unwrap();
        folder
    };
    let whole = fresh("whole");
    let (code, takes) = run(&whole, args);
    assert_eq!(code, 0, "{args:?}");
    let expected = files(&whole.join(out));
    assert!(!expected.is_empty());

    let mut killer = Killer::seeded();
    for round in 0..rounds(ROUNDS) {
        let folder = fresh(&round.to_string());
        killer.run(&mut command(&folder, args), takes, &folder, none);
        let left = files(&folder.join(out));
        for (name, text) in &left {
            assert_eq!(text, &expected[name], "{args:?}, round {round}: {name} is not whole");
        }
        let (code, _) = run(&folder, args);
        assert_eq!(code, if left == expected { again } else { 0 }, "{args:?}, round {round}, with {:?}", left.keys());
        assert_eq!(files(&folder.join(out)), expected, "{args:?}, round {round}");
        if code == 0 {
            assert!(unfinished(&folder).is_empty(), "{args:?}, round {round}: {:?}", unfinished(&folder));
        }
    }
    killer.says(args[0]);
}

#[test]
fn a_new_project() {
    writes_the_same(&["init", "project"], "project", 1);
}

#[test]
fn what_is_rendered() {
    writes_the_same(&["render", "streams", "--definition", "definition.yaml", "--out", "out"], "out", 0);
}

#[test]
fn manual_pages() {
    writes_the_same(&["man", "--out", "pages"], "pages", 0);
}

#[test]
fn keys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let keys = folder.join("keys");
    let (_, takes) = run(folder, &["keys", "generate", "--operator"]);
    let mut killer = Killer::seeded();
    for round in 0..rounds(ROUNDS) {
        let name = format!("key-{round}");
        let args = ["keys", "generate", ["--account", "--operator", "--user"][round % 3], "--name", &name];
        killer.run(&mut command(folder, &args), takes, &keys, |_| true);
        // An existing file is a complete key, which the next run does not replace.
        let file = keys.join(format!("{name}.nk"));
        let before = std::fs::read(&file).ok();
        assert_eq!(run(folder, &["keys", "check"]).0, 0, "round {round}");
        assert_eq!(run(folder, &args).0, i32::from(before.is_some()), "round {round}");
        assert!(before.is_none_or(|before| std::fs::read(&file).unwrap() == before), "round {round}");
    }
    assert_eq!(run(folder, &["keys", "generate", "--name", "last"]).0, 0);
    assert!(unfinished(folder).is_empty(), "{:?}", unfinished(folder));
    assert_eq!(files(&keys).len(), rounds(ROUNDS) + 2);
    killer.says("keys generate");
}

#[test]
fn keys_of_regional_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("vstream.yaml"), DEFINITION).unwrap();
    let keys = folder.join("keys");
    let args = ["keys", "generate", "--regional"];
    let (_, takes) = run(folder, &args);
    let mut killer = Killer::seeded();
    for round in 0..rounds(ROUNDS) {
        std::fs::remove_dir_all(&keys).unwrap();
        killer.run(&mut command(folder, &args), takes, &keys, |_| true);
        let before = files(&keys);
        assert_eq!(run(folder, &args).0, 0, "round {round}");
        let after = files(&keys);
        let names =
            ["central", "east", "west"].map(|region| [format!("APP-{region}-signing.nk"), format!("APP-{region}.nk")]);
        assert_eq!(after.keys().cloned().collect::<Vec<_>>(), names.concat(), "round {round}");
        assert!(before.iter().all(|(name, text)| after[name] == *text), "round {round}: a key was made again");
        assert_eq!(run(folder, &["keys", "check"]).0, 0, "round {round}");
        if before.len() < 6 {
            assert!(unfinished(&keys).is_empty(), "round {round}: {:?}", unfinished(&keys));
        }
    }
    killer.says("keys generate --regional");
}
