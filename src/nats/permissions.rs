//! The permissions that a run's users need, as one table. This tool mints its users from it, `docs/permissions.md`
//! shows it, and a test on real servers checks it.

use crate::desired::lease;
use crate::observed::{listeners, system};
use crate::resolver::{push, servers};
use std::fmt::Write as _;

/// The purpose of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To show changes: `plan`, `validate --online`.
    Read,
    /// To check: `verify`, `status`.
    Verify,
    /// To change: `apply`.
    Change,
    /// To remove: `destroy`.
    Destroy,
}

impl Purpose {
    /// Checks whether the run writes anything.
    pub fn changes(self) -> bool {
        matches!(self, Self::Change | Self::Destroy)
    }
}

/// The user that needs a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The user of the system account.
    System,
    /// The user of an application's account, or of a regional account.
    Account,
    /// The user of an application's account whose regional accounts have no key in the keys folder. They are read
    /// through the account's imports.
    Imports,
}

/// The condition under which a permission is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Each run needs it.
    Always,
    /// A run needs it under this condition.
    If(&'static str),
}

/// The permission for one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The user that needs it.
    pub side: Side,
    /// `true` to publish, `false` to subscribe.
    pub publish: bool,
    /// The subject.
    pub subject: &'static str,
    /// The runs that need it.
    pub purposes: &'static [Purpose],
    /// The condition under which these runs need it.
    pub when: When,
}

const ALL: &[Purpose] = &[Purpose::Read, Purpose::Verify, Purpose::Change, Purpose::Destroy];
const CHANGES: &[Purpose] = &[Purpose::Change, Purpose::Destroy];
const LOOKS: &[Purpose] = &[Purpose::Read, Purpose::Verify, Purpose::Change];
const JUDGES: &[Purpose] = &[Purpose::Verify, Purpose::Change, Purpose::Destroy];
const PLANS: &[Purpose] = &[Purpose::Read, Purpose::Change];

/// All permissions, one per line.
#[rustfmt::skip]
pub const NEEDS: &[Need] = &[
    publish(Side::System, system::SUBJECTS[0], ALL, When::Always),
    publish(Side::System, system::SUBJECTS[1], ALL, When::Always),
    publish(Side::System, servers::SUBJECTS[0], ALL, When::Always),
    publish(Side::System, servers::SUBJECTS[1], ALL, When::Always),
    publish(Side::System, servers::SUBJECTS[2], ALL, When::If("regional accounts are looked for that the application's account does not import from yet; and when some servers have no token or answer no look-ups, to tell which")),
    publish(Side::System, servers::SUBJECTS[3], ALL, When::If("some servers answer no look-ups, to tell whether that is normal (a `cache` resolver)")),
    publish(Side::System, listeners::SUBJECT, PLANS, When::If("subjects are about to be mapped")),
    publish(Side::System, push::SUBJECT, CHANGES, When::If("a token is pushed")),
    publish(Side::System, push::BY_NAME, CHANGES, When::If("a token is pushed, and the resolver is `url`")),
    subscribe(Side::System, push::SUBJECT, CHANGES, When::Always),
    subscribe(Side::System, push::BY_NAME, CHANGES, When::Always),
    subscribe(Side::System, push::OLD, CHANGES, When::If("pushes on this older subject are to be noticed; without it there is a warning")),
    subscribe(Side::System, INBOX, ALL, When::Always),
    publish(Side::Account, "$JS.API.INFO", ALL, When::Always),
    publish(Side::Account, "$JS.API.STREAM.LIST", ALL, When::Always),
    publish(Side::Account, "$JS.API.STREAM.INFO.*", ALL, When::If("a stream is changed or deleted, or its leader does not answer")),
    publish(Side::Account, "$JS.API.CONSUMER.INFO.*.*", LOOKS, When::If("the definition has consumers")),
    publish(Side::Account, "$JS.API.STREAM.MSG.GET.*", JUDGES, When::If("the lease is read; and when a read stream lags or lacks messages")),
    publish(Side::Account, "$JS.API.CONSUMER.LIST.*", &[Purpose::Verify, Purpose::Change], When::If("streams of regional accounts have consumers; and when consumers are moved to another layout")),
    publish(Side::Account, lease::SUBJECT, CHANGES, When::If("something is changed")),
    publish(Side::Account, "$JS.API.STREAM.CREATE.*", CHANGES, When::If("a stream is made, or the lease's, which is `vstream-lease`")),
    publish(Side::Account, "$JS.API.STREAM.UPDATE.*", &[Purpose::Change], When::If("a stream is changed, or made anew on servers before 2.11, or others made the lease's otherwise")),
    publish(Side::Account, "$JS.API.STREAM.DELETE.*", CHANGES, When::If("streams are deleted, or the lease's, which goes with a run's end")),
    publish(Side::Account, "$JS.API.CONSUMER.CREATE.>", &[Purpose::Change], When::If("a consumer is made or changed")),
    subscribe(Side::Account, INBOX, ALL, When::Always),
    publish(Side::Imports, "$VS.*.API.INFO", ALL, When::Always),
    publish(Side::Imports, "$VS.*.API.STREAM.LIST", ALL, When::Always),
    publish(Side::Imports, "$VS.*.API.STREAM.INFO.*", LOOKS, When::If("a stream's leader does not answer")),
    publish(Side::Imports, "$VS.*.API.STREAM.MSG.GET.*", &[Purpose::Verify], When::If("a read stream lags or lacks messages")),
    publish(Side::Imports, "$VS.*.API.CONSUMER.INFO.*.*", LOOKS, When::If("the definition has consumers")),
    publish(Side::Imports, "$VS.*.API.CONSUMER.LIST.*", &[Purpose::Verify], When::If("streams have consumers")),
];

pub(super) const INBOX: &str = "_INBOX.>";

const fn publish(side: Side, subject: &'static str, purposes: &'static [Purpose], when: When) -> Need {
    Need { side, publish: true, subject, purposes, when }
}

const fn subscribe(side: Side, subject: &'static str, purposes: &'static [Purpose], when: When) -> Need {
    Need { side, publish: false, subject, purposes, when }
}

/// Returns the permissions that a run needs on one side.
pub fn needs(purpose: Purpose, side: Side) -> impl Iterator<Item = &'static Need> {
    NEEDS.iter().filter(move |need| need.side == side && need.purposes.contains(&purpose))
}

/// Most characters of permissions in a user's token. Longer permissions use wildcards instead of names. The base64
/// token is part of a line that servers limit to 4096 bytes (`max_control_line`).
const BUDGET: usize = 1800;

/// Returns the subjects with names instead of wildcards: `streams` in requests that write, `accounts` in look-ups. A
/// wildcard without names stays. If there are too many names, all wildcards stay.
pub(super) fn narrowed(
    subjects: &[&'static str],
    streams: Option<&[String]>,
    deletes: bool,
    accounts: Option<&[String]>,
) -> Vec<String> {
    let narrow = |subject: &'static str| -> Vec<String> {
        let lease = || lease::STREAM.to_owned();
        match (subject, streams, accounts) {
            ("$JS.API.STREAM.CREATE.*", Some(streams), _) => {
                streams.iter().cloned().chain([lease()]).map(|name| format!("$JS.API.STREAM.CREATE.{name}")).collect()
            }
            ("$JS.API.STREAM.UPDATE.*", Some(streams), _) => {
                streams.iter().cloned().chain([lease()]).map(|name| format!("$JS.API.STREAM.UPDATE.{name}")).collect()
            }
            ("$JS.API.STREAM.DELETE.*", Some(streams), _) => {
                let deleted = streams.iter().filter(|_| deletes).cloned().chain([lease()]);
                deleted.map(|name| format!("$JS.API.STREAM.DELETE.{name}")).collect()
            }
            ("$JS.API.CONSUMER.CREATE.>", Some(streams), _) => {
                streams.iter().map(|name| format!("$JS.API.CONSUMER.CREATE.{name}.>")).collect()
            }
            (servers::LOOK_UPS, _, Some(accounts)) => {
                accounts.iter().map(|id| servers::LOOK_UPS.replace('*', id)).collect()
            }
            _ => vec![subject.to_owned()],
        }
    };
    let narrowed: Vec<String> = subjects.iter().copied().flat_map(narrow).collect();
    let size: usize = narrowed.iter().map(|subject| subject.len() + 3).sum();
    if size <= BUDGET { narrowed } else { subjects.iter().map(|subject| (*subject).to_owned()).collect() }
}

/// Returns the table of docs/permissions.md.
pub fn table() -> String {
    let mut text = String::new();
    for (side, title) in [
        (Side::System, "The system account"),
        (Side::Account, "The application's account, and regional accounts that are given with credentials"),
        (
            Side::Imports,
            "The application's account besides, where the keys folder has no keys of the regional accounts",
        ),
    ] {
        let _ = write!(
            text,
            "### {title}\n\n| | subject | `plan`, `validate --online` | `verify`, `status` | `apply` | `destroy` | needed |\n|---|---|---|---|---|---|---|\n"
        );
        for need in NEEDS.iter().filter(|need| need.side == side) {
            let Need { publish, subject, purposes, when, .. } = need;
            let verb = if *publish { "publish" } else { "subscribe" };
            let marks = ALL.iter().map(|purpose| if purposes.contains(purpose) { "×" } else { "" });
            let when = match when {
                When::Always => "always".to_owned(),
                When::If(so) => format!("when {so}"),
            };
            let _ = writeln!(text, "| {verb} | `{subject}` | {} | {when} |", marks.collect::<Vec<_>>().join(" | "));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_the_place_of_wildcards_while_they_are_few() {
        let needed = needs(Purpose::Change, Side::Account).filter(|need| need.publish);
        let subjects: Vec<&str> = needed.map(|need| need.subject).collect();
        let few = ["foo-write-west".to_owned(), "foo".to_owned()];
        let narrow = narrowed(&subjects, Some(&few), false, None);
        let writes = |list: &[String]| -> Vec<String> {
            let kinds = ["CREATE", "UPDATE", "DELETE"];
            list.iter().filter(|s| kinds.iter().any(|kind| s.contains(kind))).cloned().collect()
        };
        assert_eq!(
            writes(&narrow),
            [
                "$JS.API.STREAM.CREATE.foo-write-west",
                "$JS.API.STREAM.CREATE.foo",
                "$JS.API.STREAM.CREATE.vstream-lease",
                "$JS.API.STREAM.UPDATE.foo-write-west",
                "$JS.API.STREAM.UPDATE.foo",
                "$JS.API.STREAM.UPDATE.vstream-lease",
                "$JS.API.STREAM.DELETE.vstream-lease",
                "$JS.API.CONSUMER.CREATE.foo-write-west.>",
                "$JS.API.CONSUMER.CREATE.foo.>",
            ]
        );
        let many: Vec<String> = (0..100).map(|number| format!("stream-{number}")).collect();
        assert!(writes(&narrowed(&subjects, Some(&many), true, None)).iter().all(|s| s.ends_with(['*', '>'])));
        let lookup = ["$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"];
        let ids = ["A1".to_owned()];
        assert_eq!(narrowed(&lookup, None, false, Some(&ids)), ["$SYS.REQ.ACCOUNT.A1.CLAIMS.LOOKUP"]);
    }
}
