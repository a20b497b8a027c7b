//! Verbs that ask servers and write files, killed at any moment: `plan --out`, `sign`, the nsc store after `apply`, and
//! `dev up`. Verbs that need no server are in `tests/it/cli/killed.rs`.

use crate::disasters::others::Others;
use crate::support::bench::Bench;
use crate::support::killing::{Killer, rounds, unfinished};
use crate::support::secrets::output;
use crate::support::{Cluster, VSTREAM, small};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use vstream_jwt::ops::planfile;

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(VSTREAM);
    command.current_dir(folder).args(args).env_remove("VSTREAM_OPERATOR_FILE").env_remove("VSTREAM_OPERATOR_SEED");
    command
}

/// Runs to the end, and returns the duration.
fn run(folder: &Path, args: &[&str], code: i32) -> Duration {
    let started = Instant::now();
    let output = output(&mut command(folder, args));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    started.elapsed()
}

const PLAN: [&str; 3] = ["plan", "--out", "out/plan.json"];
const SIGN: [&str; 6] = ["sign", "plan.json", "--operator", "op.nk", "--out", "out/signed.json"];
const APPLY: [&str; 5] = ["apply", "--operator", "op.nk", "--allow", "nsc-store-differs"];

#[tokio::test(flavor = "multi_thread")]
async fn files_are_whole_or_not_there() {
    let cluster = small().await;
    let folder = cluster.folder();
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
    std::fs::write(cluster.definition_path(), definition.replace("layout: regional", "layout: shared")).unwrap();
    std::fs::create_dir(folder.join("out")).unwrap();
    let takes = run(folder, &PLAN, 3);
    std::fs::copy(folder.join("out/plan.json"), folder.join("plan.json")).unwrap();
    is_written(folder, &PLAN, takes, 3);
    let takes = run(folder, &SIGN, 0);
    is_written(folder, &SIGN, takes, 0);
    run(folder, &APPLY, 0);
    the_nsc_store_is_brought_up_to_date(&cluster).await;
}

/// In every second round an older file exists, which is replaced or stays.
fn is_written(folder: &Path, args: &[&str], takes: Duration, code: i32) {
    let (out, path) = (folder.join("out"), folder.join(args[args.len() - 1]));
    let mut killer = Killer::seeded();
    for round in 0..rounds(5) {
        if round.is_multiple_of(2) {
            std::fs::remove_file(&path).unwrap();
        }
        killer.run(&mut command(folder, args), takes, &out, |_| true);
        if path.exists() {
            planfile::read(&path).unwrap_or_else(|error| panic!("{args:?}, round {round}: {error}"));
        }
        run(folder, args, code);
        planfile::read(&path).unwrap();
        assert!(unfinished(&out).is_empty(), "{args:?}, round {round}: {:?}", unfinished(&out));
    }
    killer.says(args[0]);
}

/// Another tool has pushed, so `apply` only has to write that to the store.
async fn the_nsc_store_is_brought_up_to_date(cluster: &Cluster) {
    let folder = cluster.folder();
    let store = folder.join("store");
    let (operator, account) = (store.join("vstream-dev"), store.join("vstream-dev/accounts/APP/APP.jwt"));
    std::fs::create_dir_all(&operator).unwrap();
    std::fs::write(operator.join(".nsc"), json!({ "name": "vstream-dev" }).to_string()).unwrap();
    std::fs::copy(folder.join("operator.jwt"), operator.join("vstream-dev.jwt")).unwrap();
    let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
    std::fs::write(cluster.definition_path(), format!("{definition}\nnsc_store: store\n")).unwrap();

    let mut others = Others::start(Bench::new(cluster).await).await;
    let takes = run(folder, &APPLY, 0);
    let mut killer = Killer::seeded();
    for round in 0..rounds(5) {
        let before = std::fs::read_to_string(&account).unwrap();
        others.push().await;
        killer.run(&mut command(folder, &APPLY), takes, &store, |path| path.ends_with("APP.jwt"));
        let (_, stored) = others.bench.tokens().await.remove(0);
        let stored = stored.unwrap();
        assert_ne!(stored, before);
        let left = std::fs::read_to_string(&account).unwrap();
        assert!(left == before || left == stored, "round {round}: the store's copy is neither the old nor the new one");
        run(folder, &APPLY, 0);
        assert_eq!(std::fs::read_to_string(&account).unwrap(), stored, "round {round}");
        if left == before {
            assert!(unfinished(&store).is_empty(), "round {round}: {:?}", unfinished(&store));
        }
    }
    killer.says("apply, writing to the nsc store");
}

/// Stops the super-cluster in any case.
struct Down<'f>(&'f Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let _ = command(self.0, &["dev", "--folder", "dev", "down", "--delete"]).output();
    }
}

#[test]
fn a_super_cluster_is_made_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _down = Down(folder);
    let (up, delete) =
        (["dev", "--folder", "dev", "up", "--servers", "1"], ["dev", "--folder", "dev", "down", "--delete"]);
    let takes = run(folder, &up, 0);
    run(folder, &delete, 0);
    let mut killer = Killer::seeded();
    for round in 0..rounds(2) {
        let secret = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("keys"));
        killer.run(&mut command(folder, &up), takes, &folder.join("dev"), secret);
        run(folder, &up, 0);
        run(folder, &["keys", "check", "--keys", "dev/keys"], 0);
        let files = std::fs::read_dir(folder.join("dev/keys")).unwrap().map(|file| file.unwrap().file_name());
        let names: Vec<_> = files.collect();
        assert_eq!(names.len(), 8, "round {round}: {names:?}");
        run(folder, &delete, 0);
        assert!(!folder.join("dev").exists(), "round {round}: {:?}", std::fs::read_dir(folder.join("dev")));
    }
    killer.says("dev up");
}
