//! Servers that do not do what they report, or do it too late. Messages name each of them, no run reports success that
//! is not real, and the next run finishes.

use crate::support::bench::Bench;
use crate::support::{Cluster, PATIENCE, client, cluster, eventually, options, small, system_client, two_regions, up};
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vstream_jwt::dev;
use vstream_jwt::engine::error::Stopped;
use vstream_jwt::engine::lease::Holder;
use vstream_jwt::engine::report::Applied;
use vstream_jwt::engine::run::{Run, Signers, execute};
use vstream_jwt::engine::session::{Subscription, VerbInputs};
use vstream_jwt::engine::{Deadline, Progress, Silent};
use vstream_jwt::nats::{DefinitionConnector, Purpose};
use vstream_jwt::observed::Server;
use vstream_jwt::ops::apply::ApplyPlanner;
use vstream_jwt::ops::load;
use vstream_jwt::ops::plan::plan;
use vstream_jwt::ops::trust::trust;
use vstream_jwt::plan::Options;
use vstream_jwt::sign::Signer as _;
use vstream_jwt::sign::keyring::Keyring;

const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];

const SNAPSHOT: &str = "$JS.API.STREAM.SNAPSHOT.foo";

/// Returns a definition with a mapping that [`something_to_push`] can remove without harm.
fn definition(bench: &Bench<'_>) -> Value {
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["virtual_streams"]["foo"]["map_requests"] = json!(["snapshot"]);
    definition
}

/// Pushes a token that lacks a mapping, so that the next `apply` has to push one and do nothing else.
async fn something_to_push(bench: &Bench<'_>) {
    let mut claims = bench.claims().await;
    claims["nats"]["mappings"].as_object_mut().unwrap().remove(SNAPSHOT).expect("it was there");
    bench.push(&claims).await;
}

/// Runs `apply`, and calls `what` when it gets to a step.
async fn apply_while(bench: &Bench<'_>, step: &'static str, what: &(dyn Fn() + Sync)) -> Result<Applied, Stopped> {
    struct When<'a> {
        step: &'static str,
        done: AtomicBool,
        what: &'a (dyn Fn() + Sync),
    }
    impl Progress for When<'_> {
        fn step(&self, step: &str, _: usize, _: usize) {
            if step == self.step && !self.done.swap(true, Ordering::SeqCst) {
                tokio::task::block_in_place(self.what);
            }
        }
    }
    let loaded = load::load(Path::new(&bench.cluster.folder().join("vstream.yaml"))).unwrap();
    let folder = loaded.base.join("keys");
    let mut keys = Keyring::open(&folder).unwrap();
    let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, &folder);
    let deadline = Deadline::after(Duration::from_secs(20));
    let trust = trust(Some(&loaded.definition), &loaded.base, &folder);
    let trust = trust.signing_with(Some(bench.key("op.nk").public_key()));
    let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
    let (mut session, mut planned) =
        plan(inputs, &connector, &Options::default(), Subscription::On, deadline, &Silent).await.unwrap();
    let operator = bench.key("op.nk");
    let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
    let progress = When { step, done: AtomicBool::new(false), what };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the test".to_owned(), verb: "apply" });
    execute(&mut session, &mut planned, run, &connector, &progress).await
}

const PUSHING: &str = "pushing account tokens";

/// Returns the names of the servers that did not confirm the last token.
fn unconfirmed(applied: &Applied) -> Vec<&str> {
    let servers = &applied.pushed.last().expect("something was pushed").servers;
    servers.iter().filter(|one| !one.verdict.is_confirmed()).map(|one| one.server.as_str()).collect()
}

/// Signals a server's process: to stop, so that it hangs and answers late, or to continue.
fn signal(bench: &Bench<'_>, server: &str, signal: &str) {
    let folder = format!("{}/servers/{server}/", bench.cluster.folder().display());
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        if command.contains("nats-server") && command.contains(&folder) {
            pids.push(entry.file_name().into_string().unwrap());
        }
    }
    assert_eq!(pids.len(), 1, "the process of {server}");
    assert!(Command::new("kill").args([signal, &pids[0]]).status().unwrap().success());
}

/// Stops a server that no other server uses as the gateway to its region. Behind a gateway to a hanging server, nothing
/// arrives until the gateway notices, which takes minutes.
async fn hang_one(bench: &Bench<'_>) -> &'static str {
    for server in ["east-1", "east-2", "east-3"] {
        // A server that hung calls an election when it continues, and may win it.
        meta_leader_in(bench, "west").await;
        signal(bench, server, "-STOP");
        if bench.run(&["verify", "--format", "json"]).document()["servers"] == 5 {
            return server;
        }
        signal(bench, server, "-CONT");
        let whole = || async { (bench.deployment().await.servers.len() == 6).then_some(()) };
        eventually("all six servers answer", whole).await;
    }
    panic!("every server of the region is the one that others reach it through");
}

fn spawn(bench: &Bench<'_>, args: &[&str]) -> Child {
    let mut command = Command::new(crate::support::VSTREAM);
    command.current_dir(bench.cluster.folder()).args(args).env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a run ends with `code`, and checks that it printed the words.
async fn ends(child: Child, code: i32, said: &[&str]) {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    for words in said {
        assert!(text.contains(words), "without {words:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_late_are_named_and_waited_for() {
    let cluster = two_regions().await;
    let bench = defined(&cluster).await;
    late(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_cannot_store_and_strangers_are_named() {
    let cluster = cluster().await;
    let bench = defined(&cluster).await;
    strangers_answer(&bench).await;
    nowhere_to_store(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_come_and_go_are_named_and_waited_for() {
    let cluster = two_regions().await;
    let bench = defined(&cluster).await;
    joins_and_leaves(&bench).await;
}

/// The servers of a region pass on a push that one of them missed, so this needs several servers.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_missed_a_push_is_waited_for() {
    let cluster = two_regions().await;
    let bench = defined(&cluster).await;
    one_server_missed_it(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_missed_a_push_is_named_and_told_again() {
    let cluster = small().await;
    let bench = defined(&cluster).await;
    a_region_missed_it(&bench).await;
}

async fn defined(cluster: &Cluster) -> Bench<'_> {
    let bench = Bench::new(cluster).await;
    bench.write("vstream", &definition(&bench));
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;
    bench
}

/// A user of the system account answers everything: twice, with garbage, and as a server that does not exist. It also
/// answers with an error in the name of a real server.
async fn strangers_answer(bench: &Bench<'_>) {
    let client = system_client(bench.cluster).await;
    let deployment = bench.deployment().await;
    let known = deployment.servers.iter().find(|server| server.name == "east-1").unwrap();
    let (known, mut tasks) = (known.id.clone(), Vec::new());
    let speak = Arc::new(AtomicBool::new(false));
    for subject in [
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.SERVER.PING.STATSZ",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.SERVER.PING.ACCOUNTZ",
        "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
        "$SYS.REQ.CLAIMS.LIST",
    ] {
        let mut requests = client.subscribe(subject).await.unwrap();
        let (client, known, speak) = (client.clone(), known.clone(), speak.clone());
        tasks.push(tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let Some(reply) = request.reply.filter(|_| speak.load(Ordering::SeqCst)) else { continue };
                let ghost = json!({ "server": { "name": "ghost-1", "id": "NGHOST" }, "data": { "code": 200 } });
                let mut answers = vec!["not an answer".to_owned(), "{}".to_owned()];
                if subject.ends_with("UPDATE") {
                    let refusal = json!({ "code": 500, "description": "no room" });
                    answers.push(json!({ "server": { "name": "east-1", "id": known }, "error": refusal }).to_string());
                    answers.extend(vec![ghost.to_string(); 9]);
                } else if subject.ends_with("ACCOUNTZ") {
                    answers.extend(vec![ghost.to_string(); 9]);
                }
                for answer in answers.into_iter().flat_map(|answer| [answer.clone(), answer]) {
                    client.publish(reply.clone(), answer.into()).await.unwrap();
                }
            }
        }));
    }
    client.flush().await.unwrap();
    let said = ["not those of a server", "ghost-1", "a responder without a name", "east-1: 500 no room"];
    let mut heard = false;
    for _ in 0..20 {
        speak.store(false, Ordering::SeqCst);
        something_to_push(bench).await;
        speak.store(true, Ordering::SeqCst);
        let ran = bench.run(&APPLY);
        assert!(ran.code == 0 && ran.out.contains("9 of 9 servers confirm"), "{ran}");
        // A run stops listening to strangers once all servers have answered.
        heard = said.iter().all(|words| ran.out.contains(words));
        if heard {
            break;
        }
    }
    assert!(heard, "whoever answers in the servers' place is not named");
    bench.says(0, &["verify"], &["In sync"]);
    bench.says(0, &["plan"], &["In sync"]);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    drop(client);
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Waits until the meta leader is in this cluster. If the meta leader hung, the lists of streams would fail until
/// another one is elected.
async fn meta_leader_in(bench: &Bench<'_>, cluster: &str) {
    let client = system_client(bench.cluster).await;
    eventually("the meta leader is elsewhere", || async {
        let servers = bench.deployment().await.servers;
        let leads = |server: &&Server| server.varz.pointer("/jetstream/meta/leader") == Some(&json!(server.name));
        if servers.iter().find(leads).is_some_and(|leader| leader.cluster == cluster) {
            return Some(());
        }
        let there = json!({ "placement": { "cluster": cluster } }).to_string();
        let _ = client.request("$JS.API.META.LEADER.STEPDOWN", there.into()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        None
    })
    .await;
}

async fn late(bench: &Bench<'_>) {
    meta_leader_in(bench, "west").await;
    // The server hangs longer than a run waits for the answers to a push, but not as long as the whole run.
    something_to_push(bench).await;
    let stop = || signal(bench, "east-2", "-STOP");
    let applied = tokio::join!(apply_while(bench, PUSHING, &stop), async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        signal(bench, "east-2", "-CONT");
    });
    assert_eq!(unconfirmed(&applied.0.unwrap()), Vec::<&str>::new());
    bench.until(0, &["verify"]).await;

    // The server hangs for longer than the whole run.
    something_to_push(bench).await;
    let server = hang_one(bench).await;
    let away = format!("1 of 6 servers does not answer ({server})");
    bench.says(
        4,
        &[&APPLY[..], &["--timeout", "12s"]].concat(),
        &["5 of 6 servers confirm", &away, "verify --wait 2m"],
    );
    bench.says(4, &["verify", "--wait", "3s"], &["does not answer", "Not sure"]);
    let waiting = spawn(bench, &["verify", "--wait", "2m"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    signal(bench, server, "-CONT");
    ends(waiting, 0, &["waiting, ", "1 of 6 servers do not answer", "In sync"]).await;

    // Waiting does not repair drift.
    something_to_push(bench).await;
    let started = std::time::Instant::now();
    bench.says(3, &["verify", "--wait", "2m"], &["Drift"]);
    assert!(started.elapsed() < Duration::from_secs(30), "it waited for what is not as defined");
    bench.says(0, &APPLY, &["6 of 6 servers confirm"]);
}

/// The folder of a server's resolver cannot be written to. A file is in its place, or, if the test may mount a file
/// system, its disk is full.
async fn nowhere_to_store(bench: &Bench<'_>) {
    let server = bench.cluster.servers().iter().find(|server| server.name == "central-1").unwrap();
    let folder: PathBuf = bench.cluster.server_folder(server).join("jwt");
    let refused = |why: &str| {
        let started = std::time::Instant::now();
        bench.says(4, &APPLY, &["8 of 9 servers confirm", "central-1 (central): ", why, "central-1 did not confirm"]);
        assert!(started.elapsed() < Duration::from_secs(20), "who refused was waited for until the end");
        let ran = bench.run(&["verify"]);
        assert!([3, 4].contains(&ran.code) && ran.out.contains("central-1 (central): "), "{ran}");
        ran
    };

    let away = folder.with_extension("away");
    something_to_push(bench).await;
    std::fs::rename(&folder, &away).unwrap();
    std::fs::write(&folder, "").unwrap();
    refused("central-1: 500 ");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    bench.says(0, &APPLY, &["9 of 9 servers confirm"]);
    bench.until(0, &["verify"]).await;

    fill_a_page(bench).await;
    match FullDisk::over(&folder) {
        Ok(disk) => {
            println!("a full disk: a file system of its own, mounted over {}", folder.display());
            let ran = refused("no space left on device");
            println!("{ran}");
            drop(disk);
        }
        Err(why) => println!("a full disk: only as a folder that cannot be written to, since mounting failed: {why}"),
    }
    bench.says(0, &APPLY, &["9 of 9 servers confirm"]);
    bench.until(0, &["verify"]).await;
}

const PAGE: usize = 4096;

/// Does the same as [`something_to_push`], but fills the last page that the stored token takes on a file system. The
/// next token needs one more page.
async fn fill_a_page(bench: &Bench<'_>) {
    let mut claims = bench.claims().await;
    claims["nats"]["mappings"].as_object_mut().unwrap().remove(SNAPSHOT).expect("it was there");
    claims["nats"]["note"] = json!("x");
    bench.push(&claims).await;
    let length = bench.tokens().await[0].1.as_ref().unwrap().len();
    // Four characters of a token encode three of the claims.
    claims["nats"]["note"] = json!("x".repeat(1 + (PAGE - length % PAGE) * 3 / 4));
    bench.push(&claims).await;
    let length = bench.tokens().await[0].1.as_ref().unwrap().len() % PAGE;
    assert!(length == 0 || length > PAGE - 16, "{length} of {PAGE}");
}

/// A file system in memory, mounted over a folder, with a copy of its files and no room for more.
struct FullDisk(PathBuf);

impl FullDisk {
    fn over(folder: &Path) -> Result<Self, String> {
        let files: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder).output();
        let mount = mount.map_err(|error| error.to_string())?;
        if !mount.status.success() {
            return Err(String::from_utf8_lossy(&mount.stderr).into_owned());
        }
        let disk = Self(folder.to_owned());
        for (path, content) in files {
            std::fs::write(path, content).unwrap();
        }
        let full = std::fs::write(folder.join("everything-else"), vec![0; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
        Ok(disk)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        // Lazily, because the server may have one of its files open.
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}

async fn joins_and_leaves(bench: &Bench<'_>) {
    let runtime = tokio::runtime::Handle::current();
    // Requests to another region may go through the server that leaves.
    for server in ["east-1", "east-2", "east-3"] {
        something_to_push(bench).await;
        let leave = || runtime.block_on(async { bench.cluster.kill(server).await.unwrap() });
        let applied = apply_while(bench, PUSHING, &leave).await.unwrap();
        assert_eq!(unconfirmed(&applied), [server], "{applied:?}");
        if server == "east-3" {
            break;
        }
        bench.cluster.start(server).await.unwrap();
        bench.cluster.wait_ready(PATIENCE).await.unwrap();
        bench.says(0, &APPLY, &["6 of 6 servers confirm"]);
    }

    something_to_push(bench).await;
    let join = || runtime.block_on(async { bench.cluster.start("east-3").await.unwrap() });
    let applied = apply_while(bench, PUSHING, &join).await.unwrap();
    assert_eq!(unconfirmed(&applied), Vec::<&str>::new());
    bench.cluster.wait_ready(PATIENCE).await.unwrap();
    // The server that joined has an older token, unless its cluster has passed on the new one. Streams that it led may
    // not have heard from their sources yet.
    let ran = bench.run(&["verify"]);
    let newest = ran.out.contains("6 of 6 servers have the newest in force") && [0, 4].contains(&ran.code);
    assert!(newest || ran.out.contains("east-3 (east): has an older token"), "{ran}");
    bench.until(0, &APPLY).await;
    bench.until(0, &["verify"]).await;
}

/// The resolvers of a cluster pass on a push that one of them missed; `verify --wait` waits until the server has it.
async fn one_server_missed_it(bench: &Bench<'_>) {
    bench.cluster.kill("east-3").await.unwrap();
    let settled = || async { (bench.deployment().await.servers.len() == 5).then_some(()) };
    eventually("five servers answer", settled).await;
    something_to_push(bench).await;
    // The gateways to and from the server need a moment, in which a region may seem to be down.
    let ran = bench.until(4, &APPLY).await;
    assert!(ran.out.contains("5 of 6 servers confirm") && ran.out.contains("east-3"), "{ran}");
    let waiting = spawn(bench, &["verify", "--wait", "4m"]);
    // As `dev` configures it, the server would ask the others after two minutes.
    let file = bench.cluster.folder().join("servers/east-3/nats-server.conf");
    let config = std::fs::read_to_string(&file).unwrap();
    assert!(config.contains("interval: \"2m\""), "{config}");
    std::fs::write(&file, config.replace("interval: \"2m\"", "interval: \"10s\"")).unwrap();
    bench.cluster.start("east-3").await.unwrap();
    ends(waiting, 0, &["In sync"]).await;
}

/// A whole region was down, and no server passes the push on to it.
async fn a_region_missed_it(bench: &Bench<'_>) {
    bench.cluster.kill("east").await.unwrap();
    something_to_push(bench).await;
    bench.says(
        4,
        &[&APPLY[..], &["--allow", "region-missing"]].concat(),
        &["2 of 3 servers confirm", "1 of 3 servers does not answer"],
    );
    bench.cluster.start("east").await.unwrap();
    bench.cluster.wait_ready(PATIENCE).await.unwrap();
    bench.says(3, &["verify"], &["east-1 (east): has an older token"]);
    bench.says(0, &APPLY, &["the newest token, again, for east-1", "3 of 3 servers confirm"]);
    bench.until(0, &["verify"]).await;
}

/// Forwards connections to a server, and cuts the first one after a number of bytes from the client.
struct Scissors {
    url: String,
    cut_after: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Scissors {
    async fn new(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let (cut_after, sent) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicUsize::new(0)));
        let (limit, count) = (cut_after.clone(), sent.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // The limit applies to the first connection, which is that to the system account.
                let limit = limit.swap(usize::MAX, Ordering::SeqCst);
                let (target, count) = (target.clone(), count.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(target).await.unwrap();
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                    let mut total = 0;
                    let mut buffer = vec![0; 16 * 1024];
                    while let Ok(read) = from_client.read(&mut buffer).await {
                        let forwarded = read.min(limit - total);
                        if read == 0 || to_server.write_all(&buffer[..forwarded]).await.is_err() || forwarded < read {
                            break;
                        }
                        total += read;
                        count.fetch_max(total, Ordering::SeqCst);
                    }
                    // Ends both directions, like a pulled cable.
                    back.abort();
                });
            }
        });
        Self { url, cut_after, sent }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_loses_nothing_and_the_next_run_converges() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let mut claims = bench.claims().await;
    claims["nats"]["mappings"] = json!({ "theirs": [{ "subject": "elsewhere" }] });
    bench.push(&claims).await;
    let target = cluster.urls("west")[0].trim_start_matches("nats://").to_owned();
    let scissors = Scissors::new(target).await;
    let mut through = definition(&bench);
    through["regions"]["west"]["servers"] = json!([scissors.url]);
    // The other regions' addresses lead nowhere, so every connection goes through this one.
    for (region, port) in [("central", 1), ("east", 2)] {
        through["regions"][region]["servers"] = json!([format!("nats://127.0.0.1:{port}")]);
    }
    bench.write("vstream", &through);
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;

    scissors.sent.store(0, Ordering::SeqCst);
    something_to_push(&bench).await;
    bench.run(&APPLY).ends(0);
    let whole = scissors.sent.load(Ordering::SeqCst);
    assert!(whole > 5_000, "the token went through: {whole} bytes");
    let (mut survived, mut outcomes) = (0, Vec::new());
    for part in 1..=20 {
        something_to_push(&bench).await;
        scissors.cut_after.store(whole * part / 20, Ordering::SeqCst);
        let cut = bench.run(&APPLY);
        scissors.cut_after.store(usize::MAX, Ordering::SeqCst);
        outcomes.push(cut.code);
        assert!([0, 1, 4].contains(&cut.code), "{cut}");
        if cut.code == 0 {
            survived += 1;
        } else {
            let again = bench.run(&APPLY);
            assert_eq!(again.code, 0, "{cut}{again}");
        }
        let now = bench.claims().await;
        let mappings = &now["nats"]["mappings"];
        assert_eq!(mappings["theirs"][0]["subject"], "elsewhere", "after {part} of 20: {cut}");
        assert!(mappings[SNAPSHOT].is_array(), "after {part} of 20: {cut}");
    }
    println!("{whole} bytes; exit codes of runs that were cut: {outcomes:?}");
    assert!(survived >= 10, "most runs should survive a lost connection: {outcomes:?}");
}

/// Before the fix of nats-server#8468, a server drops an invalid mapping, stores the token, and answers 200.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_servers_drop_in_silence_is_named() {
    let cluster = up(dev::DevOptions { servers: 1, server_version: Some("2.10.26".to_owned()), ..options() }).await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &bench.definition());
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;
    let mut claims = bench.claims().await;
    let twice = ["west", "east"].map(|cluster| json!({ "subject": "same.place", "cluster": cluster }));
    claims["nats"]["mappings"]["twice"] = json!(twice);
    // All three answer 200.
    bench.push(&claims).await;
    let ran = bench.run(&["verify"]).ends(3).to_string();
    for server in cluster.servers() {
        let named =
            format!("{} ({}): the token is in force, its mappings are not: missing twice", server.name, server.cluster);
        assert!(ran.contains(&named), "without {named:?}: {ran}");
    }
    let client = client(&cluster, "west").await;
    let mut heard = client.subscribe("same.place").await.unwrap();
    client.flush().await.unwrap();
    client.publish("twice", "".into()).await.unwrap();
    let moved = tokio::time::timeout(Duration::from_secs(1), heard.next()).await;
    assert!(moved.is_err(), "the mapping is in force, so that verify was wrong");
}
