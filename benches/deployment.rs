//! Measures a real 3 × 3 super-cluster on this machine: new virtual streams by `apply` and by bare requests,
//! alternately; `apply` and `verify` with nothing to do; buckets of each consistency level.
//!
//! Run it with `cargo bench --bench deployment [-- PAIRS]`; the figures are in `docs/performance.md`. This is not a
//! test, and does not fail if something is slow.

#![allow(missing_docs)]

use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vstream_jwt::desired::{Role, desired};
use vstream_jwt::dev::{DevOptions, Lifetime, SuperCluster};
use vstream_jwt::engine::lease::Holder;
use vstream_jwt::engine::run::{Run, Signers, execute};
use vstream_jwt::engine::session::{Session, Subscription, VerbInputs};
use vstream_jwt::engine::{Deadline, Progress, Silent};
use vstream_jwt::model::claims::AccountClaims;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::nats::{ConnectOptions, DefinitionConnector, LoginMethod, Purpose, connect};
use vstream_jwt::observed::jetstream::Api;
use vstream_jwt::observed::{Requests, system};
use vstream_jwt::ops;
use vstream_jwt::ops::apply::ApplyPlanner;
use vstream_jwt::resolver::push::{Answer, push};
use vstream_jwt::resolver::servers;
use vstream_jwt::sign::file::read_seed_file;
use vstream_jwt::sign::keyring::Keyring;
use vstream_jwt::sign::{Seed, SignedToken, Signer as _, issue};
use vstream_jwt::{definition::Definition, plan};

const VSTREAM: &str = env!("CARGO_BIN_EXE_vstream-jwt");
const FRESH: usize = 20;
const MANY: usize = 100;
const IN_FLIGHT: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs this too, without the flag.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let pairs: usize = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(7);
    println!("start-up (--version): {}", Times::of((0..51).map(|_| timed(|| vstream(Path::new("."), &["--version"])))));

    let folder = tempfile::Builder::new().prefix("vstream-bench-").tempdir().unwrap().keep();
    let options = DevOptions {
        folder,
        executable: Some(PathBuf::from(VSTREAM)),
        lifetime: Lifetime::Scoped { delete: true },
        ..DevOptions::default()
    };
    let cluster = SuperCluster::up(options).await.unwrap();
    cluster.wait_ready(TIMEOUT).await.unwrap();
    println!("servers: nine of nats-server {}", cluster.server_version());
    for layout in ["shared", "regional"] {
        fresh(&cluster, layout, pairs).await;
    }
    buckets(&cluster).await;
    nothing_to_do(&cluster);
    accounts(&cluster, pairs).await;
    cluster.down().await.unwrap();
}

/// Creates the same streams under new names, by `apply` and by bare requests, and deletes them after each run. One
/// virtual stream stays, which keeps the exports and imports of the layout `regional`.
async fn fresh(cluster: &SuperCluster, layout: &str, pairs: usize) {
    let define = |prefix: &str, count| define(cluster, &format!("{layout}-{prefix}"), count, layout);
    let stays = define("stays", 1);
    let at = |definition: &'_ Path| definition.to_str().unwrap().to_owned();
    let destroy = |definition: &Path| {
        let named = at(definition);
        let args = ["destroy", "--definition", &named, "--operator", "op.nk", "--delete-streams", "--yes"];
        vstream(cluster.folder(), &args);
    };
    vstream(cluster.folder(), &["apply", "--definition", &at(&stays), "--operator", "op.nk", "--yes"]);
    let (mut applied, mut answered, mut met) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=pairs {
        let definition = define(&format!("a{pair}"), FRESH);
        let path = at(&definition);
        let tool =
            timed(|| vstream(cluster.folder(), &["apply", "--definition", &path, "--operator", "op.nk", "--yes"]));
        destroy(&definition);
        settle().await;
        let raw = bare_requests(&define(&format!("b{pair}"), FRESH)).await;
        settle().await;
        // The first pair warms up.
        if pair > 0 {
            applied.push(tool);
            answered.push(raw.0);
            met.push(raw.1);
        }
    }
    let [applied, answered, met] = [applied, answered, met].map(|times| Times::of(times.into_iter()));
    println!("{layout}: {FRESH} fresh virtual streams, apply: {applied}");
    println!("the same {} stream requests, {IN_FLIGHT} at a time: {answered}", FRESH * 6);
    println!("the same until all sources are in touch: {met}");
    println!("ratio of the medians: {:.2}", applied.median() / met.median());

    let definition = define("phases", FRESH);
    phases(&definition, &cluster.operator_key_path()).await;
    destroy(&definition);
    destroy(&stays);
    settle().await;
}

fn nothing_to_do(cluster: &SuperCluster) {
    let definition = define(cluster, "many", MANY, "shared");
    let path = definition.to_str().unwrap();
    let apply = || vstream(cluster.folder(), &["apply", "--definition", path, "--operator", "op.nk", "--yes"]);
    println!("{MANY} fresh virtual streams, apply: {:.0} ms", timed(apply));
    println!("nothing to do, {MANY} virtual streams, apply: {}", Times::of((0..21).map(|_| timed(apply))));
    let verify = || vstream(cluster.folder(), &["verify", "--definition", path]);
    println!("nothing to do, {MANY} virtual streams, verify: {}", Times::of((0..21).map(|_| timed(verify))));
}

/// Measures one definition of many accounts: reads, plans, signs, pushes and confirms all tokens together. Compares
/// that with the same pushes, sent at once.
async fn accounts(cluster: &SuperCluster, pairs: usize) {
    let operator = read_seed_file(&cluster.operator_key_path()).unwrap();
    let access = LoginMethod::Credentials(cluster.system_credentials_path());
    let system = connect(ConnectOptions::new(&cluster.all_urls(), None, &access, TIMEOUT)).await.unwrap();
    let deployment = system::deployment(&system, TIMEOUT).await.unwrap();
    let mut keys = Keyring::open(&cluster.keys_folder()).unwrap();
    let ids: Vec<PublicKey> = (0..MANY)
        .map(|number| {
            let seed = Seed::generate(KeyKind::Account).unwrap();
            keys.write(&format!("bench-{number}"), &seed).unwrap();
            seed.public_key()
        })
        .collect();
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1 });
    let bare = async || {
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let tokens: Vec<(PublicKey, SignedToken)> = ids
            .iter()
            .map(|id| {
                let claims = json!({ "sub": id.to_string(), "name": "BENCH",
                    "nats": { "type": "account", "version": 2, "limits": limits } });
                (id.clone(), issue(&claims, &operator, iat).unwrap())
            })
            .collect();
        let started = Instant::now();
        let outcomes = push(&system, &deployment, &tokens, TIMEOUT).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.answer == Answer::Stored));
        started.elapsed().as_secs_f64() * 1000.0
    };
    bare().await;

    let regions: BTreeMap<&String, Value> =
        cluster.regions().iter().map(|name| (name, json!({ "servers": cluster.urls(name) }))).collect();
    let small = json!({ "num_replicas": 1 });
    let defined = ids.iter().enumerate().map(|(number, id)| {
        let stream = json!({ "subjects": ["foo.>"], "write": small, "read": small });
        let key = format!("keys/bench-{number}.nk");
        (
            format!("A{number}"),
            json!({ "id": id, "key": key, "layout": "shared", "virtual_streams": { "foo": stream } }),
        )
    });
    let defined: serde_json::Map<String, Value> = defined.collect();
    let definition = json!({ "version": 1, "system": { "credentials": cluster.system_credentials_path() },
        "regions": regions, "accounts": defined });
    let path = cluster.folder().join("accounts.yaml");
    std::fs::write(&path, definition.to_string()).unwrap();
    let named = ["--definition", path.to_str().unwrap(), "--operator", "op.nk", "--yes", "--timeout", "5m"];
    let all = || vstream(cluster.folder(), &[&["apply"], &named[..]].concat());
    println!("{MANY} accounts with a fresh virtual stream each, apply: {:.0} ms", timed(all));

    // Issues the tokens that `apply` made again.
    let same = async || {
        let claims = servers::stored_claims(&system, &deployment, TIMEOUT, |token| AccountClaims::decode(token).ok())
            .await
            .unwrap();
        let ours = claims.iter().filter(|claims| ids.contains(claims.id()));
        let tokens: Vec<(PublicKey, SignedToken)> = ours
            .map(|claims| (claims.id().clone(), issue(claims.value(), &operator, claims.issued_at() + 1).unwrap()))
            .collect();
        assert_eq!(tokens.len(), ids.len());
        let started = Instant::now();
        let outcomes = push(&system, &deployment, &tokens, TIMEOUT).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.answer == Answer::Stored));
        started.elapsed().as_secs_f64() * 1000.0
    };
    let (mut whole, mut pushed, mut proved, mut raw) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=pairs {
        // Removes the mappings. The streams stay, so that `apply` only has tokens to push.
        bare().await;
        let (took, steps) = in_process(&path, &cluster.operator_key_path()).await;
        let at = |wanted: &str| steps.iter().rfind(|(step, _)| step == wanted).unwrap().1;
        let (begun, answered) = (at("pushing account tokens"), at("waiting for every server to confirm"));
        let bare = same().await;
        if pair > 0 {
            whole.push(took);
            pushed.push((answered - begun).as_secs_f64() * 1000.0);
            proved.push((steps.last().unwrap().1 - answered).as_secs_f64() * 1000.0);
            raw.push(bare);
        }
    }
    let [whole, pushed, proved, raw] = [whole, pushed, proved, raw].map(|times| Times::of(times.into_iter()));
    println!("{MANY} accounts, their tokens only, apply as a whole: {whole}");
    println!("of that, until all servers answered all pushes: {pushed}");
    println!("and until all is proved and the lease released: {proved}");
    println!("the same tokens, issued anew, pushed at once: {raw}");
    println!("ratio of the medians of the pushes: {:.2}", pushed.median() / raw.median());
}

/// Creates write streams, then read streams, without other requests before or between them. Returns the milliseconds
/// until the last answer, and until all read streams have contact with their sources.
async fn bare_requests(path: &Path) -> (f64, f64) {
    let loaded = ops::load::load(path).unwrap();
    let folder = loaded.base.join("keys");
    let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, &folder);
    let (keys, deadline) = (Keyring::open(&folder).unwrap(), Deadline::after(TIMEOUT));
    let trust = ops::trust::trust(Some(&loaded.definition), &loaded.base, &folder);
    let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
    let opened = Session::open(inputs, &connector, Subscription::Off, deadline, &Silent).await;
    let (session, _) = opened.unwrap();
    let wanted = desired(&loaded.definition).unwrap();
    let apis: Vec<_> = (0..wanted.len()).map(|place| session.api(place).unwrap()).collect();
    let configs = |role| -> Vec<(usize, String, Value)> {
        let streams = wanted.iter().enumerate().flat_map(|(place, account)| {
            account.streams.iter().filter(|stream| stream.role == role).map(move |stream| (place, stream))
        });
        streams.map(|(place, stream)| (place, stream.name.clone(), Value::Object(stream.config()))).collect()
    };
    let (writes, reads) = (configs(Role::Write), configs(Role::Read));
    let send = async |verb: &str, configs: &[(usize, String, Value)]| {
        let requests = configs.iter().map(|(place, name, config)| {
            let operation = format!("STREAM.{verb}.{name}");
            let (api, body) = (&apis[*place], if verb == "CREATE" { config } else { &Value::Null });
            async move { api.call(&operation, body, TIMEOUT).await }
        });
        let replies: Vec<_> = stream::iter(requests).buffer_unordered(IN_FLIGHT).collect().await;
        replies.into_iter().for_each(|reply| drop(reply.unwrap()));
    };
    let others = in_touch(&apis).await;
    let started = Instant::now();
    send("CREATE", &writes).await;
    send("CREATE", &reads).await;
    let answered = started.elapsed();
    // Waits as long as `apply` does: a request sent earlier takes 4 s.
    tokio::time::sleep(Duration::from_millis(150)).await;
    while in_touch(&apis).await != others + reads.len() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let met = started.elapsed();
    send("DELETE", &reads).await;
    send("DELETE", &writes).await;
    (answered.as_secs_f64() * 1000.0, met.as_secs_f64() * 1000.0)
}

/// Counts the streams of these accounts that have sources, all of which have heard from their origins.
async fn in_touch(apis: &[Api<'_, impl Requests>]) -> usize {
    let of_account = async |api: &Api<'_, _>| {
        let (mut offset, mut found) = (0, 0);
        loop {
            let page = api.call("STREAM.LIST", &json!({ "offset": offset }), TIMEOUT).await.unwrap();
            let streams = page["streams"].as_array().unwrap();
            let sources = streams.iter().filter_map(|stream| stream["sources"].as_array());
            found += sources.filter(|of| of.iter().all(|one| one["active"].as_i64().unwrap() >= 0)).count();
            offset += streams.len();
            if streams.is_empty() || offset as u64 >= page["total"].as_u64().unwrap() {
                return found;
            }
        }
    };
    futures::future::join_all(apis.iter().map(of_account)).await.into_iter().sum()
}

/// Measures one operation at a time, from a client in the home region and from one in another region. The buckets are
/// one of each consistency level, and a plain one on the servers of the home region.
async fn buckets(cluster: &SuperCluster) {
    let regions = cluster.regions();
    let (home, other) = (&regions[0], &regions[1]);
    let credentials = cluster.credentials_path();
    let bucket = async |region: &String, name: &str| {
        let options = async_nats::ConnectOptions::with_credentials_file(&credentials).await.unwrap();
        let client = options.connect(cluster.urls(region)).await.unwrap();
        async_nats::jetstream::new(client).get_key_value(name).await.unwrap()
    };
    let plain = {
        let options = async_nats::ConnectOptions::with_credentials_file(&credentials).await.unwrap();
        let context = async_nats::jetstream::new(options.connect(cluster.urls(home)).await.unwrap());
        let placement = async_nats::jetstream::stream::Placement { cluster: Some(home.clone()), tags: Vec::new() };
        let config = async_nats::jetstream::kv::Config {
            bucket: "plain".to_owned(),
            num_replicas: 3,
            placement: Some(placement),
            ..async_nats::jetstream::kv::Config::default()
        };
        context.create_key_value(config).await.unwrap();
        context
    };
    settle().await;
    for region in [home, other] {
        operations(&format!("plain bucket, by a client in {region}"), &bucket(region, "plain").await, true).await;
    }
    plain.delete_key_value("plain").await.unwrap();
    settle().await;

    let streams = format!("      ev: {{ kind: kv }}\n      mi: {{ kind: kv, consistency: mirrored, home: {home} }}\n");
    let definition = write(cluster, "buckets", "regional", &streams);
    let path = definition.to_str().unwrap();
    vstream(cluster.folder(), &["apply", "--definition", path, "--operator", "op.nk", "--yes"]);
    settle().await;
    for (name, level, updates) in [("ev", "eventual", false), ("mi", "mirrored", true)] {
        for region in [home, other] {
            operations(&format!("{level}, by a client in {region}"), &bucket(region, name).await, updates).await;
        }
    }
    vstream(cluster.folder(), &["destroy", "--definition", path, "--operator", "op.nk", "--delete-streams", "--yes"]);
    settle().await;
}

/// Measures each operation in milliseconds. Leaves out the first one of each.
async fn operations(what: &str, bucket: &async_nats::jetstream::kv::Store, updates: bool) {
    const COUNT: usize = 500;
    let value = || vec![b'x'; 128].into();
    let (mut puts, mut gets, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..=COUNT {
        let started = Instant::now();
        bucket.put(format!("k{}", number % 100), value()).await.unwrap();
        puts.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    settle().await;
    for number in 0..=COUNT {
        let started = Instant::now();
        assert!(bucket.get(format!("k{}", number % 100)).await.unwrap().is_some());
        gets.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    println!("{what}: put {}", Times::of(puts.drain(1..)));
    println!("{what}: get {}", Times::of(gets.drain(1..)));
    if updates {
        let mut revision = bucket.put("counted", value()).await.unwrap();
        for _ in 0..=COUNT {
            let started = Instant::now();
            revision = bucket.update("counted", value(), revision).await.unwrap();
            changes.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        println!("{what}: update {}", Times::of(changes.drain(1..)));
    }
}

/// Prints how the time of one `apply` is spent.
async fn phases(path: &Path, operator: &Path) {
    let (_, seen) = in_process(path, operator).await;
    println!("phases of one apply:");
    for pair in seen.windows(2) {
        println!("  {:6.0} ms  {}", (pair[1].1 - pair[0].1).as_secs_f64() * 1000.0, pair[0].0);
    }
}

/// Runs one `apply`. Returns its duration in milliseconds and the start of each step; the last entry is the end.
async fn in_process(path: &Path, operator: &Path) -> (f64, Vec<(String, Instant)>) {
    let started = Instant::now();
    let seed = read_seed_file(operator).unwrap();
    let loaded = ops::load::load(path).unwrap();
    let (definition, folder): (Definition, _) = (loaded.definition, loaded.base.join("keys"));
    let mut keys = Keyring::open(&folder).unwrap();
    let connector = DefinitionConnector::new(&definition, Purpose::Change, &folder);
    let steps = Steps::default();
    let deadline = Deadline::after(TIMEOUT);
    let options = plan::Options::default();
    let trust = ops::trust::trust(Some(&definition), &loaded.base, &folder).signing_with(Some(seed.public_key()));
    let inputs = VerbInputs { definition: &definition, keys: &keys, trust: &trust };
    let planned = ops::plan::plan(inputs, &connector, &options, Subscription::On, deadline, &steps).await;
    let (mut session, mut planned) = planned.unwrap();
    let signers = Signers { operator: Some(&seed), keys: &mut keys, signed: None };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the benchmark".to_owned(), verb: "apply" });
    execute(&mut session, &mut planned, run, &connector, &steps).await.unwrap();
    steps.step("", 0, 0);
    (started.elapsed().as_secs_f64() * 1000.0, steps.0.into_inner().unwrap())
}

/// The start of each step.
#[derive(Default)]
struct Steps(Mutex<Vec<(String, Instant)>>);

impl Progress for Steps {
    fn step(&self, step: &str, _done: usize, _total: usize) {
        let mut seen = self.0.lock().unwrap();
        if seen.last().is_none_or(|(last, _)| last != step) {
            seen.push((step.to_owned(), Instant::now()));
        }
    }
}

/// Writes a definition of `count` virtual streams, and returns the path of the file.
fn define(cluster: &SuperCluster, prefix: &str, count: usize, layout: &str) -> PathBuf {
    let mut streams = String::new();
    for number in 0..count {
        let _ = writeln!(streams, "      {prefix}-{number}: {{ subjects: [\"{prefix}-{number}.>\"] }}");
    }
    write(cluster, prefix, layout, &streams)
}

/// Writes a definition of these virtual streams, and returns the path of the file.
fn write(cluster: &SuperCluster, name: &str, layout: &str, streams: &str) -> PathBuf {
    let made = std::fs::read_to_string(cluster.definition_path()).unwrap();
    let (head, _) = made.split_once("    layout:").unwrap();
    let text = format!("{head}    layout: {layout}\n    virtual_streams:\n{streams}");
    let path = cluster.folder().join(format!("{name}.yaml"));
    std::fs::write(&path, text).unwrap();
    path
}

/// Gives the servers time to clean up after deletions.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// Runs the command, which must succeed.
fn vstream(folder: &Path, args: &[&str]) {
    let output = Command::new(VSTREAM).current_dir(folder).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns how many milliseconds a call takes.
fn timed(run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_secs_f64() * 1000.0
}

/// Durations in milliseconds, sorted.
struct Times(Vec<f64>);

impl Times {
    fn of(times: impl Iterator<Item = f64>) -> Self {
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last) = (self.0[0], self.0[self.0.len() - 1]);
        write!(f, "median {:.1} ms of {} ({first:.1} – {last:.1})", self.median(), self.0.len())
    }
}
