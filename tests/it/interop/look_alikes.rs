//! Real servers and the strict reader: for each field of Go's library a token that spells it otherwise is handed to a
//! server. The reader refuses each; what it reads, the server reads as it does.

use crate::interop::fixtures::folder;
use crate::interop::strict::signed;
use crate::mappings::server::{SERVER, check};
use crate::support::PATIENCE;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vstream_jwt::model::claims::{AccountClaims, Activation, OperatorClaims, Token};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::sign::user::{UserPermissions, mint_user};
use vstream_jwt::sign::{Seed, Signer as _, issue};

fn fields(claim_type: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder().join("../claims-fields.json")).unwrap();
    let listed: Value = serde_json::from_str(&text).unwrap();
    let fields = listed["fields"][claim_type].as_object().unwrap().keys().cloned();
    fields.filter(|path| !path.ends_with([']', '}'])).collect()
}

fn key(kind: KeyKind) -> String {
    Seed::generate(kind).unwrap().public_key().to_string()
}

/// A public curve key (`X…`).
fn curve_key() -> String {
    let mut raw = vec![23 << 3];
    raw.extend([7; 32]);
    let crc = raw.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    raw.extend(crc.to_le_bytes());
    data_encoding::BASE32_NOPAD.encode(&raw)
}

/// Claims that servers take, in which every field has a value; tiers of JetStream and limits without exclude each other.
fn account(id: &str, exporter: &Seed, tiers: bool) -> Value {
    let activation = json!({ "sub": id, "iat": 1, "nats": { "subject": "ticks.>", "kind": "stream", "type": "activation",
        "version": 2 } });
    let permissions = json!({ "pub": { "allow": ["a"], "deny": ["b"] }, "sub": { "allow": ["c q"], "deny": ["d"] },
        "resp": { "max": 1, "ttl": 2 } });
    let mut template = permissions.as_object().unwrap().clone();
    template.extend(
        json!({ "src": ["10.0.0.0/8"], "times": [{ "start": "01:00:00", "end": "02:00:00" }], "times_location": "UTC",
            "subs": 3, "data": 4, "payload": 5, "bearer_token": true, "proxy_required": true,
            "allowed_connection_types": ["STANDARD"] })
        .as_object()
        .unwrap()
        .clone(),
    );
    let limits = json!({ "mem_storage": 1, "disk_storage": 2, "streams": 3, "consumer": 4, "max_ack_pending": 5,
        "mem_max_stream_bytes": 6, "disk_max_stream_bytes": 7, "max_bytes_required": true });
    let mut all = json!({ "subs": 10, "data": 11, "payload": 12, "imports": 13, "exports": 14, "wildcards": true,
        "disallow_bearer": true, "conn": 15, "leaf": 16 });
    match tiers {
        true => all["tiered_limits"] = json!({ "R1": limits, "r1": limits }),
        false => all.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone()),
    }
    let exporter_id = exporter.public_key().to_string();
    json!({
        "aud": "x", "exp": 4_102_444_800_u64, "nbf": 1, "name": "EVERY", "jti": "J", "sub": id, "tags": [], "type": "",
        "version": 0,
        "nats": {
            "imports": [
                { "name": "n", "subject": "ticks.>", "account": exporter_id, "token": signed(&activation, exporter),
                  "local_subject": "in.>", "type": "stream", "allow_trace": true },
                { "subject": "old", "account": exporter_id, "to": "mine", "type": "service", "share": true },
            ],
            "exports": [
                { "name": "n", "subject": "svc.*", "type": "service", "token_req": true, "revocations": { "A": 1, "a": 2 },
                  "response_type": "Stream", "response_threshold": 1, "service_latency": { "sampling": 5, "results": "l" },
                  "account_token_position": 2, "advertise": true, "allow_trace": true, "description": "d",
                  "info_url": "http://h/" },
            ],
            "limits": all,
            "signing_keys": [{ "kind": "user_scope", "key": key(KeyKind::Account), "role": "r", "template": template,
                "description": "d" }],
            "revocations": { "U": 1, "u": 2 },
            "default_permissions": permissions,
            "mappings": { "Orders.>": [{ "subject": "x.>", "weight": 50, "cluster": "C" }], "orders.>": [{ "subject": "y.>" }] },
            "authorization": { "auth_users": [key(KeyKind::User)], "allowed_accounts": ["*"], "xkey": curve_key() },
            "trace": { "dest": "t", "sampling": 9 },
            "cluster_traffic": "owner",
            "description": "d", "info_url": "http://h/", "tags": ["t"], "type": "account", "version": 2,
        },
    })
}

/// The places of a document that a path of the list names, as JSON pointers to what holds the field.
fn places(document: &Value, path: &str) -> Vec<String> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = vec![String::new()];
    for step in parent.split('.').filter(|step| !step.is_empty()) {
        let bare = step.trim_end_matches(['[', ']', '{', '}']);
        at.iter_mut().for_each(|pointer| pointer.push_str(&format!("/{bare}")));
        for _ in 0..(step.len() - bare.len()) / 2 {
            let inner = |pointer: &String| -> Vec<String> {
                match document.pointer(pointer) {
                    Some(Value::Array(items)) => (0..items.len()).map(|index| format!("{pointer}/{index}")).collect(),
                    Some(Value::Object(fields)) => fields.keys().map(|key| format!("{pointer}/{key}")).collect(),
                    _ => Vec::new(),
                }
            };
            at = at.iter().flat_map(inner).collect();
        }
    }
    at.retain(|pointer| document.pointer(pointer).and_then(Value::as_object).is_some_and(|of| of.contains_key(name)));
    at
}

fn look_alikes(name: &str) -> BTreeSet<String> {
    let capital = name[..1].to_ascii_uppercase() + &name[1..];
    let all = [capital, name.to_ascii_uppercase(), name.replacen('s', "ſ", 1), name.replacen('k', "\u{212a}", 1)];
    all.into_iter().filter(|other| other != name).collect()
}

/// The document with a field spelled otherwise, and with an empty one so spelled beside it.
fn otherwise(document: &Value, pointer: &str, name: &str, other: &str) -> [Value; 2] {
    let mut renamed = document.clone();
    let fields = renamed.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap();
    *fields = std::mem::take(fields)
        .into_iter()
        .map(|(key, value)| (if key == name { other.to_owned() } else { key }, value))
        .collect::<Map<String, Value>>();
    let mut beside = document.clone();
    let fields = beside.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap();
    let empty = match &fields[name] {
        Value::Array(_) => json!([]),
        Value::Object(_) => json!({}),
        Value::Number(_) => json!(3),
        Value::Bool(_) => json!(false),
        _ => json!("other"),
    };
    fields.insert(other.to_owned(), empty);
    [renamed, beside]
}

/// A document without what Go leaves out.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), plain(value)));
            let empty =
                |value: &Value| matches!(value.to_string().as_str(), "null" | "false" | "0" | "\"\"" | "[]" | "{}");
            Value::Object(fields.filter(|(_, value)| !empty(value)).collect())
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        value => value.clone(),
    }
}

/// A server of an operator of its own, with a resolver and without JetStream.
struct Server {
    process: Child,
    url: String,
    operator: Seed,
    system: Seed,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> Self {
        let (operator, system) = (new(KeyKind::Operator), new(KeyKind::Account));
        let claims = |kind: &str, sub: &Seed, nats: Value| {
            let mut all = json!({ "type": kind, "version": 2 });
            all.as_object_mut().unwrap().extend(nats.as_object().unwrap().clone());
            json!({ "sub": sub.public_key(), "name": "T", "nats": all })
        };
        let limits = json!({ "limits": { "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1 } });
        let operator_token = issue(&claims("operator", &operator, json!({})), &operator, 1_700_000_000).unwrap();
        let system_token = issue(&claims("account", &system, limits), &operator, 1_700_000_000).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (id, store) = (system.public_key(), folder.path().join("jwt"));
        let configuration = format!(
            "listen: 127.0.0.1:{port}\noperator: {}\nsystem_account: {id}\nresolver: {{ type: full, dir: {:?} }}\n\
             resolver_preload: {{ {id}: {} }}\n",
            operator_token.as_str(),
            store.display().to_string(),
            system_token.as_str()
        );
        let file = folder.path().join("server.conf");
        std::fs::write(&file, configuration).unwrap();
        let process = Command::new(&*SERVER).arg("-c").arg(file).stderr(Stdio::null()).spawn().unwrap();
        Self { process, url: format!("nats://127.0.0.1:{port}"), operator, system, _folder: folder }
    }

    /// A client of the system account.
    async fn client(&self) -> async_nats::Client {
        let user =
            mint_user(&self.system, None, &UserPermissions::only(&[], &[]), 4_102_444_800, 1_700_000_000).unwrap();
        let started = Instant::now();
        loop {
            match connect(&self.url, user.jwt.as_str(), user.seed.reveal().as_str()).await {
                Ok(client) => return client,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn connect(url: &str, token: &str, seed: &str) -> Result<async_nats::Client, async_nats::ConnectError> {
    let user = Arc::new(Seed::parse(seed).unwrap());
    let sign = move |nonce: Vec<u8>| {
        let user = user.clone();
        async move { user.sign(&nonce).map(|signature| signature.to_vec()).map_err(async_nats::AuthError::new) }
    };
    async_nats::ConnectOptions::with_jwt(token.to_owned(), sign).connect(url).await
}

fn new(kind: KeyKind) -> Seed {
    Seed::generate(kind).unwrap()
}

/// Account tokens, pushed to a server; what it makes of them is in its answer to ACCOUNTZ.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_reads_an_account_as_the_reader_does_or_the_reader_refuses() {
    let server = Server::start();
    let (system, operator) = (server.client().await, &server.operator);
    let (id, exporter) = (key(KeyKind::Account), new(KeyKind::Account));
    let ask = async |subject: &str, body: Vec<u8>| -> Value {
        let answer = system.request(subject.to_owned(), body.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    };
    // A server waits for exporters that it does not know.
    let exports = json!([{ "subject": "ticks.>", "type": "stream", "token_req": true }, { "subject": "old", "type": "service" },
        { "subject": "mine", "type": "service" }]);
    let claims = json!({ "sub": exporter.public_key(), "iat": 1, "nats": { "type": "account", "version": 2, "exports": exports,
        "limits": { "subs": -1, "data": -1, "payload": -1, "exports": -1, "imports": -1, "wildcards": true, "conn": -1 } } });
    let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", exporter.public_key());
    let answer = ask(&subject, signed(&claims, operator).into_bytes()).await;
    assert_eq!(answer["data"]["code"], 200, "{answer}");
    let mut issued_at = 1_700_000_000_u64;
    let mut push = async |claims: &Value| -> (String, bool, Value) {
        issued_at += 1;
        let mut claims = claims.clone();
        if claims.get("iat").is_none() {
            claims["iat"] = json!(issued_at);
        }
        let token = signed(&claims, operator);
        let answer = ask(&format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.UPDATE"), token.clone().into_bytes()).await;
        // The server loads the account, if it has not.
        ask("$SYS.REQ.SERVER.PING.CONNZ", json!({ "acc": id, "limit": 1 }).to_string().into_bytes()).await;
        let body = json!({ "account": id }).to_string().into_bytes();
        let mut detail = ask("$SYS.REQ.SERVER.PING.ACCOUNTZ", body).await["data"]["account_detail"].take();
        let taken = answer["data"]["code"] == 200 && detail["jwt"] == *token;
        (token, taken, detail["decoded_jwt"].take())
    };

    let (mut otherwise_read, mut tried) = (0, 0);
    let mut seen = BTreeSet::new();
    for tiers in [false, true] {
        let whole = account(&id, &exporter, tiers);
        let (token, taken, decoded) = push(&whole).await;
        assert!(taken, "the server refuses the whole: {decoded}");
        let read = AccountClaims::decode(&token).unwrap();
        assert_eq!(plain(read.value()), plain(&decoded), "the server reads the whole otherwise");
        for path in fields("account") {
            let name = path.rsplit('.').next().unwrap();
            let places = places(&whole, &path);
            if !places.is_empty() {
                seen.insert(path.clone());
            }
            // Tiers once more only where they are.
            for pointer in places.iter().take(1).filter(|at| !tiers || at.contains("tiered")) {
                for other in look_alikes(name) {
                    for claims in otherwise(&whole, pointer, name, &other) {
                        let (token, taken, decoded) = push(&claims).await;
                        assert!(AccountClaims::decode(&token).is_err(), "{path} as {other} is read");
                        assert!(AccountClaims::unsigned(claims.clone()).is_err(), "{path} as {other} would be planned");
                        assert!(issue(&claims, operator, 1).is_err(), "{path} as {other} would be signed");
                        tried += 1;
                        // By its exact names it says something else than the server reads.
                        otherwise_read +=
                            usize::from(taken && plain(&decoded) != plain(&without(&claims, pointer, &other)));
                    }
                }
            }
        }
    }
    let missing: Vec<String> =
        fields("account").into_iter().filter(|path| !seen.contains(path) && path != "iat" && path != "iss").collect();
    assert!(missing.is_empty(), "no claims of the test have {missing:?}");
    println!("{tried} tokens, {otherwise_read} of which the server takes and reads otherwise");
    assert!(otherwise_read > 200, "{otherwise_read} of {tried}");

    // What is data, and what is in claims of the future, is the same to both.
    let mut claims = account(&id, &exporter, false);
    claims["nats"]["quantum"] = json!({ "Sub": 1, "sub": 2 });
    claims["nats"]["imports"][0]["lımits"] = json!(1);
    claims["Zeta"] = json!([]);
    let (token, taken, decoded) = push(&claims).await;
    let mut known = AccountClaims::decode(&token).unwrap().value().clone();
    known["nats"].as_object_mut().unwrap().shift_remove("quantum");
    known["nats"]["imports"][0].as_object_mut().unwrap().shift_remove("lımits");
    known.as_object_mut().unwrap().shift_remove("Zeta");
    assert!(taken);
    assert_eq!(plain(&known), plain(&decoded));

    // Times beyond those that servers can count: they take the token, and have it ended at once.
    let mut claims = account(&id, &exporter, false);
    claims["exp"] = json!(253_402_300_799_u64);
    let (token, _, _) = push(&claims).await;
    assert!(AccountClaims::decode(&token).is_err());

    activations(&exporter);
    users(&server).await;
}

/// The document without the name that is no field by its spelling.
fn without(claims: &Value, pointer: &str, other: &str) -> Value {
    let mut claims = claims.clone();
    claims.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap().shift_remove(other);
    claims
}

fn activations(exporter: &Seed) {
    let whole = json!({ "aud": "x", "exp": 4_102_444_800_u64, "nbf": 1, "name": "n", "jti": "J", "iat": 1,
        "sub": key(KeyKind::Account), "tags": [], "type": "", "version": 0,
        "nats": { "subject": "a.>", "kind": "stream", "issuer_account": key(KeyKind::Account), "tags": ["t"],
            "type": "activation", "version": 2 } });
    Activation::decode(&signed(&whole, exporter)).unwrap();
    for path in fields("activation").into_iter().filter(|path| path != "iss") {
        let name = path.rsplit('.').next().unwrap();
        let places = places(&whole, &path);
        assert_eq!(places.len(), 1, "{path}");
        for other in look_alikes(name) {
            for claims in otherwise(&whole, &places[0], name, &other) {
                assert!(Activation::decode(&signed(&claims, exporter)).is_err(), "{path} as {other}");
            }
        }
    }
}

/// User tokens, by which somebody connects.
async fn users(server: &Server) {
    let (signer, user) = (&server.system, new(KeyKind::User));
    let whole = json!({ "aud": "x", "exp": 4_102_444_800_u64, "nbf": 1, "name": "n", "jti": "J", "iat": 1_700_000_000,
        "sub": user.public_key(), "tags": [], "type": "", "version": 0,
        "nats": { "pub": { "allow": [">"], "deny": ["b"] }, "sub": { "allow": [">"], "deny": ["d"] },
            "resp": { "max": 1, "ttl": 2 }, "src": ["127.0.0.0/8"], "times": [{ "start": "00:00:00", "end": "23:59:59" }],
            "times_location": "UTC", "subs": -1, "data": -1, "payload": -1, "bearer_token": false, "proxy_required": false,
            "allowed_connection_types": ["STANDARD"], "issuer_account": server.system.public_key(), "tags": ["t"],
            "type": "user", "version": 2 } });
    let connects =
        async |claims: &Value| connect(&server.url, &signed(claims, signer), user.reveal().as_str()).await.is_ok();
    assert!(connects(&whole).await && Token::decode(&signed(&whole, signer)).is_ok());
    let (mut tried, mut connected) = (0, 0);
    for path in fields("user").into_iter().filter(|path| path != "iss") {
        let name = path.rsplit('.').next().unwrap();
        let places = places(&whole, &path);
        assert!(!places.is_empty(), "{path}");
        for other in look_alikes(name).into_iter().take(2) {
            for claims in otherwise(&whole, &places[0], name, &other) {
                assert!(Token::decode(&signed(&claims, signer)).is_err(), "{path} as {other}");
                tried += 1;
                connected += usize::from(connects(&claims).await);
            }
        }
    }
    println!("{tried} users, {connected} of which connect");
    assert!(connected > 20, "{connected} of {tried}");
}

/// Operators, as a server's configuration has them.
#[test]
fn a_server_takes_operators_that_the_reader_refuses() {
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let whole = json!({ "aud": "x", "exp": 4_102_444_800_u64, "nbf": 1, "name": "n", "jti": "J", "iat": 1,
        "sub": operator.public_key(), "tags": [], "type": "", "version": 0,
        "nats": { "signing_keys": [key(KeyKind::Operator)], "account_server_url": "nats://h",
            "operator_service_urls": ["nats://h"], "system_account": key(KeyKind::Account),
            "assert_server_version": "2.0.0", "strict_signing_key_usage": false, "tags": ["t"], "type": "operator",
            "version": 2 } });
    let takes =
        |claims: &Value| check(&format!("operator: {}\nresolver: MEMORY\n", signed(claims, &operator))).is_empty();
    assert!(takes(&whole));
    OperatorClaims::decode(&signed(&whole, &operator)).unwrap();
    let (mut tried, mut taken) = (0, 0);
    for path in fields("operator").into_iter().filter(|path| path != "iss") {
        let name = path.rsplit('.').next().unwrap();
        let places = places(&whole, &path);
        assert_eq!(places.len(), 1, "{path}");
        for other in look_alikes(name) {
            for claims in otherwise(&whole, &places[0], name, &other) {
                assert!(OperatorClaims::decode(&signed(&claims, &operator)).is_err(), "{path} as {other}");
                assert!(OperatorClaims::from_claims(&claims).is_err(), "{path} as {other}");
                tried += 1;
                taken += usize::from(tried % 3 == 0 && takes(&claims));
            }
        }
    }
    assert!(taken > 5, "{taken} of {tried}");
}
