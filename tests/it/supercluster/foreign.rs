//! An account that other tools use, too. Their content stays and works while this tool changes the account.

use crate::support::bench::{Bench, new_seed, now, public};
use crate::support::{Cluster, account, client};
use async_nats::{Client, jetstream};
use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::sign::{Seed, issue};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_others_stays_and_works() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    let exporter = [new_seed(KeyKind::Account), new_seed(KeyKind::Account)];
    prepare(&bench, &exporter).await;
    let before = Theirs::of(&bench).await;
    let traffic = Traffic::start(&bench, &exporter).await;

    let one = ["--definition", "one.yaml"];
    let other = ["--definition", "other.yaml"];
    bench.write("one", &definition(&bench, &["foo", "foo2"]));
    bench.write("other", &definition(&bench, &["bar"]));
    let apply = |rest: &[&str]| bench.run(&[&["apply", "--operator", "op.nk"], rest].concat());

    apply(&one).ends(0);
    before.unchanged(&bench, "apply").await;
    bench.until(0, &[&["verify"], &one[..]].concat()).await;
    assert!(apply(&one).ends(0).out.contains("nothing was pushed"));

    // A mapping by another tool on one of our sources.
    bench.expect(1, &[&["apply", "--operator", "op.nk"], &other[..]].concat(), "foreign-mapping", &["bar.>", "old.>"]);
    before.unchanged(&bench, "a refusal").await;
    apply(&[&other[..], &["--adopt"]].concat()).ends(0);
    let mut before = before;
    before.mappings.remove("bar.>");
    before.unchanged(&bench, "--adopt").await;
    for definition in [&one, &other] {
        assert!(apply(definition).ends(0).out.contains("nothing was pushed"), "two definitions disturb each other");
    }

    // A virtual stream that was removed from the definition stays until `--prune` names it.
    bench.write("one", &definition(&bench, &["foo"]));
    let left = bench.run(&[&["plan", "-v"], &one[..]].concat());
    assert!(left.ends(0).out.contains("--prune foo2"), "{left}");
    assert!(has(&bench, "foo2").await == (true, true));
    apply(&[&one[..], &["--prune", "foo2"]].concat()).ends(0);
    assert!(has(&bench, "foo2").await == (false, true));
    apply(&[&one[..], &["--prune", "foo2", "--delete-streams"]].concat()).ends(0);
    assert!(has(&bench, "foo2").await == (false, false));
    before.unchanged(&bench, "--prune").await;

    let destroy = |rest: &[&str]| bench.run(&[&["destroy", "--operator", "op.nk"], rest].concat());
    bench.write("one", &definition(&bench, &["foo", "foo2"]));
    apply(&one).ends(0);
    assert!(destroy(&one).ends(2).err.contains("--yes"));
    let unknown = destroy(&[&["bar", "--yes"], &one[..]].concat());
    assert!(unknown.ends(2).err.contains("the definition has no virtual stream bar"), "{unknown}");
    destroy(&[&["foo2", "--yes"], &one[..]].concat()).ends(0);
    assert!(has(&bench, "foo2").await == (false, true));
    assert!(has(&bench, "foo").await == (true, true));
    destroy(&[&["--yes", "--delete-streams"], &one[..]].concat()).ends(0);
    assert!(has(&bench, "foo").await == (false, false) && has(&bench, "foo2").await == (false, false));
    assert!(has(&bench, "bar").await == (true, true));
    before.unchanged(&bench, "destroy").await;
    bench.run(&[&["plan"], &other[..]].concat()).ends(0);

    traffic.stop_and_judge().await;
}

fn definition(bench: &Bench<'_>, names: &[&str]) -> Value {
    let mut definition = bench.definition();
    let one = json!({ "num_replicas": 1 });
    let stream = |name: &&str| {
        let subjects = [format!("{name}.>")];
        ((*name).to_owned(), json!({ "subjects": subjects, "write": one, "read": one }))
    };
    definition["accounts"]["APP"]["virtual_streams"] = names.iter().map(stream).collect::<Map<_, _>>().into();
    definition
}

/// Checks if the virtual stream has mappings, and if it has streams.
async fn has(bench: &Bench<'_>, name: &str) -> (bool, bool) {
    let claims = bench.claims().await;
    let mapped = claims["nats"]["mappings"].as_object().is_some_and(|m| m.contains_key(&format!("{name}.>")));
    let read = format!("{name}-read-west");
    (mapped, bench.stream_names().await.contains(&read))
}

/// Everything that other tools have: the claims without the fields that a signature sets, their mappings, streams and
/// consumers.
struct Theirs {
    claims: Value,
    mappings: Map<String, Value>,
    streams: Vec<Value>,
    consumers: Vec<Value>,
}

const SIGNED: [&str; 3] = ["iat", "iss", "jti"];

impl Theirs {
    async fn of(bench: &Bench<'_>) -> Self {
        let mut claims = bench.claims().await;
        claims.as_object_mut().unwrap().retain(|name, _| !SIGNED.contains(&name.as_str()));
        let mappings = claims["nats"].as_object_mut().unwrap().remove("mappings");
        let all = bench.everything().await;
        let mappings = mappings.and_then(|m| m.as_object().cloned()).unwrap_or_default();
        Self { claims, mappings, streams: all.streams, consumers: all.consumers }
    }

    async fn unchanged(&self, bench: &Bench<'_>, by: &str) {
        let now = Self::of(bench).await;
        assert_eq!(self.claims.to_string(), now.claims.to_string(), "{by}");
        for (source, destinations) in &self.mappings {
            assert_eq!(now.mappings.get(source), Some(destinations), "{source} after {by}");
        }
        let kept = |before: &[Value], after: &[Value]| before.iter().all(|config| after.contains(config));
        assert!(kept(&self.streams, &now.streams), "streams after {by}: {:?}", now.streams);
        assert!(kept(&self.consumers, &now.consumers), "consumers after {by}: {:?}", now.consumers);
    }
}

/// Adds one of everything to the account. Creates an account that it imports from, with this identity and signing key.
async fn prepare(bench: &Bench<'_>, [exporter, signing]: &[Seed; 2]) {
    let app = bench.cluster.account_id();
    let mut claims = bench.claims().await;
    let theirs = json!({
        "sub": public(exporter), "name": "EXPORTER",
        "nats": {
            "type": "account", "version": 2, "limits": claims["nats"]["limits"], "signing_keys": [public(signing)],
            "exports": [
                { "name": "ticks", "subject": "ticks.>", "type": "stream", "token_req": true },
                { "name": "svc", "subject": "svc.>", "type": "service" },
            ],
        },
    });
    bench.push_signed(&bench.key("op.nk"), &theirs, now()).await;
    let activation = json!({
        "sub": app, "name": "ticks", "nats": { "subject": "ticks.>", "kind": "stream", "type": "activation", "version": 2 },
    });
    let activation = issue(&activation, exporter, now()).unwrap();

    let nats = claims["nats"].as_object_mut().unwrap();
    let scoped = public(&new_seed(KeyKind::Account));
    nats["signing_keys"].as_array_mut().unwrap().extend([
        json!(public(&new_seed(KeyKind::Account))),
        json!({ "kind": "user_scope", "key": scoped, "role": "ops", "template": { "pub": { "allow": ["ops.>"] }, "sub": {} } }),
    ]);
    for (name, value) in [
        (
            "imports",
            json!([
                { "name": "ticks", "subject": "ticks.>", "account": public(exporter), "token": activation.as_str(),
                  "local_subject": "in.>", "type": "stream" },
                { "name": "svc", "subject": "svc.>", "account": public(exporter), "local_subject": "remote.>",
                  "type": "service" },
            ]),
        ),
        (
            "exports",
            json!([
                { "name": "mine", "subject": "mine.*", "type": "service", "response_type": "Stream" },
                { "name": "out", "subject": "out.>", "type": "stream", "token_req": true },
            ]),
        ),
        ("tags", json!(["team:a", "cost:b"])),
        ("revocations", json!({ public(&new_seed(KeyKind::User)): 1_600_000_000 })),
        ("description", json!("of a team that has never heard of us")),
        (
            "mappings",
            json!({
                "legacy.in": [{ "subject": "legacy.out" }],
                "canary": [{ "subject": "canary.v2", "weight": 10 }, { "subject": "canary", "weight": 90 }],
                "bar.>": [{ "subject": "old.>" }],
            }),
        ),
        ("future", json!({ "huge": "n", "list": [1, 2.50, { "null": null }] })),
    ] {
        nats.insert(name.to_owned(), value);
    }
    claims["x-custom"] = json!({ "kept": [true] });
    bench.push(&claims).await;

    let stream = json!({ "name": "ORDERS", "subjects": ["orders.>"], "metadata": { "team": "a" }, "max_age": 3_600_000_000_000_u64 });
    bench.make_stream(stream).await;
    bench
        .make_stream(json!({ "name": "KV_cfg", "subjects": ["$KV.cfg.>"], "max_msgs_per_subject": 3, "discard": "new",
        "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true }))
        .await;
    let consumer =
        json!({ "stream_name": "ORDERS", "config": { "durable_name": "billing", "ack_policy": "explicit" } });
    let made = bench.api("west", "CONSUMER.CREATE.ORDERS.billing", consumer).await;
    assert!(made.get("error").is_none(), "{made}");
}

/// Requests of other clients that run all the time. Each may be retried for a while, but none may fail in the end.
struct Traffic {
    stop: Arc<AtomicBool>,
    tasks: Vec<(&'static str, JoinHandle<Result<usize, String>>)>,
}

impl Traffic {
    async fn start(bench: &Bench<'_>, [exporter, signing]: &[Seed; 2]) -> Self {
        let cluster = bench.cluster;
        bench.write_credentials("exporter.creds", signing, &public(exporter), now() + 3600);
        let theirs = as_exporter(cluster).await;
        let mut traffic = Self { stop: Arc::default(), tasks: Vec::new() };

        answer(&client(cluster, "west").await, "legacy.out").await;
        answer(&theirs, "svc.>").await;
        let app = client(cluster, "east").await;
        let mut ticks = app.subscribe("in.>").await.unwrap();
        app.flush().await.unwrap();

        let stop = traffic.stop.clone();
        traffic.spawn("published to the stream", {
            let js = jetstream::new(client(cluster, "west").await);
            move || {
                let js = js.clone();
                async move {
                    js.publish("orders.new", "".into()).await?.await?;
                    Ok(())
                }
            }
        });
        for (name, region, subject) in [
            ("requested through the mapping", "central", "legacy.in"),
            ("requested from the exporter", "east", "remote.x"),
        ] {
            let client = client(cluster, region).await;
            traffic.spawn(name, move || {
                let client = client.clone();
                async move {
                    client.request(subject, "".into()).await?;
                    Ok(())
                }
            });
        }
        traffic.spawn("fetched from the consumer", {
            let stream = jetstream::new(client(cluster, "west").await).get_stream_no_info("ORDERS").await.unwrap();
            let consumer: jetstream::consumer::PullConsumer = stream.get_consumer("billing").await.unwrap();
            move || {
                let consumer = consumer.clone();
                async move {
                    let mut batch = consumer.fetch().max_messages(1).expires(Duration::from_secs(1)).messages().await?;
                    let message = batch.next().await.ok_or("no message")??;
                    message.double_ack().await?;
                    Ok(())
                }
            }
        });
        // A published message may get lost while servers register imports again, but the subscription must not end.
        traffic.tasks.push((
            "imported ticks",
            tokio::spawn(async move {
                let mut received = 0;
                while !stop.load(Ordering::Relaxed) {
                    let _ = theirs.publish("ticks.x", "".into()).await;
                    match tokio::time::timeout(Duration::from_secs(10), ticks.next()).await {
                        Ok(Some(_)) => received += 1,
                        _ => return Err("no more ticks".to_owned()),
                    }
                }
                Ok(received)
            }),
        ));
        traffic
    }

    fn spawn<F, R>(&mut self, name: &'static str, request: F)
    where
        F: Fn() -> R + Send + 'static,
        R: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let stop = self.stop.clone();
        let task = async move {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                while let Err(error) = request().await {
                    if started.elapsed() > Duration::from_secs(10) {
                        return Err(format!("after {done}: {error}"));
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                done += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(done)
        };
        self.tasks.push((name, tokio::spawn(task)));
    }

    async fn stop_and_judge(self) {
        self.stop.store(true, Ordering::Relaxed);
        for (name, task) in self.tasks {
            let done = task.await.unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
            println!("{name}: {done}");
            assert!(done > 50, "{name}: only {done}");
        }
    }
}

async fn answer(client: &Client, subject: &'static str) {
    let mut requests = client.subscribe(subject).await.unwrap();
    client.flush().await.unwrap();
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                let _ = client.publish(reply, "".into()).await;
            }
        }
    });
}

async fn as_exporter(cluster: &Cluster) -> Client {
    let path = cluster.keys_folder().join("exporter.creds");
    let options = async_nats::ConnectOptions::with_credentials_file(path).await.unwrap();
    options.connect(cluster.all_urls()).await.unwrap()
}
