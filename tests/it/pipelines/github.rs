//! GitHub Actions, as far as the example needs them: jobs in order, conditions, outputs, artifacts.

use crate::pipelines::conditions::holds;
use crate::pipelines::project::{Project, advisories, copy, strings};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;

struct Actions<'p> {
    project: &'p Project<'p>,
    workflow: &'p Value,
    event: &'static str,
    artifacts: PathBuf,
    /// Outputs of the jobs that ran, and the properties of the event.
    known: HashMap<String, String>,
    ran: Vec<String>,
}

pub fn run(project: &Project<'_>, workflow: &Value) {
    let mut names: Vec<&String> = workflow["jobs"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["advisories", "apply", "plan", "sign", "verify"], "all of them are run here");
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));

    project.stand_in("gh", "cp \"${@: -1}\" \"$POSTED\"; echo \"gh $* with ${GH_TOKEN:+a token}\"");
    let posted = project.file("posted.md", "");
    let mut merge = Actions::new(project, workflow, "pull_request");
    merge.known.insert("env.POSTED".into(), posted.display().to_string());
    let text = merge.job("plan");
    assert!(text.contains("gh pr comment 7 --edit-last --create-if-none --body-file plan.md with a token"), "{text}");
    let comment = std::fs::read_to_string(posted).unwrap();
    assert!(
        comment.starts_with("<!-- vstream-jwt plan -->\n### vstream-jwt plan: 3 regional accounts to make"),
        "{comment}"
    );
    assert_eq!(merge.all(), ["plan"], "nothing else on a pull request");

    let mut push = Actions::new(project, workflow, "push");
    assert_eq!(push.all(), ["plan", "sign", "apply"]);
    assert!(push.artifacts.join("history").exists());
    let mut again = Actions::new(project, workflow, "push");
    assert_eq!(again.all(), ["plan"], "in sync: nothing to sign");

    advisories(project);
    let mut schedule = Actions::new(project, workflow, "schedule");
    assert_eq!(schedule.all(), ["verify", "advisories"]);
    project.no_stand_ins();
}

impl<'p> Actions<'p> {
    fn new(project: &'p Project<'p>, workflow: &'p Value, event: &'static str) -> Self {
        let artifacts = project.checkout(&format!("artifacts-{event}"));
        let known = [
            ("github.event_name", event),
            ("github.ref", "refs/heads/main"),
            ("github.repository", "we/ours"),
            ("github.token", "a-token"),
            ("github.event.pull_request.number", "7"),
            ("github.event.pull_request.head.repo.full_name", if event == "pull_request" { "we/ours" } else { "" }),
        ];
        let known = known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { project, workflow, event, artifacts, known, ran: Vec::new() }
    }

    /// Runs every job whose condition holds and whose needs ran. Returns their names.
    fn all(&mut self) -> Vec<String> {
        for name in ["plan", "sign", "apply", "verify", "advisories"] {
            let job = &self.workflow["jobs"][name];
            let needs = job["needs"].as_str().is_none_or(|needed| self.ran.iter().any(|ran| ran == needed));
            let holds = job["if"].as_str().is_none_or(|condition| holds(condition, &|name| self.value(name, "")));
            if needs && holds && !self.ran.iter().any(|ran| ran == name) {
                self.job(name);
            }
        }
        self.ran.clone()
    }

    fn value(&self, name: &str, environment: &str) -> String {
        match name.strip_prefix("secrets.") {
            Some(secret) => self.project.secret(environment, secret),
            None => self.known.get(name).cloned().unwrap_or_default(),
        }
    }

    fn filled(&self, text: &str, environment: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (name, after) = after.split_once("}}").unwrap();
            filled.push_str(before);
            filled.push_str(&self.value(name.trim(), environment));
            rest = after;
        }
        filled + rest
    }

    fn job(&mut self, name: &str) -> String {
        let job = &self.workflow["jobs"][name];
        let environment = job["environment"].as_str().unwrap_or_default();
        let workspace = self.project.checkout(&format!("github-{name}"));
        let output = self.project.file("output", "");
        let summary = self.project.file("summary", "");
        let (mut text, mut failed) = (String::new(), None);
        for step in job["steps"].as_array().unwrap() {
            let condition = step["if"].as_str().unwrap_or("");
            let due = condition == "always()"
                || (failed.is_none() && (condition.is_empty() || holds(condition, &|name| self.value(name, ""))));
            if !due {
                continue;
            }
            if let Some(action) = step["uses"].as_str() {
                self.action(action, &step["with"], &workspace);
                continue;
            }
            let script = step["run"].as_str().expect("a step runs something");
            assert!(!script.contains("${{"), "values come as variables, not as text of a script: {script}");
            let given = [&self.workflow["env"], &job["env"], &step["env"]];
            let mut env: HashMap<String, String> = given.into_iter().flat_map(strings).collect();
            env.values_mut().for_each(|value| *value = self.filled(value, environment));
            env.insert("GITHUB_OUTPUT".into(), output.display().to_string());
            env.insert("GITHUB_STEP_SUMMARY".into(), summary.display().to_string());
            env.insert("POSTED".into(), self.value("env.POSTED", ""));
            let ran = self.project.shell(&workspace, script, &env);
            text.push_str(&ran.text);
            failed = failed.or((ran.code != 0).then(|| format!("{script} ended {}:\n{}", ran.code, ran.text)));
            if let Some(id) = step["id"].as_str() {
                for line in std::fs::read_to_string(&output).unwrap().lines() {
                    let (key, value) = line.split_once('=').unwrap();
                    self.known.insert(format!("steps.{id}.outputs.{key}"), value.to_owned());
                }
            }
        }
        for (key, value) in strings(&job["outputs"]) {
            let value = self.filled(&value, environment);
            self.known.insert(format!("needs.{name}.outputs.{key}"), value);
        }
        assert!(failed.is_none(), "{} on {}: {}", name, self.event, failed.unwrap());
        self.project.is_clean(&workspace);
        self.ran.push(name.to_owned());
        text
    }

    fn action(&self, action: &str, with: &Value, workspace: &std::path::Path) {
        let kept = self.artifacts.join(with["name"].as_str().unwrap_or_default());
        match action.split('@').next().unwrap() {
            "actions/checkout" => {}
            "actions/upload-artifact" => {
                let paths: Vec<&str> = with["path"].as_str().unwrap().lines().collect();
                copy(workspace, &paths, &kept);
            }
            "actions/download-artifact" => {
                let copied =
                    std::process::Command::new("cp").arg("-r").arg(kept.join(".")).arg(workspace).status().unwrap();
                assert!(copied.success());
            }
            other => panic!("{other} is not known here"),
        }
    }
}
