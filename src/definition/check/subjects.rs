//! Checks of the subjects of virtual streams.

use super::checker::Checker;
use crate::definition::place::Place;
use crate::definition::read::At;
use crate::model::names::is_transform;
use crate::model::prefixes::PREFIXES;
use crate::model::subject::SubjectFilter;

/// First tokens of subjects that belong neither to applications nor to this tool, each with the reason.
const RESERVED: [(&str, &str); 7] = [
    ("$JS", "is JetStream's own"),
    ("$SYS", "is the servers' own"),
    ("$KV", "belongs to KV buckets; use `kind: kv`"),
    ("$O", "belongs to object stores; use `kind: object_store`"),
    ("$MQTT", "is MQTT's own"),
    ("$SRV", "belongs to services: requests would be stored instead of answered"),
    ("_INBOX", "belongs to replies, which would not reach the client that asked"),
];

impl Checker<'_> {
    /// Checks that a subject can be the source of a mapping.
    pub(super) fn subject(&mut self, subject: &At<String>) -> Option<SubjectFilter> {
        let filter = match SubjectFilter::parse(&subject.value) {
            Ok(filter) => filter,
            Err(error) => {
                let help = match error.reason.as_str() {
                    "is empty" => "write a subject like `foo.>`",
                    reason if reason.contains('>') => "use `*` for one token in the middle, `>` only at the end",
                    _ => "write tokens with one dot between them, like `foo.bar.>`",
                };
                self.report("bad-subject", subject.place, error.to_string(), help);
                return None;
            }
        };
        if let Some(token) = filter.tokens().find(|token| is_transform(token)) {
            let message = format!("subject `{filter}`: a mapping would read the token `{token}` as a function");
            self.report("bad-subject", subject.place, message, "rename the token");
            return None;
        }
        Some(filter)
    }

    /// Returns `true` if a subject does not belong to applications, and reports it.
    pub(super) fn reserved(&mut self, filter: &SubjectFilter, place: Place) -> bool {
        let first = filter.tokens().next().unwrap_or_default();
        let others = RESERVED.iter().find(|(token, _)| *token == first).map(|(_, why)| (*why).to_owned());
        let ours = PREFIXES.iter().find(|prefix| prefix.token == first);
        let why = others.or_else(|| ours.map(|prefix| format!("is this tool's own: {}", prefix.meaning)));
        let Some(why) = why else { return false };
        let message = format!("subject `{filter}`: `{first}.>` {why}");
        self.report("reserved-subject", place, message, "choose another subject");
        true
    }

    /// Checks that a virtual stream may capture a subject.
    pub(super) fn captured_subject(&mut self, subject: &At<String>) -> Option<SubjectFilter> {
        let filter = self.subject(subject)?;
        if self.reserved(&filter, subject.place) {
            return None;
        }
        let first = filter.tokens().next().unwrap_or_default();
        if matches!(first, ">" | "*") {
            let message =
                format!("subject `{filter}` takes in `$JS`, `$SYS` and `_INBOX`, which are not applications' own");
            let help = "begin the subject with a token of its own, like `app.>`";
            self.report("reserved-subject", subject.place, message, help);
            return None;
        }
        Some(filter)
    }
}
