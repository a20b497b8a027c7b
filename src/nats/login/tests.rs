use super::*;
use crate::sign::issue;
use serde_json::{Value, json};

struct User {
    account: Seed,
    seed: Seed,
}

impl User {
    fn new() -> Self {
        let seed = |kind| Seed::generate(kind).unwrap();
        Self { account: seed(KeyKind::Account), seed: seed(KeyKind::User) }
    }

    fn creds(&self, more: Value) -> String {
        let mut claims =
            json!({ "sub": self.seed.public_key(), "name": "ops", "nats": { "type": "user", "version": 2 } });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let jwt = issue(&claims, &self.account, 1000).unwrap();
        text(jwt.as_str(), &self.seed)
    }
}

fn text(jwt: &str, seed: &Seed) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\
         NKEY Seed printed below can be used to sign and prove identity.\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        seed.reveal().as_str()
    )
}

fn load(text: &str, expected: Option<&PublicKey>) -> Result<Login, ConnectError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("user.creds");
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Login::load(&LoginMethod::Credentials(path), expected, 10_000)
}

#[test]
fn credentials_are_read() {
    let user = User::new();
    let login = load(&user.creds(json!({})), Some(&user.account.public_key())).unwrap();
    assert_eq!((login.account, login.user.as_str()), (user.account.public_key(), "ops"));
    let windows = user.creds(json!({ "exp": 10_001 })).replace('\n', "\r\n");
    assert_eq!(load(&windows, None).unwrap().seed.public_key(), user.seed.public_key());
}

#[test]
fn a_signing_key_stands_for_its_account() {
    let (user, account) = (User::new(), Seed::generate(KeyKind::Account).unwrap().public_key());
    let nats = json!({ "nats": { "type": "user", "version": 2, "issuer_account": account } });
    assert_eq!(load(&user.creds(nats), None).unwrap().account, account);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("user.creds");
    std::fs::write(&path, User::new().creds(json!({}))).unwrap();
    let load = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Login::load(&LoginMethod::Credentials(path.clone()), None, 0)
    };
    assert!(load(0o600).is_ok());
    let refused = load(0o640).unwrap_err();
    assert_eq!(refused.code(), "credentials-readable");
    assert!(refused.to_string().contains("(mode 0640)"), "{refused}");
}

#[test]
fn what_is_wrong_is_said_without_the_seed() {
    let (user, other) = (User::new(), User::new());
    let good = user.creds(json!({}));
    let seed = user.seed.reveal();
    let jwt = good.lines().nth(1).unwrap().to_owned();
    let cases = [
        (good.replace(seed.as_str(), &seed[..50]), "the seed is damaged or not a seed: wrong length"),
        (good.replace(&jwt, &jwt[..jwt.len() - 3]), "signature"),
        (text(&jwt, &other.seed), "the seed is not that of the user in the token"),
        (text(&jwt, &user.account), "the seed is that of a key of kind account, not of a user"),
        (seed.to_string(), "is not a .creds file"),
        (user.creds(json!({ "exp": 2_800 })), "the user token of `ops` expired 2 hours ago (1970-01-01 00:46:40 UTC)"),
    ];
    for (text, wanted) in cases {
        let error = load(&text, None).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(wanted), "{shown}");
        assert!(!shown.contains(&seed[..50]) && !shown.contains(other.seed.reveal().as_str()), "{shown}");
    }
    let expected = other.account.public_key();
    assert!(
        matches!(load(&good, Some(&expected)), Err(ConnectError::WrongAccount { found, .. }) if found == user.account.public_key())
    );
}
