//! Runs while something else happens: subscribers are connected, another tool pushes, servers and regions are down.

use crate::support::bench::Bench;
use crate::support::{PATIENCE, client, eventually, small, two_regions};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vstream_jwt::engine::lease::Holder;
use vstream_jwt::engine::run::{Run, Signers, execute};
use vstream_jwt::engine::session::{Subscription, VerbInputs};
use vstream_jwt::engine::{Deadline, Progress, Silent};
use vstream_jwt::nats::{DefinitionConnector, Purpose};
use vstream_jwt::ops::apply::ApplyPlanner;
use vstream_jwt::ops::load;
use vstream_jwt::ops::plan::plan;
use vstream_jwt::ops::trust::trust;
use vstream_jwt::plan::Options;
use vstream_jwt::sign::Signer as _;
use vstream_jwt::sign::keyring::Keyring;

const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_named_and_the_next_run_finishes() {
    let cluster = two_regions().await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &bench.definition());
    bench.until(0, &APPLY).await;
    bench.until(0, &["verify"]).await;
    one_server_down(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_meanwhile_is_seen_and_the_next_run_finishes() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &bench.definition());
    live_subscribers(&bench).await;
    somebody_else_pushes(&bench).await;
    one_region_down(&bench).await;
    destroyed_while_a_region_is_down(&bench).await;
    no_meta_leader(&bench).await;
}

async fn live_subscribers(bench: &Bench<'_>) {
    let mut definition = bench.definition();
    definition["system"] = json!({ "key": "keys/sys.nk" });
    definition["operator"] = json!(bench.cluster.operator_id());
    let minted = bench.write("minted", &definition);
    let before = bench.everything().await;
    let subscriber = client(bench.cluster, "east").await;
    let _orders = subscriber.subscribe("foo.orders").await.unwrap();
    let _all = subscriber.subscribe("foo.>").await.unwrap();
    subscriber.flush().await.unwrap();
    let said = ["subscription foo.orders of client", "on east-", "mapped by `foo.>`", "--allow subscription-stops"];
    bench.expect(1, &APPLY, "subscription-stops", &said);
    bench.expect(1, &[&APPLY[..], &["--definition", &minted]].concat(), "subscription-stops", &said);
    bench.unchanged_since(&before, "a refusal").await;
    bench.expect(3, &["plan", "--allow", "subscription-stops"], "subscription-stops", &["warning", "foo.orders"]);
}

/// Calls a function once, when a run gets to a step.
struct When<'a> {
    step: &'static str,
    done: AtomicBool,
    what: &'a (dyn Fn() + Sync),
}

impl Progress for When<'_> {
    fn step(&self, step: &str, _: usize, _: usize) {
        if step == self.step && !self.done.swap(true, Ordering::SeqCst) {
            (self.what)();
        }
    }
}

/// The token changes between plan and push: the run plans again on top of it, and no change is lost.
async fn somebody_else_pushes(bench: &Bench<'_>) {
    let loaded = load::load(Path::new(&bench.cluster.folder().join("vstream.yaml"))).unwrap();
    let folder = loaded.base.join("keys");
    let mut keys = Keyring::open(&folder).unwrap();
    let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, &folder);
    let deadline = Deadline::after(Duration::from_secs(30));
    let trust = trust(Some(&loaded.definition), &loaded.base, &folder);
    let trust = trust.signing_with(Some(bench.key("op.nk").public_key()));
    let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
    let (mut session, mut planned) =
        plan(inputs, &connector, &Options::default(), Subscription::On, deadline, &Silent).await.unwrap();
    let mut claims = bench.claims().await;
    claims["nats"]["description"] = json!("by somebody else");
    let runtime = tokio::runtime::Handle::current();
    let push = || tokio::task::block_in_place(|| runtime.block_on(bench.push(&claims)));
    let progress = When { step: "making streams", done: AtomicBool::new(false), what: &push };
    let operator = bench.key("op.nk");
    let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the test".to_owned(), verb: "apply" });
    let applied = execute(&mut session, &mut planned, run, &connector, &progress).await.unwrap();
    assert!(applied.is_confirmed() && applied.planned_again == 1, "{applied:?}");
    let now = bench.claims().await;
    assert_eq!(now["nats"]["description"], "by somebody else");
    assert_eq!(now["nats"]["mappings"]["foo.>"].as_array().unwrap().len(), 3);
    bench.until(0, &["verify"]).await;
}

fn with_streams(bench: &Bench<'_>, names: &[&str]) {
    let mut definition = bench.definition();
    for name in names {
        definition["accounts"]["APP"]["virtual_streams"][*name] = json!({ "subjects": [format!("{name}.>")] });
    }
    bench.write("vstream", &definition);
}

/// A finding: its code, its stream, and words of its message.
type Said<'s> = (&'s str, &'s str, [&'s str; 2]);

/// Runs `verify` until it reports all of these: servers need a while to notice that another one is missing.
async fn until_verify_says(bench: &Bench<'_>, expected: &[Said<'_>]) {
    let codes: Vec<&str> = expected.iter().map(|(code, ..)| *code).collect();
    let (started, codes) = (Instant::now(), codes.join(", "));
    eventually(&codes, || async {
        let verified = bench.run(&["verify", "--format", "json", "--timeout", "8s"]).document();
        let streams = verified["accounts"][0]["streams"].as_array().unwrap();
        let problems: Vec<_> = streams.iter().flat_map(|checked| checked["problems"].as_array().unwrap()).collect();
        for (code, stream, words) in expected {
            let place = format!("account APP, stream {stream}");
            let found = problems.iter().find(|problem| problem["code"] == *code && problem["place"] == place)?;
            let said = format!("{} {}", found["message"], found["next"]);
            assert!(words.iter().all(|words| said.contains(words)), "{code} without one of {words:?}: {said}");
        }
        Some(())
    })
    .await;
    println!("{:?} until verify says {codes}", started.elapsed());
}

async fn one_server_down(bench: &Bench<'_>) {
    bench.cluster.kill("east-1").await.unwrap();
    // Gateways to the server need a moment to find the other servers of the region.
    let settled = || async { (bench.deployment().await.servers.len() == 5).then_some(()) };
    eventually("five servers answer", settled).await;
    // Streams that the server led need another leader. Until they have one, `apply` cannot compare them, and refuses.
    bench.until(4, &APPLY).await;
    let said = ["Nothing to do on the 5 servers that answer", "1 of 6 servers does not answer (east-1)", "next:"];
    bench.says(4, &APPLY, &said);
    bench.says(4, &["verify"], &["5 of 6 servers have the newest", "Not sure"]);
    let words = ["its replica on east-1 does not answer the leader", "Bring that server back"];
    until_verify_says(bench, &[("replica-offline", "foo-write-east", words)]).await;

    with_streams(bench, &["bar"]);
    let said = ["cluster east: 2 servers with JetStream answered", "bar-write-east has 3 replicas", "next:"];
    bench.says(1, &APPLY, &[&said[..], &["nothing was changed"]].concat());

    // A push needs no quorum: the run confirms it where it can, and reports the rest.
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["virtual_streams"]["foo"]["map_requests"] = json!(["snapshot"]);
    bench.write("vstream", &definition);
    bench.says(4, &APPLY, &["token pushed; 5 of 6 servers confirm", "Not everything is confirmed"]);

    // When one more server is down, the region's streams have no leader, and published messages are refused.
    bench.cluster.kill("east-2").await.unwrap();
    let words = ["has no leader: takes no messages until most of its servers are back", "nats server report jetstream"];
    until_verify_says(bench, &[("no-leader", "foo-write-east", words)]).await;
    for server in ["east-1", "east-2"] {
        bench.cluster.start(server).await.unwrap();
    }
    bench.cluster.wait_ready(PATIENCE).await.unwrap();
    bench.until(0, &APPLY).await;
    let claims = bench.claims().await;
    assert!(claims["nats"]["mappings"]["$JS.API.STREAM.SNAPSHOT.foo"].is_array(), "{claims}");
    // A mapping that the definition no longer allows is removed.
    bench.write("vstream", &bench.definition());
    bench.says(3, &["verify"], &["not in the definition: $JS.API.STREAM.SNAPSHOT.foo"]);
    bench.until(0, &APPLY).await;
    let claims = bench.claims().await;
    assert!(claims["nats"]["mappings"]["$JS.API.STREAM.SNAPSHOT.foo"].is_null(), "{claims}");
}

async fn one_region_down(bench: &Bench<'_>) {
    with_streams(bench, &["baz"]);
    bench.cluster.kill("east").await.unwrap();
    let said =
        ["region east: no server of cluster east answers", "--allow region-missing", "1 finding stands in the way"];
    bench.says(1, &APPLY, &said);

    let said = ["left out, cannot be reached", "stream baz-read-east", "2 of 3 servers confirm"];
    bench.says(4, &[&APPLY[..], &["--allow", "region-missing"]].concat(), &said);
    let names = bench.stream_names().await;
    assert!(names.contains(&"baz-read-west".to_owned()) && !names.contains(&"baz-read-east".to_owned()), "{names:?}");

    // Other servers do not report killed servers as offline for 150 s.
    let unknown = ["exists, but its leader did not answer", "See which servers are down"];
    let silent = ["has not heard from its source foo-write-east for", "and foo-write-east does not answer either"];
    let said = [("stream-unknown", "foo-write-east", unknown), ("source-silent", "foo-read-west", silent)];
    until_verify_says(bench, &said).await;

    bench.cluster.start("east").await.unwrap();
    bench.cluster.wait_ready(PATIENCE).await.unwrap();
    // Sources that lost their origin retry after 30 s. So everything is done, but not yet confirmed.
    let finished = bench.run(&[&APPLY[..], &["--prune", "foo"]].concat());
    assert!([0, 4].contains(&finished.code), "{finished}");
    assert!(finished.out.contains("streams and consumers: 2 of 2") && finished.out.contains("3 of 3"), "{finished}");
    bench.says(0, &["plan"], &["In sync"]);
}

/// The region returns with mappings that the others have removed. So its streams stay, and the next run removes the
/// mappings there too.
async fn destroyed_while_a_region_is_down(bench: &Bench<'_>) {
    let destroy = ["destroy", "--yes", "--operator", "op.nk"];
    bench.cluster.kill("east").await.unwrap();
    bench.says(4, &[&destroy[..], &["--delete-streams"]].concat(), &["2 of 3 servers confirm", "kept, since"]);
    bench.says(4, &destroy, &["Nothing to remove on the servers that answer; 1 of 3 do not"]);
    bench.cluster.start("east").await.unwrap();
    bench.cluster.wait_ready(PATIENCE).await.unwrap();
    let said = ["the newest token, again, for east-1", "3 of 3 servers confirm", "Done."];
    bench.says(0, &destroy, &said);
}

/// Two of three regions are down, and with them the quorum of JetStream's meta group.
async fn no_meta_leader(bench: &Bench<'_>) {
    with_streams(bench, &["baz", "qux"]);
    bench.cluster.kill("east").await.unwrap();
    bench.cluster.kill("central").await.unwrap();
    let leaderless = || async {
        let servers = bench.deployment().await.servers;
        servers.iter().all(|server| server.varz.pointer("/jetstream/meta/leader").is_none()).then_some(())
    };
    eventually("the lost leader is noticed", leaderless).await;
    let tokens = bench.tokens().await;
    let said = [
        "account APP, JetStream does not answer",
        "temporarily unavailable (10008)",
        "servers do not answer",
        "majority",
    ];
    bench.says(1, &[&APPLY[..], &["--allow", "region-missing", "--timeout", "8s"]].concat(), &said);
    assert!(bench.tokens().await == tokens, "a token was pushed");
    // `verify` still reports all that it can see: the remaining region missed a push while it was down.
    let said = ["cannot be looked at", "temporarily unavailable", "not as defined"];
    bench.says(3, &["verify", "--timeout", "8s"], &said);
}
