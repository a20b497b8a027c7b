//! The user and the machine that run the program.

use crate::plan::who::Who;

/// Returns the user, the machine, and the variables that identify a pipeline. Reads nothing else from the environment.
pub(super) fn who() -> Who {
    const CI: [&str; 14] = [
        "GITHUB_REPOSITORY",
        "GITHUB_WORKFLOW",
        "GITHUB_RUN_ID",
        "GITHUB_RUN_ATTEMPT",
        "GITHUB_ACTOR",
        "GITHUB_REF",
        "GITHUB_SHA",
        "CI_PROJECT_PATH",
        "CI_PIPELINE_ID",
        "CI_JOB_ID",
        "CI_JOB_URL",
        "CI_COMMIT_REF_NAME",
        "CI_COMMIT_SHA",
        "GITLAB_USER_LOGIN",
    ];
    let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let shown = |value: String| crate::secrets::hide(&value).into_owned();
    let user = ["USER", "LOGNAME"].into_iter().find_map(read).unwrap_or_else(|| "somebody".to_owned());
    let ci = CI.into_iter().filter_map(|name| Some((name.to_owned(), shown(read(name)?))));
    Who { user: shown(user), host: rustix::system::uname().nodename().to_string_lossy().into_owned(), ci: ci.collect() }
}
