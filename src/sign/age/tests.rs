use super::*;
use crate::sign::file::KeyFileError;
use crate::sign::{Seed, Signer as _};
use age::secrecy::SecretString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

fn encrypted(recipient: Box<dyn age::Recipient>, text: &[u8]) -> Vec<u8> {
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(recipient.as_ref() as &dyn age::Recipient)).unwrap();
    let mut out = Vec::new();
    let mut writer = encryptor.wrap_output(&mut out).unwrap();
    writer.write_all(text).unwrap();
    writer.finish().unwrap();
    out
}

fn with_passphrase(passphrase: &str, text: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(4);
    encrypted(Box::new(recipient), text)
}

fn private(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.persist(&path).unwrap();
    path
}

#[test]
fn a_seed_is_opened_by_a_passphrase_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let seed = Seed::generate(crate::model::nkey::KeyKind::Operator).unwrap();
    let file = with_passphrase("correct horse", seed.reveal().as_bytes());
    assert!(is_encrypted(&file));
    let by = |text: &str| Unlock { passphrase_file: Some(private(folder.path(), "p", text)), ..Unlock::default() };
    let open = |unlock: &Unlock| decrypt(&file, "op.nk.age", unlock);
    let opened = open(&by("correct horse\r\n")).unwrap();
    assert_eq!(Seed::parse_bytes(&opened).unwrap().public_key(), seed.public_key());
    assert!(matches!(open(&by("wrong\n")), Err(AgeError::WrongPassphrase)));
    assert!(matches!(open(&by("\n")), Err(AgeError::File(KeyFileError::NoSecret { .. }))));
    assert!(matches!(open(&Unlock::default()), Err(AgeError::NeedsPassphrase)));
    let asked = Unlock { ask: Some(|_| Ok("correct horse".to_owned().into())), ..Unlock::default() };
    assert!(open(&asked).is_ok());
    let mute = Unlock { ask: Some(|_| Err(std::io::ErrorKind::NotFound.into())), ..Unlock::default() };
    assert!(matches!(open(&mute), Err(AgeError::NeedsPassphrase)));
}

#[test]
fn a_seed_is_opened_by_an_identity_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (identity, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
    let file = encrypted(Box::new(identity.to_public()), b"a secret");
    let by = |text: &str| Unlock { identity: Some(private(folder.path(), "id", text)), ..Unlock::default() };
    let open = |unlock: &Unlock| decrypt(&file, "op.nk.age", unlock);
    let text = |identity: &age::x25519::Identity| {
        use age::secrecy::ExposeSecret as _;
        identity.to_string().expose_secret().to_owned()
    };
    let both = format!("# created: today\n\n{}\n{}\n", text(&other), text(&identity));
    assert_eq!(**open(&by(&both)).unwrap(), b"a secret"[..]);
    assert!(matches!(open(&by(&text(&other))), Err(AgeError::WrongIdentity(_))));
    assert!(matches!(open(&Unlock::default()), Err(AgeError::NeedsIdentity)));
    assert!(matches!(open(&by("# nothing\n")), Err(AgeError::NoIdentity { .. })));
    let plugin = open(&by("AGE-PLUGIN-YUBIKEY-1QQQ\n")).unwrap_err().to_string();
    assert!(plugin.contains("plugins are not supported") && !plugin.contains("QQQ"), "{plugin}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let open_to_all = by(&text(&identity));
        let path = open_to_all.identity.as_ref().unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(open(&open_to_all), Err(AgeError::File(KeyFileError::OpenToOthers { .. }))));
    }
}

#[test]
fn a_file_in_which_any_byte_was_changed_or_that_is_cut_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = with_passphrase("p", b"a secret");
    let unlock = Unlock { passphrase_file: Some(private(folder.path(), "p", "p")), ..Unlock::default() };
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(decrypt(&changed, "x", &unlock).is_err(), "byte {at} changed");
        assert!(decrypt(&file[..at], "x", &unlock).is_err(), "cut at {at}");
    }
}

#[test]
fn a_passphrase_that_would_take_hours_is_refused_at_once() {
    let header = "age-encryption.org/v1\n-> scrypt rF0/NwblUHHTpgQgRpe5CQ 30\n\
                  gUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n--- IOXE6vcoPlqVLxkAFFOEVqYCXhh3vVEK0V6kXHVxQYA\n";
    let file = [header.as_bytes(), &[0; 60]].concat();
    let unlock = Unlock { ask: Some(|_| Ok("p".to_owned().into())), ..Unlock::default() };
    assert!(matches!(decrypt(&file, "x", &unlock), Err(AgeError::TooMuchWork(30))));
}

/// Written by `age` itself (filippo.io/age 1.1.1), for a key that is not used elsewhere.
#[test]
fn files_of_the_reference_implementation_are_opened() {
    const KEY: &str = "OBUJ7BE7LUZ6NJ4XVO7XM42ULJR6N22264IWWUDTPH7SFQG5QINDRPI6";
    let folder = tempfile::tempdir().unwrap();
    let identity = private(folder.path(), "id", include_str!("../../../tests/fixtures/age/identity.txt"));
    let passphrase = private(folder.path(), "p", "correct horse battery staple\n");
    let unlock = Unlock { identity: Some(identity), passphrase_file: Some(passphrase), ask: None };
    for file in [
        &include_bytes!("../../../tests/fixtures/age/recipient.age")[..],
        include_bytes!("../../../tests/fixtures/age/recipient-armored.age"),
        include_bytes!("../../../tests/fixtures/age/passphrase.age"),
    ] {
        assert!(is_encrypted(file));
        let seed = Seed::parse_bytes(&decrypt(file, "op.nk.age", &unlock).unwrap()).unwrap();
        assert_eq!(seed.public_key().to_string(), KEY);
    }
}
