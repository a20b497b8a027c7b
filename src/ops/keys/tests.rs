use super::*;
use crate::sign::patience::Patience;
use crate::sign::user::{UserPermissions, mint_user};

fn patience() -> Patience {
    Patience::new(std::time::Duration::from_secs(10))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn made_keys_are_listed_and_pass_the_check() {
    let folder = folder();
    let keys = folder.path().join("keys");
    let named = generate(&keys, KeyKind::Operator, Some("op.nk")).unwrap();
    assert_eq!(named.file, keys.join("op.nk"));
    let unnamed = generate(&keys, KeyKind::Account, None).unwrap();
    assert_eq!(unnamed.file, keys.join(format!("{}.nk", unnamed.public_key)));
    assert!(generate(&keys, KeyKind::Operator, Some("op")).is_err());
    let listed = list(&keys).unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|key| key.problem.is_none()));
    let check = check(&keys).unwrap();
    assert_eq!((check.files, check.findings.as_slice(), check.has_problems()), (2, [].as_slice(), false));
}

#[cfg(unix)]
#[test]
fn the_check_names_every_problem_with_its_next_step() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let keys = folder.path();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let made = generate(keys, KeyKind::Account, Some("a")).unwrap();
    std::fs::copy(&made.file, keys.join("b.nk")).unwrap();
    mode(&keys.join("b.nk"), 0o604);
    std::fs::write(keys.join("c.nk"), "nothing").unwrap();
    std::fs::write(keys.join("u.creds"), "").unwrap();
    mode(&keys.join("u.creds"), 0o644);
    mode(keys, 0o777);
    let check = check(keys).unwrap();
    let codes: Vec<_> = check.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["key-file-open", "key-file-damaged", "duplicate-key-file", "key-file-open", "keys-folder-open"]);
    assert!(check.has_problems() && check.findings.iter().all(|finding| !finding.next.is_empty()));
}

#[test]
fn credentials_are_shown_without_their_secret() {
    let folder = folder();
    let account = Seed::generate(KeyKind::Account).unwrap();
    let user = mint_user(&account, None, &UserPermissions::only(&["a"], &["b"]), 100, 50).unwrap();
    let other = Seed::generate(KeyKind::User).unwrap();
    let write = |seed: &Seed| {
        let path = folder.path().join("u.creds");
        let text = format!("-----BEGIN NATS USER JWT-----\n{}\n-----END-----\n{}\n", user.jwt.as_str(), *seed.reveal());
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let seen = inspect(&write(&user.seed), 60, &patience()).unwrap();
    let shown = serde_json::to_string(&seen).unwrap() + &format!("{seen:?}");
    assert!(!shown.contains(user.seed.reveal().as_str()));
    let [Item::Token(token), Item::Seed { public_key, .. }] = &seen.items[..] else { panic!("{:?}", seen.items) };
    assert_eq!((&token.subject, &token.issuer), (public_key, &account.public_key()));
    assert_eq!((token.issued_at, token.expires_at, token.expired), (Some(50), Some(100), false));

    let warned = inspect(&write(&other), 100, &patience()).unwrap().warnings.join("; ");
    assert!(warned.contains("has expired") && warned.contains("not that of the token's user"), "{warned}");
}

#[test]
fn a_seed_as_an_argument_is_refused_and_not_repeated() {
    let seed = Seed::generate(KeyKind::Operator).unwrap().reveal();
    let folder = folder();
    for refused in [
        inspect(&seed, 0, &patience()).unwrap_err(),
        generate(folder.path(), KeyKind::Account, Some(&seed)).unwrap_err(),
    ] {
        assert!(matches!(refused, KeysError::SeedAsArgument));
        assert!(!refused.to_string().contains(&seed[..10]));
    }
}

#[test]
fn what_holds_nothing_says_so() {
    let folder = folder();
    let path = folder.path().join("x");
    for (text, reason) in [
        ("hello", "nothing that looks like one"),
        ("SOAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "what looks like a seed is damaged"),
        ("eyJ0.e30.AA", "header"),
    ] {
        std::fs::write(&path, text).unwrap();
        let refused = inspect(&path.display().to_string(), 0, &patience()).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(inspect(&path.display().to_string(), 0, &patience()).unwrap_err().to_string().contains("not text"));
}
