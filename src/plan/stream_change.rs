//! Changes of streams as plan files have them.

use super::change::FieldChange;
use super::{Action, Report};
use crate::desired::Role;
use crate::model::finding::Finding;
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::began_at;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What happens to one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamChange {
    /// Create, update or delete.
    pub action: Action,
    /// Real name.
    pub name: String,
    /// Virtual stream.
    pub virtual_stream: String,
    /// Region.
    pub region: String,
    /// What the stream is for.
    pub role: Role,
    /// The observed config, for an update or a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Map<String, Value>>,
    /// The config to send: for an update the observed one with the desired fields edited in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Map<String, Value>>,
    /// What an update changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Messages that a deletion deletes, as they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// History that comes first, when the layout changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Whether what an update captures no longer, another stream of the same plan captures from then on: a cluster uses
    /// another region.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hands_over: bool,
}

impl StreamChange {
    /// Whether an update captures less than before. Like a deletion, it comes when no mapping leads there any more; but
    /// where another stream takes over, mappings still do.
    pub fn narrows(&self) -> bool {
        !self.hands_over && self.gives_up().next().is_some()
    }

    /// Whether it is made with a `first_seq` that is to go from its config once it is there.
    pub fn loses_first_sequence(&self) -> bool {
        let config = self.after.as_ref().filter(|config| config.contains_key("first_seq"));
        self.action == Action::Create && config.is_some_and(|config| began_at(config).is_some())
    }

    /// What an update captures no longer, or not all of.
    pub(super) fn gives_up(&self) -> impl Iterator<Item = SubjectFilter> {
        let (before, after) = match self.action {
            Action::Update => (self.subjects_before(), self.subjects_after()),
            Action::Create | Action::Delete => <_>::default(),
        };
        before.into_iter().filter(move |before| !after.iter().any(|after| after.covers(before)))
    }

    pub(super) fn subjects_before(&self) -> Vec<SubjectFilter> {
        subjects(self.before.as_ref())
    }

    pub(super) fn subjects_after(&self) -> Vec<SubjectFilter> {
        subjects(self.after.as_ref())
    }
}

/// What a new read stream takes along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The read stream of the application's account whose place it takes.
    pub from: String,
    /// Messages that it has.
    pub messages: u64,
}
fn subjects(config: Option<&Map<String, Value>>) -> Vec<SubjectFilter> {
    let subjects = config.and_then(|config| config.get("subjects")).and_then(Value::as_array).into_iter().flatten();
    subjects.filter_map(|subject| SubjectFilter::parse(subject.as_str()?).ok()).collect()
}

/// What to do about the streams of one account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamPlan {
    /// In the order in which they are to be made: write and home streams before read streams, deletions last and backwards.
    pub changes: Vec<StreamChange>,
    /// Seen and left alone.
    pub reports: Vec<Report>,
    /// What stops the run, and what is worth knowing. An error that `--allow` admits has become a warning.
    pub findings: Vec<Finding>,
}
