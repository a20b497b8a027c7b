//! Runs the command in a super-cluster's folder, without blocking the publishers.

use crate::support::secrets::assert_shows_none;
use crate::support::{Cluster, PATIENCE, VSTREAM};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

pub const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];
pub const DESTROY: [&str; 5] = ["destroy", "--operator", "op.nk", "--yes", "--delete-streams"];

/// After this time, the test prints what `verify` waits for.
const LONG: Duration = Duration::from_secs(10);

/// Result of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    /// Standard output and standard error.
    pub text: String,
    pub stdout: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub fn spawn(cluster: &Cluster, args: &[&str]) -> Child {
    let mut command = Command::new(VSTREAM);
    command.current_dir(cluster.folder()).args(args).env("NO_COLOR", "1").env_remove("XDG_CONFIG_HOME");
    command.env_remove("VSTREAM_OPERATOR_FILE").env_remove("VSTREAM_OPERATOR_SEED");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

pub async fn run(cluster: &Cluster, args: &[&str]) -> Ran {
    let output = spawn(cluster, args).wait_with_output().await.unwrap();
    assert_shows_none(&args.join(" "), &[&output.stdout, &output.stderr]);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    Ran { code: output.status.code().unwrap(), text: format!("{stdout}{stderr}"), stdout }
}

/// Runs a command that must end with `code`.
pub async fn expect(cluster: &Cluster, code: i32, args: &[&str]) -> Ran {
    let ran = run(cluster, args).await;
    assert_eq!(ran.code, code, "{args:?}:\n{}", ran.text);
    ran
}

/// Runs `verify` until everything is as defined, which includes servers and sources that were down.
pub async fn in_sync(cluster: &Cluster, when: &str) -> Duration {
    let started = Instant::now();
    let mut before = None;
    loop {
        let ran = run(cluster, &["verify"]).await;
        if ran.code == 0 {
            if let (Some(before), true) = (before, started.elapsed() > LONG) {
                eprintln!("{when}: what verify waited for at last:\n{before}");
            }
            return started.elapsed();
        }
        before = Some(ran.stdout.clone());
        assert!(started.elapsed() < 3 * PATIENCE, "{when}: verify ends {}:\n{}", ran.code, ran.text);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
