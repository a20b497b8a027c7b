use assert_cmd::Command;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn run(folder: &Path, args: &[&str], stdin: &str) -> (i32, String, String) {
    let output = Command::cargo_bin("vstream-jwt")
        .unwrap()
        .current_dir(folder)
        .env_remove("VSTREAM_OPERATOR_FILE")
        .env_remove("VSTREAM_OPERATOR_SEED")
        .arg("keys")
        .args(args)
        .write_stdin(stdin)
        .output()
        .unwrap();
    crate::support::secrets::assert_shows_none(&args.join(" "), &[&output.stdout, &output.stderr]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn seed(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join("keys").join(format!("{name}.nk"))).unwrap().trim().to_owned()
}

#[test]
fn keys_are_made_listed_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(run(folder, &["list"], "").1, "no *.nk files in keys\n");
    let (code, out, err) = run(folder, &["generate", "--operator", "--name", "op"], "");
    let public = out.lines().next().unwrap().to_owned();
    assert!(code == 0 && public.starts_with('O') && err.is_empty() && !out.contains(&seed(folder, "op")), "{out}{err}");
    let (code, _, err) = run(folder, &["generate", "--name", "op"], "");
    assert!(code == 1 && err.contains("keys/op.nk exists already") && err.contains("next: "), "{err}");
    let (_, out, _) = run(folder, &["list", "--format", "json"], "");
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&listed[0]["public_key"], &listed[0]["kind"]), (&public.into(), &"operator".into()));
    assert_eq!(run(folder, &["check"], "").0, 0);
    std::fs::write(folder.join("keys/bad.nk"), "x").unwrap();
    let (code, out, _) = run(folder, &["check", "--format", "json"], "");
    let check: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(code == 1 && check["findings"].as_array().unwrap().iter().any(|f| f["code"] == "key-file-damaged"));
}

/// A check reports what other users of the machine may do with key files: the path, the problem, and the remedy.
#[test]
fn files_that_others_reach_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["open", "again", "theirs"] {
        run(folder, &["generate", "--name", name], "");
    }
    let keys = folder.join("keys");
    std::fs::copy(keys.join("open.nk"), keys.join("again.nk")).unwrap();
    std::fs::create_dir(keys.join("folder.nk")).unwrap();
    std::fs::set_permissions(keys.join("open.nk"), Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(&keys, Permissions::from_mode(0o770)).unwrap();
    let mut expected = vec![
        ("key-file-open", "key file keys/open.nk", "mode 0644", "chmod 600 keys/open.nk"),
        ("key-file-unreadable", "key file keys/folder.nk", "is not a file", "Make it a file that you may read"),
        ("duplicate-key-file", "key A", "is in 2 files: keys/again.nk, keys/open.nk", "Keep one"),
        ("keys-folder-open", "keys folder keys", "others may put files into it (mode 0770)", "chmod 700 keys"),
    ];
    if given_away(&keys.join("theirs.nk")) {
        let of_another = "it belongs to another user, who can read and change it";
        expected.push(("key-file-owner", "key file keys/theirs.nk", of_another, "Copy it to a file of your own"));
    }
    let (code, out, _) = run(folder, &["check", "--format", "json"], "");
    let check: serde_json::Value = serde_json::from_str(&out).unwrap();
    let findings = check["findings"].as_array().unwrap();
    assert_eq!((code, findings.len()), (1, expected.len()), "{out}");
    for (code, place, message, next) in expected {
        let found =
            findings.iter().find(|finding| finding["code"] == code).unwrap_or_else(|| panic!("no {code}: {out}"));
        let says = |field: &str, words: &str| found[field].as_str().unwrap().contains(words);
        assert!(says("place", place) && says("message", message) && says("next", next), "{found}");
    }
}

/// Gives a file to the user `nobody`. That requires root's rights, which CI has by `sudo`.
fn given_away(file: &Path) -> bool {
    const NOBODY: u32 = 65534;
    std::os::unix::fs::chown(file, Some(NOBODY), None).is_ok()
        || std::process::Command::new("sudo")
            .args(["-n", "chown", &NOBODY.to_string()])
            .arg(file)
            .output()
            .is_ok_and(|output| output.status.success())
}

#[test]
fn what_is_inspected_is_shown_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_, out, _) = run(folder, &["generate", "--user", "--name", "u"], "");
    let public = out.lines().next().unwrap().to_owned();
    let seed = seed(folder, "u");
    for (args, stdin) in [(["inspect", "keys/u.nk"], ""), (["inspect", "-"], seed.as_str())] {
        let (code, out, err) = run(folder, &args, stdin);
        assert!(code == 0 && out.contains(&public) && !format!("{out}{err}").contains(&seed), "{out}{err}");
    }
    let tokens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokens");
    let (code, out, _) = run(folder, &["inspect", tokens.join("nsc-account-app.jwt").to_str().unwrap()], "");
    assert!(code == 0 && out.contains("mapping           orders.> → orders.west.> (cluster west)"), "{out}");
    let (code, _, err) = run(folder, &["inspect", tokens.join("account-version-1.jwt").to_str().unwrap()], "");
    assert!(code == 1 && err.contains("version 1"), "{err}");
}

#[test]
fn a_seed_on_the_command_line_is_refused_and_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, &["generate", "--operator", "--name", "op"], "");
    let seed = seed(folder, "op");
    let cases: [&[&str]; 5] = [
        &["inspect", &seed],
        &["inspect", "x", &seed],
        &["generate", "--name", &seed],
        &["list", &seed, "--format", "json"],
        &["check", "--timeout", &seed],
    ];
    for args in cases {
        let (code, out, err) = run(folder, args, "");
        assert_eq!(code, 2, "{out}{err}");
        assert!(!format!("{out}{err}").contains(&seed[..30]), "a seed was repeated by {}", args[0]);
    }
}
