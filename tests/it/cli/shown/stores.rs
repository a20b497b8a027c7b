//! Tests hostile text in nsc stores: every string of each of their files, and the names of their folders.

use super::servers::{Change, Servers};
use super::{Run, eighths, run, sweep_harmless, token};
use crate::support::hostile::{Field, HOSTILE, TAME, everywhere, filled};
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A store of the operator that the servers trust, in the layout of nsc, with an edit of the account that was not
/// pushed.
struct Store {
    folder: tempfile::TempDir,
    servers: Arc<Servers>,
    /// Names of the folders of the operator and the account.
    operator: String,
    account: String,
    info: Value,
    operator_token: String,
    account_token: String,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = Servers::start(folder.path());
        let definition = folder.path().join("vstream.yaml");
        let mut with_store: Value = serde_json::from_str(&std::fs::read_to_string(&definition).unwrap()).unwrap();
        with_store["nsc_store"] = "nsc".into();
        std::fs::write(definition, with_store.to_string()).unwrap();
        let mut edited = servers.claims();
        edited["iat"] = (edited["iat"].as_u64().unwrap() + 60).into();
        edited["nats"]["description"] = "edited".into();
        Self {
            operator: "O".to_owned(),
            account: "APP".to_owned(),
            info: json!({ "managed": false, "name": "O", "kind": "operator", "version": "1" }),
            operator_token: servers.signed(&servers.operator_claims()),
            account_token: servers.signed(&edited),
            folder,
            servers,
        }
    }

    fn plan(&self) -> Run {
        let store = self.folder.path().join("nsc");
        let _ = std::fs::remove_dir_all(&store);
        let operator = store.join(&self.operator);
        let account = operator.join("accounts").join(&self.account);
        std::fs::create_dir_all(&account).unwrap();
        let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
        write(&operator.join(".nsc"), &self.info.to_string());
        write(&operator.join("O.jwt"), &self.operator_token);
        write(&account.join(format!("{}.jwt", self.account)), &self.account_token);
        self.servers.change(Change::Nothing);
        run(self.folder.path(), &["plan", "-v", "--allow", "subscription-stops", "--timeout", "3s"])
    }
}

#[test]
fn stores_are_read_without_obeying_them() {
    let mut store = Store::new();
    let (info, signed) = (store.info.clone(), store.operator_token.clone());
    let newer = store.plan();
    assert!(newer.code == 1 && newer.err.contains("[nsc-store-newer]"), "{}", newer.err);

    let with = |mut claims: Value, more: Value| {
        claims["nats"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let more = json!({
        "tags": ["a:b"], "operator_service_urls": ["nats://h:4222"], "account_server_url": "nats://h:4222",
        "assert_server_version": "2.10.0",
    });
    let operator = with(store.servers.operator_claims(), more);
    let other = KeyPair::new_operator();
    let mut of_other = with(operator.clone(), json!({ "signing_keys": [] }));
    (of_other["iss"], of_other["sub"]) = (other.public_key().into(), other.public_key().into());
    let more = json!({
        "description": "d", "info_url": "u", "tags": ["a:b"], "exports": [{ "name": "e", "subject": "e.>", "type": "service" }],
        "trace": { "dest": "trace", "sampling": 10 },
    });
    let mut account = with(store.servers.claims(), more);
    account["iat"] = (account["iat"].as_u64().unwrap() + 60).into();

    let mut sweep = |document: &Value, put: &dyn Fn(&mut Store, &Value)| {
        let mut run = |fields: &[Field], value: &str| {
            put(&mut store, &filled(document, fields, value));
            Some(vec![store.plan()])
        };
        sweep_harmless(eighths(&everywhere(document)), &mut run)
    };
    // The file `.nsc`; the operator's token, signed by another operator and by the servers' one; the account's token.
    let mut sights = sweep(&info, &|store, info| store.info = info.clone());
    sights += sweep(&of_other, &|store, claims| {
        store.info = info.clone();
        store.operator_token = token(claims, &other);
    });
    sights += sweep(&operator, &|store, claims| store.operator_token = store.servers.signed(claims));
    sights += sweep(&account, &|store, claims| {
        store.operator_token = signed.clone();
        store.account_token = store.servers.signed(claims);
    });
    assert!(sights > 15, "{sights}");
}

#[test]
fn names_of_folders_are_shown_without_obeying_them() {
    let mut store = Store::new();
    let name = HOSTILE.replace('/', "");
    let mut runs = |place: fn(&mut Store) -> &mut String| {
        let before = place(&mut store).clone();
        let [tame, hostile] = [TAME, &name].map(|name| {
            place(&mut store).replace_range(.., name);
            store.plan()
        });
        *place(&mut store) = before;
        hostile.assert_like(&tame, &"names");
        hostile.sights(HOSTILE)
    };
    assert!(runs(|store| &mut store.operator) > 0);
    runs(|store| &mut store.account);
    // The folder's name stands for an operator's token that cannot be read.
    store.operator_token = "x".to_owned();
    let run = store.plan();
    assert!(run.err.contains("cannot be read"), "{}", run.err);
}
