//! The subjects of the JetStream API, and what becomes of each for a virtual stream in the shared layout.
//!
//! From nats-server 2.15 `server/jetstream_api.go`; what is mapped and why: `docs/concepts`.

use crate::model::subject::SubjectFilter;
use crate::model::virtual_stream::MapRequest;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// What happens to a request that names a virtual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Goes to the region's read stream.
    Mapped,
    /// Goes to the region's read stream, where it always fails with error 10056; unmapped it would make a
    /// real stream under the virtual name, which nobody could see.
    Guarded,
    /// Goes to the region's read stream if the definition asks for it (`map_requests`), as regions diverge by it.
    OnRequest(MapRequest),
    /// Left alone: it would change or move a real stream behind the definition's back, or has no use by the virtual name.
    Never,
}

/// One subject of the API, below the prefix `$JS.API.`; `{stream}` is the token that names the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiSubject {
    /// `STREAM.INFO.{stream}`
    pub pattern: &'static str,
    /// What happens to it.
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

/// One mapping entry per virtual stream; several API subjects share one, because every source in an account
/// costs each published message about 60 ns (measured, 2.15.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Source below the API prefix, with `{stream}`.
    pub source: &'static str,
    /// Destination below the API prefix, with `{stream}`.
    pub destination: &'static str,
    /// Which requests it is for.
    pub treatment: Treatment,
}

const fn rule(source: &'static str, destination: &'static str, treatment: Treatment) -> Rule {
    Rule { source, destination, treatment }
}

/// The entries of the shared layout, in the order in which they are shown.
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

/// What the regional layout maps beside [`RULES`], since there the stream is really called so: creating a durable in the
/// way of old clients, where the server compares the name in the subject with the one in the body.
pub const REGIONAL_RULES: &[Rule] = &[rule(
    "CONSUMER.DURABLE.CREATE.{stream}.*",
    "CONSUMER.DURABLE.CREATE.{stream}.{{wildcard(1)}}",
    Treatment::Mapped,
)];

/// Names that no virtual stream may have: the literal tokens of [`SUBJECTS`].
///
/// An entry like `$JS.API.CONSUMER.*.NEXT.>` would take every other stream's pulls (measured, 2.15.1).
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

/// A pattern with the stream's name filled in and the prefix before it.
pub(super) fn fill(prefix: &str, pattern: &str, stream: &str) -> String {
    let (before, after) = pattern.split_once("{stream}").unwrap_or((pattern, ""));
    [prefix, before, stream, after].concat()
}

/// The same as a filter.
///
/// # Errors
/// [`SubjectError`](crate::model::subject::SubjectError) if the name is no token.
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

    /// The rules say the same as the table, request by request.
    #[test]
    fn rules_map_what_the_table_says() {
        for api in SUBJECTS {
            let asked = subject(api.pattern, "foo");
            let covering: Vec<_> = RULES.iter().filter(|rule| subject(rule.source, "foo").overlaps(&asked)).collect();
            match api.treatment {
                Treatment::Never if api.pattern.starts_with("CONSUMER") => {
                    // `CONSUMER.DURABLE.CREATE.foo.x`: two tokens before the stream, so no rule sees it.
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

    /// No entry of an allowed name touches a request about another stream; for NEXT and the like they do.
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
