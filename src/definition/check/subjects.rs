//! Subjects of virtual streams.

use super::Checker;
use crate::definition::problem::Place;
use crate::definition::read::At;
use crate::model::names::is_transform;
use crate::model::subject::SubjectFilter;

/// First tokens of subjects that are not applications' own, and why.
const RESERVED: [(&str, &str); 13] = [
    ("$JS", "is JetStream's own"),
    ("$SYS", "is the servers' own"),
    ("$KV", "belongs to KV buckets; use `kind: kv`"),
    ("$O", "belongs to object stores; use `kind: object_store`"),
    ("$KVW", "is where KV buckets are captured"),
    ("$OW", "is where object stores are captured"),
    ("$VS", "leads to regional accounts"),
    ("$VSH", "leads back from regional accounts"),
    ("$VSTREAM", "is where runs of vstream-jwt keep each other waiting"),
    ("VSD", "is where sources of regional accounts deliver"),
    ("$MQTT", "is MQTT's own"),
    ("$SRV", "belongs to services: requests would be stored instead of answered"),
    ("_INBOX", "belongs to replies, which would not reach whoever asked"),
];

impl Checker<'_> {
    /// A subject that a mapping can have.
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

    /// Whether a subject is not one of applications' own; says so.
    pub(super) fn reserved(&mut self, filter: &SubjectFilter, place: Place) -> bool {
        let first = filter.tokens().next().unwrap_or_default();
        let found = RESERVED.iter().find(|(token, _)| *token == first);
        if let Some((token, why)) = found {
            let message = format!("subject `{filter}`: `{token}.>` {why}");
            self.report("reserved-subject", place, message, "choose another subject");
        }
        found.is_some()
    }

    /// A subject that a virtual stream may capture, with the region before its token `region_token`.
    pub(super) fn captured_subject(&mut self, subject: &At<String>, region_token: usize) -> Option<SubjectFilter> {
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
        let reach = filter.tokens().filter(|token| *token != ">").count();
        if region_token > reach {
            let tokens = if reach == 1 { "1 token" } else { &format!("{reach} tokens") };
            let message = format!(
                "`region_token` {region_token} is out of reach of subject `{filter}`: {tokens} can stand before the region"
            );
            let captured = filter.with_token(reach, "REGION");
            let help = format!("write a `region_token` from 0 to {reach}; {reach} makes it `{captured}`");
            self.report("region-token", subject.place, message, help);
            return None;
        }
        Some(filter)
    }
}
