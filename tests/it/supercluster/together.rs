//! Several runs at once, and other tools that push meanwhile. No change is lost.

use crate::support::bench::{Bench, now};
use crate::support::killing::thorough;
use crate::support::secrets::assert_shows_none;
use crate::support::{PATIENCE, VSTREAM, account, client, eventually, system_client};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use vstream_jwt::desired::lease::{self, EXPIRY, STREAM, SUBJECT};
use vstream_jwt::engine::lease::Holder;
use vstream_jwt::engine::run::{Run, Signers, execute};
use vstream_jwt::engine::session::{Subscription, VerbInputs};
use vstream_jwt::engine::{Deadline, Progress, Silent};
use vstream_jwt::model::claims::{AccountClaims, Token};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::nats::{DefinitionConnector, Purpose};
use vstream_jwt::ops::apply::ApplyPlanner;
use vstream_jwt::ops::load;
use vstream_jwt::ops::plan::plan;
use vstream_jwt::ops::trust::trust;
use vstream_jwt::plan::Options;
use vstream_jwt::sign::keyring::Keyring;
use vstream_jwt::sign::{Seed, Signer as _, issue};

/// Number of pushes by the other tool until one more run has ended. A run plans again up to eight times.
const MOST_PUSHES: usize = 4;

fn spawn(bench: &Bench<'_>, definition: &str, more: &[&str]) -> Child {
    let mut command = Command::new(VSTREAM);
    command.current_dir(bench.cluster.folder()).env("NO_COLOR", "1").stdin(Stdio::null());
    command.args(["apply", "--definition", definition, "--operator", "op.nk", "--timeout", "2m"]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Writes a definition with one virtual stream; all of these definitions have the same account.
fn one(bench: &Bench<'_>, layout: &str, name: &str) -> String {
    let mut definition = bench.definition();
    let small = json!({ "num_replicas": 1 });
    let stream = json!({ "subjects": [format!("{name}.>")], "write": small, "read": small });
    definition["accounts"]["APP"]["layout"] = layout.into();
    definition["accounts"]["APP"]["virtual_streams"] = json!({ name: stream });
    bench.write(name, &definition)
}

fn ended(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    assert_shows_none("apply", &[&output.stdout, &output.stderr]);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
}

/// Returns the sources of all mappings in the account's claims.
async fn sources(bench: &Bench<'_>) -> Vec<String> {
    let claims = bench.claims().await;
    claims["nats"]["mappings"].as_object().into_iter().flatten().map(|(source, _)| source.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_runs_at_once_and_another_tool_in_between_lose_nothing() {
    runs_at_once(10, "shared", Duration::from_millis(2500)).await;
}

/// The first run makes the regional accounts, and maps the account's JetStream to the regions while the other runs
/// wait.
#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_in_the_layout_regional() {
    runs_at_once(if thorough() { 10 } else { 5 }, "regional", Duration::from_secs(4)).await;
}

async fn runs_at_once(runs: usize, layout: &str, pause: Duration) {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    // It is chance whether a push falls into a run; each round checks that no change is lost.
    for round in 0..5 {
        let names: Vec<String> = (0..runs).map(|i| format!("s{round}-{i}")).collect();
        // On an idle machine, runs are so fast that the other tool must be fast too.
        if at_once(&bench, layout, pause / (round + 1), &names).await {
            return;
        }
    }
    panic!("no push of another tool came while a run went on");
}

/// Starts a run for each name, and the other tool. Returns `true` if its pushes made a run plan again.
async fn at_once(bench: &Bench<'_>, layout: &str, pause: Duration, names: &[String]) -> bool {
    let definitions: Vec<String> = names.iter().map(|name| one(bench, layout, name)).collect();
    let started = Instant::now();
    // Each run waits for all earlier ones, which takes more than the usual three minutes on a busy machine.
    let patient = ["--lease-timeout", "10m"];
    let mut runs: Vec<Child> = definitions.iter().map(|definition| spawn(bench, definition, &patient)).collect();
    let mut running = || runs.iter_mut().filter_map(|run| run.try_wait().ok()).filter(Option::is_none).count();

    // Does the same as nsc: pull, edit, push. In between, a run may have pushed.
    let operator = bench.key("op.nk");
    let mut tags = Vec::new();
    let (mut before, mut pushes) = (names.len(), 0);
    loop {
        // A push after the last run would test nothing.
        match running() {
            0..=3 => break,
            running if running < before => (before, pushes) = (running, 0),
            // A run gives up if its token changes each time it has planned, as it would here on a busy machine.
            _ if pushes == MOST_PUSHES => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            _ => {}
        }
        let stored = bench.tokens().await.into_iter().filter_map(|(_, token)| token);
        let newest = stored.max_by_key(|token| AccountClaims::decode(token).unwrap().issued_at()).unwrap();
        let mut claims = Token::decode(&newest).unwrap().claims().clone();
        tokio::time::sleep(Duration::from_millis(400)).await;
        let tag = format!("tag-{}-{}", names[0], tags.len());
        let list = claims["nats"]["tags"].as_array().cloned().unwrap_or_default();
        claims["nats"]["tags"] = list.into_iter().chain([tag.as_str().into()]).collect();
        // nsc dates its tokens by its clock, whatever the servers store.
        let token = issue(&claims, &operator, now()).unwrap();
        let system = system_client(bench.cluster).await;
        system.request("$SYS.REQ.CLAIMS.UPDATE", token.as_str().to_owned().into()).await.unwrap();
        tags.push(tag);
        pushes += 1;
        // Leaves enough time for a round of planning and pushing, even on a busy machine.
        tokio::time::sleep(pause).await;
    }
    let results: Vec<(i32, String)> = runs.into_iter().map(ended).collect();
    let again = results.iter().filter(|(_, said)| said.contains("planned again")).count();
    eprintln!(
        "{} runs and {} pushes of another tool in {:.1?}; {again} planned again",
        names.len(),
        tags.len(),
        started.elapsed()
    );
    for (code, said) in &results {
        assert_eq!(*code, 0, "{said}");
        assert!(said.contains("Done."), "{said}");
    }

    let there = sources(bench).await;
    for name in names {
        assert!(there.contains(&format!("{name}.>")), "{name} is not among {there:?}");
    }
    let claims = bench.claims().await;
    let found: Vec<&str> = claims["nats"]["tags"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for tag in &tags {
        assert!(found.contains(&tag.as_str()), "{tag} is not among {found:?}");
    }
    for definition in &definitions {
        bench.run(&["verify", "--definition", definition]).ends(0);
    }

    // Rolls back to the state after the first run: undoes the other runs, and keeps the changes of the other tool.
    let first = format!("last~{}", names.len() - 1);
    bench.run(&["rollback", &first, "--operator", "op.nk", "--definition", &definitions[0]]).ends(0);
    let there = sources(bench).await;
    let left: Vec<&String> = names.iter().filter(|name| there.contains(&format!("{name}.>"))).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let claims = bench.claims().await;
    for tag in &tags {
        assert!(claims["nats"]["tags"].as_array().unwrap().contains(&json!(tag)), "{tag} was undone: {claims}");
    }
    tags.len() > 1 && again > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_keeps_others_waiting_and_ends_with_its_run() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    one(&bench, "regional", "foo");
    let bar = one(&bench, "regional", "bar");
    bench.run(&["apply", "--definition", "foo.yaml", "--operator", "op.nk"]).ends(0);
    // An application sees the streams of the regional layout, but not the lease.
    assert_eq!(bench.stream_names().await, ["foo"]);

    // Kills the run as soon as it has the lease, which stays.
    let application = client(&cluster, "central").await;
    let mut notes = application.subscribe(SUBJECT).await.unwrap();
    application.flush().await.unwrap();
    let mut first = spawn(&bench, &bar, &[]);
    let note = tokio::time::timeout(PATIENCE, notes.next()).await.unwrap().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    // On a busy machine, the next run may not get to the lease before it expires, so the test renews it.
    let renew = async || {
        application.request(SUBJECT, note.payload.clone()).await.unwrap();
        Instant::now()
    };
    let said =
        ["account APP is being changed by", "with `apply` since", "next: Run it again when the other run has ended"];
    renew().await;
    bench.expect(
        1,
        &["apply", "--definition", &bar, "--operator", "op.nk", "--lease-timeout", "0s"],
        "lease-held",
        &said,
    );
    let renewed = renew().await;
    bench.says(
        1,
        &["destroy", "--yes", "--definition", "foo.yaml", "--operator", "op.nk", "--lease-timeout", "1s"],
        &said[..2],
    );
    // An abandoned lease delays the next run by no more than its expiry.
    bench.run(&["apply", "--definition", &bar, "--operator", "op.nk"]).ends(0);
    let (delay, most) = (renewed.elapsed(), Duration::from_secs(EXPIRY));
    eprintln!("a killed run delayed the next by {delay:.1?}");
    assert!(delay < most + PATIENCE / 4, "{delay:?}");
    bench.until(0, &["verify", "--definition", &bar]).await;

    // An interrupted run releases its lease. On a busy machine it may have ended before the signal.
    let mut interrupted = None;
    for attempt in 0..5 {
        let baz = one(&bench, "regional", &format!("baz{attempt}"));
        while tokio::time::timeout(Duration::from_millis(500), notes.next()).await.is_ok() {}
        let run = spawn(&bench, &baz, &[]);
        tokio::time::timeout(PATIENCE, notes.next()).await.unwrap().unwrap();
        Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
        let (code, said) = ended(run);
        if code != 0 {
            assert!(code == 1 && said.contains("interrupted"), "exit {code}: {said}");
            interrupted = Some(baz);
            break;
        }
    }
    let baz = interrupted.expect("no run could be interrupted");
    bench.run(&["apply", "--definition", &baz, "--operator", "op.nk", "--lease-timeout", "0s"]).ends(0);

    bench.until(0, &["verify", "--definition", &baz]).await;
}

/// A lease that an application's user plants blocks no run, or the message names it and says how to remove it.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_lease_blocks_nobody() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    // A run takes the lease only if there is something to do.
    let files = ["a", "b", "c"].map(|name| one(&bench, "shared", name));
    let apply = |file: usize| ["apply", "--definition", &files[file], "--operator", "op.nk", "--lease-timeout", "0s"];
    let note = json!({ "id": "x", "holder": "them", "verb": "apply", "tool": "", "since": "2026-01-01T00:00:00Z" });
    let planted = |config: Value| {
        let mut whole = json!({ "name": STREAM, "subjects": [SUBJECT], "storage": "memory", "num_replicas": 1 });
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        whole
    };
    let (bench, cluster) = (&bench, &cluster);
    let plant = async |config: Value, stored: &[String]| {
        bench.make_stream(planted(config)).await;
        let application = client(cluster, "west").await;
        for stored in stored {
            let reply = application.request(SUBJECT, stored.clone().into()).await.unwrap();
            assert!(String::from_utf8_lossy(&reply.payload).contains("\"seq\""), "{reply:?}");
        }
    };

    // A stream without an expiry, with a note and another message in it: it holds as long as a lease does.
    plant(json!({}), &[note.to_string(), "nonsense".to_owned()]).await;
    let stored = Instant::now();
    bench.expect(1, &apply(0), "lease-held", &["a message that is no lease of vstream-jwt", "`$VSTREAM.>`"]);
    let config = &bench.api("west", &format!("STREAM.INFO.{STREAM}"), Value::Null).await["config"];
    assert_eq!((&config["max_age"], &config["max_msgs"]), (&json!(EXPIRY * 1_000_000_000), &json!(1)), "{config}");
    tokio::time::sleep(Duration::from_secs(EXPIRY + 1).saturating_sub(stored.elapsed())).await;
    bench.run(&apply(0)).ends(0);
    bench.delete_stream(STREAM).await;

    // An old note, by the clock of its server, is no lease, even if the user may not repair the stream.
    plant(json!({ "max_msgs": 1 }), &[note.to_string()]).await;
    tokio::time::sleep(Duration::from_secs(EXPIRY + 1)).await;
    let status = bench.run(&["status", "--definition", &files[0]]);
    assert!(!status.ends(0).out.contains("them"), "{status}");
    let ran = bench.run(&apply(1));
    assert!(ran.ends(0).err.contains("had a wrong config, which was repaired"), "{ran}");
    bench.delete_stream(STREAM).await;

    // A stream that cannot be repaired is named, with its account.
    let said = [STREAM, "retention", "vstream-jwt did not make it", "Remove it, with `nats stream rm`"];
    plant(json!({ "retention": "workqueue" }), &[]).await;
    bench.expect(1, &apply(2), "lease-unreachable", &said);
    bench.delete_stream(STREAM).await;
    // Right except for one setting, which makes the stream accept only counters.
    let mut counters = lease::config(None);
    counters.insert("allow_msg_counter".to_owned(), json!(true));
    plant(counters.into(), &[]).await;
    if bench.api("west", &format!("STREAM.INFO.{STREAM}"), Value::Null).await["config"]["allow_msg_counter"] == true {
        let said = [STREAM, "allow_msg_counter", "vstream-jwt did not make it", "Remove it, with `nats stream rm`"];
        bench.expect(1, &apply(2), "lease-unreachable", &said);
    }
    bench.delete_stream(STREAM).await;
    // A purge sets the next sequence.
    plant(lease::config(None).into(), &[]).await;
    let purged = bench.api("west", &format!("STREAM.PURGE.{STREAM}"), json!({ "seq": u64::MAX })).await;
    assert_eq!(purged["success"], true, "{purged}");
    let said = [STREAM, "its sequences are used up", "Remove it, with `nats stream rm`"];
    bench.expect(1, &apply(2), "lease-unreachable", &said);
    bench.delete_stream(STREAM).await;
    let said = ["account APP, stream other", "captures $VSTREAM.LEASE", "Remove it, with `nats stream rm`"];
    plant(json!({ "name": "other", "subjects": ["$VSTREAM.>"] }), &[]).await;
    bench.expect(1, &apply(2), "lease-unreachable", &said);
    bench.delete_stream("other").await;
    bench.run(&apply(2)).ends(0);
}

/// A signature may have to wait for the user. The run renews the lease meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_signer_does_not_cost_the_lease() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    let (foo, bar) = (one(&bench, "regional", "foo"), one(&bench, "regional", "bar"));
    let example = crate::support::example("operator_cmd");
    // The run makes the keys of new accounts under the lease, and so signs their tokens under it.
    let agreed = cluster.folder().join("agreed");
    let slowly = format!(
        "while read -r line; do case $line in *message*) while [ ! -e '{}' ]; do sleep 0.1; done;; esac; \
         echo \"$line\"; done | {} keys/op.nk",
        agreed.display(),
        example.display()
    );
    let application = client(&cluster, "east").await;
    let mut notes = application.subscribe(SUBJECT).await.unwrap();
    application.flush().await.unwrap();
    let mut command = Command::new(VSTREAM);
    command.current_dir(cluster.folder()).args(["apply", "--definition", &foo, "--operator-cmd", &slowly]);
    command.args(["--timeout", "2m", "--format", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    lost_lease(&bench, &mut command, &mut notes, &agreed).await;
    let run = command.spawn().unwrap();
    tokio::time::timeout(PATIENCE, notes.next()).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(EXPIRY + 2)).await;
    let said = ["account APP is being changed by"];
    bench.expect(
        1,
        &["apply", "--definition", &bar, "--operator", "op.nk", "--lease-timeout", "0s"],
        "lease-held",
        &said,
    );
    std::fs::write(&agreed, "").unwrap();
    let (code, said) = ended(run);
    assert_eq!(code, 0, "{said}");
}

/// Another run takes the lease while this one waits for signatures: this one stops, and pushes nothing.
async fn lost_lease(bench: &Bench<'_>, command: &mut Command, notes: &mut async_nats::Subscriber, agreed: &Path) {
    let before = bench.everything().await;
    let run = command.spawn().unwrap();
    tokio::time::timeout(PATIENCE, notes.next()).await.unwrap().unwrap();
    // The run also publishes its note before there is a stream, so the test waits until one is stored.
    let stored = eventually("the lease is taken", async || {
        let last = json!({ "last_by_subj": SUBJECT });
        let answer = bench.api("west", &format!("STREAM.MSG.GET.{STREAM}"), last).await;
        let note = STANDARD.decode(answer["message"]["data"].as_str()?).ok()?;
        // The note of an earlier run may still be there.
        serde_json::from_slice::<Value>(&note).ok().filter(|note| note["released"] != true)
    });
    let mut note = stored.await;
    (note["id"], note["holder"]) = ("somebody".into(), "somebody".into());
    let application = client(bench.cluster, "west").await;
    let reply = application.request(SUBJECT, note.to_string().into()).await.unwrap();
    assert!(String::from_utf8_lossy(&reply.payload).contains("\"seq\""), "{reply:?}");
    // However soon the run has the signatures, it checks the lease before it pushes.
    std::fs::write(agreed, "").unwrap();
    let (code, said) = ended(run);
    std::fs::remove_file(agreed).unwrap();
    for words in [r#""code": "lease-lost""#, "the lease of account APP was lost: somebody has it now", r#""next": ""#] {
        assert!(code == 1 && said.contains(words), "exit {code}: {said}");
    }
    let mut after = bench.everything().await;
    after.streams.retain(|stream| stream["name"] != STREAM);
    let changes = after.changes_since(&before);
    assert!(changes.is_empty(), "a run that lost its lease changed something:\n{}", changes.join("\n"));
    // Releases the lease.
    note["released"] = true.into();
    application.request(SUBJECT, note.to_string().into()).await.unwrap();
    for region in bench.cluster.regions() {
        std::fs::remove_file(
            bench.cluster.keys_folder().join(format!("{}.nk", bench.cluster.regional_account(region))),
        )
        .unwrap();
    }
    while tokio::time::timeout(Duration::from_millis(500), notes.next()).await.is_ok() {}
}

/// A step of a run, and the action to take at it.
pub(super) type Step<'t> = (&'static str, &'t (dyn Fn() + Sync));

/// Takes each action once, when a run gets to its step.
pub(super) struct At<'t> {
    pub steps: Mutex<Vec<Step<'t>>>,
}

impl Progress for At<'_> {
    fn step(&self, step: &str, _done: usize, _total: usize) {
        let mut steps = self.steps.lock().unwrap();
        if let Some(place) = steps.iter().position(|(name, _)| *name == step) {
            let (_, push) = steps.remove(place);
            push();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_overwritten_is_heard_and_kept() {
    let cluster = account().await.with_shared_layout();
    let bench = Bench::new(&cluster).await;
    let path = cluster.folder().join(one(&bench, "shared", "foo"));
    let loaded = load::load(&path).unwrap();
    let folder = loaded.base.join("keys");
    let mut keys = Keyring::open(&folder).unwrap();
    let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, &folder);
    let deadline = Deadline::after(PATIENCE);
    let options = Options::default();
    let trust = trust(Some(&loaded.definition), &loaded.base, &folder);
    let trust = trust.signing_with(Some(bench.key("op.nk").public_key()));
    let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
    let planned = plan(inputs, &connector, &options, Subscription::On, deadline, &Silent).await;
    let (mut session, mut planned) = planned.unwrap();

    // All edits start from the token before the run. The run also receives pushes on the subjects that name the
    // account.
    let (before, operator) = (bench.claims().await, bench.key("op.nk"));
    let runtime = tokio::runtime::Handle::current();
    let edited = |field: &str, value: Value, region: &str, subject: String| {
        let mut claims = before.clone();
        claims["nats"][field] = value;
        let token = issue(&claims, &operator, now()).unwrap().as_str().to_owned();
        tokio::task::block_in_place(|| {
            runtime.block_on(async {
                let access = cluster.system_credentials_path();
                let pusher = async_nats::ConnectOptions::with_credentials_file(access).await.unwrap();
                let pusher = pusher.connect(cluster.urls(region)).await.unwrap();
                let answer = pusher.request(subject, token.into()).await.unwrap();
                let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
                assert_eq!(answer["data"]["code"], 200, "a server stored it: {answer}");
            });
        });
    };
    let all = || "$SYS.REQ.CLAIMS.UPDATE".to_owned();
    let described = || edited("description", json!("by another"), "central", all());
    let by_name = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", cluster.account_id());
    let tagged = || edited("tags", json!(["by-a-third"]), "east", by_name.clone());
    let by_old = format!("$SYS.ACCOUNT.{}.CLAIMS.UPDATE", cluster.account_id());
    let user = Seed::generate(KeyKind::User).unwrap().public_key().to_string();
    let revoked = || edited("revocations", json!({ &user: 1_600_000_000 }), "west", by_old.clone());
    // Two edits come directly before the push, so our token overwrites them. One comes after it, and overwrites ours.
    let (before_push, after_push) = ("pushing account tokens", "waiting for every server to confirm");
    let steps: Vec<Step<'_>> = vec![(before_push, &described), (after_push, &tagged), (before_push, &revoked)];
    let progress = At { steps: Mutex::new(steps) };
    let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the test".to_owned(), verb: "apply" });
    let applied = execute(&mut session, &mut planned, run, &connector, &progress).await.unwrap();
    assert!(applied.is_confirmed() && applied.planned_again > 0, "{applied:?}");
    assert!(progress.steps.lock().unwrap().is_empty());

    let claims = bench.claims().await;
    assert!(claims["nats"]["mappings"]["foo.>"].is_array(), "{claims}");
    assert_eq!(
        (&claims["nats"]["description"], &claims["nats"]["tags"]),
        (&json!("by another"), &json!(["by-a-third"]))
    );
    assert_eq!(claims["nats"]["revocations"], json!({ &user: 1_600_000_000 }), "by the older subject");
    bench.run(&["verify", "--definition", "foo.yaml"]).ends(0);
}
