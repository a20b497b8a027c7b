//! Shared parts of the suites on real servers: super-clusters in temporary folders, clients, and the command itself.
//!
//! `VSTREAM_KEEP=1` keeps the folders (logs, stores); `VSTREAM_NATS_SERVER_VERSION` chooses the version of the servers.

#![allow(dead_code, missing_docs)]

pub mod account_server;
pub mod bench;
pub mod cluster;
pub mod documented;
pub mod hostile;
pub mod killing;
pub mod pty;
pub mod secrets;

pub use cluster::{Cluster, account, cluster, options, small, two_regions, up, version};

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vstream_jwt::sign::{Seed, Signer as _};

/// The command under test.
pub const VSTREAM: &str = env!("CARGO_BIN_EXE_vstream-jwt");

/// Time after which a test gives up on anything on the servers.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command in the super-cluster's folder, which has the default definition and keys.
pub fn vstream(cluster: &Cluster, args: &[&str]) -> Output {
    secrets::output(cluster::command(cluster).args(args))
}

/// Runs the command with `--format json`. Returns the exit code and the document.
pub fn vstream_json(cluster: &Cluster, args: &[&str]) -> (i32, serde_json::Value) {
    let output = vstream(cluster, &[args, &["--format", "json"]].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), document)
}

/// Connects a client of the application's account in a region (or in the stretch cluster).
pub async fn client(cluster: &Cluster, region: &str) -> async_nats::Client {
    connect(cluster, cluster.urls(region), cluster.credentials_path()).await
}

/// Connects a client of the system account, in any region.
pub async fn system_client(cluster: &Cluster) -> async_nats::Client {
    connect(cluster, cluster.all_urls(), cluster.system_credentials_path()).await
}

async fn connect(cluster: &Cluster, urls: Vec<String>, credentials: PathBuf) -> async_nats::Client {
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

/// Connects a client with a user's token and seed, to servers without TLS.
pub async fn connect_as(
    urls: impl async_nats::ToServerAddrs,
    token: &str,
    seed: &str,
) -> Result<async_nats::Client, async_nats::ConnectError> {
    let user = Arc::new(Seed::parse(seed).unwrap());
    let sign = move |nonce: Vec<u8>| {
        let user = user.clone();
        async move { user.sign(&nonce).map(|signature| signature.to_vec()).map_err(async_nats::AuthError::new) }
    };
    async_nats::ConnectOptions::with_jwt(token.to_owned(), sign).connect(urls).await
}

/// Repeats `attempt` until it returns a value.
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

/// Builds an example of the project with the features of the tests, and returns its path.
pub fn example(name: &str) -> PathBuf {
    let mut build = std::process::Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--example", name]);
    if cfg!(feature = "pkcs11") {
        build.arg("--all-features");
    }
    // With cargo's variables about the test's package, `ring` and every crate that uses it would be built again.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    assert!(build.status().unwrap().success(), "cargo build --example {name}");
    Path::new(VSTREAM).with_file_name("examples").join(name)
}
