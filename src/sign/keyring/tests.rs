use super::*;

fn ring() -> (tempfile::TempDir, Keyring) {
    let folder = tempfile::tempdir().unwrap();
    let ring = Keyring::open(&folder.path().join("keys")).unwrap();
    (folder, ring)
}

#[test]
fn a_written_key_is_found_whatever_its_file_is_called() {
    let (_folder, mut ring) = ring();
    assert!(ring.files().is_empty());
    let seed = Seed::generate(KeyKind::Account).unwrap();
    let path = ring.write("APP", &seed).unwrap();
    assert_eq!(ring.find(&seed.public_key()).unwrap().unwrap().public_key(), seed.public_key());
    std::fs::rename(&path, path.with_file_name("else.nk")).unwrap();
    let again = Keyring::open(ring.folder()).unwrap();
    assert!(again.find(&seed.public_key()).unwrap().is_some());
    assert_eq!(again.keys(KeyKind::Account).collect::<Vec<_>>(), [&seed.public_key()]);
    assert_eq!(again.keys(KeyKind::Operator).count(), 0);
    assert!(again.find(&Seed::generate(KeyKind::Account).unwrap().public_key()).unwrap().is_none());
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    let (_folder, mut ring) = ring();
    let [first, second] = [(), ()].map(|()| Seed::generate(KeyKind::Account).unwrap());
    let path = ring.write("APP", &first).unwrap();
    let refused = ring.write("APP", &second).unwrap_err();
    assert!(matches!(refused, KeyringError::File(KeyFileError::Exists { .. })), "{refused}");
    assert_eq!(read_seed_file(&path).unwrap().public_key(), first.public_key());
    assert_eq!(std::fs::read_dir(ring.folder()).unwrap().count(), 1);
    for name in ["", "../x", "a/b", ".hidden", "a\nb"] {
        assert!(matches!(ring.write(name, &second), Err(KeyringError::Name { .. })), "{name:?}");
    }
}

#[cfg(unix)]
#[test]
fn only_a_file_that_is_used_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, mut ring) = ring();
    let [open, private] = [(), ()].map(|()| Seed::generate(KeyKind::Account).unwrap());
    let path = ring.write("open", &open).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(ring.folder())), (0o600, 0o700));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    ring.write("private", &private).unwrap();
    std::fs::write(ring.folder().join("damaged.nk"), "SOABC").unwrap();
    std::fs::create_dir(ring.folder().join("folder.nk")).unwrap();

    let ring = Keyring::open(ring.folder()).unwrap();
    assert_eq!(ring.files().iter().filter(|file| file.problem.is_some()).count(), 3);
    assert!(ring.find(&private.public_key()).unwrap().is_some());
    let refused = ring.find(&open.public_key()).unwrap_err().to_string();
    assert!(refused.contains("mode 0640") && refused.contains("chmod 600"), "{refused}");
    // A private copy of the same key is preferred.
    write_seed_file(&ring.folder().join("z.nk"), &open).unwrap();
    assert!(Keyring::open(ring.folder()).unwrap().find(&open.public_key()).unwrap().is_some());
    assert!(!format!("{ring:?}").contains("SOABC"));
}
