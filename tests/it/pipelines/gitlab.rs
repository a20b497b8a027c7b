//! GitLab CI, as far as the example needs it: `extends`, rules, variables of type file, artifacts.

use crate::pipelines::conditions::holds;
use crate::pipelines::project::{Project, advisories, copy, strings};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

pub fn run(project: &Project<'_>, pipeline: &Value) {
    let jobs = pipeline
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, job)| !name.starts_with('.') && job.get("script").is_some());
    let mut names: Vec<&String> = jobs.map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["advisories", "apply", "plan", "sign", "verify"], "all of them are run here");
    project.add_stream("invoices");

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/api/v4", server.local_addr().unwrap());
    let note = std::thread::spawn(move || noted(&server));
    let merge =
        [("CI_PIPELINE_SOURCE", "merge_request_event"), ("CI_MERGE_REQUEST_IID", "7"), ("CI_API_V4_URL", &address)];
    assert_eq!(all(project, pipeline, &merge), ["plan"], "nothing else on a merge request");
    let note = note.join().unwrap();
    assert!(note.starts_with("POST /api/v4/projects/42/merge_requests/7/notes HTTP/1.1"), "{note}");
    assert!(note.contains("PRIVATE-TOKEN: a-note-token"), "{note}");
    assert!(note.contains("body=%3C%21--+vstream-jwt+plan+--%3E") && note.contains("invoices"), "{note}");

    let push = [("CI_PIPELINE_SOURCE", "push"), ("CI_COMMIT_BRANCH", "main")];
    assert_eq!(all(project, pipeline, &push), ["plan", "sign", "apply"]);
    advisories(project);
    assert_eq!(all(project, pipeline, &[("CI_PIPELINE_SOURCE", "schedule")]), ["verify", "advisories"]);
    project.no_stand_ins();
}

/// Accepts one request, and returns it.
fn noted(server: &TcpListener) -> String {
    let (mut client, _) = server.accept().unwrap();
    let (mut request, mut part) = (String::new(), [0; 4096]);
    loop {
        let read = client.read(&mut part).unwrap();
        request.push_str(std::str::from_utf8(&part[..read]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            break;
        }
        if head.contains("Expect: 100-continue") && body.is_empty() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
    }
    client.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").unwrap();
    request
}

/// Runs every job that a rule lets run. Returns their names.
fn all(project: &Project<'_>, pipeline: &Value, given: &[(&str, &str)]) -> Vec<String> {
    let known: HashMap<&str, &str> = given.iter().copied().chain([("CI_DEFAULT_BRANCH", "main")]).collect();
    let artifacts = project.checkout("artifacts-gitlab");
    let mut ran = Vec::new();
    for name in ["plan", "sign", "apply", "verify", "advisories"] {
        let job = whole(pipeline, name);
        let rules = job["rules"].as_array().unwrap();
        let look_up = |name: &str| known.get(name.trim_start_matches('$')).copied().unwrap_or_default().to_owned();
        if !rules.iter().any(|rule| holds(rule["if"].as_str().unwrap(), &look_up)) {
            continue;
        }
        let workspace = project.checkout(&format!("gitlab-{name}"));
        for needed in job["needs"].as_array().into_iter().flatten() {
            let from = artifacts.join(needed.as_str().unwrap());
            let names: Vec<_> = std::fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            let names: Vec<&str> = names.iter().map(|name| name.to_str().unwrap()).collect();
            copy(&from, &names, &workspace);
        }
        let mut env = strings(&pipeline["variables"]);
        env.extend(known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        env.extend([("CI_PROJECT_ID".into(), "42".into()), ("VSTREAM_NOTE_TOKEN".into(), "a-note-token".into())]);
        let environment = job["environment"]["name"].as_str().unwrap_or_default();
        for secret in project.secret_names(environment) {
            let file = project.file(&format!("{environment}-{secret}"), &project.secret(environment, secret));
            env.insert(secret.to_owned(), file.display().to_string());
        }
        let lines = |part: &str| {
            let lines = job[part].as_array().into_iter().flatten();
            lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
        };
        // The runner joins both into one script.
        let script = project.shell(&workspace, &format!("{}\n{}", lines("before_script"), lines("script")), &env);
        project.shell(&workspace, &lines("after_script"), &env);
        assert_eq!(script.code, 0, "{name}: {}", script.text);
        let kept: Vec<&str> =
            job["artifacts"]["paths"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        copy(&workspace, &kept, &artifacts.join(name));
        project.is_clean(&workspace);
        ran.push(name.to_owned());
    }
    ran
}

/// Returns a job, merged with the job that it extends.
fn whole(pipeline: &Value, name: &str) -> Value {
    let mut job = pipeline[name].clone();
    if let Some(base) = job["extends"].as_str().map(str::to_owned) {
        for (key, value) in pipeline[&base].as_object().unwrap() {
            job.as_object_mut().unwrap().entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    job
}
