//! Records of pushes, and rollbacks. A rollback undoes our changes, keeps those of other tools, and loses no published
//! message.

use crate::support::bench::{Bench, new_seed, now, public};
use crate::support::{Cluster, VSTREAM, account, client, secrets};
use async_nats::{HeaderMap, jetstream};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use vstream_jwt::desired::lease::{Note, SUBJECT};
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::ops::record::list;
use vstream_jwt::plan::record::{Outcome, PushProgress, Record};
use vstream_jwt::sign::issue;

fn definition(bench: &Bench<'_>, names: &[&str]) -> Value {
    let mut definition = bench.definition();
    let app = definition["accounts"]["APP"].as_object_mut().unwrap();
    app.remove("layout");
    let one = json!({ "num_replicas": 1 });
    let stream =
        |name: &&str| ((*name).to_owned(), json!({ "subjects": [format!("{name}.>")], "write": one, "read": one }));
    app.insert("virtual_streams".to_owned(), names.iter().map(stream).collect::<Map<_, _>>().into());
    definition
}

const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];
const ROLLBACK: [&str; 3] = ["rollback", "--operator", "op.nk"];

/// Returns the claims on every server, without the fields that every new token changes.
async fn claims(bench: &Bench<'_>) -> Value {
    let mut claims = bench.claims().await;
    claims.as_object_mut().unwrap().retain(|name, _| !["iat", "iss", "jti"].contains(&name.as_str()));
    claims
}

/// Pushes as another tool would, starting from the current claims.
async fn others(bench: &Bench<'_>, edit: impl FnOnce(&mut Value)) {
    let mut claims = bench.claims().await;
    edit(&mut claims["nats"]);
    bench.push(&claims).await;
}

fn records(folder: &Path) -> Vec<(String, Record)> {
    list(folder).unwrap().into_iter().map(|(name, record)| (name, record.unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_is_undone_and_what_others_changed_stays() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    let apply = |names: &[&str]| {
        bench.write("vstream", &definition(&bench, names));
        bench.run(&APPLY).ends(0);
    };
    apply(&["foo"]);
    let first = claims(&bench).await;
    let traffic = Traffic::start(&cluster).await;
    others(&bench, |nats| nats["limits"]["conn"] = json!(1234)).await;
    apply(&["foo", "bar"]);
    others(&bench, |nats| nats["tags"] = json!(["team:a"])).await;
    apply(&["foo", "bar", "baz"]);
    let user = public(&new_seed(KeyKind::User));
    others(&bench, |nats| nats["revocations"] = json!({ user.clone(): 1_600_000_000 })).await;
    let third = claims(&bench).await;

    let all = records(&cluster.folder().join("history"));
    let outcomes: Vec<Outcome> = all.iter().map(|(_, record)| record.content.outcome).collect();
    assert_eq!(outcomes, [Outcome::Confirmed; 3]);
    assert!(all.iter().all(|(_, record)| record.content.sent().all(|token| token.progress == PushProgress::Pushed)));
    bench.says(0, &["history"], &["apply by", "8 of 8 tokens pushed, 9 of 9 servers confirmed", "APP-west"]);
    bench.says(
        0,
        &["history", "last~2", "last"],
        &["+ nats.mappings.bar.>", "+ nats.mappings.baz.>", "1234", "team:a"],
    );
    bench.says(0, &["history", "last"], &["+ nats.mappings.baz.>", "mappings: 9 of 9 servers confirmed"]);

    // Returns to the state after the first run.
    let back = bench.run(&[&ROLLBACK[..], &["last~2"]].concat());
    for said in ["unused then", "streams of bar", "streams of baz", "9 of 9 servers confirm"] {
        assert!(back.ends(0).to_string().contains(said), "{said}: {back}");
    }
    let mut expected = first.clone();
    expected["nats"]["limits"]["conn"] = json!(1234);
    expected["nats"]["tags"] = json!(["team:a"]);
    expected["nats"]["revocations"] = json!({ user: 1_600_000_000 });
    assert_eq!(claims(&bench).await, expected);
    bench.write("vstream", &definition(&bench, &["foo"]));
    bench.until(0, &["verify"]).await;
    // A second rollback has nothing to undo; then `--last` undoes the rollback.
    bench.says(0, &[&ROLLBACK[..], &["last"]].concat(), &["Nothing to undo"]);
    bench.says(0, &[&ROLLBACK[..], &["--last"]].concat(), &["Done."]);
    assert_eq!(claims(&bench).await, third);

    conflicts(&bench).await;
    streams_that_are_gone(&bench, &all[0].0).await;
    mappings_to_nowhere(&bench).await;
    overtaken(&bench).await;
    foreign_records(&bench, &cluster.folder().join("history")).await;
    traffic.stop_and_judge(&cluster).await;
}

/// Another tool has changed the same value as the undone push.
async fn conflicts(bench: &Bench<'_>) {
    let stored = bench.claims().await;
    others(bench, |nats| nats["mappings"]["baz.>"][0]["weight"] = json!(50)).await;
    let before = bench.everything().await;
    // The newest record is the one that brought the value back.
    let said = ["account APP", "nats.mappings.baz.>", "was changed by another tool after record", "from nothing to"];
    bench.expect(1, &[&ROLLBACK[..], &["--last"]].concat(), "rollback-conflict", &said);
    bench.unchanged_since(&before, "a conflict").await;
    bench.push(&stored).await;
}

/// A rollback would restore a mapping whose streams were deleted.
async fn streams_that_are_gone(bench: &Bench<'_>, first: &str) {
    bench.run(&[&ROLLBACK[..], &[first]].concat()).ends(0);
    bench.write("baz", &definition(bench, &["baz"]));
    let destroy = ["destroy", "--operator", "op.nk", "baz", "--delete-streams", "--yes", "--definition", "baz.yaml"];
    bench.run(&destroy).ends(0);
    let before = bench.everything().await;
    let said = ["mapping baz.>", "stream baz-write-", "no longer exist"];
    bench.expect(1, &[&ROLLBACK[..], &["--last"]].concat(), "stream-gone", &said);
    bench.unchanged_since(&before, "a rollback to deleted streams").await;
}

/// A rollback would restore an adopted mapping, whose destination no stream stores.
async fn mappings_to_nowhere(bench: &Bench<'_>) {
    let stored = bench.claims().await;
    others(bench, |nats| nats["mappings"]["own.>"] = json!([{ "subject": "elsewhere.>" }])).await;
    let before = claims(bench).await;
    bench.write("own", &definition(bench, &["own"]));
    let definition = ["--definition", "own.yaml"];
    bench.run(&[&APPLY[..], &definition, &["--adopt"]].concat()).ends(0);
    let taken = bench.everything().await;
    let last = [&ROLLBACK[..], &["--last"], &definition].concat();
    let said = ["mapping own.>", "no stream of the account stores elsewhere.>", "--allow leads-nowhere"];
    bench.expect(1, &last, "leads-nowhere", &said);
    bench.unchanged_since(&taken, "a rollback to nowhere").await;
    bench.run(&[&last[..], &["--allow", "leads-nowhere"]].concat()).ends(0);
    assert_eq!(claims(bench).await, before);
    bench.push(&stored).await;
}

/// Another tool pushes while a rollback waits for the lease, so the run plans again on top of that push.
async fn overtaken(bench: &Bench<'_>) {
    let stored = bench.claims().await;
    bench.write("late", &definition(bench, &["late"]));
    let before = claims(bench).await;
    bench.run(&[&APPLY[..], &["--definition", "late.yaml"]].concat()).ends(0);
    assert!(bench.claims().await["nats"]["mappings"]["late.>"].is_array());
    let js = jetstream::new(client(bench.cluster, "west").await);
    let hold = async |released: bool| {
        let note = Note {
            id: "somebody".to_owned(),
            holder: "somebody".to_owned(),
            verb: "apply".to_owned(),
            tool: String::new(),
            since: String::new(),
            released,
        };
        js.publish(SUBJECT, serde_json::to_vec(&note).unwrap().into()).await.unwrap().await.unwrap();
    };
    hold(false).await;
    let mut command = Command::new(VSTREAM);
    command.current_dir(bench.cluster.folder()).args(ROLLBACK).args(["--last", "--definition", "late.yaml"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = tokio::task::spawn_blocking(move || secrets::output(&mut command));
    // The run has made its plan by then, and waits.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!running.is_finished(), "it did not wait");
    others(bench, |nats| nats["tags"] = json!(["while:waiting"])).await;
    hold(true).await;
    let output = running.await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && said.contains("waiting for the lease"), "{said}");
    assert!(said.contains("planning again"), "{said}");
    let mut expected = before;
    expected["nats"]["tags"] = json!(["while:waiting"]);
    assert_eq!(claims(bench).await, expected);
    bench.push(&stored).await;
}

/// Records that another program may have written.
async fn foreign_records(bench: &Bench<'_>, history: &Path) {
    let folder = history.with_file_name("forged");
    std::fs::create_dir(&folder).unwrap();
    let (name, record) = records(history).pop().unwrap();
    let write = |record: Record| std::fs::write(folder.join(format!("{name}.json")), record.render()).unwrap();
    let before = bench.everything().await;
    let last = [&ROLLBACK[..], &["--last", "--history", "forged"]].concat();

    // Valid tokens of another operator.
    let mut content = record.content.clone();
    let token = &mut content.attempts[0].tokens[0];
    let mut forged = bench.claims().await;
    forged["nats"]["mappings"]["secret.>"] = json!([{ "subject": "stolen.>" }]);
    token.base = Some(issue(&forged, &new_seed(KeyKind::Operator), now()).unwrap().as_str().to_owned());
    write(Record::new(content));
    bench.expect(1, &last, "record-untrusted", &["which no server trusts", &name]);

    let mut content = record.content.clone();
    content.attempts[0].tokens[0].token = "ey.ey.ey".to_owned();
    write(Record::new(content));
    bench.expect(1, &last, "record-token", &["is not one that was pushed"]);

    let mut content = record.content.clone();
    content.system_account = PublicKey::parse(&public(&new_seed(KeyKind::Account))).unwrap();
    write(Record::new(content));
    bench.expect(1, &last, "record-of-another-deployment", &["whose system account is"]);

    let mut content = record.content.clone();
    for token in &mut content.attempts[0].tokens {
        token.id = PublicKey::parse(&public(&new_seed(KeyKind::Account))).unwrap();
    }
    write(Record::new(content));
    bench.expect(1, &last, "record-account-missing", &["this definition has no account"]);

    // If no record can be written, nothing is changed.
    bench.write("vstream", &definition(bench, &["foo", "new"]));
    bench.expect(1, &[&APPLY[..], &["--history", "vstream.yaml"]].concat(), "history-unwritable", &["vstream.yaml"]);
    bench.unchanged_since(&before, "a refused record").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_leaves_a_record_to_go_back_by() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &definition(&bench, &["foo"]));
    let before = claims(&bench).await;
    let history = cluster.folder().join("history");
    for (round, delay) in [0, 120, 400, 1000].into_iter().enumerate() {
        let folder = PathBuf::from(format!("{}-{round}", history.display()));
        let mut child = Command::new(VSTREAM)
            .current_dir(cluster.folder())
            .args(APPLY)
            .arg("--history")
            .arg(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while list(&folder).unwrap().is_empty() {
            assert!(started.elapsed() < Duration::from_secs(60), "no record");
            assert!(child.try_wait().unwrap().is_none(), "it ended without a record");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(delay)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let all = records(&folder);
        assert_eq!(all.len(), 1);
        let content = &all[0].1.content;
        println!("killed {delay} ms after the record: {:?}, {} tokens sent", content.outcome, content.sent().count());
        // Another tool pushes before the rollback.
        others(&bench, |nats| nats["limits"]["conn"] = json!(2000 + delay)).await;
        let folder = folder.to_str().unwrap().to_owned();
        bench.run(&[&ROLLBACK[..], &["--last", "--history", &folder]].concat()).ends(0);
        let mut expected = before.clone();
        expected["nats"]["limits"]["conn"] = json!(2000 + delay);
        assert_eq!(claims(&bench).await, expected, "after {delay} ms");
    }
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;
}

/// Publishes messages all the time, each with an id.
struct Traffic {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<u64, String>>>,
}

impl Traffic {
    async fn start(cluster: &Cluster) -> Self {
        let mut traffic = Self { stop: Arc::default(), tasks: Vec::new() };
        for region in ["west", "central", "east"] {
            let js = jetstream::new(client(cluster, region).await);
            let stop = traffic.stop.clone();
            traffic.tasks.push(tokio::spawn(async move {
                let mut acknowledged = 0;
                while !stop.load(Ordering::Relaxed) {
                    let mut headers = HeaderMap::new();
                    headers.insert("Nats-Msg-Id", format!("{region}-{acknowledged}"));
                    let started = Instant::now();
                    loop {
                        let sent = js.publish_with_headers("foo.t", headers.clone(), region.into()).await;
                        let outcome = match sent {
                            Ok(ack) => ack.await.map(drop).map_err(|error| error.to_string()),
                            Err(error) => Err(error.to_string()),
                        };
                        match outcome {
                            Ok(()) => break,
                            Err(error) if started.elapsed() > Duration::from_secs(10) => {
                                return Err(format!("{region}, after {acknowledged}: {error}"));
                            }
                            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                        }
                    }
                    acknowledged += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok(acknowledged)
            }));
        }
        traffic
    }

    /// Asserts that every region has each acknowledged message once.
    async fn stop_and_judge(self, cluster: &Cluster) {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = 0;
        for task in self.tasks {
            acknowledged += task.await.unwrap().unwrap();
        }
        println!("{acknowledged} messages");
        assert!(acknowledged > 300, "only {acknowledged} messages");
        for region in ["west", "central", "east"] {
            let js = jetstream::new(client(cluster, region).await);
            let started = Instant::now();
            loop {
                let found = js.get_stream("foo").await.unwrap().info().await.unwrap().state.messages;
                if found == acknowledged {
                    break;
                }
                assert!(found < acknowledged, "{region} has {found} messages of {acknowledged}");
                assert!(started.elapsed() < Duration::from_secs(60), "{region} has {found} messages of {acknowledged}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}
