//! Pushes that must not happen. Each is refused for its own reason, before anything is written on any server.
//!
//! Invalid definitions, and streams that block, are in `refusals.rs`. This file has keys, credentials, clocks, dates,
//! limits and mappings. Plan files are in `bad_plan_files.rs`.

use crate::support::account;
use crate::support::bench::{Bench, Everything, new_seed, now, public, set_mode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::sign::user::{UserPermissions, mint_user};

/// Refused pushes, and their messages.
pub struct Refusals<'b, 'c> {
    pub bench: &'b Bench<'c>,
    before: Everything,
    /// The pushes by message: each must have its own.
    said: BTreeMap<String, String>,
    complaints: Vec<String>,
}

impl<'b, 'c> Refusals<'b, 'c> {
    pub async fn new(bench: &'b Bench<'c>) -> Self {
        Self { bench, before: bench.everything().await, said: BTreeMap::new(), complaints: Vec::new() }
    }

    /// Takes the current state as the one to keep: the test made it.
    pub async fn begin_from_here(&mut self) {
        self.before = self.bench.everything().await;
    }

    /// Runs the command in both formats. Both must end with `exit`, print `words`, and change nothing.
    pub async fn refused(&mut self, what: &str, exit: i32, args: &[&str], code: &str, words: &[&str]) {
        self.refused_with(what, exit, args, &[], code, words).await;
    }

    pub async fn refused_with(
        &mut self,
        what: &str,
        exit: i32,
        args: &[&str],
        env: &[(&str, &str)],
        code: &str,
        words: &[&str],
    ) {
        let person = self.bench.run_with(args, env);
        let script = self.bench.run_with(&[args, &["--format", "json"]].concat(), env);
        println!("{code:28} {what}");
        let missing: Vec<&&str> = words.iter().filter(|word| !person.err.contains(**word)).collect();
        if person.code != exit || !missing.is_empty() {
            self.complaints.push(format!("{what}: not exit {exit}, or without {missing:?}: {person}"));
        }
        if !person.err.contains("next:") && !person.err.contains("help:") {
            self.complaints.push(format!("{what}: no next step: {person}"));
        }
        let error = &script.document()["error"];
        let findings = error["findings"].as_array().into_iter().flatten().filter(|f| f["severity"] == "error");
        let told: Vec<&Value> = [error].into_iter().chain(findings).collect();
        let codes: Vec<&str> = told.iter().filter_map(|told| told["code"].as_str()).collect();
        if script.code != exit || error["exit"] != exit || !codes.contains(&code) {
            self.complaints.push(format!("{what}: not exit {exit} and {code}, but {codes:?}: {script}"));
        }
        let said = told.iter().map(|told| format!("{}: {} {}", told["place"], told["message"], told["lines"]));
        let said: Vec<String> = said.collect();
        if let Some(other) = self.said.insert(said.join("\n"), what.to_owned()) {
            self.complaints.push(format!("{what} is told the same as {other}: {script}"));
        }
        let after = self.bench.everything().await;
        let changes = after.changes_since(&self.before);
        if !changes.is_empty() {
            self.complaints.push(format!("{what} changed something:\n{}", changes.join("\n")));
            self.before = after;
        }
    }

    /// Returns the number of refusals, each for its own reason. Fails if there are complaints.
    pub fn count(self) -> usize {
        assert!(self.complaints.is_empty(), "{} complaints\n{}", self.complaints.len(), self.complaints.join("\n"));
        self.said.len()
    }
}

pub fn apply(definition: &str) -> Vec<&str> {
    vec!["apply", "--operator", "op.nk", "--definition", definition]
}

/// Writes a definition that differs in one value; `path` is a JSON pointer.
fn with(bench: &Bench<'_>, path: &str, value: Value) -> String {
    let mut definition = bench.definition();
    let (parent, key) = path.rsplit_once('/').unwrap();
    definition.pointer_mut(parent).unwrap()[key] = value;
    bench.write("bad", &definition)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_pushes_are_refused_before_anything_is_written() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await.replicated();
    let mut refusals = Refusals::new(&bench).await;
    signers(&mut refusals).await;
    users(&mut refusals).await;
    permissions(&mut refusals).await;
    deployment(&mut refusals).await;
    limits(&mut refusals).await;
    mappings(&mut refusals).await;
    accounts(&mut refusals).await;
    dates(&mut refusals).await;
    let count = refusals.count();
    println!("{count} bad pushes");
    assert!(count >= 45, "{count}");
}

/// Returns the seed of a kind of key that cannot sign here (nats-io/nkeys `strkey.go`): `SN…`, `SC…`, `SX…`.
fn seed_of_kind(kind: u8) -> String {
    let prefix = kind << 3;
    let mut bytes = vec![(18 << 3) | (prefix >> 5), (prefix & 31) << 3];
    bytes.extend([7; 32]);
    let crc = bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    bytes.extend(crc.to_le_bytes());
    data_encoding::BASE32_NOPAD.encode(&bytes)
}

async fn signers(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let file = bench.write("plain", &bench.definition());
    let seed = bench.key("op.nk").reveal();
    let last = if seed.ends_with('A') { "B" } else { "A" };
    let wrong = [
        ("account", new_seed(KeyKind::Account).reveal().to_string()),
        ("user", new_seed(KeyKind::User).reveal().to_string()),
        ("server", seed_of_kind(13)),
        ("cluster", seed_of_kind(2)),
        ("curve", seed_of_kind(23)),
        ("truncated", seed[..seed.len() - 3].to_owned()),
        ("misspelt", format!("{}{last}", &seed[..seed.len() - 1])),
        ("public", public(&bench.key("op.nk"))),
        ("empty", String::new()),
    ];
    for (name, text) in wrong {
        let key = format!("{name}.nk");
        let path = bench.write_key(&key, &text);
        let args = ["apply", "--operator", &key, "--definition", &file];
        refusals.refused(&format!("operator key: {name}"), 2, &args, "operator-key", &[&key]).await;
        std::fs::remove_file(path).unwrap();
    }
    let other = new_seed(KeyKind::Operator);
    bench.write_key("stranger.nk", &other.reveal());
    let args = ["apply", "--operator", "stranger.nk", "--definition", &file];
    refusals.refused("an operator that no server trusts", 1, &args, "signer-untrusted", &[&public(&other)]).await;
    let args = ["apply", "--definition", &file];
    refusals.refused("nobody to sign", 2, &args, "no-operator-key", &["nothing was changed"]).await;

    // A command that claims to have the operator's key, but signs with another one.
    let signature = data_encoding::BASE64.encode(&[7; 64]);
    let key = public(&bench.key("op.nk"));
    let command = format!(
        "while read line; do case $line in *public_key\\\"}}) echo '{{\"public_key\":\"{key}\"}}';; \
         *) echo '{{\"signature\":\"{signature}\"}}';; esac; done"
    );
    let args = ["apply", "--operator-cmd", &command, "--definition", &file];
    refusals.refused("a command that signs with another key", 1, &args, "signing", &["nothing was pushed"]).await;
}

async fn users(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let (app, system) = (bench.cluster.account_id(), bench.cluster.system_account_id());
    let (of_app, of_system) = ("/accounts/APP/credentials", "/system");
    let file = with(bench, of_system, json!({ "credentials": "keys/app.creds" }));
    refusals.refused("a user of the application as system", 1, &apply(&file), "system-account", &[app]).await;
    let file = with(bench, of_app, json!("keys/sys.creds"));
    let code = "credentials-of-another-account";
    refusals.refused("a user of the system as application", 1, &apply(&file), code, &[system]).await;
    bench.write_credentials("old.creds", &bench.key("app.nk"), app, now() - 120);
    let file = with(bench, of_app, json!("keys/old.creds"));
    refusals.refused("an expired user", 1, &apply(&file), "credentials-expired", &["2 minutes ago"]).await;
    bench.write_credentials("soon.creds", &bench.key("app.nk"), app, now() + 25);
    let file = with(bench, of_app, json!("keys/soon.creds"));
    refusals.refused("a user that ends during the run", 1, &apply(&file), "credentials-expire", &["user"]).await;

    let whole = std::fs::read_to_string(bench.cluster.credentials_path()).unwrap();
    let other = std::fs::read_to_string(bench.cluster.system_credentials_path()).unwrap();
    let seed_at = |text: &str| text.find("-----BEGIN USER NKEY SEED").unwrap();
    let tampered = {
        let start = whole.find("eyJ").unwrap();
        let middle = start + whole[start..].find('.').unwrap() + 40;
        let changed = if whole.as_bytes()[middle] == b'x' { "y" } else { "x" };
        format!("{}{changed}{}", &whole[..middle], &whole[middle + 1..])
    };
    for (name, text) in [
        ("truncated", whole[..seed_at(&whole) + 40].to_owned()),
        ("mixed", format!("{}{}", &whole[..seed_at(&whole)], &other[seed_at(&other)..])),
        ("tampered", tampered),
    ] {
        let name = format!("{name}.creds");
        bench.write_key(&name, &text);
        let file = with(bench, of_app, json!(format!("keys/{name}")));
        refusals.refused(&name, 1, &apply(&file), "credentials-invalid", &[&name]).await;
    }
    let open = bench.write_key("open.creds", &whole);
    set_mode(&open, 0o644);
    let file = with(bench, of_app, json!("keys/open.creds"));
    refusals.refused("a user's seed that others can read", 1, &apply(&file), "credentials-readable", &["0644"]).await;
    std::fs::remove_file(open).unwrap();
    for (name, kind, code) in
        [("other-account", KeyKind::Account, "key-of-another-account"), ("a-user", KeyKind::User, "key-unusable")]
    {
        let key = bench.write_key(&format!("{name}.nk"), &new_seed(kind).reveal());
        let mut definition = bench.definition();
        let account = definition["accounts"]["APP"].as_object_mut().unwrap();
        account.remove("credentials");
        account.insert("key".to_owned(), json!(format!("keys/{name}.nk")));
        let file = bench.write("bad", &definition);
        refusals.refused(&format!("key: {name}"), 1, &apply(&file), code, &["account APP"]).await;
        std::fs::remove_file(key).unwrap();
    }
}

/// Missing permissions are found before the run, so it does not stop halfway.
async fn permissions(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let user = |name: &str, key: &str, account: &str, allow: &[&str]| {
        let account = PublicKey::parse(account).unwrap();
        let hears = ["_INBOX.>", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE"];
        let permissions = UserPermissions::only(allow, &hears);
        let user = mint_user(&bench.key(key), Some(&account), &permissions, now() + 86_400, now()).unwrap();
        let seed = user.seed.reveal();
        let jwt = ["-----BEGIN NATS USER JWT-----", user.jwt.as_str(), "------END NATS USER JWT------", ""].join("\n");
        let seed = ["-----BEGIN USER NKEY SEED-----", seed.as_str(), "------END USER NKEY SEED------", ""].join("\n");
        bench.write_key(name, &(jwt + &seed));
    };
    let reads = ["$SYS.REQ.SERVER.PING.*", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", "$SYS.REQ.CLAIMS.LIST"];
    user("reader.creds", "sys.nk", bench.cluster.system_account_id(), &reads);
    let file = with(bench, "/system", json!({ "credentials": "keys/reader.creds" }));
    let said = ["$SYS.REQ.CLAIMS.UPDATE", "keys/reader.creds"];
    refusals.refused("a system user that may not push", 1, &apply(&file), "permission-missing", &said).await;
    // These credentials are enough to plan; another user may apply.
    bench.says(3, &["plan", "-v", "--definition", &file], &["permission-missing", "Nothing was changed"]);

    let reads = ["$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.>"];
    user("viewer.creds", "app.nk", bench.cluster.account_id(), &reads);
    let file = with(bench, "/accounts/APP/credentials", json!("keys/viewer.creds"));
    let said = ["$JS.API.STREAM.CREATE.foo-", "and 6 more subjects"];
    refusals.refused("a user that may not make streams", 1, &apply(&file), "permission-missing", &said).await;
    bench.says(0, &["validate", "--online", "--definition", &file], &["9 of 9 servers asked", "0 errors"]);

    user("maker.creds", "app.nk", bench.cluster.account_id(), &["$JS.API.>"]);
    let file = with(bench, "/accounts/APP/credentials", json!("keys/maker.creds"));
    let said = ["$VSTREAM.LEASE", "keys/maker.creds"];
    refusals.refused("a user that may not hold the lease", 1, &apply(&file), "permission-missing", &said).await;

    let claims = bench.claims().await;
    let mut closed = claims.clone();
    closed["nats"]["default_permissions"] = json!({ "pub": { "deny": ["$JS.API.STREAM.CREATE.>"] }, "sub": {} });
    bench.push(&closed).await;
    refusals.begin_from_here().await;
    let file = bench.write("plain", &bench.definition());
    let said = ["$JS.API.STREAM.CREATE.foo-", "keys/app.creds"];
    refusals.refused("defaults that forbid making streams", 1, &apply(&file), "permission-missing", &said).await;
    bench.push(&claims).await;
    refusals.begin_from_here().await;
}

async fn deployment(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let mut definition = bench.definition();
    definition["regions"].as_object_mut().unwrap().remove("east");
    let file = bench.write("bad", &definition);
    refusals.refused("a cluster without a region", 1, &apply(&file), "cluster-uncovered", &["cluster east"]).await;
    bench.says(1, &["validate", "--online", "--definition", &file], &["cluster-uncovered", "1 error"]);
    let allowed = ["validate", "--online", "--definition", &file, "--allow", "cluster-uncovered"];
    bench.says(0, &allowed, &["nothing stands in the way"]);
    let file = with(bench, "/regions/north", json!({ "servers": ["nats://127.0.0.1:1"] }));
    refusals.refused("a region without servers", 1, &apply(&file), "region-missing", &["region north"]).await;
    let bytes = json!({ "max_bytes": "200GB" });
    let file = with(bench, "/accounts/APP/virtual_streams/foo/read", bytes);
    refusals.refused("more than servers can reserve", 1, &apply(&file), "server-storage", &["cluster "]).await;

    let clock = clock_library(bench);
    let file = bench.write("plain", &bench.definition());
    for (name, seconds, said) in [("fast", "3600", "ahead of"), ("slow", "-3600", "behind")] {
        let env = [("LD_PRELOAD", clock.as_str()), ("CLOCK_OFFSET", seconds)];
        let what = format!("a clock here that is {name}");
        refusals.refused_with(&what, 1, &apply(&file), &env, "clocks-differ", &["this machine", said]).await;
    }
}

/// Builds a library that moves the clock of a process by `CLOCK_OFFSET` seconds.
fn clock_library(bench: &Bench<'_>) -> String {
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdlib.h>
        #include <time.h>
        int clock_gettime(clockid_t id, struct timespec *t) {
            int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
            int result = real(id, t);
            const char *offset = getenv("CLOCK_OFFSET");
            if (result == 0 && id == CLOCK_REALTIME && offset) t->tv_sec += atol(offset);
            return result;
        }
    "#;
    let (source, library) = (bench.cluster.folder().join("clock.c"), bench.cluster.folder().join("clock.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
    assert!(built.unwrap().success());
    library.display().to_string()
}

async fn limits(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let claims = bench.claims().await;
    let mut definition = bench.definition();
    let stream = &mut definition["accounts"]["APP"]["virtual_streams"]["foo"];
    stream["read"] = json!({ "max_bytes": "1GB" });
    stream["write"] = json!({ "max_bytes": "1GB" });
    let workers = ["a", "b"].map(|name| (name.to_owned(), json!({ "ack_policy": "explicit", "max_ack_pending": 500 })));
    stream["consumers"] = Value::Object(workers.into_iter().collect());
    let file = bench.write("limited", &definition);
    let mut regional = bench.definition();
    regional["accounts"]["APP"].as_object_mut().unwrap().remove("layout");
    let regional = bench.write("regional", &regional);
    let tier = json!({ "disk_storage": -1, "mem_storage": -1, "streams": -1, "consumer": -1 });
    let long = "x".repeat(785_000);
    let none = json!({ "mem_storage": 0, "disk_storage": 0, "streams": 0, "consumer": 0 });
    let cases = [
        ("no JetStream", &file, none, "jetstream-not-enabled", "no JetStream"),
        ("no tier for the replicas", &file, json!({ "tiered_limits": { "R1": tier } }), "tier-missing", "tier R3"),
        ("too few streams", &file, json!({ "streams": 5 }), "stream-limit", "streams"),
        ("too little storage", &file, json!({ "disk_storage": 5_000_000_000_u64 }), "storage-limit", "5000000000"),
        ("no file storage", &file, json!({ "disk_storage": 0 }), "storage-limit", "no file storage at all"),
        ("streams too large", &file, json!({ "disk_max_stream_bytes": 1_000_000 }), "stream-too-large", "1000000"),
        ("too few consumers", &file, json!({ "consumer": 1 }), "consumer-limit", "consumers"),
        ("too many acks pending", &file, json!({ "max_ack_pending": 100 }), "ack-pending-limit", "500"),
        ("streams need a size", &regional, json!({ "max_bytes_required": true }), "max-bytes-required", "max_bytes"),
        ("too few imports", &regional, json!({ "imports": 3 }), "link-limit", "imports"),
        ("too few exports", &regional, json!({ "exports": 2 }), "link-limit", "exports"),
        ("no wildcard exports", &regional, json!({ "wildcards": false }), "wildcard-exports", "wildcards"),
        ("a token over 1 MiB", &file, json!({ "note": long }), "token-too-large", "1048576"),
    ];
    for (what, file, limits, code, said) in cases {
        let mut changed = claims.clone();
        let into = changed["nats"]["limits"].as_object_mut().unwrap();
        into.extend(limits.as_object().unwrap().clone());
        bench.push(&changed).await;
        refusals.begin_from_here().await;
        refusals.refused(what, 1, &apply(file), code, &[said]).await;
    }
    bench.push(&claims).await;
    refusals.begin_from_here().await;

    // Limits of accounts that do not exist yet.
    for (what, limits, code, said) in [
        ("regional accounts without connections", json!({ "conn": 0 }), "connection-limit", "APP-west"),
        ("regional accounts with no room", json!({ "streams": 1, "disk_storage": "1KB" }), "storage-limit", "APP-west"),
        ("regional accounts without storage", json!({ "disk_storage": 0 }), "storage-limit", "at all"),
    ] {
        let mut definition: Value =
            serde_json::from_str(&std::fs::read_to_string(bench.cluster.folder().join(&regional)).unwrap()).unwrap();
        let app = &mut definition["accounts"]["APP"];
        app["regional_limits"] = limits;
        app["virtual_streams"]["foo"]["read"] = json!({ "max_bytes": "1GB" });
        let file = bench.write("bad", &definition);
        refusals.refused(what, 1, &apply(&file), code, &[said]).await;
    }
}

async fn mappings(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let claims = bench.claims().await;
    let file = bench.write("plain", &bench.definition());
    for (what, source, to, code) in [
        ("a mapping that overlaps", "foo.special", "x.special", "overlapping-sources"),
        ("a wildcard that overlaps", "*.special.>", "x.{{wildcard(1)}}.>", "overlapping-sources"),
        ("a mapping of another tool", "foo.>", "x.foo.>", "foreign-mapping"),
    ] {
        let mut changed = claims.clone();
        changed["nats"]["mappings"] = json!({ source: [{ "subject": to }] });
        bench.push(&changed).await;
        refusals.begin_from_here().await;
        refusals.refused(what, 1, &apply(&file), code, &["account APP"]).await;
    }
    bench.push(&claims).await;
    refusals.begin_from_here().await;

    let streams = |streams: Value| with(bench, "/accounts/APP/virtual_streams", streams);
    let one = json!({ "subjects": ["foo.>"] });
    let file = streams(json!({ "foo": one, "bar": { "subjects": ["foo.bar"] } }));
    refusals.refused("subjects that overlap", 2, &apply(&file), "invalid-definition", &["foo.bar"]).await;
    let file = streams(json!({ "foo": { "subjects": ["foo.>", "foo.>"] } }));
    refusals.refused("a subject twice", 2, &apply(&file), "invalid-definition", &["foo.>"]).await;
    let mut text = bench.definition().to_string();
    text = text.replacen("\"foo\":", "\"foo\":{\"subjects\":[\"other.>\"]},\"foo\":", 1);
    std::fs::write(bench.cluster.folder().join("twice.yaml"), text).unwrap();
    refusals.refused("a virtual stream twice", 2, &apply("twice.yaml"), "invalid-definition", &["foo"]).await;
}

async fn accounts(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let system = bench.cluster.system_account_id();
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["id"] = json!(system);
    definition["accounts"]["APP"]["credentials"] = json!("keys/sys.creds");
    let file = bench.write("bad", &definition);
    refusals.refused("the system account as application", 1, &apply(&file), "is-system-account", &[system]).await;

    let nobody = public(&new_seed(KeyKind::Account));
    let file = with(bench, "/accounts/APP/id", json!(nobody));
    refusals.refused("an account that no server has", 1, &apply(&file), "account-unknown", &["nsc push"]).await;

    // A token of another operator, stored by every server: servers answer 200 to such a push.
    let stranger = new_seed(KeyKind::Account);
    let mut claims = bench.claims().await;
    claims["sub"] = json!(public(&stranger));
    claims["name"] = json!("STRANGER");
    bench.push_signed(&new_seed(KeyKind::Operator), &claims, now()).await;
    // A token of this operator that has expired. Resolvers delete such tokens once a minute (nats-server
    // `dirstore.go`).
    let started =
        bench.deployment().await.servers.iter().map(|server| server.varz["start"].clone()).max_by_key(Value::to_string);
    let started: jiff::Timestamp = started.as_ref().and_then(Value::as_str).unwrap().parse().unwrap();
    let in_minute = jiff::Timestamp::now().duration_since(started).as_secs() % 60;
    if in_minute > 35 {
        tokio::time::sleep(std::time::Duration::from_secs(62 - in_minute as u64)).await;
    }
    let ended = new_seed(KeyKind::Account);
    claims["sub"] = json!(public(&ended));
    claims["exp"] = json!(now() + 2);
    bench.push_signed(&bench.key("op.nk"), &claims, now()).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    refusals.begin_from_here().await;
    for (what, account, code) in [
        ("an account of another operator", &stranger, "account-of-another-operator"),
        ("an account that has expired", &ended, "account-expired"),
    ] {
        bench.write_key("its.nk", &account.reveal());
        let mut definition = bench.definition();
        let app = definition["accounts"]["APP"].as_object_mut().unwrap();
        app.remove("credentials");
        app.insert("key".to_owned(), json!("keys/its.nk"));
        app.insert("id".to_owned(), json!(public(account)));
        let file = bench.write("bad", &definition);
        refusals.refused(what, 1, &apply(&file), code, &["account APP"]).await;
    }
}

/// Runs last: every later push must have a later date.
async fn dates(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let claims = bench.claims().await;
    let file = bench.write("plain", &bench.definition());
    let operator = bench.key("op.nk");
    bench.push_signed(&operator, &claims, now() + 200).await;
    bench.says(3, &["plan", "--definition", &file], &["issued-in-future", "warning"]);
    bench.push_signed(&operator, &claims, now() + 3600).await;
    refusals.begin_from_here().await;
    let said = ["--allow issued-in-future"];
    refusals.refused("a stored token of an hour from now", 1, &apply(&file), "issued-in-future", &said).await;
    let allowed = [&apply(&file)[..], &["--allow", "issued-in-future"]].concat();
    bench.says(0, &allowed, &["Done."]);
    let dated = bench.claims().await["iat"].as_u64().unwrap();
    assert!((now() + 3500..now() + 3700).contains(&dated), "one second after the stored one");
}
