//! Compares real servers with the strict decoder. For each field of Go's library, a server gets tokens that spell the
//! field differently. The decoder refuses each of them. Claims that it accepts have the same meaning to the server.

use crate::interop::fixtures::folder;
use crate::interop::strict::{signed, signed_as_it_is};
use crate::mappings::server::{SERVER, check};
use crate::support::{PATIENCE, connect_as};
use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
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

/// Returns a public curve key (`X…`).
fn curve_key() -> String {
    let mut raw = vec![23 << 3];
    raw.extend([7; 32]);
    let crc = raw.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    raw.extend(crc.to_le_bytes());
    data_encoding::BASE32_NOPAD.encode(&raw)
}

/// Returns a token by which the account `id` may import.
fn activation(id: &str, exporter: &Seed) -> String {
    let claims = json!({ "sub": id, "iat": 1, "nats": { "subject": "ticks.>", "kind": "stream", "type": "activation",
        "version": 2 } });
    signed(&claims, exporter)
}

/// Returns claims that servers accept, with a value in every field. Limits of JetStream by tier and without tiers
/// exclude each other.
fn account(id: &str, exporter: &Seed, tiers: bool) -> Value {
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
                { "name": "n", "subject": "ticks.>", "account": exporter_id, "token": activation(id, exporter),
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

/// Returns the objects in the document that can hold the field at `path` of the list, as JSON pointers.
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

/// Claims in which one field is spelled differently.
struct LookAlike {
    /// Path of the field in the list.
    path: String,
    /// The other spelling.
    other: String,
    claims: Value,
    /// The claims as a decoder reads them that knows a field only by its exact name.
    by_spelling: Value,
}

impl LookAlike {
    /// Returns every other spelling of each field of a type, in each location to keep: in place of the field, and
    /// beside it.
    fn all(claim_type: &str, whole: &Value, keep: impl Fn(&str) -> bool) -> Vec<Self> {
        let mut all = Vec::new();
        for path in fields(claim_type) {
            let name = path.rsplit('.').next().unwrap();
            for pointer in places(whole, &path).iter().filter(|at| keep(&format!("{at}/{name}"))) {
                for other in look_alikes(name) {
                    for claims in otherwise(whole, pointer, name, &other) {
                        let by_spelling = without(&claims, pointer, &other);
                        all.push(Self { path: path.clone(), other: other.clone(), claims, by_spelling });
                    }
                }
            }
        }
        all
    }
}

/// Returns the fields of a type that have look-alikes.
fn tried(all: &[LookAlike]) -> BTreeSet<&str> {
    all.iter().map(|one| one.path.as_str()).collect()
}

/// Fails if a field of a type was not tested.
fn assert_every_field(claim_type: &str, tried: &BTreeSet<&str>) {
    let missing: Vec<String> = fields(claim_type).into_iter().filter(|path| !tried.contains(path.as_str())).collect();
    assert!(missing.is_empty(), "no claims of the test have {missing:?}");
}

fn look_alikes(name: &str) -> BTreeSet<String> {
    let capital = name[..1].to_ascii_uppercase() + &name[1..];
    let all = [capital, name.to_ascii_uppercase(), name.replacen('s', "ſ", 1), name.replacen('k', "\u{212a}", 1)];
    all.into_iter().filter(|other| other != name).collect()
}

/// Returns the document with the field renamed, and with an empty field of the other name beside it.
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

/// Returns the document without the fields that Go leaves out.
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

/// A server with its own operator, with a resolver and without JetStream.
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

    /// Connects a client to the system account.
    async fn client(&self) -> async_nats::Client {
        let user =
            mint_user(&self.system, None, &UserPermissions::only(&[], &[]), 4_102_444_800, 1_700_000_000).unwrap();
        let started = Instant::now();
        loop {
            match connect_as(&self.url, user.jwt.as_str(), user.seed.reveal().as_str()).await {
                Ok(client) => return client,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn new(kind: KeyKind) -> Seed {
    Seed::generate(kind).unwrap()
}

/// Placeholder for an account's key in claims that are used for many accounts.
const SOMEBODY: &str = "SOMEBODY";

/// Issue date in such claims.
const ISSUED: u64 = 1_700_000_000;

/// Number of accounts that take turns.
const ACCOUNTS: usize = 8;

/// Number of tokens in flight at a time.
const AT_A_TIME: usize = 32;

/// Result of a server for an account's token.
struct Made {
    /// `true` if the token is stored and in force.
    taken: bool,
    /// The claims as the server read them.
    decoded: Value,
    /// The whole answer about the account.
    detail: Value,
}

/// A client of the system account that pushes.
struct Pusher<'s> {
    system: async_nats::Client,
    operator: &'s Seed,
}

impl Pusher<'_> {
    async fn ask(&self, subject: &str, body: Vec<u8>) -> Value {
        let answer = self.system.request(subject.to_owned(), body.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Pushes a token of the account `id`, and reads the result.
    async fn push(&self, id: &str, token: &str) -> Made {
        let answer = self.ask(&format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.UPDATE"), token.as_bytes().to_vec()).await;
        if answer["data"]["code"] != 200 {
            return Made { taken: false, decoded: Value::Null, detail: Value::Null };
        }
        // Makes the server load the account, if it has not yet.
        self.ask("$SYS.REQ.SERVER.PING.CONNZ", json!({ "acc": id, "limit": 1 }).to_string().into_bytes()).await;
        let body = json!({ "account": id }).to_string().into_bytes();
        let mut detail = self.ask("$SYS.REQ.SERVER.PING.ACCOUNTZ", body).await["data"]["account_detail"].take();
        let taken = detail["jwt"] == token;
        let decoded = detail.get_mut("decoded_jwt").map(Value::take).unwrap_or_default();
        Made { taken, decoded, detail }
    }

    /// Signs claims with the operator's key, whatever issuer they name.
    fn signed(&self, claims: &Value) -> String {
        signed_as_it_is(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }), claims, self.operator)
    }

    /// Pushes an account that exports what those of [`account`] import: a server waits for exporters that it does not
    /// know.
    async fn exporter(&self) -> Seed {
        let exporter = new(KeyKind::Account);
        let exports = json!([{ "subject": "ticks.>", "type": "stream", "token_req": true },
            { "subject": "old", "type": "service" }, { "subject": "mine", "type": "service" }]);
        let id = exporter.public_key().to_string();
        let claims = json!({ "iss": self.operator.public_key(), "sub": id, "iat": 1, "nats": { "type": "account",
            "version": 2, "exports": exports, "limits": OPEN.clone() } });
        assert!(self.push(&id, &self.signed(&claims)).await.taken);
        exporter
    }
}

/// Limits that do not restrict anything.
static OPEN: std::sync::LazyLock<Value> = std::sync::LazyLock::new(
    || json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 }),
);

/// Sends one server tokens of each type that a client can send. The answer to ACCOUNTZ shows how the server read an
/// account's token. The same answer about the importer shows how it read an activation token. A user connects or does
/// not.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_reads_an_account_as_the_reader_does_or_the_reader_refuses() {
    let server = Server::start();
    let pusher = Pusher { system: server.client().await, operator: &server.operator };
    let exporter = pusher.exporter().await;
    accounts(&pusher, &exporter).await;
    headers(&pusher, &exporter).await;
    activations(&pusher, &exporter).await;
    users(&server).await;
}

/// Returns an account's claims with their issuer.
fn whole_account(pusher: &Pusher<'_>, exporter: &Seed, tiers: bool) -> (String, Value) {
    let id = key(KeyKind::Account);
    let whole = whole_account_of(&id, pusher, exporter, tiers);
    (id, whole)
}

fn whole_account_of(id: &str, pusher: &Pusher<'_>, exporter: &Seed, tiers: bool) -> Value {
    let mut whole = account(id, exporter, tiers);
    (whole["iss"], whole["iat"]) = (json!(pusher.operator.public_key()), json!(ISSUED));
    whole
}

async fn accounts(pusher: &Pusher<'_>, exporter: &Seed) {
    let mut all = Vec::new();
    for tiers in [false, true] {
        let (id, whole) = whole_account(pusher, exporter, tiers);
        let token = pusher.signed(&whole);
        let Made { taken, decoded, .. } = pusher.push(&id, &token).await;
        assert!(taken, "the server refuses the whole: {decoded}");
        let read = AccountClaims::decode(&token).unwrap();
        assert_eq!(plain(read.value()), plain(&decoded), "the server reads the whole otherwise");
        // Adds only the locations of tiers, because the rest is already there.
        let whole = whole_account_of(SOMEBODY, pusher, exporter, tiers);
        all.extend(LookAlike::all("account", &whole, |at| !tiers || at.contains("tiered")));
    }
    assert_every_field("account", &tried(&all));

    // A few accounts take turns. If the server refuses a token, the previous one stays in force, which is not equal to
    // it.
    let by_anybody = &activation(SOMEBODY, exporter);
    let all = &all;
    let turns = (0..ACCOUNTS).map(|turn| async move {
        let id = key(KeyKind::Account);
        let (activation, mut results) = (activation(&id, exporter), Vec::new());
        for (at, LookAlike { path, other, claims, by_spelling }) in all.iter().enumerate().skip(turn).step_by(ACCOUNTS)
        {
            let own = |value: &Value| -> Value {
                let text = value.to_string().replace(by_anybody, &activation).replace(SOMEBODY, &id);
                serde_json::from_str(&text.replace(&ISSUED.to_string(), &(ISSUED + at as u64).to_string())).unwrap()
            };
            let claims = own(claims);
            let token = pusher.signed(&claims);
            assert!(AccountClaims::decode(&token).is_err(), "{path} as {other} is read");
            assert!(issue(&claims, pusher.operator, 1).is_err(), "{path} as {other} would be signed");
            assert!(AccountClaims::unsigned(claims).is_err(), "{path} as {other} would be planned");
            let Made { taken, decoded, .. } = pusher.push(&id, &token).await;
            // By exact names, the claims have another meaning than the server reads.
            results.push(taken && plain(&decoded) != plain(&own(by_spelling)));
        }
        results
    });
    let results = futures::future::join_all(turns).await.concat();
    let otherwise_read = results.iter().filter(|read| **read).count();
    println!("{} account tokens, {otherwise_read} of which the server takes and reads otherwise", all.len());
    assert!(otherwise_read * 3 > all.len() * 2, "{otherwise_read} of {}", all.len());

    // Data, and claims of future versions, have the same meaning to both.
    let (id, mut claims) = whole_account(pusher, exporter, false);
    claims["nats"]["quantum"] = json!({ "Sub": 1, "sub": 2 });
    claims["nats"]["imports"][0]["lımits"] = json!(1);
    claims["Zeta"] = json!([]);
    let token = pusher.signed(&claims);
    let Made { taken, decoded, .. } = pusher.push(&id, &token).await;
    let mut known = AccountClaims::decode(&token).unwrap().value().clone();
    known["nats"].as_object_mut().unwrap().shift_remove("quantum");
    known["nats"]["imports"][0].as_object_mut().unwrap().shift_remove("lımits");
    known.as_object_mut().unwrap().shift_remove("Zeta");
    assert!(taken);
    assert_eq!(plain(&known), plain(&decoded));

    // Dates too late for servers to count: they accept the token, but let it expire at once.
    let (id, mut claims) = whole_account(pusher, exporter, false);
    claims["exp"] = json!(253_402_300_799_u64);
    let token = pusher.signed(&claims);
    pusher.push(&id, &token).await;
    assert!(AccountClaims::decode(&token).is_err());
}

/// Tests the header, which has two fields.
async fn headers(pusher: &Pusher<'_>, exporter: &Seed) {
    let all = LookAlike::all("header", &json!({ "typ": "JWT", "alg": "ed25519-nkey" }), |_| true);
    assert_every_field("header", &tried(&all));
    let mut taken = BTreeMap::new();
    for LookAlike { path, other, claims: header, .. } in &all {
        let (id, claims) = whole_account(pusher, exporter, false);
        let token = signed_as_it_is(header, &claims, pusher.operator);
        assert!(AccountClaims::decode(&token).is_err(), "{path} as {other} is read");
        *taken.entry(pusher.push(&id, &token).await.taken).or_insert(0) += 1;
    }
    println!("{} headers, taken or not: {taken:?}", all.len());
    assert!(taken[&true] >= all.len() / 2, "{taken:?}");
}

/// Returns the document without the key that is not a field by its exact name.
fn without(claims: &Value, pointer: &str, other: &str) -> Value {
    let mut claims = claims.clone();
    claims.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap().shift_remove(other);
    claims
}

/// Tests activation tokens: with each, an account imports from an export that requires one.
async fn activations(pusher: &Pusher<'_>, exporter: &Seed) {
    let whole = |importer: &str| {
        json!({ "aud": "x", "exp": 4_102_444_800_u64, "nbf": 1, "name": "n", "jti": "J", "iat": 1,
        "iss": exporter.public_key(), "sub": importer, "tags": [], "type": "", "version": 0,
        "nats": { "subject": "ticks.>", "kind": "stream", "issuer_account": exporter.public_key(), "tags": ["t"],
            "type": "activation", "version": 2 } })
    };
    let token = |claims: &Value| signed_as_it_is(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }), claims, exporter);
    let imports = async |id: &str, token: &str| {
        let imports = json!([{ "name": "n", "subject": "ticks.>", "account": exporter.public_key(), "token": token,
            "local_subject": "in.>", "type": "stream" }]);
        let claims = json!({ "iss": pusher.operator.public_key(), "sub": id, "iat": 1, "nats": { "type": "account",
            "version": 2, "imports": imports, "limits": OPEN.clone() } });
        let Made { taken, detail, .. } = pusher.push(id, &pusher.signed(&claims)).await;
        // The import works if the account is in force, and the server calls neither the import invalid nor the imports
        // incomplete.
        let import = &detail["imports"][0];
        taken
            && import["account"] == json!(exporter.public_key())
            && import["invalid"] != true
            && detail["complete"] == true
    };
    let importer = key(KeyKind::Account);
    let good = token(&whole(&importer));
    Activation::decode(&good).unwrap();
    assert!(imports(&importer, &good).await, "the server refuses the whole");
    // The server does check: a token for another account fails, and one by another issuer.
    let stranger = new(KeyKind::Account);
    assert!(!imports(&key(KeyKind::Account), &good).await);
    let importer = key(KeyKind::Account);
    assert!(!imports(&importer, &signed(&whole(&importer), &stranger)).await);

    let all = LookAlike::all("activation", &whole(SOMEBODY), |_| true);
    assert_every_field("activation", &tried(&all));
    let (token, imports) = (&token, &imports);
    let results = futures::stream::iter(&all).map(|LookAlike { path, other, claims, .. }| async move {
        let importer = key(KeyKind::Account);
        let claims: Value = serde_json::from_str(&claims.to_string().replace(SOMEBODY, &importer)).unwrap();
        let token = token(&claims);
        assert!(Activation::decode(&token).is_err(), "{path} as {other} is read");
        assert!(issue(&claims, exporter, 1).is_err(), "{path} as {other} would be signed");
        imports(&importer, &token).await
    });
    let results: Vec<bool> = results.buffer_unordered(AT_A_TIME).collect().await;
    let in_force = results.iter().filter(|in_force| **in_force).count();
    println!("{} activations, {in_force} of which are in force", all.len());
    assert!(in_force * 2 > all.len(), "{in_force} of {}", all.len());
}

/// Tests user tokens, with each of which a client connects.
async fn users(server: &Server) {
    let (signer, user) = (&server.system, new(KeyKind::User));
    let whole = json!({ "aud": "x", "exp": 4_102_444_800_u64, "nbf": 1, "name": "n", "jti": "J", "iat": 1_700_000_000,
        "iss": signer.public_key(), "sub": user.public_key(), "tags": [], "type": "", "version": 0,
        "nats": { "pub": { "allow": [">"], "deny": ["b"] }, "sub": { "allow": [">"], "deny": ["d"] },
            "resp": { "max": 1, "ttl": 2 }, "src": ["127.0.0.0/8"], "times": [{ "start": "00:00:00", "end": "23:59:59" }],
            "times_location": "UTC", "subs": -1, "data": -1, "payload": -1, "bearer_token": false, "proxy_required": false,
            "allowed_connection_types": ["STANDARD"], "issuer_account": server.system.public_key(), "tags": ["t"],
            "type": "user", "version": 2 } });
    let token = |claims: &Value| signed_as_it_is(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }), claims, signer);
    let connects = async |claims: &Value| connect_as(&server.url, &token(claims), user.reveal().as_str()).await.is_ok();
    assert!(connects(&whole).await && Token::decode(&token(&whole)).is_ok());
    let all = LookAlike::all("user", &whole, |_| true);
    assert_every_field("user", &tried(&all));
    let (token, connects) = (&token, &connects);
    let results = futures::stream::iter(&all).map(|LookAlike { path, other, claims, .. }| async move {
        assert!(Token::decode(&token(claims)).is_err(), "{path} as {other} is read");
        assert!(issue(claims, signer, 1).is_err(), "{path} as {other} would be signed");
        connects(claims).await
    });
    let results: Vec<bool> = results.buffer_unordered(AT_A_TIME).collect().await;
    let connected = results.iter().filter(|connected| **connected).count();
    println!("{} users, {connected} of which connect", all.len());
    assert!(connected * 2 > all.len(), "{connected} of {}", all.len());
}

/// Tests operators in one server configuration that has all of them: the server names each that it refuses.
#[test]
fn a_server_takes_operators_that_the_reader_refuses() {
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let whole = json!({ "aud": "x", "exp": 4_102_444_800_u64, "nbf": 1, "name": "n", "jti": "J", "iat": 1,
        "iss": operator.public_key(), "sub": operator.public_key(), "tags": [], "type": "", "version": 0,
        "nats": { "signing_keys": [key(KeyKind::Operator)], "account_server_url": "nats://h",
            "operator_service_urls": ["nats://h"], "system_account": key(KeyKind::Account),
            "assert_server_version": "2.0.0", "strict_signing_key_usage": false, "tags": ["t"], "type": "operator",
            "version": 2 } });
    let token = |claims: &Value| signed_as_it_is(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }), claims, &operator);
    let refused = |tokens: &[String]| {
        let said = check(&format!("operators: [{}]\nresolver: MEMORY\n", tokens.join(", ")));
        said.lines().filter(|line| line.contains("error parsing operator JWT")).count()
    };
    OperatorClaims::decode(&token(&whole)).unwrap();
    let broken = token(&whole).replacen('.', ".e", 1);
    assert_eq!(refused(&[token(&whole), token(&whole)]), 0);
    assert_eq!(refused(&[token(&whole), broken.clone(), broken]), 2, "each one that is not taken is named");
    let all = LookAlike::all("operator", &whole, |_| true);
    assert_every_field("operator", &tried(&all));
    for LookAlike { path, other, claims, .. } in &all {
        assert!(OperatorClaims::decode(&token(claims)).is_err(), "{path} as {other}");
        assert!(OperatorClaims::from_claims(claims).is_err(), "{path} as {other}");
    }
    let tokens: Vec<String> = all.iter().map(|one| token(&one.claims)).collect();
    let taken = tokens.len() - refused(&tokens);
    println!("{} operators, {taken} of which the server takes", tokens.len());
    assert!(taken * 2 > tokens.len(), "{taken} of {}", tokens.len());
}
