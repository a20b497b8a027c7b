use super::*;
use crate::model::claims::AccountClaims;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::sign::{Seed, Signer as _, issue};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

struct Bench {
    operator: Seed,
    account: PublicKey,
    folder: tempfile::TempDir,
}

impl Bench {
    /// Makes a store with one operator and no accounts, as nsc does.
    fn new() -> Self {
        let key = |kind| Seed::generate(kind).unwrap();
        let bench = Self {
            operator: key(KeyKind::Operator),
            account: key(KeyKind::Account).public_key(),
            folder: tempfile::tempdir().unwrap(),
        };
        let claims = json!({
            "name": "O", "sub": bench.operator.public_key().to_string(), "nats": { "type": "operator", "version": 2 },
        });
        let token = issue(&claims, &bench.operator, 1).unwrap();
        std::fs::create_dir_all(bench.path("accounts")).unwrap();
        std::fs::write(bench.path(".nsc"), r#"{"managed":false,"name":"O","kind":"operator","version":"1"}"#).unwrap();
        std::fs::write(bench.path("O.jwt"), token.as_str()).unwrap();
        bench
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("O").join(below)
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open(self.folder.path(), &[self.operator.public_key()])
    }

    fn token(&self, iat: u64, nats: Value) -> String {
        self.token_of(&self.account, iat, nats)
    }

    fn token_of(&self, id: &PublicKey, iat: u64, nats: Value) -> String {
        let mut claims = json!({ "name": "APP", "sub": id.to_string(), "nats": { "type": "account", "version": 2 } });
        claims["nats"].as_object_mut().unwrap().extend(nats.as_object().unwrap().clone());
        issue(&claims, &self.operator, iat).unwrap().as_str().to_owned()
    }

    fn put(&self, name: &str, token: &str) {
        std::fs::create_dir_all(self.path(&format!("accounts/{name}"))).unwrap();
        std::fs::write(self.path(&format!("accounts/{name}/{name}.jwt")), token).unwrap();
    }

    fn judge(&self, servers: &str) -> Copy {
        let claims = AccountClaims::decode(servers).unwrap();
        judge(&self.open().unwrap(), &self.account, "APP", false, Some((servers, &claims)))
    }
}

/// Returns the entries that virtual streams need, and a mapping of another tool.
fn mapped() -> Value {
    json!({
        "mappings": {
            "foo.>": [{ "subject": "foo.west.>", "cluster": "west" }],
            "$VSH.>": [{ "subject": "$JS.>" }],
            "old": [{ "subject": "new" }],
        },
        "exports": [{ "name": "vstream $VS.>", "subject": "$VS.>", "type": "stream" }],
    })
}

fn unmapped() -> Value {
    json!({ "mappings": { "old": [{ "subject": "new" }] } })
}

#[test]
fn an_older_copy_without_our_entries_or_with_old_ones_is_behind() {
    let bench = Bench::new();
    let servers = bench.token(200, mapped());
    assert_eq!(bench.judge(&servers), Copy::Stale, "there is none");
    bench.put("APP", &servers);
    assert_eq!(bench.judge(&servers), Copy::Same);
    for older in [unmapped(), json!({})] {
        bench.put("APP", &bench.token(100, older));
        assert_eq!(bench.judge(&servers), Copy::Stale);
    }
    // The virtual streams were removed since.
    bench.put("APP", &servers);
    assert_eq!(bench.judge(&bench.token(300, unmapped())), Copy::Stale);
    bench.put("APP", &bench.token(400, mapped()));
    assert_eq!(bench.judge(&servers), Copy::Stale, "signed anew, and nothing changed");
}

#[test]
fn an_edit_that_was_not_pushed_is_in_the_way() {
    let bench = Bench::new();
    let servers = bench.token(200, mapped());
    let with = |mut nats: Value, tag: &str| {
        nats["tags"] = json!([tag]);
        nats
    };
    bench.put("APP", &bench.token(300, with(mapped(), "new")));
    let diff = vec![r#"+ nats.tags: "new""#.to_owned()];
    assert_eq!(bench.judge(&servers), Copy::Newer { diff: diff.clone(), removes_needed: false });
    bench.put("APP", &bench.token(200, with(unmapped(), "new")));
    let found = bench.judge(&servers);
    assert!(matches!(&found, Copy::Newer { diff, removes_needed: true } if diff.len() == 4), "{found:?}");
    bench.put("APP", &bench.token(100, with(unmapped(), "new")));
    assert_eq!(bench.judge(&servers), Copy::Differs { diff });
}

#[test]
fn an_account_is_found_by_its_key_and_written_in_place() {
    let bench = Bench::new();
    bench.put("renamed", &bench.token(100, unmapped()));
    let token = bench.token(200, mapped());
    bench.open().unwrap().write(&bench.account, "APP", &token).unwrap();
    let file = bench.path("accounts/renamed/renamed.jwt");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!bench.path("accounts/APP").exists());

    let regional = Seed::generate(KeyKind::Account).unwrap().public_key();
    let token = bench.token_of(&regional, 200, json!({}));
    bench.open().unwrap().write(&regional, "APP-west", &token).unwrap();
    let folder = bench.path("accounts/APP-west");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside the token");
    assert_eq!(bench.open().unwrap().copies(&regional).next().unwrap().name, "APP-west");
}

#[test]
fn a_name_that_is_taken_is_said() {
    let bench = Bench::new();
    let other = Seed::generate(KeyKind::Account).unwrap().public_key();
    bench.put("APP", &bench.token_of(&other, 100, json!({})));
    assert_eq!(bench.judge(&bench.token(200, mapped())), Copy::NameTaken { by: format!("account {other}") });
    assert_eq!(folder_name("../x", &other), other.to_string());
}

#[test]
fn only_the_store_of_the_servers_operator_is_used() {
    let bench = Bench::new();
    assert!(Store::open(&bench.path(""), &[bench.operator.public_key()]).is_ok(), "the operator's folder will do");
    let other = Seed::generate(KeyKind::Operator).unwrap().public_key();
    let error = Store::open(bench.folder.path(), std::slice::from_ref(&other)).unwrap_err().to_string();
    assert!(error.contains(&bench.operator.public_key().to_string()) && error.contains(&other.to_string()), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(empty.path(), &[]), Err(StoreError::NotAStore { .. })));
    assert!(matches!(Store::open(Path::new("/nowhere"), &[]), Err(StoreError::Io { .. })));
}

/// A pipe in place of a file does not make the program wait.
#[test]
fn pipes_are_no_tokens() {
    let pipe = |path: &Path| {
        let _ = std::fs::remove_file(path);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let bench = Bench::new();
    bench.put("APP", &bench.token(100, json!({})));
    pipe(&bench.path("accounts/APP/APP.jwt"));
    let said = bench.open().unwrap_err().to_string();
    assert!(said.contains("APP.jwt: is not a file, but a pipe"), "{said}");
    pipe(&bench.path("O.jwt"));
    let said = bench.open().unwrap_err().to_string();
    assert!(said.contains("cannot be read (is not a file, but a pipe)"), "{said}");
    pipe(&bench.path(".nsc"));
    assert!(matches!(bench.open(), Err(StoreError::NotAStore { .. })));
    assert!(operator_tokens(bench.folder.path()).is_empty());
    let within = bench.path("");
    assert!(matches!(Store::open(&within, &[]), Err(StoreError::NotAStore { .. })));
    assert!(operator_tokens(&within).is_empty());
}

/// The survey that `init --from-nsc` uses.
#[test]
fn a_store_tells_accounts_and_where_their_keys_are() {
    let bench = Bench::new();
    let (keys, system) = (tempfile::tempdir().unwrap(), bench.account.clone());
    let key = || Seed::generate(KeyKind::Account).unwrap().public_key();
    let claims = json!({
        "name": "O", "sub": bench.operator.public_key().to_string(),
        "nats": { "type": "operator", "version": 2, "system_account": system },
    });
    std::fs::write(bench.path("O.jwt"), issue(&claims, &bench.operator, 1).unwrap().as_str()).unwrap();
    let jetstream = json!({ "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1 });
    let (app, signing, scoped) = (key(), key(), key());
    let scope = json!({ "kind": "user_scope", "key": scoped, "role": "r", "template": {} });
    bench.put("SYS", &bench.token(1, json!({})));
    bench.put("plain", &bench.token_of(&key(), 1, json!({})));
    bench.put("A", &bench.token_of(&app, 1, json!({ "limits": jetstream, "signing_keys": [scope, signing] })));
    let tags = json!(["vstream.application:x"]);
    bench.put("A-west", &bench.token_of(&key(), 1, json!({ "limits": jetstream, "tags": tags })));
    let seen = || survey(bench.folder.path(), keys.path()).unwrap();
    let nothing = seen();
    assert_eq!((nothing.system.unwrap().id, nothing.accounts.len()), (system, 1), "{:?}", nothing.accounts);
    assert_eq!((&nothing.accounts[0].key, &nothing.accounts[0].credentials), (&None, &None));
    for key in [&signing, &scoped] {
        let text = key.to_string();
        let folder = keys.path().join("keys/A").join(&text[1..3]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{text}.nk")), "").unwrap();
    }
    std::fs::create_dir_all(bench.path("accounts/A/users")).unwrap();
    std::fs::write(bench.path("accounts/A/users/u.jwt"), "").unwrap();
    std::fs::create_dir_all(keys.path().join("creds/O/A")).unwrap();
    std::fs::write(keys.path().join("creds/O/A/u.creds"), "").unwrap();
    let found = seen().accounts.remove(0);
    assert!(found.key.is_some_and(|path| path.ends_with(format!("{signing}.nk"))));
    assert!(found.credentials.is_some_and(|path| path.ends_with("creds/O/A/u.creds")));
    // A store with two operators, and one with none.
    std::fs::create_dir_all(bench.folder.path().join("P")).unwrap();
    std::fs::write(bench.folder.path().join("P/.nsc"), r#"{"name":"P"}"#).unwrap();
    assert!(matches!(survey(bench.folder.path(), keys.path()), Err(StoreError::Several { .. })));
    assert!(matches!(survey(&bench.folder.path().join("P"), keys.path()), Err(StoreError::Operator { .. })));
    assert!(matches!(survey(keys.path(), keys.path()), Err(StoreError::NotAStore { .. })));
}
