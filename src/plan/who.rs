//! The user that ran the program, as far as the program can tell. Records and plan files have it.

use crate::model::shown::shown;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The user that ran the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// The user's login name.
    pub user: String,
    /// The machine's name.
    pub host: String,
    /// Variables that identify a pipeline, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ci: BTreeMap<String, String>,
}

/// Formats it on one line: `user@host (CI_JOB_ID 7, CI_PROJECT_PATH group/project)`.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, host, ci } = self;
        write!(f, "{}@{}", shown(user), shown(host))?;
        let variables = ci.iter().map(|(name, value)| format!("{} {}", shown(name), shown(value)));
        let variables = variables.collect::<Vec<_>>().join(", ");
        if variables.is_empty() { Ok(()) } else { write!(f, " ({variables})") }
    }
}
