//! Measures an `apply` with many servers. Three real servers answer; each answer is repeated under other names until
//! there are as many as the deployment has servers. The code, the requests, the streams and the lease are the real
//! ones.
//!
//! `cargo bench --bench servers [-- RUNS]`; the figures are in `docs/performance.md`.

#![allow(missing_docs)]

use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vstream_jwt::definition::Definition;
use vstream_jwt::dev::{DevOptions, Lifetime, SuperCluster};
use vstream_jwt::engine::lease::Holder;
use vstream_jwt::engine::run::{Run, Signers, execute};
use vstream_jwt::engine::session::{Subscription, VerbInputs};
use vstream_jwt::engine::{Deadline, Silent};
use vstream_jwt::model::claims::{AccountClaims, Token};
use vstream_jwt::model::names::RegionName;
use vstream_jwt::model::nkey::PublicKey;
use vstream_jwt::model::virtual_stream::Account;
use vstream_jwt::nats::{DefinitionConnector, NatsConnection, Purpose};
use vstream_jwt::observed::connection::{Connection, ConnectionError, Connector, MessageReceiver};
use vstream_jwt::observed::{Reply, RequestError, Requests, User, system};
use vstream_jwt::ops;
use vstream_jwt::ops::apply::ApplyPlanner;
use vstream_jwt::plan;
use vstream_jwt::resolver::push;
use vstream_jwt::sign::file::read_seed_file;
use vstream_jwt::sign::keyring::Keyring;
use vstream_jwt::sign::{Seed, Signer as _, issue};

const TIMEOUT: Duration = Duration::from_secs(60);
/// The mapping that is removed by hand before each run, so that there is a token to push.
const MAPPING: &str = "$JS.API.STREAM.PURGE.foo";

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs this too, without the flag.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runs: usize = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(7);
    let folder = tempfile::Builder::new().prefix("vstream-bench-").tempdir().unwrap().keep();
    let options = DevOptions {
        folder,
        servers: 1,
        executable: Some(PathBuf::from(env!("CARGO_BIN_EXE_vstream-jwt"))),
        lifetime: Lifetime::Scoped { delete: true },
        ..DevOptions::default()
    };
    let cluster = SuperCluster::up(options).await.unwrap();
    cluster.wait_ready(TIMEOUT).await.unwrap();
    let account = json!({ "id": cluster.account_id(), "credentials": cluster.credentials_path(), "layout": "shared",
        "virtual_streams": { "foo": { "subjects": ["foo.>"], "map_requests": ["purge"],
            "write": { "num_replicas": 1 }, "read": { "num_replicas": 1 } } } });
    let regions: serde_json::Map<String, Value> =
        cluster.regions().iter().map(|name| (name.clone(), json!({ "servers": cluster.urls(name) }))).collect();
    let definition = json!({ "version": 1, "system": { "credentials": cluster.system_credentials_path() },
        "regions": regions, "accounts": { "APP": account } });
    let path = cluster.folder().join("servers.yaml");
    std::fs::write(&path, definition.to_string()).unwrap();
    let definition = ops::load::load(&path).unwrap().definition;
    let operator = read_seed_file(&cluster.operator_key_path()).unwrap();

    apply(&cluster, &definition, &operator, 1).await;
    for times in [1, 3, 17, 34, 67] {
        let (mut took, mut used) = (Vec::new(), Vec::new());
        for run in 0..=runs {
            take_mapping_away(&cluster, &definition, &operator).await;
            let (wall, processor) = apply(&cluster, &definition, &operator, times).await;
            // The first run warms up.
            if run > 0 {
                took.push(wall);
                used.push(processor);
            }
        }
        took.sort();
        used.sort();
        println!(
            "{:3} servers, apply of one token: median {:.0} ms of {runs} ({:.0} – {:.0}), of processor time {:.0} ms",
            3 * times,
            ms(took[runs / 2]),
            ms(took[0]),
            ms(took[runs - 1]),
            ms(used[runs / 2])
        );
    }
    cluster.down().await.unwrap();
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Returns the processor time of this process, which runs the command's code. It does not include the servers.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// Runs one `apply`, in which each real server stands for `times` servers.
async fn apply(cluster: &SuperCluster, definition: &Definition, operator: &Seed, times: usize) -> (Duration, Duration) {
    let (started, used) = (Instant::now(), processor());
    let folder = cluster.keys_folder();
    let mut keys = Keyring::open(&folder).unwrap();
    let connector = Multiplied { real: DefinitionConnector::new(definition, Purpose::Change, &folder), times };
    let (options, deadline) = (plan::Options::default(), Deadline::after(TIMEOUT));
    let trust = ops::trust::trust(Some(definition), cluster.folder(), &folder);
    let trust = trust.signing_with(Some(operator.public_key()));
    let inputs = VerbInputs { definition, keys: &keys, trust: &trust };
    let planned = ops::plan::plan(inputs, &connector, &options, Subscription::On, deadline, &Silent).await;
    let (mut session, mut planned) = planned.unwrap();
    let signers = Signers { operator: Some(operator), keys: &mut keys, signed: None };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the benchmark".to_owned(), verb: "apply" });
    let applied = execute(&mut session, &mut planned, run, &connector, &Silent).await.unwrap();
    assert!(applied.is_confirmed(), "{applied:?}");
    let confirmed = applied.pushed.last().unwrap().servers.len();
    assert_eq!(confirmed, 3 * times);
    (started.elapsed(), processor() - used)
}

async fn take_mapping_away(cluster: &SuperCluster, definition: &Definition, operator: &Seed) {
    let folder = cluster.keys_folder();
    let connector = DefinitionConnector::new(definition, Purpose::Change, &folder);
    let (connection, _) = connector.system(TIMEOUT).await.unwrap();
    let deployment = system::deployment(&connection, TIMEOUT).await.unwrap();
    let id = PublicKey::parse(cluster.account_id()).unwrap();
    let subject = format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.LOOKUP");
    let stored = String::from_utf8(connection.request(&subject, Vec::new(), TIMEOUT).await.unwrap().payload).unwrap();
    let mut claims = Token::decode(&stored).unwrap().into_claims();
    claims["nats"]["mappings"].as_object_mut().unwrap().remove(MAPPING).expect("it was there");
    // Two runs may be less than a second apart, but each `iat` must be greater than the previous token's.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = issue(&claims, operator, now.max(claims["iat"].as_u64().unwrap() + 1)).unwrap();
    let outcomes = push::push(&connection, &deployment, &[(id, token)], TIMEOUT).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.answer == push::Answer::Stored));
}

/// Connector that multiplies each server behind the system account by `times`.
struct Multiplied<'d> {
    real: DefinitionConnector<'d>,
    times: usize,
}

#[derive(Clone, Debug)]
struct Many {
    real: NatsConnection,
    times: usize,
}

impl Connector for Multiplied<'_> {
    type Connection = Many;

    fn changes(&self) -> bool {
        self.real.changes()
    }

    async fn system(&self, timeout: Duration) -> Result<(Many, PublicKey), ConnectionError> {
        let (real, account) = self.real.system(timeout).await?;
        Ok((Many { real, times: self.times }, account))
    }

    async fn account(
        &self,
        account: &Account,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<Many, ConnectionError> {
        let real = self.real.account(account, claims, strict, timeout).await?;
        Ok(Many { real, times: 1 })
    }

    async fn regional(
        &self,
        account: &Account,
        region: &RegionName,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<Option<Many>, ConnectionError> {
        let real = self.real.regional(account, region, claims, strict, timeout).await?;
        Ok(real.map(|real| Many { real, times: 1 }))
    }

    async fn load(
        &self,
        account: &Account,
        region: Option<&RegionName>,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<Vec<Result<String, ConnectionError>>, ConnectionError> {
        self.real.load(account, region, claims, strict, timeout).await
    }
}

impl Requests for Many {
    async fn request(&self, subject: &str, payload: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
        self.real.request(subject, payload, timeout).await
    }

    async fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        mut enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        let (mut replies, mut known) = (Vec::new(), 0);
        let heard = |real: &[Reply]| {
            let mut done = false;
            for reply in &real[known..] {
                for copy in 0..self.times {
                    replies.push(under_another_name(reply, copy, self.times));
                    done |= enough(&replies);
                }
            }
            known = real.len();
            done
        };
        self.real.request_many(subject, payload, timeout, heard).await?;
        Ok(replies)
    }

    fn user(&self) -> Option<&User> {
        self.real.user()
    }
}

impl Connection for Many {
    async fn publish_after(
        &self,
        subject: &str,
        last: u64,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> Result<Reply, RequestError> {
        self.real.publish_after(subject, last, payload, timeout).await
    }

    async fn listen(&self, subjects: &[&str]) -> Result<MessageReceiver, RequestError> {
        self.real.listen(subjects).await
    }

    fn denied_subscription<'s>(&self, subjects: &[&'s str]) -> Option<&'s str> {
        self.real.denied_subscription(subjects)
    }
}

/// Renames the server in all copies but the first. A token names no server, so it does not change.
fn under_another_name(reply: &Reply, copy: usize, times: usize) -> Reply {
    let Ok(mut answer) = serde_json::from_slice::<Value>(&reply.payload) else { return reply.clone() };
    if let Some(active) = answer.pointer_mut("/statsz/active_servers") {
        *active = json!(active.as_u64().unwrap() * times as u64);
    }
    for (id, name) in [("/server/id", "/server/name"), ("/data/server_id", "/data/server_name")] {
        for pointer in [id, name] {
            if let Some(Value::String(text)) = answer.pointer_mut(pointer).filter(|_| copy > 0) {
                text.push_str(&format!("-{copy}"));
            }
        }
    }
    Reply { headers: reply.headers.clone(), payload: answer.to_string().into_bytes() }
}
