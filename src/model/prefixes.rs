//! All prefixes that this tool puts in front of subjects.
//!
//! No prefix belongs to an application, and no prefix is below another. `docs/concepts.md` has the same table, and a
//! test compares the two.

use super::names::ClusterName;
use super::subject::SubjectFilter;

/// Prefix of a client's message on its way into a write stream: `$VW.<cluster>.<subject>`.
///
/// Write streams strip the prefix when they store, so no destination lies inside its own source.
pub const CAPTURE_PREFIX: &str = "$VW";
/// Prefix of a client's JetStream request on its way to a regional account: `$VS.<cluster>.API.…`.
pub const REGION_PREFIX: &str = "$VS";
/// Prefix of requests to the JetStream of the application's account itself. It is mapped to `$JS` in every cluster.
///
/// A mapping is applied once, so `$VSH.API.…` is not mapped again by `$JS.>` (measured, 2.10.26 – 2.15.1).
pub const OWN_JS_PREFIX: &str = "$VSH";
/// In a regional account, the prefix with which sources and mirrors reach the application's account.
///
/// Clients of a mirrored bucket put its keys below this prefix. So the application's account maps `$VSM.API.$KV.>` as
/// it maps `$KV.>`.
pub const ORIGIN_JS_PREFIX: &str = "$VSM";
/// Prefix of deliveries to sources and mirrors of read streams: `VSD.<region>.…`.
pub const DELIVER_PREFIX: &str = "VSD";
/// Prefix of messages between runs of this tool, such as the lease.
pub const RUNS_PREFIX: &str = "$VSTREAM";

/// One prefix, as the docs describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The first token of the subjects.
    pub token: &'static str,
    /// The form of the subjects.
    pub form: &'static str,
    /// The accounts that use it.
    pub account: &'static str,
    /// The messages on these subjects.
    pub meaning: &'static str,
}

/// All prefixes.
pub const PREFIXES: [Prefix; 6] = [
    Prefix {
        token: CAPTURE_PREFIX,
        form: "$VW.<cluster>.<subject>",
        account: "application's",
        meaning: "a message on `<subject>` that a client in `<cluster>` published, on its way into a write stream",
    },
    Prefix {
        token: REGION_PREFIX,
        form: "$VS.<cluster>.…",
        account: "application's",
        meaning: "a JetStream request of a client in `<cluster>`, on its way to the regional account",
    },
    Prefix {
        token: OWN_JS_PREFIX,
        form: "$VSH.…",
        account: "application's",
        meaning: "the account's own JetStream, past the mapping",
    },
    Prefix {
        token: ORIGIN_JS_PREFIX,
        form: "$VSM.API.…",
        account: "regional",
        meaning: "the application's account's JetStream API as sources and mirrors reach it (`external.api`); clients put keys of a mirrored bucket on `$VSM.API.$KV.>`",
    },
    Prefix {
        token: DELIVER_PREFIX,
        form: "VSD.<region>.…",
        account: "both",
        meaning: "deliveries to sources and mirrors",
    },
    Prefix {
        token: RUNS_PREFIX,
        form: "$VSTREAM.LEASE",
        account: "application's",
        meaning: "the lease by which runs keep each other waiting",
    },
];

/// Returns the subject under which a message on `subject` from a client in `cluster` is captured: `foo.>` becomes
/// `$VW.west.foo.>`.
pub fn captured(subject: &SubjectFilter, cluster: &ClusterName) -> SubjectFilter {
    subject.below(&[CAPTURE_PREFIX, &cluster.token()])
}

/// Returns the subject under which a message on `subject` is captured in any cluster: `foo.>` becomes `$VW.*.foo.>`.
pub fn captured_anywhere(subject: &SubjectFilter) -> SubjectFilter {
    subject.below(&[CAPTURE_PREFIX, "*"])
}

/// Returns the cluster's token and the published subject of a captured one: `west` and `foo.>` for `$VW.west.foo.>`.
pub fn split_captured(subject: &str) -> Option<(&str, &str)> {
    subject.strip_prefix(CAPTURE_PREFIX)?.strip_prefix('.')?.split_once('.')
}

/// Returns `true` if a subject is below a prefix of whole tokens.
pub fn is_below(subject: &str, prefix: &str) -> bool {
    subject.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

/// Returns the prefix of requests from clients in `cluster` to their region: `$VS.west`.
pub fn region_prefix(cluster: &ClusterName) -> String {
    format!("{REGION_PREFIX}.{}", cluster.token())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_subject_is_told_apart_from_its_cluster() {
        assert_eq!(split_captured("$VW.west.foo.>"), Some(("west", "foo.>")));
        for other in ["$VW.west", "$VWX.west.foo", "foo.west.x"] {
            assert_eq!(split_captured(other), None, "{other}");
        }
    }
}
