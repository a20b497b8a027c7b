//! The subjects of the JetStream API, and their treatment for a virtual stream in the shared layout.
//!
//! The subjects are those of nats-server 2.15 `server/jetstream_api.go`. `docs/concepts` explains which of them are
//! mapped, and why.

use crate::model::subject::SubjectFilter;
use crate::model::virtual_stream::MapRequest;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The treatment of a request that names a virtual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Goes to the region's read stream.
    Mapped,
    /// Goes to the region's read stream, where it always fails with error 10056. Without the mapping, the server would
    /// create a real stream under the virtual name, which no client could reach.
    Guarded,
    /// Goes to the region's read stream only if the definition asks for it (`map_requests`), because it makes regions
    /// diverge.
    OnRequest(MapRequest),
    /// Not mapped. The request would change or move a real stream without the definition, or is useless with the
    /// virtual name.
    Never,
}

/// One subject of the API below the prefix `$JS.API.`. `{stream}` is the token that names the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiSubject {
    /// `STREAM.INFO.{stream}`
    pub pattern: &'static str,
    /// The treatment of requests on this subject.
    pub treatment: Treatment,
}

const fn row(pattern: &'static str, treatment: Treatment) -> ApiSubject {
    ApiSubject { pattern, treatment }
}

/// All API subjects that name a stream.
pub const SUBJECTS: &[ApiSubject] = {
    use Treatment::{Guarded, Mapped, Never, OnRequest};
    &[
        row("STREAM.INFO.{stream}", Mapped),
        row("STREAM.MSG.GET.{stream}", Mapped),
        row("DIRECT.GET.{stream}", Mapped),
        row("DIRECT.GET.{stream}.>", Mapped),
        row("CONSUMER.CREATE.{stream}", Mapped),
        row("CONSUMER.CREATE.{stream}.>", Mapped),
        row("CONSUMER.NAMES.{stream}", Mapped),
        row("CONSUMER.LIST.{stream}", Mapped),
        row("CONSUMER.INFO.{stream}.*", Mapped),
        row("CONSUMER.DELETE.{stream}.*", Mapped),
        row("CONSUMER.PAUSE.{stream}.*", Mapped),
        row("CONSUMER.RESET.{stream}.*", Mapped),
        row("CONSUMER.UNPIN.{stream}.*", Mapped),
        row("CONSUMER.MSG.NEXT.{stream}.*", Mapped),
        row("STREAM.CREATE.{stream}", Guarded),
        row("STREAM.UPDATE.{stream}", Guarded),
        row("STREAM.PURGE.{stream}", OnRequest(MapRequest::Purge)),
        row("STREAM.MSG.DELETE.{stream}", OnRequest(MapRequest::MsgDelete)),
        row("STREAM.SNAPSHOT.{stream}", OnRequest(MapRequest::Snapshot)),
        row("CONSUMER.DURABLE.CREATE.{stream}.*", Never),
        row("CONSUMER.LEADER.STEPDOWN.{stream}.*", Never),
        row("STREAM.DELETE.{stream}", Never),
        row("STREAM.RESTORE.{stream}", Never),
        row("STREAM.PEER.REMOVE.{stream}", Never),
        row("STREAM.PEER.EVACUATE.{stream}", Never),
        row("STREAM.LEADER.STEPDOWN.{stream}", Never),
        row("STREAM.CANCEL_MOVE.{stream}", Never),
    ]
};

/// A rule for one mapping entry per virtual stream. Several API subjects share an entry, because each source in an
/// account costs every published message about 60 ns (measured, 2.15.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Source below the API prefix, with `{stream}`.
    pub source: &'static str,
    /// Destination below the API prefix, with `{stream}`.
    pub destination: &'static str,
    /// The treatment of the requests that the rule maps.
    pub treatment: Treatment,
}

const fn rule(source: &'static str, destination: &'static str, treatment: Treatment) -> Rule {
    Rule { source, destination, treatment }
}

/// The entries of the shared layout, in display order.
pub const RULES: &[Rule] = {
    use Treatment::{Guarded, Mapped, OnRequest};
    &[
        rule("STREAM.INFO.{stream}", "STREAM.INFO.{stream}", Mapped),
        rule("STREAM.MSG.GET.{stream}", "STREAM.MSG.GET.{stream}", Mapped),
        rule("DIRECT.GET.{stream}", "DIRECT.GET.{stream}", Mapped),
        rule("DIRECT.GET.{stream}.>", "DIRECT.GET.{stream}.>", Mapped),
        rule("CONSUMER.*.{stream}", "CONSUMER.{{wildcard(1)}}.{stream}", Mapped),
        rule("CONSUMER.*.{stream}.>", "CONSUMER.{{wildcard(1)}}.{stream}.>", Mapped),
        rule("CONSUMER.MSG.NEXT.{stream}.*", "CONSUMER.MSG.NEXT.{stream}.{{wildcard(1)}}", Mapped),
        rule("STREAM.CREATE.{stream}", "STREAM.CREATE.{stream}", Guarded),
        rule("STREAM.UPDATE.{stream}", "STREAM.UPDATE.{stream}", Guarded),
        rule("STREAM.PURGE.{stream}", "STREAM.PURGE.{stream}", OnRequest(MapRequest::Purge)),
        rule("STREAM.MSG.DELETE.{stream}", "STREAM.MSG.DELETE.{stream}", OnRequest(MapRequest::MsgDelete)),
        rule("STREAM.SNAPSHOT.{stream}", "STREAM.SNAPSHOT.{stream}", OnRequest(MapRequest::Snapshot)),
    ]
};

/// Rules of the regional layout in addition to [`RULES`]. There the read stream has the virtual name, so old clients
/// can create durables. The server compares the name in the subject with the name in the body.
pub const REGIONAL_RULES: &[Rule] = &[rule(
    "CONSUMER.DURABLE.CREATE.{stream}.*",
    "CONSUMER.DURABLE.CREATE.{stream}.{{wildcard(1)}}",
    Treatment::Mapped,
)];

/// Returns the names that no virtual stream may have: the literal tokens of [`SUBJECTS`].
///
/// An entry like `$JS.API.CONSUMER.*.NEXT.>` would capture the pulls of all other streams (measured, 2.15.1).
pub fn reserved_names() -> &'static BTreeSet<&'static str> {
    static NAMES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
        SUBJECTS
            .iter()
            .flat_map(|subject| subject.pattern.split('.'))
            .filter(|token| !matches!(*token, "{stream}" | "*" | ">"))
            .chain(["$JS", "API"])
            .collect()
    });
    &NAMES
}

/// Returns a pattern with the prefix and the stream's name.
pub(super) fn fill(prefix: &str, pattern: &str, stream: &str) -> String {
    let (before, after) = pattern.split_once("{stream}").unwrap_or((pattern, ""));
    [prefix, before, stream, after].concat()
}

/// Returns the same as a filter.
///
/// # Errors
/// [`SubjectError`](crate::model::subject::SubjectError) if the name is not a token.
pub(super) fn filter(
    prefix: &str,
    pattern: &str,
    stream: &str,
) -> Result<SubjectFilter, crate::model::subject::SubjectError> {
    fill(prefix, pattern, stream).try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(pattern: &str, stream: &str) -> SubjectFilter {
        filter("$JS.API.", pattern, stream).unwrap()
    }

    /// The rules agree with the table, request by request.
    #[test]
    fn rules_map_what_the_table_says() {
        for api in SUBJECTS {
            let asked = subject(api.pattern, "foo");
            let covering: Vec<_> = RULES.iter().filter(|rule| subject(rule.source, "foo").overlaps(&asked)).collect();
            match api.treatment {
                Treatment::Never if api.pattern.starts_with("CONSUMER") => {
                    // `CONSUMER.DURABLE.CREATE.foo.x` has two tokens before the stream, so no rule matches it.
                    assert!(covering.is_empty(), "{}: {covering:?}", api.pattern);
                }
                Treatment::Never => assert!(covering.is_empty(), "{}: {covering:?}", api.pattern),
                treatment => {
                    assert_eq!(covering.len(), 1, "{}", api.pattern);
                    assert_eq!(covering[0].treatment, treatment, "{}", api.pattern);
                    assert!(subject(covering[0].source, "foo").covers(&asked), "{}", api.pattern);
                }
            }
        }
    }

    /// Entries of an allowed name match no request about another stream. Entries of NEXT and similar names do.
    #[test]
    fn only_reserved_names_touch_other_streams() {
        let touches = |name: &str| {
            RULES.iter().any(|rule| {
                let source = subject(rule.source, name);
                SUBJECTS.iter().any(|api| source.overlaps(&subject(api.pattern, "other")))
            })
        };
        let mut touching = Vec::new();
        for name in reserved_names() {
            if touches(name) {
                touching.push(*name);
            }
        }
        assert_eq!(touching, ["CREATE", "NEXT", "STEPDOWN"]);
        assert!(!touches("foo"));
        for name in ["MSG", "DURABLE", "LEADER", "INFO", "GET"] {
            assert!(reserved_names().contains(name), "{name}");
        }
        assert!(!reserved_names().contains("ORDERS"));
    }
}
