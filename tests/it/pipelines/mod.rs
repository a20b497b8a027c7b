//! The example pipelines: a local shell runs their exact lines, job by job, against real servers.

mod conditions;
mod github;
mod gitlab;
mod project;

use crate::support;
use project::Project;
use serde_json::Value;
use std::path::Path;

fn example(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pipelines").join(path);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_plan_sign_apply_and_verify() {
    let cluster = support::account().await;
    let project = Project::new(&cluster);
    github::run(&project, &example("github/vstream.yml"));
    gitlab::run(&project, &example("gitlab/.gitlab-ci.yml"));
}
