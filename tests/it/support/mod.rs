//! What the suites on real servers share: super-clusters in temporary folders, clients, and the command itself.
//!
//! A super-cluster is gone with its folder when its value is
//! dropped, and at the latest when the test process ends, in whatever way. `VSTREAM_KEEP=1` keeps the folders (logs,
//! stores); `VSTREAM_NATS_SERVER_VERSION` chooses the version of the servers.

#![allow(dead_code, missing_docs)]

pub mod bench;
pub mod documented;
pub mod killing;
pub mod secrets;

use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use vstream_jwt::dev::{Lifetime, Options, SuperCluster};

/// The command under test.
pub const VSTREAM: &str = env!("CARGO_BIN_EXE_vstream-jwt");

/// How long anything on the servers may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// So many super-clusters at a time, however many tests run in parallel: each takes 250 MB. Disasters are mostly waited
/// for; elsewhere, with more than the two cores of a small machine can serve, servers are late enough to be taken for
/// faulty.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    let disasters = env!("CARGO_CRATE_NAME") == "disasters";
    Semaphore::new(if disasters { 4 } else { 3 })
});

/// A super-cluster for one test, to do with as it likes. A test asks for one at a time.
pub struct Cluster {
    running: SuperCluster,
    _turn: Option<SemaphorePermit<'static>>,
}

impl Deref for Cluster {
    type Target = SuperCluster;

    fn deref(&self) -> &SuperCluster {
        &self.running
    }
}

/// The options of a 3 × 3 super-cluster in a temporary folder; change what the test needs and pass them to [`up`].
pub fn options() -> Options {
    let folder = tempfile::Builder::new().prefix("vstream-").tempdir().unwrap().keep();
    Options {
        folder,
        server_version: std::env::var("VSTREAM_NATS_SERVER_VERSION").ok(),
        executable: Some(PathBuf::from(VSTREAM)),
        lifetime: Lifetime::Scoped { delete: std::env::var_os("VSTREAM_KEEP").is_none() },
        ..Options::default()
    }
}

/// A ready super-cluster with these options.
pub async fn up(options: Options) -> Cluster {
    let turn = TURNS.acquire().await.unwrap();
    let running = SuperCluster::up(options).await.unwrap();
    running.wait_ready(PATIENCE).await.unwrap();
    Cluster { running, _turn: Some(turn) }
}

/// A ready 3 × 3 super-cluster.
pub async fn cluster() -> Cluster {
    up(options()).await
}

/// A ready 3 × 3 super-cluster whose definition has all streams in the application's account.
pub async fn cluster_with_shared_layout() -> Cluster {
    let cluster = cluster().await;
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
    let shared = definition.replace("layout: regional", "layout: shared");
    assert_ne!(shared, definition);
    std::fs::write(cluster.definition_path(), shared).unwrap();
    cluster
}

/// A ready 3 × 3 super-cluster that all tests of the suite share: for tests that neither kill servers nor rely on
/// being alone in the account.
pub async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let running = SuperCluster::up(options()).await.unwrap();
            running.wait_ready(PATIENCE).await.unwrap();
            Cluster { running, _turn: None }
        })
        .await
}

/// Major and minor version of the servers: some behave or say otherwise than the newest do.
pub fn version(cluster: &SuperCluster) -> (u64, u64) {
    vstream_jwt::model::server_version::minor(cluster.server_version()).unwrap()
}

/// Runs the command in the super-cluster's folder, where its definition and keys are the default ones.
pub fn vstream(cluster: &SuperCluster, args: &[&str]) -> Output {
    let mut command = Command::new(VSTREAM);
    command.current_dir(cluster.folder()).args(args).env("NO_COLOR", "1");
    for name in ["VSTREAM_OPERATOR_FILE", "VSTREAM_OPERATOR_SEED", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    secrets::output(&mut command)
}

/// Runs the command with `--format json`; returns the exit code and the document.
pub fn vstream_json(cluster: &SuperCluster, args: &[&str]) -> (i32, serde_json::Value) {
    let output = vstream(cluster, &[args, &["--format", "json"]].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), document)
}

/// A client of the application account in a region (or in the stretch cluster).
pub async fn client(cluster: &SuperCluster, region: &str) -> async_nats::Client {
    connect(cluster, cluster.urls(region), cluster.credentials_path()).await
}

/// A client of the system account, in any region.
pub async fn system_client(cluster: &SuperCluster) -> async_nats::Client {
    connect(cluster, cluster.all_urls(), cluster.system_credentials_path()).await
}

async fn connect(cluster: &SuperCluster, urls: Vec<String>, credentials: PathBuf) -> async_nats::Client {
    let mut options = async_nats::ConnectOptions::with_credentials_file(credentials).await.unwrap();
    if let Some(tls) = cluster.tls_folder() {
        options = options
            .add_root_certificates(tls.join("ca.pem"))
            .add_client_certificate(tls.join("client.pem"), tls.join("client-key.pem"));
    }
    let client = options.retry_on_initial_connect().connect(urls).await.unwrap();
    tokio::time::timeout(PATIENCE, client.flush()).await.expect("no connection").unwrap();
    client
}

/// Repeats `attempt` until it gives something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(result) = attempt().await {
            return result;
        }
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
