//! Changes of streams, in the form that plan files have.

use super::change::FieldChange;
use super::{Action, Report};
use crate::desired::Role;
use crate::model::finding::Finding;
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::began_at;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A change of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamChange {
    /// Kind of the change: create, update or delete.
    pub action: Action,
    /// The real name.
    pub name: String,
    /// The virtual stream.
    pub virtual_stream: String,
    /// The region.
    pub region: String,
    /// Role of the stream.
    pub role: Role,
    /// The observed config, for an update or a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Map<String, Value>>,
    /// The config to send. For an update, it is the observed config with the desired fields edited in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Map<String, Value>>,
    /// Fields that an update changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Number of messages that a deletion deletes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// The backfill to run first, when the layout changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// `true` if another stream of the same plan captures the subjects that an update gives up: a cluster moves to
    /// another region.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hands_over: bool,
}

impl StreamChange {
    /// Returns `true` if an update makes the stream capture less, and no other stream takes over. Like a deletion, such
    /// an update runs once no mapping leads there any more.
    pub fn narrows(&self) -> bool {
        !self.hands_over && self.gives_up().next().is_some()
    }

    /// Returns `true` if the change must wait until no mapping leads there any more.
    pub fn removes(&self) -> bool {
        self.action == Action::Delete || self.narrows()
    }

    /// Returns `true` if the stream is made with a `first_seq` that its config must lose once it exists.
    pub fn loses_first_sequence(&self) -> bool {
        let config = self.after.as_ref().filter(|config| config.contains_key("first_seq"));
        self.action == Action::Create && config.is_some_and(|config| began_at(config).is_some())
    }

    /// Returns the subjects that an update no longer captures, at least in part.
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

/// The history that a new read stream gets from a backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The read stream of the application's account that the new stream replaces.
    pub from: String,
    /// Number of messages in that stream.
    pub messages: u64,
}

fn subjects(config: Option<&Map<String, Value>>) -> Vec<SubjectFilter> {
    let subjects = config.and_then(|config| config.get("subjects")).and_then(Value::as_array).into_iter().flatten();
    subjects.filter_map(|subject| SubjectFilter::parse(subject.as_str()?).ok()).collect()
}

/// Changes of the streams of one account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamPlan {
    /// Changes in the order in which they are made: write and home streams before read streams, then deletions in
    /// reverse order.
    pub changes: Vec<StreamChange>,
    /// Streams that the plan leaves alone.
    pub reports: Vec<Report>,
    /// Findings. An error that `--allow` admits is a warning here.
    pub findings: Vec<Finding>,
}
